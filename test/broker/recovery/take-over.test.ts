/** One adopted backend by itself, on a real process: its control channel may come later, and go. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { openBackendLog } from "../../../src/broker/launch/backend-log.ts";
import { createBackendResources } from "../../../src/broker/launch/backend-resources.ts";
import type { LaunchedBackend, LaunchRegistry } from "../../../src/broker/supervisor/backend.ts";
import { takeOver } from "../../../src/broker/supervisor/bring-up.ts";
import { createServiceDefinition } from "../../../src/model/service-definition.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import type { ProcessHandle } from "../../../src/platform/ports/index.ts";
import { CAPABILITY } from "../../../src/wire/capabilities.ts";
import { encodeAnnounce } from "../../../src/wire/control.ts";

const KEY = { instanceId: "private:svc", service: "svc", version: "1.0.0" };

async function setUp(t: TestContext) {
  const platform = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "o-"));
  mkdirSync(join(directory, "logs"), { mode: 0o700 });
  const path = join(directory, "b.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  const child = await platform.processes.spawn({ file: "/bin/sleep", args: ["600"], env: {}, cwd: "/" });
  const log = openBackendLog({
    ...platform,
    directory: join(directory, "logs"),
    service: "svc",
    version: "1.0.0",
    maxBytes: 4096,
    onDropped: () => {},
  });
  const definition = createServiceDefinition({ serviceName: "svc", binaryPath: "/bin/sleep" });
  const identity = {
    pid: child.pid,
    exePath: "/bin/sleep",
    endpoint: { namespaceId: "private:svc", path },
    startedAtUnixMs: 1,
    bootId: platform.host.bootId(),
    blake3: await platform.files.blake3Executable("/bin/sleep"),
  };
  const faults: unknown[] = [];
  const happened: string[] = [];
  const registry: LaunchRegistry = {
    started: () => {},
    publish: () => happened.push("publish"),
    unpublish: (_, why) => happened.push(`unpublish ${why}`),
    crashed: (_, { exit }) => happened.push(`crashed ${exit}`),
  };
  const resources = createBackendResources({
    platform,
    adopted: true,
    key: KEY,
    definition,
    endpoint: identity.endpoint,
    process: platform.processes.open(child.pid) as ProcessHandle,
    log,
    control: undefined,
    brokerEndpoint: join(directory, "broker.sock"),
    onRecordFault: (error) => faults.push(error),
  });
  const backend: LaunchedBackend = takeOver(
    { platform, key: KEY, definition, resources, registry, onTransition: () => {} },
    { identity, drain: false },
  );
  const alive = setInterval(() => {}, 1000);
  t.after(async () => {
    child.kill();
    await backend.ended;
    clearInterval(alive);
    server.close();
    assert.deepEqual(faults, []);
    assert.deepEqual([existsSync(path), existsSync(`${path}.manifest`)], [false, false]);
    rmSync(directory, { recursive: true });
  });
  return { platform, path, child, backend, happened };
}

/** Resolves when `test` holds; the loop's own turns are what it waits for. */
async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve));
}

test("an adopted backend takes handoffs once it has opened a control channel anew, and until it closes it", async (t) => {
  const { platform, path, child, backend, happened } = await setUp(t);
  assert.deepEqual([backend.state, backend.adopted, backend.handoffWay()], ["running", true, undefined]);
  assert.ok(existsSync(`${path}.manifest`));
  const { ours, theirs } = platform.transport.pair();
  const other = platform.transport.adoptConnection(theirs.take());
  assert.ok(backend.attachControl(child.pid, ours));
  const announced = encodeAnnounce(CAPABILITY.handlePassing | CAPABILITY.handoffReply);
  await other.writeAll(announced, Deadline.after(platform.clock, 60_000));
  await until(() => backend.handoffWay() !== undefined);
  assert.equal(backend.handoffWay()?.direct, true);
  other.close();
  await until(() => backend.handoffWay() === undefined);
  // It serves as before: the channel is only one way to it.
  assert.equal(backend.state, "running");
  assert.equal(await backend.isServing(), true);
  assert.deepEqual(happened, ["publish"]);
});

test("a channel that ends when the endpoint is gone means that the backend is about to end: it is not signalled", async (t) => {
  const { platform, path, child, backend, happened } = await setUp(t);
  const { ours, theirs } = platform.transport.pair();
  const other = platform.transport.adoptConnection(theirs.take());
  assert.ok(backend.attachControl(child.pid, ours));
  rmSync(path);
  other.close();
  await until(() => backend.state === "draining");
  assert.ok(child.isAlive());
  child.askToEnd();
  await backend.ended;
  assert.deepEqual(happened, ["publish", "unpublish withdrawn"]);
});

test("an adopted backend that dies is a crash without an exit status, and everything of it is tidied up", async (t) => {
  const { child, backend, happened } = await setUp(t);
  child.kill();
  await backend.ended;
  assert.deepEqual([backend.state, happened], ["absent", ["publish", "unpublish exited", "crashed unknown"]]);
});
