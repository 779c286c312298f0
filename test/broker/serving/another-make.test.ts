/**
 * A running broker of another make is left alive. The reference's 4.5.5 ends when a client connects and closes without a word:
 * `rpb serve` at its address did that to find out whether anything runs there.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { brokerName } from "../../../src/model/names.ts";
import { createWorld, type Finished, RPB, type World } from "../../support/world.ts";

interface Fake {
  readonly world: World;
  readonly socket: string;
  readonly process: ChildProcess;
  journal(): string[];
  rpb(...args: string[]): Promise<Finished>;
}

async function createFake(t: TestContext, env: Record<string, string> = {}): Promise<Fake> {
  let end = async (): Promise<void> => {};
  // Before the world's own hook: they run in the order of registration.
  t.after(() => end());
  const world = await createWorld(t);
  mkdirSync(world.runtime, { recursive: true, mode: 0o700 });
  const name = brokerName(world.platform.host.userHash(), { kind: "shared" });
  const socket = join(world.runtime, `${name}.sock`);
  const file = join(world.root, "fake.journal");
  const child = world.track(
    spawn(world.install("fake-broker.py"), [socket], {
      env: { ...world.env, ...env, JOURNAL: file },
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  end = async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    world.platform.files.remove(socket);
  };
  await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line");
  return {
    world,
    socket,
    process: child,
    journal: () => (existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : []),
    rpb: (...args) => world.run(process.execPath, [RPB, ...args]),
  };
}

const HEALTHZ = "admin 4";

test("a broker that is started where one of another make runs asks it once whether it is one, and leaves it alive", async (t) => {
  const fake = await createFake(t);
  for (const where of [
    ["--socket", fake.socket],
    ["--instance", "shared"],
  ]) {
    const { code, stderr } = await fake.rpb("serve", ...where);
    assert.equal(code, 75);
    assert.match(stderr, /\[BROKER_ALREADY_RUNNING\] another broker is running at /);
  }
  assert.deepEqual(fake.journal(), [HEALTHZ, HEALTHZ]);
  assert.equal(fake.process.exitCode, null);
});

test("no verb of ours makes a connection to it that says nothing", async (t) => {
  const fake = await createFake(t);
  fake.world.define({ serviceName: "svc", isolation: "shared" });
  const socket = ["--socket", fake.socket];
  for (const args of [
    ["status"],
    ["status", "--json"],
    ["list-instances"],
    ["healthz", ...socket],
    ["readyz", ...socket],
    ["config", ...socket],
    ["metrics", ...socket],
    ["dump", ...socket],
    ["diagnose", ...socket, "--output", join(fake.world.root, "d.tar.gz")],
    ["backend-health", ...socket],
    ["connect", "svc", "1.0.0"],
    ["connect", "svc", "1.0.0", "--json"],
    ["connect", "svc", "1.0.0", "--no-start", "--broker", fake.socket],
    ["why", "svc"],
    ["events"],
    ["logs", "svc"],
    ["service", "check", "svc"],
    ["service", "list"],
    ["release-handles", fake.world.root],
    ["restart", ...socket],
    ["stop", ...socket, "--timeout", "1s"],
    ["stop", "--all", "--timeout", "1s"],
  ]) {
    await fake.rpb(...args);
    assert.equal(fake.process.exitCode, null, `rpb ${args.join(" ")}: ${fake.journal().at(-1)}`);
  }
  assert.ok(!fake.journal().some((line) => line.startsWith("died")));
  assert.ok(fake.journal().includes("hello"));
});

test("stop waits for the end of one that does not name its process, without connecting", async (t) => {
  const fake = await createFake(t, { ENDS: "1" });
  const { code, stdout } = await fake.rpb("stop", "--socket", fake.socket);
  assert.deepEqual([code, stdout], [0, `stopped broker: ${fake.socket}\n`]);
  if (fake.process.exitCode === null) await once(fake.process, "exit");
  assert.equal(fake.process.exitCode, 0);
  assert.ok(!fake.journal().some((line) => line.startsWith("died")));
});

test("a program that reads and never answers keeps its address, and costs the newcomer a bounded time", async (t) => {
  const world = await createWorld(t);
  mkdirSync(world.runtime, { recursive: true, mode: 0o700 });
  const socket = join(world.runtime, "b.sock");
  const silent = createServer((peer) => peer.on("error", () => {}).resume()).listen(socket);
  t.after(() => silent.close());
  await once(silent, "listening");
  const { code, stderr } = await world.run(process.execPath, [RPB, "serve", "--socket", socket]);
  assert.equal(code, 75);
  assert.match(
    stderr,
    /\[BROKER_ALREADY_RUNNING\] another broker is running at .*b\.sock, or a program that does not answer as one/,
  );
  assert.equal(existsSync(socket), true);
  assert.equal(existsSync(`${socket}.lock`), false);
  await new Promise((resolve) => silent.close(resolve));
});
