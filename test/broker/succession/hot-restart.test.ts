/** `rpb restart`: the new process has everything, and clients notice nothing. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { answerOf, DIRECT, PROTOCOL, V1 } from "../../support/handing.ts";
import { makeFifo, processEnd } from "../../support/launching.ts";
import { converseStrictly, helloBytes, helloReply, negotiatedIn, openRaw } from "../../support/peers/raw-peer.ts";
import { descriptorsOf } from "../../support/process-facts.ts";
import { createRegistered } from "../../support/registered.ts";
import { createRestarting } from "../../support/restarting.ts";
import { RPB } from "../../support/world.ts";

test("the new process has socket, backend and control channel: sessions go on, and the next one is handed over", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  const before = await at.open("svc");
  assert.equal(answerOf(await before.request(PROTOCOL, Buffer.from("one"))), "ONE");
  const [backend] = at.world.processes().filter((pid) => pid !== at.broker.pid);
  const { code, stdout, stderr } = await at.restart();
  assert.deepEqual([code, stderr], [0, ""]);
  const said = JSON.parse(stdout) as { broker_pid: number; backends: number };
  assert.equal(said.backends, 1);
  await at.firstEnded();
  assert.equal(at.broker.process.exitCode, 0);
  assert.equal(await at.brokerPid(), said.broker_pid);
  assert.deepEqual(at.world.processes().sort(), [backend ?? 0, said.broker_pid].sort());
  assert.equal(answerOf(await before.request(PROTOCOL, Buffer.from("two"))), "TWO");
  const after = await at.open("svc");
  assert.equal(after.connection.route, "handed-off");
  assert.equal(answerOf(await after.request(PROTOCOL, Buffer.from("three"))), "THREE");
  for (const session of [before, after]) await session.close();
});

test("a client that connected before and speaks after it is served by the new process, in whatever pieces it speaks", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  const silent = await openRaw(at.broker.endpoint);
  const halfway = await openRaw(at.broker.endpoint);
  const hello = helloBytes({ serviceName: "svc", clientCapabilities: DIRECT });
  halfway.write(hello.subarray(0, 20));
  assert.equal((await at.restart()).code, 0);
  for (const [socket, rest] of [
    [silent, hello],
    [halfway, hello.subarray(20)],
  ] as const) {
    const answer = once(socket, "data");
    socket.write(rest);
    assert.equal(negotiatedIn(helloReply((await answer)[0] as Buffer)).daemonVersion, "1.0.0");
    socket.destroy();
  }
  await at.firstEnded();
});

test("restart under load: 10,000 Hellos during 5 restarts, none refused, reset or lost", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  await (await at.open("svc")).close();
  const opened = descriptorsOf(at.broker.pid);
  const hello = helloBytes({ serviceName: "svc" });
  let [answered, restarts] = [0, 0];
  const client = async (): Promise<void> => {
    while (answered < 10_000 || restarts < 5) {
      negotiatedIn(helloReply(await converseStrictly(at.broker.endpoint, hello)));
      answered++;
    }
  };
  const operator = async (): Promise<void> => {
    for (; restarts < 5; restarts++) assert.equal((await at.restart()).code, 0);
  };
  await Promise.all([operator(), ...Array.from({ length: 8 }, client)]);
  const last = await at.brokerPid();
  assert.notEqual(last, at.broker.pid);
  assert.equal(at.world.processes().length, 2);
  // A restart brings no descriptor along that the first process did not have.
  assert.ok(descriptorsOf(last) <= opened + 1, `${descriptorsOf(last)} descriptors, at first ${opened}`);
});

test("SIGHUP restarts the broker, too; launches in progress are waited for", async (t) => {
  const at = await createRestarting(t);
  at.define("quick");
  at.world.define({ serviceName: "slow", binary: "binds-when-told.mjs", labels: { "exec.bind": "backend" } });
  const go = makeFifo(join(at.world.root, "go"));
  const launching = at.raw("slow", 0n);
  await at.broker.logged(/"backend-launching".*slow/);
  at.broker.process.kill("SIGHUP");
  await at.broker.logged(/"broker-restarting"/);
  // Others are served meanwhile, by the process that waits.
  (await at.raw("quick", 0n)).connection.close();
  assert.equal(await at.brokerPid(), at.broker.pid);
  writeFileSync(go, "now");
  (await launching).connection.close();
  await at.broker.logged(/"broker-restarted"/);
  await at.firstEnded();
  assert.notEqual(await at.brokerPid(), at.broker.pid);
});

test("the kernel names the new process to whoever connects", async (t) => {
  const at = await createRestarting(t);
  assert.equal((await at.restart()).code, 0);
  const { clock, transport } = at.world.platform;
  const connection = await transport.connect(at.broker.endpoint, Deadline.after(clock, 10_000));
  const { pid } = connection.peer;
  connection.close();
  assert.equal(pid, await at.brokerPid());
});

test("a broker that is not running is not started; one that cannot be restarted says so", async (t) => {
  const at = await createRestarting(t);
  const nobody = await at.world.run(process.execPath, [RPB, "restart", "--socket", "/nowhere/b.sock"]);
  assert.equal(nobody.code, 69);
  assert.match(nobody.stderr, /BROKER_UNAVAILABLE/);
  const all = await at.world.run(process.execPath, [RPB, "restart", "--all", "--json"]);
  assert.equal(all.code, 0);
});

test("a broker with one registered backend is restarted, too, and hands connections over as before", async (t) => {
  const at = await createRegistered(t);
  const before = await at.raw("svc", V1);
  assert.equal((await before.event())?.ack.accepted, true);
  before.connection.close();
  const { code, stderr } = await at.world.run(process.execPath, [RPB, "restart", "--socket", at.broker.endpoint]);
  assert.deepEqual([code, stderr], [0, ""]);
  const after = await at.raw("svc", V1);
  assert.equal((await after.event())?.ack.accepted, true);
  after.connection.close();
  const stopped = await at.world.run(process.execPath, [RPB, "stop", "--socket", at.broker.endpoint]);
  assert.equal(stopped.code, 0);
});

test("a backend that drains goes on draining under the new process, and ends when its last client has left", async (t) => {
  const at = await createRestarting(t);
  const define = (text: string): void => at.define("svc", { labels: { "exec.env.TEXT": text } });
  define("one");
  const old = await at.open("svc");
  assert.equal(answerOf(await old.request(PROTOCOL, Buffer.from("old"))), "OLD");
  const pid = at.world.processes().find((other) => other !== at.broker.pid) ?? 0;
  define("two");
  await (await at.open("svc")).close();
  const restarted = await at.restart();
  assert.equal((JSON.parse(restarted.stdout) as { backends: number }).backends, 2);
  await at.firstEnded();
  const young = await at.open("svc");
  assert.equal(young.connection.route, "handed-off");
  await young.close();
  assert.equal(answerOf(await old.request(PROTOCOL, Buffer.from("still"))), "STILL");
  await old.close();
  await processEnd(at.world, pid);
});
