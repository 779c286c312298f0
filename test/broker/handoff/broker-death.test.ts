/** The broker is killed at each stage of a handoff: the connection is the backend's or nobody's. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "../../../src/client/index.ts";
import { hasCode } from "../../../src/index.ts";
import { answerOf, createHanding, DIRECT, type Handing, lastHelloMs, PROTOCOL, V1 } from "../../support/handing.ts";
import { fileCondition } from "../../support/launching.ts";
import { createRegistered } from "../../support/registered.ts";

const firstRequest = { protocol: PROTOCOL, payload: Buffer.from("work") };

function ran(at: Handing): number {
  return at.journal("svc").filter((line) => line.toLowerCase() === "ran work").length;
}

async function killBroker(at: Handing): Promise<void> {
  at.broker.process.kill("SIGKILL");
  await at.broker.ended;
}

test("before it answers the Hello: the client is told, and nothing has run", async (t) => {
  const at = await createRegistered(t, { dies: true });
  at.broker.process.kill("SIGSTOP");
  const opening = at.open("svc", { firstRequest: { ...firstRequest, idempotent: true } });
  const refused = assert.rejects(opening, (error) => hasCode(error, "CONNECTION_CLOSED", "BROKER_UNAVAILABLE"));
  await killBroker(at);
  await refused;
  assert.equal(ran(at), 0);
});

test("v1, with the offer unanswered: the client waits its time and dials", async (t) => {
  const at = await createRegistered(t, { plan: "silent", dies: true });
  const { endpoint } = at.broker;
  const broker = { endpoint, autoStart: false };
  const connecting = connect({ service: "svc", version: "1.0.0", env: at.world.env, broker, adopt: true });
  await fileCondition(join(at.world.root, "svc.journal"), () => at.journal("svc").includes("did silent"));
  await killBroker(at);
  const connected = await connecting;
  assert.equal(connected.route, "negotiated");
  connected.socket.destroy();
});

test("v1, between acknowledgement and event: the client has no word and dials; nobody is served twice", async (t) => {
  const at = await createRegistered(t, { plan: "kill-broker", dies: true });
  const client = await at.raw("svc", V1);
  await at.broker.ended;
  // The backend has it and answers, but a client may not know before the event, and goes.
  assert.equal(await client.knock(), 0x5a);
  client.connection.close();
  assert.ok(at.journal("svc").includes("took over"));
});

test("direct, between acknowledgement and the broker's seeing it: the request runs once, on this connection", async (t) => {
  const at = await createHanding(t, { dies: true });
  at.define("svc", { plan: "kill-broker" });
  const session = await at.open("svc", { firstRequest });
  assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
  await at.broker.ended;
  await session.close();
  // The end of the channel may come before the request does.
  const happened = at.journal("svc");
  assert.deepEqual(happened.slice(0, 4), ["dialled", "offered 1 true svc", "took over", "did kill-broker"]);
  assert.equal(happened.filter((line) => line === "ran work").length, 1);
});

test("direct, with the offer in a stopped backend: it refuses a connection that it cannot acknowledge", async (t) => {
  const at = await createHanding(t, { dies: true });
  at.define("svc");
  const held = await at.open("svc");
  assert.equal(answerOf(await held.request(PROTOCOL, Buffer.from("warm"))), "WARM");
  const pid = at.world.processes().find((other) => other !== at.broker.pid) ?? 0;
  process.kill(pid, "SIGSTOP");
  const before = await lastHelloMs(at, "svc");
  const { answered } = await at.ask("svc", DIRECT);
  const refused = assert.rejects(answered, (error) => hasCode(error, "FRAME_TRUNCATED"));
  // One that died with the Hello unread would reset the connection. Once it has read it, the offer is on its way.
  while ((await lastHelloMs(at, "svc")) <= before);
  await killBroker(at);
  process.kill(pid, "SIGCONT");
  // Closed without a reply, by which a client can tell that nothing was read.
  await refused;
  assert.equal(answerOf(await held.request(PROTOCOL, Buffer.from("still"))), "STILL");
  assert.equal(ran(at), 0);
  await held.close();
});

test("after the handoff: the session goes on without it", async (t) => {
  const at = await createHanding(t, { dies: true });
  at.define("svc");
  const session = await at.open("svc");
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("before"))), "BEFORE");
  const { connection } = await at.raw("svc", DIRECT);
  await killBroker(at);
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("after"))), "AFTER");
  connection.close();
  await session.close();
});
