/** The new process fails at some point before it is the broker: the old one goes on as if nothing had been. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { answerOf, PROTOCOL } from "../../support/handing.ts";
import { makeFifo } from "../../support/launching.ts";
import { createRestarting } from "../../support/restarting.ts";
import { PROJECT } from "../../support/world.ts";

/** A process that speaks the protocol by hand: `prepared`, and then what it does with what it is given. */
function successor(then: string): string {
  return `
import { Socket } from "node:net";
import { encodeSuccession } from "${PROJECT}dist/wire/succession.js";
const socket = new Socket({ fd: Number(process.env.RUNNING_PROCESS_BROKER_SUCCESSION_FD) });
const say = (message) => socket.write(encodeSuccession(message));
say({ case: "prepared", value: { version: "0.0.0" } });
socket.once("data", () => { ${then} });
`;
}

const FAILURES: readonly [how: string, script: string, code: number, reason: RegExp][] = [
  ["cannot be loaded", 'import "../../restart/not-there.mjs";', 70, /ended with status 1 while getting ready/],
  ["ends at once", "process.exit(3);", 70, /ended with status 3 while getting ready/],
  ["never gets ready", "setInterval(() => {}, 1000);", 124, /time for the restart was up|deadline passed/],
  [
    "says what nobody understands",
    'import { writeSync } from "node:fs"; writeSync(3, "what?");',
    70,
    /framing version/,
  ],
  [
    "dies when it is given everything",
    successor('process.kill(process.pid, "SIGKILL");'),
    70,
    /signal SIGKILL while taking over/,
  ],
  [
    "cannot take what it is given",
    successor('say({ case: "failed", value: { code: "IO_FAILED", reason: "no room" } });'),
    70,
    /cannot take over: no room/,
  ],
  [
    "says something else instead",
    successor('say({ case: "complete", value: {} });'),
    70,
    /complete instead of received/,
  ],
  ["never takes over", successor("setInterval(() => {}, 1000);"), 124, /time for the restart was up|deadline passed/],
];

for (const [how, script, code, reason] of FAILURES) {
  test(`a new process that ${how}: the old one serves on, with its backends and their channels`, async (t) => {
    const at = await createRestarting(t);
    at.define("svc");
    const session = await at.open("svc");
    const processes = at.world.processes().sort();
    at.update(script);
    const failed = await at.restart(...(code === 124 ? ["--timeout", "1s"] : []));
    assert.equal(failed.code, code, failed.stderr);
    assert.match(failed.stderr, reason);
    assert.deepEqual(at.world.processes().sort(), processes);
    assert.equal(await at.brokerPid(), at.broker.pid);
    const next = await at.open("svc");
    assert.equal(next.connection.route, "handed-off");
    assert.equal(answerOf(await next.request(PROTOCOL, Buffer.from("on"))), "ON");
    for (const each of [session, next]) await each.close();
    // And it can still be restarted.
    at.update(undefined);
    assert.equal((await at.restart()).code, 0);
    await at.firstEnded();
  });
}

test("a broker that is told to end while it restarts ends, and so does the new process", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  await (await at.open("svc")).close();
  at.update("setInterval(() => {}, 1000);");
  at.broker.process.kill("SIGHUP");
  await at.broker.logged(/"broker-restarting"/);
  at.broker.process.kill("SIGTERM");
  assert.equal((await at.broker.ended).code, 0);
  assert.match(at.broker.log(), /"broker-restart-failed".*shutting down/);
  // The backend stays, as it always does, for the broker that comes next.
  assert.equal(at.world.processes().length, 1);
  const next = await at.world.startBroker(["--socket", at.broker.endpoint]);
  assert.equal((await at.restart()).code, 0);
  if (next.process.exitCode === null) await once(next.process, "exit");
  assert.equal(next.process.exitCode, 0);
});

test("a broker that is killed while it restarts leaves nothing that serves half", async (t) => {
  const at = await createRestarting(t);
  at.define("svc");
  const session = await at.open("svc");
  // The real process, but it waits for ever for what it is to be given.
  at.world.define({ serviceName: "slow", binary: "binds-when-told.mjs", labels: { "exec.bind": "backend" } });
  const go = makeFifo(join(at.world.root, "go"));
  const launching = at.ask("slow", 0n);
  await at.broker.logged(/"backend-launching".*slow/);
  at.broker.process.kill("SIGHUP");
  await at.broker.logged(/"broker-restarting"/);
  const reset = assert.rejects((await launching).answered);
  at.broker.process.kill("SIGKILL");
  await reset;
  // Ends when the new process has ended, too: it has the same standard error.
  await at.broker.ended;
  writeFileSync(go, "now");
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("still"))), "STILL");
  await session.close();
  const next = await at.world.startBroker(["--socket", at.broker.endpoint]);
  const again = await at.open("svc");
  assert.equal(answerOf(await again.request(PROTOCOL, Buffer.from("again"))), "AGAIN");
  await again.close();
  assert.equal(next.process.exitCode, null);
});
