/** What becomes of backends that run: dying, not serving any more, being stopped. */
import assert from "node:assert/strict";
import { rmSync, statSync } from "node:fs";
import test from "node:test";
import { createLaunching, type Launching, order, processEnd, zombiesOf } from "../../support/launching.ts";
import { commandLine } from "../../support/process-facts.ts";
import { RPB } from "../../support/world.ts";

/** The one process that serves `service`. */
function runningPid(launching: Launching, service = "svc"): number {
  return launching.pids(service).at(-1) as number;
}

test("a backend that closes its listener and lives is replaced, and ended", async (t) => {
  const launching = await createLaunching(t);
  for (const bind of ["broker", "backend"]) {
    await t.test(`exec.bind = ${bind}`, async () => {
      launching.world.define({ serviceName: bind, binary: "obeys.mjs", labels: { "exec.bind": bind } });
      const first = await launching.negotiated(bind);
      const pid = runningPid(launching, bind);
      await order(first.backendPipe, "close-listener");
      const second = await launching.negotiated(bind);
      assert.notEqual(second.backendPipe, first.backendPipe);
      assert.notEqual(runningPid(launching, bind), pid);
      // With nothing left to do it may have ended before it was told.
      await launching.broker.logged(new RegExp(`${bind} 1.0.0: (draining|running) -> absent`));
      assert.throws(() => statSync(first.backendPipe), { code: "ENOENT" });
      assert.equal((await launching.negotiated(bind)).backendPipe, second.backendPipe);
    });
  }
});

test("a backend whose socket file was removed is replaced, and ended", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const first = await launching.negotiated("svc");
  await order(first.backendPipe, "remove-socket");
  const second = await launching.negotiated("svc");
  assert.notEqual(second.backendPipe, first.backendPipe);
  await launching.broker.logged(/draining -> absent/);
});

test("a backend that is killed is replaced at the next Hello, and leaves neither zombie nor socket", async (t) => {
  const launching = await createLaunching(t);
  const { broker, world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const first = await launching.negotiated("svc");
  process.kill(runningPid(launching), "SIGKILL");
  await broker.logged(/running -> absent \(exited\)/);
  assert.deepEqual(zombiesOf(broker.pid), []);
  assert.deepEqual(launching.leftovers(), []);
  assert.notEqual((await launching.negotiated("svc")).backendPipe, first.backendPipe);
});

test("a Hello that comes before the broker has noticed a death gets a live backend all the same", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (let round = 0; round < 5; round++) {
    // Each round a version of its own: the third crash of one would be the end of it for a while.
    const version = `1.0.${round}`;
    const { backendPipe } = await launching.negotiated("svc", version);
    const pid = runningPid(launching);
    process.kill(pid, "SIGKILL");
    await processEnd(launching.world, pid);
    const replies = await Promise.all([1, 2, 3].map(() => launching.negotiated("svc", version)));
    assert.deepEqual(new Set(replies.map((reply) => reply.backendPipe)).size, 1);
    assert.notEqual(replies[0]?.backendPipe, backendPipe);
  }
  await launching.broker.logged(/running -> absent/);
  assert.equal(launching.pids("svc").length, 10);
});

test("a backend that is suspended is busy, not dead", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const first = await launching.negotiated("svc");
  process.kill(runningPid(launching), "SIGSTOP");
  assert.equal((await launching.negotiated("svc")).backendPipe, first.backendPipe);
  process.kill(runningPid(launching), "SIGCONT");
});

test("what a backend started dies with it, also what left its session", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  await order(backendPipe, "start-helpers");
  const helpers = world.processes().filter((pid) => commandLine(pid).includes("sleep 60"));
  assert.equal(helpers.length, 3);
  process.kill(runningPid(launching), "SIGKILL");
  await Promise.all(helpers.map((pid) => processEnd(world, pid)));
  await broker.logged(/running -> absent/);
  assert.deepEqual(launching.leftovers(), []);
});

test("a backend that makes a directory of its socket and dies takes nothing along", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const first = await launching.negotiated("svc");
  await order(first.backendPipe, "socket-to-directory");
  assert.notEqual((await launching.negotiated("svc")).backendPipe, first.backendPipe);
  await launching.broker.logged(/draining -> absent/);
  statSync(first.backendPipe);
  await launching.world.run("rmdir", [first.backendPipe]);
});

test("`rpb stop --with-backends` ends a backend that ignores SIGTERM by force, and what it started", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const labels = { "exec.env.IGNORES_TERM": "1", "exec.stop_timeout": "100ms" };
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels });
  world.define({ serviceName: "polite", binary: "obeys.mjs" });
  await order((await launching.negotiated("svc")).backendPipe, "start-helpers");
  await launching.negotiated("polite");
  const stopped = await world.run(process.execPath, [RPB, "stop", "--socket", broker.endpoint, "--with-backends"]);
  assert.equal(stopped.code, 0, stopped.stderr);
  assert.equal((await broker.ended).code, 0);
  assert.match(broker.log(), /svc 1\.0\.0: draining -> draining \(stop-timeout\)/);
  assert.match(broker.log(), /polite 1\.0\.0: draining -> absent \(exited\)/);
  assert.deepEqual(launching.leftovers(), []);
});

test("without --with-backends they go on serving after the broker has ended", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  const pid = runningPid(launching);
  assert.equal((await broker.stop()).code, 0);
  await order(backendPipe, "remove-socket");
  process.kill(pid, "SIGKILL");
  await processEnd(world, pid);
  rmSync(`${backendPipe}.manifest`);
});

test("a broker that ends while it launches ends that launch with its backends", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({
    serviceName: "svc",
    binaryPath: world.install("another-protocol.mjs"),
    labels: { "exec.ready_timeout": "10m" },
  });
  // What the client of such a launch gets to see is the business of the broker's own end.
  const asked = launching.hello("svc").catch(() => {});
  await broker.logged(/backend-launching/);
  await launching.shutDown();
  await asked;
  assert.equal((await broker.ended).code, 0);
  assert.deepEqual(launching.leftovers(), []);
});
