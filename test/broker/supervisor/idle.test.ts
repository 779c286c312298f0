/** Backends and brokers that nobody uses end by themselves; whoever is in use, or comes meanwhile, notices nothing. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import test from "node:test";
import { openSession } from "../../../src/client/index.ts";
import { createLaunching, type Launching, launchingIn, processEnd } from "../../support/launching.ts";
import { openRaw } from "../../support/peers/raw-peer.ts";
import { createWorld } from "../../support/world.ts";

const QUICK = { "idle.timeout": "100ms" };

/** Resolves when a backend of `service` has ended because it was idle; other services serve as clocks by it. */
async function idledOut(launching: Launching, service: string): Promise<void> {
  await launching.negotiated(service);
  const pid = launching.pids(service).at(-1) as number;
  await launching.broker.logged(new RegExp(`"pid":${pid}.*"event":"idle"`));
  await processEnd(launching.world, pid);
}

for (const [kind, binary, labels] of [
  ["bound by the broker", "obeys.mjs", { "exec.bind": "broker" }],
  ["that binds itself", "obeys.mjs", { "exec.bind": "backend" }],
  ["on the SDK", "reverse.mjs", { "exec.bind": "broker" }],
] as const) {
  test(`a backend ${kind} that nobody uses ends, and the next client gets the next one`, async (t) => {
    const launching = await createLaunching(t);
    const { world, broker } = launching;
    world.define({ serviceName: "svc", binary, labels: { ...labels, ...QUICK } });
    const { backendPipe } = await launching.negotiated("svc");
    const pid = launching.pids("svc")[0] as number;
    await processEnd(world, pid);
    await broker.logged(/draining -> absent \(exited\)/);
    assert.match(broker.log(), /running -> draining \(idle\)/);
    assert.doesNotMatch(broker.log(), /backend-crashed|stop-timeout/);
    assert.deepEqual(launching.leftovers(), []);
    assert.notEqual((await launching.negotiated("svc")).backendPipe, backendPipe);
  });
}

test("a backend with a connection open does not end, however long nobody says anything", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: QUICK });
  world.define({ serviceName: "clock", binary: "obeys.mjs", labels: QUICK });
  const { backendPipe } = await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  const client = await openRaw(backendPipe);
  for (let round = 0; round < 4; round++) await idledOut(launching, "clock");
  assert.ok(world.processes().includes(pid));
  assert.equal((await launching.negotiated("svc")).backendPipe, backendPipe);
  client.destroy();
  await processEnd(world, pid);
});

test("a connection that was handed over counts as one", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "reverse.mjs", labels: QUICK });
  world.define({ serviceName: "clock", binary: "obeys.mjs", labels: QUICK });
  await launching.negotiated("svc");
  await broker.logged(/svc 1\.0\.0: spawning -> running/);
  const session = await openSession({
    service: "svc",
    version: "1.0.0",
    broker: { endpoint: broker.endpoint },
    env: world.env,
  });
  assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("abc"))).toString(), "cba");
  assert.equal(session.connection.route, "handed-off");
  const pid = launching.pids("svc").at(-1) as number;
  for (let round = 0; round < 4; round++) await idledOut(launching, "clock");
  assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("def"))).toString(), "fed");
  assert.ok(world.processes().includes(pid));
  await session.close();
  await processEnd(world, pid);
});

test("idle.timeout = never, and no label on a backend that reports no leases, mean never", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "never", binary: "obeys.mjs", labels: { "idle.timeout": "never" } });
  world.define({ serviceName: "none", binary: "obeys.mjs" });
  world.define({ serviceName: "clock", binary: "obeys.mjs", labels: QUICK });
  await launching.negotiated("never");
  await launching.negotiated("none");
  for (let round = 0; round < 3; round++) await idledOut(launching, "clock");
  for (const service of ["never", "none"]) {
    await launching.negotiated(service);
    assert.equal(launching.pids(service).length, 1);
  }
});

test("clients that come while their backend idles out are all served, by it or by the next one", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "sdk", binary: "reverse.mjs", labels: { "idle.timeout": "10ms" } });
  const ask = async (): Promise<void> => {
    const session = await openSession({
      service: "sdk",
      version: "1.0.0",
      broker: { endpoint: broker.endpoint },
      env: world.env,
    });
    assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("abc"))).toString(), "cba");
    await session.close();
  };
  for (let round = 0; round < 12; round++) {
    await Promise.all([ask(), ask(), ask()]);
    if (round % 3 === 0) await broker.logged(/sdk 1.0.0: draining -> absent/);
  }
  assert.ok(launching.pids("sdk").length > 1, "it idled out at least once");
  assert.doesNotMatch(broker.log(), /backend-crashed/);
});

test("a broker with nothing to do ends after its time, and one with a backend does not", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: QUICK });
  const args = ["--socket", join(world.runtime, "b.sock"), "--idle-exit", "200ms"];
  const broker = await world.startBroker(args);
  const launching = launchingIn(world, broker);
  const { backendPipe } = await launching.negotiated("svc");
  const client = await openRaw(backendPipe);
  // Another broker is the clock: it has nothing to do.
  const idle = await world.startBroker(["--socket", join(world.runtime, "c.sock"), "--idle-exit", "1s"]);
  assert.equal((await idle.ended).code, 0);
  assert.match(idle.log(), /"broker-stopped".*"reason":"idle"/);
  assert.equal(broker.process.exitCode, null);
  client.destroy();
  assert.equal((await broker.ended).code, 0);
  assert.match(broker.log(), /running -> draining \(idle\)[\s\S]*"broker-stopped".*"reason":"idle"/);
  assert.deepEqual(world.processes(), []);
});

test("a connection to the broker keeps it, too", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--socket", join(world.runtime, "b.sock"), "--idle-exit", "100ms"]);
  const peer = await openRaw(broker.endpoint);
  const clock = await world.startBroker(["--socket", join(world.runtime, "c.sock"), "--idle-exit", "500ms"]);
  await clock.ended;
  assert.equal(broker.process.exitCode, null);
  peer.destroy();
  await once(peer, "close");
  assert.equal((await broker.ended).code, 0);
});
