/** The broker's parts for launching and asking, in this process, with real backends behind them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import type { LeaseReport } from "../../../src/broker/control/control-requests.ts";
import { createLauncher } from "../../../src/broker/launch/launcher.ts";
import type { LaunchedBackend } from "../../../src/broker/supervisor/backend.ts";
import { bringUp } from "../../../src/broker/supervisor/bring-up.ts";
import { createDefinitionStore } from "../../../src/store/definition-store.ts";
import { processEnd } from "../../support/launching.ts";
import { connectRaw, type RawClient, request, textOf } from "../../support/peers/raw-client.ts";
import { createWorld, type World } from "../../support/world.ts";

interface Launched {
  readonly world: World;
  readonly backend: LaunchedBackend;
  in(ms: number): Deadline;
  connect(): Promise<RawClient>;
  /** Resolves once the backend's report is as wanted. */
  reports(wanted: (report: LeaseReport) => boolean): Promise<LeaseReport>;
  go(): void;
}

async function launch(t: TestContext, binary = "control-obeys.mjs"): Promise<Launched> {
  let backend: LaunchedBackend | undefined;
  // Backends and their deadlines do not keep a process alive.
  const alive = setInterval(() => {}, 1_000);
  t.after(async () => {
    backend?.stop();
    await backend?.ended;
    clearInterval(alive);
  });
  const world = await createWorld(t);
  const { platform } = world;
  const variables = { "exec.env.GO": join(world.root, "go"), "exec.env.JOURNAL": join(world.root, "journal") };
  world.define({ serviceName: "svc", binary, labels: variables });
  const definition = createDefinitionStore(platform.files, world.definitions).load("svc");
  const key = { instanceId: "private:svc", service: "svc", version: "1.0.0" };
  platform.files.ensurePrivateDirectory(world.runtime);
  const launcher = createLauncher({
    platform,
    env: world.env,
    brokerEndpoint: join(world.runtime, "b.sock"),
    logDirectory: world.logs,
    onLogFault: () => {},
    onLogDropped: () => {},
    onRecordFault: () => {},
  });
  const { resources, ready } = await launcher.launch({ key, definition, traceparent: "", tracestate: "" });
  const running = await bringUp(
    {
      platform,
      key,
      definition,
      resources,
      registry: { started: () => {}, publish: () => {}, unpublish: () => {}, crashed: () => {} },
      onTransition: () => {},
    },
    ready,
  );
  backend = running;
  const clients: RawClient[] = [];
  t.after(() => {
    for (const client of clients) client.socket.destroy();
  });
  return {
    world,
    backend: running,
    in: (ms) => Deadline.after(platform.clock, ms),
    async connect() {
      const client = await connectRaw(running.identity.endpoint.path);
      clients.push(client);
      return client;
    },
    reports: (wanted) =>
      new Promise((resolve) => {
        const look = (report: LeaseReport | undefined): void => {
          if (report !== undefined && wanted(report)) resolve(report);
        };
        running.control.onLeaseChange(look);
        look(running.control.leases());
      }),
    go: () => writeFileSync(join(world.root, "go"), ""),
  };
}

test("a request in flight makes a backend busy, keeps an idle time-out from ending it, and is finished for maintenance", async (t) => {
  const at = await launch(t);
  const client = await at.connect();
  client.socket.write(request("hold", 1n));
  const busy = await at.reports(({ requests }) => requests === 1);
  assert.deepEqual([busy.idle, busy.connections], [false, 1]);
  assert.equal(await at.backend.control.quiesce(at.in(20_000), "idle-timeout"), "refused");
  // It is still there for others.
  const other = await at.connect();
  other.socket.write(request("text", 2n));
  assert.equal(textOf(await other.frame()), "TEXT");
  const quiesced = at.backend.control.quiesce(at.in(20_000), "maintenance");
  // Idle connections are closed, new ones not accepted; then what is in flight may go on.
  await other.over;
  at.go();
  assert.equal(textOf(await client.frame()), "held");
  assert.equal(await quiesced, "quiesced");
  // It ends by itself.
  await processEnd(at.world, at.backend.pid);
  await at.backend.ended;
});

test("an idle backend quiesces, and ends; until then it has reported what it was given to do", async (t) => {
  const at = await launch(t);
  const before = (await at.reports(({ idle }) => idle)).begun;
  const client = await at.connect();
  for (let i = 0n; i < 20n; i++) {
    client.socket.write(request("text", i));
    await client.frame();
  }
  client.socket.destroy();
  const after = await at.reports(({ idle, begun }) => idle && begun === before + 20n);
  assert.equal(after.connections, 0);
  assert.equal(await at.backend.control.quiesce(at.in(20_000), "idle-timeout"), "quiesced");
  await processEnd(at.world, at.backend.pid);
});

test("a lease keeps a backend from being idle with nobody connected", async (t) => {
  const at = await launch(t);
  const client = await at.connect();
  client.socket.write(request("lease", 1n));
  await client.frame();
  client.socket.destroy();
  const report = await at.reports(({ connections, held }) => connections === 0 && held === 1);
  assert.deepEqual([report.idle, report.reasons], [false, ["busy for ever"]]);
  assert.equal(await at.backend.control.quiesce(at.in(20_000), "idle-timeout"), "refused");
});

test("a stopped backend does not answer in time, and what it was asked it does when it goes on", async (t) => {
  const at = await launch(t);
  process.kill(at.backend.pid, "SIGSTOP");
  assert.equal(await at.backend.control.quiesce(at.in(100), "maintenance"), "timed-out");
  process.kill(at.backend.pid, "SIGCONT");
  await processEnd(at.world, at.backend.pid);
});

test("a backend that dies while it is asked is not taken for one that has quiesced", async (t) => {
  const at = await launch(t);
  process.kill(at.backend.pid, "SIGSTOP");
  const asked = at.backend.control.quiesce(at.in(20_000), "maintenance");
  process.kill(at.backend.pid, "SIGKILL");
  assert.equal(await asked, "refused");
  assert.equal(at.backend.control.leases(), undefined);
});

test("a backend that knows nothing of the channel reports nothing and cannot be asked", async (t) => {
  const at = await launch(t, "obeys.mjs");
  assert.equal(at.backend.control.leases(), undefined);
  assert.equal(await at.backend.control.quiesce(at.in(20_000), "idle-timeout"), "unsupported");
});
