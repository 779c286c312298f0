/** A broker that dies or ends while its backends run, and the next one: nothing is launched twice, nothing is lost. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileCondition, logLines, order, processEnd } from "../../support/launching.ts";
import { openRaw } from "../../support/peers/raw-peer.ts";
import { RPB } from "../../support/world.ts";
import { createSuccession, kill, launchedByFirst, verdict } from "./support/succession.ts";

for (const [how, labels, binary] of [
  ["bound by the broker", { "exec.bind": "broker" }, "obeys.mjs"],
  ["that binds itself", { "exec.bind": "backend" }, "obeys.mjs"],
  ["on the SDK", { "exec.bind": "broker" }, "reverse.mjs"],
  ["with another title", { "exec.bind": "broker", "exec.env.TITLE": "renamed" }, "obeys.mjs"],
] as const) {
  test(`a backend ${how} whose broker was killed is adopted by the next one and not launched again`, async (t) => {
    const { world, next } = await createSuccession(t);
    world.define({ serviceName: "svc", binary, labels });
    const first = await next();
    const { backendPipe } = await first.negotiated("svc");
    const [pid] = first.pids("svc");
    await kill(first);
    const second = await next();
    // At once, without waiting for the adoption: all who ask get it.
    const replies = await Promise.all([1, 2, 3, 4].map(() => second.negotiated("svc")));
    for (const reply of replies) assert.equal(reply.backendPipe, backendPipe);
    assert.deepEqual(second.pids("svc"), [pid]);
    assert.doesNotMatch(second.broker.log(), /backend-launching/);
    assert.equal((await verdict(second, backendPipe)).verdict, "adopt");
    // And by the one after that.
    assert.equal((await second.broker.stop()).code, 0);
    const third = await next();
    assert.equal((await third.negotiated("svc")).backendPipe, backendPipe);
    await third.shutDown();
    await processEnd(world, pid as number);
    assert.match(third.broker.log(), /svc 1\.0\.0: draining -> absent \(exited\)/);
    assert.deepEqual(third.leftovers(), []);
  });
}

test("a connection to a backend goes on while brokers come and go", async (t) => {
  const { next, first, backendPipe } = await launchedByFirst(t);
  const socket = await openRaw(backendPipe);
  t.after(() => void socket.destroy());
  let closed = false;
  socket.once("close", () => {
    closed = true;
  });
  await kill(first);
  const second = await next();
  assert.equal((await second.negotiated("svc")).backendPipe, backendPipe);
  await order(backendPipe, "start-helpers");
  assert.equal(closed, false);
});

test("the death of an adopted backend is noticed, what it started dies with it, and the next Hello launches", async (t) => {
  const { world, next, first, backendPipe, pid } = await launchedByFirst(t);
  await order(backendPipe, "start-helpers");
  const helpers = world.processes().filter((each) => each !== pid && each !== first.broker.pid);
  assert.equal(helpers.length, 3);
  await kill(first);
  const second = await next();
  await second.negotiated("svc");
  process.kill(pid, "SIGKILL");
  await second.broker.logged(/running -> absent \(exited\)/);
  await Promise.all(helpers.map((each) => processEnd(world, each)));
  assert.deepEqual(second.leftovers(), []);
  assert.match(second.broker.log(), /"backend-crashed".*"exit":"unknown"/);
  assert.notEqual((await second.negotiated("svc")).backendPipe, backendPipe);
});

test("an adopted backend that ignores SIGTERM is ended by force after its time, with what it started", async (t) => {
  const { world, next } = await createSuccession(t);
  const labels = { "exec.env.IGNORES_TERM": "1", "exec.stop_timeout": "100ms" };
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels });
  const first = await next();
  await order((await first.negotiated("svc")).backendPipe, "start-helpers");
  await kill(first);
  const second = await next();
  await second.negotiated("svc");
  await second.shutDown();
  assert.match(second.broker.log(), /draining -> draining \(stop-timeout\)/);
  assert.deepEqual(second.leftovers(), []);
});

test("the log of an adopted backend is bounded as before", async (t) => {
  const { world, next, first, backendPipe } = await launchedByFirst(t, { "log.max_bytes": "8192" });
  await kill(first);
  const second = await next();
  await second.negotiated("svc");
  const older = join(world.logs, "svc-1.0.0.log.1");
  const rotated = fileCondition(older);
  await order(backendPipe, "write-output");
  await rotated;
});

test("a suspended backend is busy, not dead: it is adopted by the kernel's word", async (t) => {
  const { next, first, backendPipe, pid } = await launchedByFirst(t);
  process.kill(pid, "SIGSTOP");
  await kill(first);
  const second = await next();
  assert.equal((await second.negotiated("svc")).backendPipe, backendPipe);
  assert.equal((await verdict(second, backendPipe)).proof, "busy");
  process.kill(pid, "SIGCONT");
});

test("a backend that died while there was no broker is tidied up, and launched when it is asked for", async (t) => {
  const { world, next, first, backendPipe, pid } = await launchedByFirst(t);
  await order(backendPipe, "start-helpers");
  const helpers = world.processes().filter((each) => each !== pid && each !== first.broker.pid);
  await kill(first);
  process.kill(pid, "SIGKILL");
  await processEnd(world, pid);
  const second = await next();
  const found = await verdict(second, backendPipe);
  assert.deepEqual([found.verdict, found.process], ["reap", "gone"]);
  await Promise.all(helpers.map((each) => processEnd(world, each)));
  assert.notEqual((await second.negotiated("svc")).backendPipe, backendPipe);
});

test("a binary that was replaced while there was no broker: the old backend drains, new clients get the new one", async (t) => {
  const { world, next } = await createSuccession(t);
  const path = world.install("obeys.mjs");
  world.define({ serviceName: "svc", binaryPath: path });
  const first = await next();
  const { backendPipe } = await first.negotiated("svc");
  const [pid] = first.pids("svc");
  const client = await openRaw(backendPipe);
  await kill(first);
  copyFileSync(path, `${path}.new`);
  writeFileSync(`${path}.new`, `${readFileSync(path, "utf8")}\n// newer\n`, { mode: 0o755 });
  renameSync(`${path}.new`, path);
  const second = await next();
  const reply = await second.negotiated("svc");
  assert.notEqual(reply.backendPipe, backendPipe);
  assert.equal((await verdict(second, backendPipe)).proof, "refuted");
  // In use: it lives on. When its client goes, it ends.
  assert.ok(world.processes().includes(pid as number));
  client.destroy();
  await processEnd(world, pid as number);
  assert.equal((await second.negotiated("svc")).backendPipe, reply.backendPipe);
});

test("status says that a backend was adopted", async (t) => {
  const { world, next } = await createSuccession(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const first = await next();
  await first.negotiated("svc");
  await kill(first);
  const second = await next();
  await second.negotiated("svc");
  const { stdout } = await world.run(process.execPath, [RPB, "status", "--socket", second.broker.endpoint, "--json"]);
  assert.equal(JSON.parse(stdout).backends[0].adopted, true);
  assert.ok(logLines(second.broker).some((line) => line.event === "adopted" && line.to === "running"));
  assert.equal(readdirSync(world.runtime).filter((name) => name.endsWith(".manifest")).length, 1);
});
