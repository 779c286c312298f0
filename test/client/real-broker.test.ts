/** The client against the real broker and a real backend, both started by it. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connect, openSession } from "../../src/client/index.ts";
import { discoverBackend } from "../../src/exchange/verify-backend.ts";
import { patient } from "../support/patient.ts";
import { createWorld, RPB, type World } from "../support/world.ts";

const PROTOCOL = 0xf001;
const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

/** A world with the service `demo`; whatever was started in it is stopped in the end. */
async function worldWithDemo(
  t: TestContext,
): Promise<{ world: World; options: { service: string; version: string; env: Record<string, string> } }> {
  const world = await createWorld(t);
  world.define({ serviceName: "demo" });
  return { world, options: { service: "demo", version: "1.2.3", env: world.env } };
}

async function stopAll(world: World): Promise<void> {
  const { code, stderr } = await world.run(process.execPath, [
    RPB,
    "stop",
    "--with-backends",
    "--instance",
    "private:demo",
  ]);
  assert.equal(code, 0, stderr);
}

/** Resolves when all of them have ended. */
async function kill(world: World, pids: readonly number[]): Promise<void> {
  const awake = setInterval(() => {}, 1000);
  for (const pid of pids) {
    const handle = world.platform.processes.open(pid);
    if (handle === undefined) continue;
    const ended = new Promise<void>((resolve) => handle.onExit(resolve));
    handle.kill();
    await ended;
    handle.close();
  }
  clearInterval(awake);
}

test("cold: broker and backend are started; warm: both are reused; cached: no broker is asked", async (t) => {
  const { world, options } = await worldWithDemo(t);
  const cold = await openSession(options);
  assert.ok(cold.connection.route === "handed-off" && cold.connection.startedBroker);
  assert.equal(text(await cold.request(PROTOCOL, Buffer.from("abc"))), "cba");
  const { endpoint } = cold.connection;
  const warm = await connect(options);
  assert.ok(warm.route === "negotiated" && !warm.startedBroker && warm.endpoint === endpoint);
  warm.socket.destroy();
  await using cached = await openSession({ ...options, cachedEndpoint: endpoint });
  assert.ok(cached.connection.route === "skip" && !cached.connection.verified);
  assert.equal(text(await cached.request(PROTOCOL, Buffer.from("xyz"))), "zyx");
  await cold.close();
  await cached.close();
  await stopAll(world);
});

test("a cached endpoint is verified: the right identity is skipped to, a wrong one is negotiated", async (t) => {
  const { world, options } = await worldWithDemo(t);
  const first = await connect(options);
  first.socket.destroy();
  assert.ok(first.route === "negotiated");
  const identity = await discoverBackend(world.platform, first.endpoint, patient(world.platform));
  const right = await connect({ ...options, verifyCached: identity });
  right.socket.destroy();
  assert.ok(right.route === "skip" && right.verified && right.endpoint === first.endpoint);
  const wrong = await connect({ ...options, verifyCached: { ...identity, pid: process.pid } });
  wrong.socket.destroy();
  assert.ok(wrong.route === "negotiated" && wrong.cachedError?.code === "IDENTITY_MISMATCH");
  await stopAll(world);
});

test("a cached endpoint that is gone, and one that is for another version of the caller, are negotiated", async (t) => {
  const { world, options } = await worldWithDemo(t);
  const gone = await connect({ ...options, cachedEndpoint: `${world.runtime}/gone.sock` });
  gone.socket.destroy();
  assert.ok(gone.route === "negotiated" && gone.cachedError?.code === "BACKEND_UNREACHABLE");
  const other = await connect({ ...options, cachedEndpoint: gone.endpoint, selfVersion: "1.2.4" });
  other.socket.destroy();
  assert.ok(other.route === "negotiated" && other.cachedError === undefined);
  await stopAll(world);
});

test("broker and backend were killed, their sockets are stale: both are started again, without an error", async (t) => {
  const world = await createWorld(t, { leavesProcesses: true });
  world.define({ serviceName: "demo" });
  const options = { service: "demo", version: "1.2.3", env: world.env };
  const before = await connect(options);
  before.socket.destroy();
  await kill(world, world.processes());
  const after = await openSession(options);
  assert.ok(after.connection.route === "handed-off" && after.connection.startedBroker);
  assert.equal(text(await after.request(PROTOCOL, Buffer.from("again"))), "niaga");
  await after.close();
  await stopAll(world);
});

test("a backend that was killed is launched again, and the client sees only the new one", async (t) => {
  const { world, options } = await worldWithDemo(t);
  const before = await connect(options);
  before.socket.destroy();
  assert.ok(before.route === "negotiated");
  const { pid } = await discoverBackend(world.platform, before.endpoint, patient(world.platform));
  await kill(world, [pid]);
  const after = await openSession(options);
  assert.equal(text(await after.request(PROTOCOL, Buffer.from("again"))), "niaga");
  await after.close();
  await stopAll(world);
});

test("a broker that may not run says why: its last words are in the error", async (t) => {
  const { world, options } = await worldWithDemo(t);
  const { RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: _, ...env } = options.env;
  if (process.getuid?.() !== 0) return t.skip("needs root, whom the broker refuses");
  await assert.rejects(
    connect({ ...options, env }),
    (error: { code?: string; details?: { exit?: string; logTail?: string } }) => {
      assert.equal(error.details?.exit, "77");
      assert.match(error.details?.logTail ?? "", /root/);
      return error.code === "BROKER_START_FAILED";
    },
  );
  world.platform.files.remove(`${world.runtime}/${world.platform.files.list(world.runtime)[0]}`);
});
