/** Restarts while something else is going on, or has happened to what is to be handed over. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { adminRequest } from "../../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { answerOf, PROTOCOL } from "../../support/handing.ts";
import { makeFifo, order, processEnd } from "../../support/launching.ts";
import { helloBytes, helloReply, negotiatedIn, openRaw } from "../../support/peers/raw-peer.ts";
import { createRestarting, type Restarting } from "../../support/restarting.ts";
import { RPB } from "../../support/world.ts";

/** SIGHUP while a launch is in progress: the new process is ready, and waits. `go` lets the launch go on. */
async function heldRestart(at: Restarting): Promise<{ successor: number; go(): void; launched: Promise<unknown> }> {
  at.world.define({ serviceName: "slow", binary: "binds-when-told.mjs", labels: { "exec.bind": "backend" } });
  const fifo = makeFifo(join(at.world.root, "go"));
  const launched = at.raw("slow", 0n).then((client) => client.connection.close());
  await at.broker.logged(/"backend-launching".*slow/);
  const before = at.world.processes();
  at.broker.process.kill("SIGHUP");
  await at.broker.logged(/"broker-restarting"/);
  const isNew = (pid: number): boolean =>
    !before.includes(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("serve");
  let successor = at.world.processes().find(isNew);
  for (; successor === undefined; successor = at.world.processes().find(isNew)) await new Promise(setImmediate);
  return { successor, go: () => writeFileSync(fifo, "now"), launched };
}

test("SIGTERM to the new process before it is the broker ends it, and the old one goes on", async (t) => {
  const at = await createRestarting(t);
  const { successor, go, launched } = await heldRestart(at);
  process.kill(successor, "SIGTERM");
  await processEnd(at.world, successor);
  go();
  await launched;
  assert.match(await at.broker.logged(/"broker-restart-failed"/), /new process (ended|broke off)/);
  assert.equal(await at.brokerPid(), at.broker.pid);
  assert.equal((await at.restart()).code, 0);
});

test("the old process, told to end while it waits for a launch, does so in its time, and the new one with it", async (t) => {
  const at = await createRestarting(t);
  const { successor, launched } = await heldRestart(at);
  const refused = assert.rejects(launched, /shutting down/);
  assert.equal((await at.stop()).code, 0);
  await refused;
  assert.equal((await at.broker.ended).code, 0);
  await processEnd(at.world, successor);
  assert.equal(existsSync(at.broker.endpoint), false);
});

test("a client that says nothing is served after the second restart, too", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  const silent = await openRaw(at.broker.endpoint);
  for (let restarts = 0; restarts < 2; restarts++) assert.equal((await at.restart()).code, 0);
  const answer = once(silent, "data");
  silent.write(helloBytes({ serviceName: "svc" }));
  assert.equal(negotiatedIn(helloReply((await answer)[0] as Buffer)).daemonVersion, "1.0.0");
  silent.destroy();
  await at.firstEnded();
});

test("what a broker was told to launch as it started, its successor does not launch again", async (t) => {
  const at = await createRestarting(t, { args: ["--launch", "svc@2.0.0"] });
  await at.broker.logged(/"backend-not-launched"/);
  at.define("svc");
  assert.equal((await at.restart()).code, 0);
  // It is in the log after what the successor does at its start.
  const client = await at.raw("svc", 0n);
  client.connection.close();
  await at.broker.logged(/"hello-accepted"/);
  assert.equal(at.broker.log().split(/"backend-not-launched"|launching svc 2\.0\.0/).length - 1, 1);
});

test("a client whose connection cannot be relayed any more is told to come again", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  const silent = await openRaw(at.broker.endpoint);
  assert.equal((await at.restart()).code, 0);
  const pid = await at.brokerPid();
  assert.equal((await at.stop()).code, 0);
  await processEnd(at.world, pid);
  const answer = once(silent, "data");
  silent.write(helloBytes({ serviceName: "svc" }));
  const { result } = helloReply((await answer)[0] as Buffer);
  assert.deepEqual([result.case, result.case === "refused" && result.value.code], ["refused", 5]);
  await at.firstEnded();
});

test("an admin verb that takes its time holds up the restart, but no client", async (t) => {
  const at = await createRestarting(t);
  at.world.define({ serviceName: "svc", binary: "control-obeys.mjs" });
  (await at.raw("svc", 0n)).connection.close();
  const pid = at.world.processes().find((other) => other !== at.broker.pid) ?? 0;
  process.kill(pid, "SIGSTOP");
  while ((await at.openConnections()) > 1);
  const { platform } = at.world;
  const query = { verb: AdminVerb.RELEASE_HANDLES, json: true, path: "/nowhere", timeoutMs: 60_000 };
  const releasing = adminRequest(platform, at.broker.endpoint, query);
  while ((await at.openConnections()) < 2);
  const restarting = at.restart();
  await at.broker.logged(/"broker-restarting"/);
  at.define("other");
  for (let n = 0; n < 20; n++) await (await at.open("other")).close();
  assert.equal(await at.brokerPid(), at.broker.pid);
  process.kill(pid, "SIGCONT");
  assert.match((await releasing).body, /"nothing-held"/);
  const { switch_ms } = JSON.parse((await restarting).stdout) as { switch_ms: number };
  assert.ok(Number.isInteger(switch_ms));
  assert.notEqual(await at.brokerPid(), at.broker.pid);
});

test("a broker that ends after a number of connections counts on across a restart", async (t) => {
  const at = await createRestarting(t, { args: ["--max-connections", "3"] });
  at.define("svc");
  await (await at.open("svc")).close();
  assert.equal((await at.restart()).code, 0);
  await at.firstEnded();
  const last = await at.open("svc");
  assert.equal(answerOf(await last.request(PROTOCOL, Buffer.from("last"))), "LAST");
  await last.close();
  // Ends when the new process has, which has the same standard error.
  assert.match((await at.broker.ended).stderr, /"reason":"max-connections"/);
  for (const pid of at.world.processes()) {
    process.kill(pid, "SIGTERM");
    await processEnd(at.world, pid);
  }
  const next = await at.world.startBroker(["--socket", at.broker.endpoint]);
  await next.stop();
});

test("a broker whose directory, or whose lock file, was removed can be restarted all the same", async (t) => {
  const at = await createRestarting(t, {
    cwd: (root) => {
      const path = join(root, "here");
      mkdirSync(path);
      return path;
    },
  });
  rmSync(join(at.world.root, "here"), { recursive: true });
  rmSync(`${at.broker.endpoint}.lock`);
  const { code, stderr } = await at.restart();
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(readFileSync(`${at.broker.endpoint}.lock`, "utf8"), `${await at.brokerPid()}\n`);
});

test("a backend that was told to end still has its time, and is killed after it by the new process", async (t) => {
  const at = await createRestarting(t);
  const labels = { "exec.env.IGNORES_TERM": "1", "exec.stop_timeout": "3s" };
  at.world.define({ serviceName: "svc", binary: "obeys.mjs", labels });
  const { connection, negotiated } = await at.raw("svc", 0n);
  connection.close();
  const pid = at.world.processes().find((other) => other !== at.broker.pid) ?? 0;
  // Nobody can reach it any more: the next Hello has it ended, and gets another one.
  await order(negotiated.backendPipe, "remove-socket");
  (await at.raw("svc", 0n)).connection.close();
  await at.broker.logged(/running -> draining \(not-serving\)/);
  assert.equal((await at.restart()).code, 0);
  await at.broker.logged(/draining -> draining \(stop-timeout\)/);
  await processEnd(at.world, pid);
});

test("with a directory that cannot be listed the new process serves all the same, and says what it could not find", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  // Not a broker's directory any more at the moment of the takeover; the socket is elsewhere.
  at.update(`
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
const { readdirSync } = fs;
fs.readdirSync = (path, ...more) => {
  if (String(path).endsWith("/running-process/broker")) throw Object.assign(new Error("EACCES"), { code: "EACCES", syscall: "scandir", path });
  return readdirSync(path, ...more);
};
syncBuiltinESMExports();
await import(${JSON.stringify(RPB)});
`);
  assert.equal((await at.restart()).code, 0);
  await at.broker.logged(/"leftovers-unread"/);
  assert.notEqual(await at.brokerPid(), at.broker.pid);
});
