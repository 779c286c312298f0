/** Backends that lost their control channel get it back, and nobody else gets it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeAnnounce, encodeControl } from "../../../src/wire/control.ts";
import { answerOf, PROTOCOL } from "../../support/handing.ts";
import { launchingIn, order } from "../../support/launching.ts";
import { converse } from "../../support/peers/raw-peer.ts";
import { type Controlled, createControlled, eventually } from "./support/controlled.ts";

/** A session's first request over the connection on which Hello was said; its route. */
async function routeOf(at: Controlled, service: string): Promise<string> {
  const session = await at.open(service);
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("text"))), "TEXT");
  await session.close();
  return session.connection.route;
}

async function endpointOf(at: Controlled, service: string): Promise<string> {
  return (await launchingIn(at.world, at.broker).negotiated(service)).backendPipe;
}

test("after its channel was cut, a backend is served by reconnecting until it has attached, and then handed over to again", async (t) => {
  const at = await createControlled(t);
  const pid = await at.launch("svc");
  assert.equal(await routeOf(at, "svc"), "handed-off");
  assert.equal(await at.order("svc", "cut"), "cut");
  const line = JSON.parse(await at.broker.logged(/"control-attached"/));
  assert.equal(line.pid, pid);
  // The announcement follows in the same message.
  await eventually(async () => ((await routeOf(at, "svc")) === "handed-off" ? true : undefined));
  assert.equal((await at.release("/w")).code, 0);
  assert.deepEqual(launchingIn(at.world, at.broker).pids("svc"), [pid]);
});

test("a backend that knows the protocol from its description alone attaches, and is asked over the new channel", async (t) => {
  const at = await createControlled(t);
  const pid = await at.launch("hand", {}, "control-by-hand.mjs");
  await order(await endpointOf(at, "hand"), "attach");
  await at.broker.logged(/"control-attached"/);
  await eventually(async () => ((await at.release("/again")).code === 0 ? true : undefined));
  assert.ok(at.journal("hand").includes("attached"));
  assert.ok(at.journal("hand").includes("release /again true"));
  assert.deepEqual(launchingIn(at.world, at.broker).pids("hand"), [pid]);
});

test("another process of the same user does not get a backend's channel, whatever it says of itself", async (t) => {
  const at = await createControlled(t);
  const pid = await at.launch("svc");
  const endpoint = await endpointOf(at, "svc");
  const claims = [
    // The backend's own words, from a stranger.
    { endpoint, pid },
    // The truth, which is no backend.
    { endpoint, pid: process.pid },
    { endpoint: "", pid: process.pid },
    { endpoint, pid: 0 },
  ];
  for (const [i, value] of claims.entries()) {
    const bytes = Buffer.concat([encodeControl({ case: "attach", value }), encodeAnnounce(1n, 7n)]);
    // Closed without a word.
    assert.equal((await converse(at.broker.endpoint, bytes)).length, 0);
    await eventually(async () => (at.broker.log().split('"control-refused"').length > i + 1 ? true : undefined));
  }
  assert.doesNotMatch(at.broker.log(), /"control-attached"/);
  // The backend has still its own.
  assert.equal(await routeOf(at, "svc"), "handed-off");
  const { code, stdout } = await at.release("/w");
  assert.deepEqual([code, /nothing-held/.test(stdout)], [0, true]);
});

test("an event of protocol 0 that is no attach is what it always was: no Hello", async (t) => {
  const at = await createControlled(t);
  for (const bytes of [encodeAnnounce(1n), encodeControl({ case: "outcome", value: { id: 1n, status: 1 } })])
    assert.match((await converse(at.broker.endpoint, bytes)).toString(), /Hello frame/);
});

test("a broker that takes a backend over is given a channel to it: handoffs and questions go on", async (t) => {
  const at = await createControlled(t, { dies: true });
  const pid = await at.launch("svc");
  assert.equal(await routeOf(at, "svc"), "handed-off");
  at.broker.process.kill("SIGKILL");
  await at.broker.ended;
  const next = await at.world.startBroker(["--socket", at.broker.endpoint, "--log-level", "debug"]);
  assert.equal(JSON.parse(await next.logged(/"control-attached"/)).pid, pid);
  await eventually(async () => ((await routeOf(at, "svc")) === "handed-off" ? true : undefined));
  assert.equal((await at.release("/w")).code, 0);
  const { pids, shutDown } = launchingIn(at.world, next);
  assert.deepEqual(pids("svc"), [pid], "nothing was launched");
  await shutDown();
});
