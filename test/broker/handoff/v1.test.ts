/** The reference's sequence: token, bytes and descriptor to a dialled endpoint, acknowledgement, ready event (spec: handoff §8). */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect } from "../../../src/client/index.ts";
import { answerOf, createHanding, DIRECT, type Handing, PROTOCOL, type RawClient, V1 } from "../../support/handing.ts";
import { fileCondition } from "../../support/launching.ts";
import { createRegistered, startBackend } from "../../support/registered.ts";
import { COMPAT, createWorld } from "../../support/world.ts";

/** Adopts with a raw socket, and closes it. */
async function routeOf(at: Handing): Promise<string> {
  const { endpoint } = at.broker;
  const broker = { endpoint, autoStart: false };
  const connected = await connect({ service: "svc", version: "1.0.0", env: at.world.env, broker, adopt: true });
  connected.socket.destroy();
  return connected.route;
}

function assertReady(client: RawClient, said: Awaited<ReturnType<RawClient["event"]>>): void {
  assert.equal(said?.ack.accepted, true);
  assert.equal(said.ack.errorDetail, "");
  assert.deepEqual(Buffer.from(said.ack.token), Buffer.from(client.negotiated.handlePassedToken));
  assert.equal(said.ack.correlationId, client.negotiated.connectionId);
  assert.equal(said.frame.requestId, client.negotiated.connectionId);
  assert.equal(said.frame.payloadProtocol, 0xd0ff);
}

test("a v1 client is told by an event, and then talks to the backend on the same socket", async (t) => {
  const at = await createRegistered(t, { plan: "accept" });
  // A backend that is dialled is never known to acknowledge before it reads: direct mode is not for it.
  for (const offered of [V1, DIRECT]) {
    const client = await at.raw("svc", offered);
    assert.equal(client.negotiated.serverCapabilities, V1);
    assertReady(client, await client.event());
    assert.equal(await client.knock(), 0x5a);
    client.connection.close();
  }
  assert.equal(await routeOf(at), "handed-off");
  const completed = ["handoff-completed", "v1", undefined, undefined, undefined];
  assert.deepEqual(await at.outcomes(3), [completed, completed, completed]);
  assert.equal(at.journal("svc").filter((line) => line === "offered 1 true svc").length, 3);
});

test("a v1 client of a launched backend gets the v1 sequence over the control channel", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "accept" });
  const client = await at.raw("svc", V1);
  assert.equal(client.negotiated.serverCapabilities, V1);
  assertReady(client, await client.event());
  assert.equal(await client.knock(), 0x5a);
  client.connection.close();
});

// It would write the reply from the number that client_reply had then, so no process would answer the client.
test("a backend of an earlier version, which announces bit 32, is handed connections as in v1", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "accept", labels: { "exec.env.ANNOUNCE": String(DIRECT) } });
  for (const offered of [V1, DIRECT]) {
    const client = await at.raw("svc", offered);
    assert.equal(client.negotiated.serverCapabilities, V1);
    assertReady(client, await client.event());
    assert.equal(await client.knock(), 0x5a);
    client.connection.close();
  }
  const session = await at.open("svc", {
    firstRequest: { protocol: PROTOCOL, payload: Buffer.from("one"), idempotent: true },
  });
  assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "one");
  await session.close();
});

test("a backend that announced v1 only gets no direct connection", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "accept", labels: { "exec.env.ANNOUNCE": "1" } });
  const client = await at.raw("svc", DIRECT);
  assert.equal(client.negotiated.serverCapabilities, V1);
  assertReady(client, await client.event());
  client.connection.close();
  const none = { plan: "accept", labels: { "exec.env.ANNOUNCE": "0" } };
  at.define("none", none);
  const alone = await at.raw("none", DIRECT);
  assert.deepEqual([alone.negotiated.serverCapabilities, alone.negotiated.handlePassedToken.length], [0n, 0]);
  alone.connection.close();
});

for (const [plan, stage, severed] of [
  ["refuse", "await-ack", false],
  ["garbage", "await-ack", true],
  ["other-token", "await-ack", true],
  ["other-correlation", "await-ack", true],
] as const) {
  test(`the backend's answer is ${plan}: the client hears nothing and reconnects`, async (t) => {
    const at = await createRegistered(t, { plan });
    const client = await at.raw("svc", V1);
    assert.equal(client.negotiated.handlePassedToken.length, 16);
    assert.equal(await client.event(), undefined);
    client.connection.close();
    assert.equal(await routeOf(at), "negotiated");
    const fallback = ["handoff-fallback", "v1", stage, "backend-ack-timeout", severed];
    assert.deepEqual(await at.outcomes(2), [fallback, fallback]);
    assert.ok(!at.journal("svc").includes("took over"));
  });
}

test("the handoff endpoint is missing: the client hears nothing and reconnects, and the log says why", async (t) => {
  const at = await createRegistered(t, { plan: "accept", handoffEndpoint: "/nowhere/ho" });
  const client = await at.raw("svc", V1);
  assert.equal(await client.event(), undefined);
  client.connection.close();
  assert.equal(await routeOf(at), "negotiated");
  await at.broker.logged(/failed to dial backend handoff endpoint \/nowhere\/ho: /);
  const fallback = ["handoff-fallback", "v1", "send", "backend-ack-timeout", false];
  assert.deepEqual(await at.outcomes(2), [fallback, fallback]);
});

test("the backend dies between receiving the connection and acknowledging it: the client sees the end", async (t) => {
  const at = await createRegistered(t, { plan: "die" });
  const client = await at.raw("svc", V1);
  assert.equal(await client.event(), undefined);
  client.connection.close();
  assert.deepEqual(await at.outcomes(1), [["handoff-fallback", "v1", "await-ack", "backend-ack-timeout", true]]);
});

test("a backend on the SDK takes v1 handoffs at its handoff endpoint, and serves them like any connection", async (t) => {
  const at = await createRegistered(t);
  for (const text of ["one", "two"]) {
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload: Buffer.from(text) } });
    assert.ok(session.connection.route === "handed-off" && !session.connection.direct);
    assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), text.toUpperCase());
    await session.close();
  }
  assert.deepEqual(at.journal("svc"), ["dialled", "ran one", "ran two"]);
});

test("a request that was sent along with the Hello is answered by a v1 handoff, too, whoever speaks first", async (t) => {
  const at = await createRegistered(t);
  for (let i = 0; i < 20; i++) {
    const payload = Buffer.from(`early ${i}`);
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent: true } });
    // The backend's answer can overtake the broker's event; then the client dials, and the request runs again.
    assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), `EARLY ${i}`);
    assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from(`more ${i}`))), `MORE ${i}`);
    await session.close();
  }
  assert.equal(at.journal("svc").filter((line) => line.startsWith("ran more")).length, 20);
});

test("a launched backend's handoff endpoint comes from its definition", async (t) => {
  const at = await createHanding(t);
  const endpoint = join(at.world.root, "h");
  at.define("svc", { labels: { "handoff.endpoint": endpoint, "exec.env.HANDOFF_ENDPOINT": endpoint } });
  const session = await at.open("svc");
  assert.ok(session.connection.route === "handed-off" && !session.connection.direct);
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("hi"))), "HI");
  await session.close();
});

test("the reference's command line names the handoff endpoint, too", async (t) => {
  const world = await createWorld(t);
  const backend = await startBackend(world, { plan: "accept" });
  const socket = join(world.root, "compat.sock");
  const child = world.track(
    spawn(process.execPath, [COMPAT, "--serve", socket, ...backend.args], { env: world.env, stdio: "inherit" }),
  );
  await fileCondition(socket);
  const connected = await connectTo(t, socket, world.env);
  assert.equal(connected, "handed-off");
  child.kill("SIGTERM");
});

async function connectTo(t: TestContext, endpoint: string, env: Record<string, string>): Promise<string> {
  const connected = await connect({ service: "svc", version: "1.0.0", env, broker: { endpoint }, adopt: true });
  t.after(() => connected.socket.destroy());
  return connected.route;
}
