/** What a direct session sees when its handoff does not come about: at most one owner, and no request lost or doubled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../../../src/index.ts";
import { answerOf, createHanding, DIRECT, type Handing, PROTOCOL } from "../../support/handing.ts";
import { processEnd } from "../../support/launching.ts";

const payload = Buffer.from("work");

function ran(at: Handing, service: string): number {
  return at.journal(service).filter((line) => line === "ran work").length;
}

for (const idempotent of [true, false]) {
  const what = idempotent ? "that was sent along with the Hello" : "that may not run twice";

  test(`the backend refuses: a request ${what} is sent again on a connection of its own and runs once`, async (t) => {
    const at = await createHanding(t);
    at.define("svc", { plan: "refuse" });
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent } });
    assert.equal(session.connection.route, "handed-off");
    assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
    assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("more"))), "more");
    await session.close();
    assert.deepEqual(at.journal("svc"), [
      ...["dialled", "offered 1 true svc", "did refuse", "dialled", "ran work", "ran more"],
    ]);
    assert.deepEqual(await at.outcomes(1), [["handoff-fallback", "direct", "await-ack", "backend-ack-timeout", false]]);
  });

  test(`the backend is killed before it acknowledges: a request ${what} runs at most once`, async (t) => {
    const at = await createHanding(t);
    at.define("svc", { plan: "die" });
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent } });
    const answer = await (session.firstResponse ?? Promise.reject()).then(answerOf, (error: Error) => {
      // A dying backend still takes connections for a moment; what was sent into that one may not be sent again.
      assert.ok(!idempotent && hasCode(error, "CONNECTION_CLOSED"), error.message);
      return undefined;
    });
    // Launched again meanwhile, and the session goes on with it.
    assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("more"))), "more");
    await session.close();
    assert.equal(ran(at, "svc"), answer === undefined ? 0 : 1);
    assert.deepEqual(at.journal("svc").slice(0, 2), ["dialled", "offered 1 true svc"]);
    assert.deepEqual(await at.outcomes(1), [["handoff-fallback", "direct", "await-ack", "backend-ack-timeout", false]]);
  });
}

test("the refusal is an event that names the token, and the broker closes the connection of a client that does not", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "refuse" });
  const client = await at.raw("svc", DIRECT);
  const said = await client.event();
  assert.equal(said?.ack.accepted, false);
  assert.equal(said.ack.errorDetail, "no, thank you");
  assert.deepEqual(Buffer.from(said.ack.token), Buffer.from(client.negotiated.handlePassedToken));
  assert.equal(said.ack.correlationId, client.negotiated.connectionId);
  assert.equal(said.frame.requestId, client.negotiated.connectionId);
  assert.equal(await client.event(), undefined);
  client.connection.close();
});

for (const plan of ["garbage", "other-token"] as const) {
  test(`the backend answers with ${plan}: the connection is ended for everybody, and its channel is given up`, async (t) => {
    const at = await createHanding(t);
    at.define("svc", { plan });
    const once = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent: true } });
    assert.equal(answerOf((await once.firstResponse) ?? Buffer.alloc(0)), "work");
    await once.close();
    assert.deepEqual(await at.outcomes(1), [["handoff-fallback", "direct", "await-ack", "backend-ack-timeout", true]]);
    // The backend goes on serving without the channel.
    const again = await at.open("svc");
    assert.equal(again.connection.route, "negotiated");
    assert.equal(answerOf(await again.request(PROTOCOL, payload)), "work");
    await again.close();
    assert.equal(ran(at, "svc"), 2);
  });

  test(`the backend answers with ${plan}: a request that may not run twice has not been sent yet, and runs once`, async (t) => {
    const at = await createHanding(t);
    at.define("svc", { plan });
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload } });
    assert.equal(session.connection.route, "negotiated");
    assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
    await session.close();
    assert.equal(ran(at, "svc"), 1);
  });
}

test("a refusal is read by clients that are just writing: no request that was not read fails", async (t) => {
  const at = await createHanding(t);
  for (const service of ["a", "b", "c", "d", "e"]) {
    at.define(service, { plan: "refuse" });
    // Eight at most, then no handoff is tried.
    for (let i = 0; i < 8; i++) {
      const session = await at.open(service, { firstRequest: { protocol: PROTOCOL, payload } });
      const more = Array.from({ length: 20 }, (_, n) => session.request(PROTOCOL, Buffer.from(`${n}`)));
      assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
      assert.deepEqual((await Promise.all(more)).map(answerOf), [...Array(20).keys()].map(String));
      await session.close();
    }
    assert.equal(ran(at, service), 8);
  }
  assert.equal((await at.outcomes(40)).length, 40);
});

test("a second acknowledgement of the same offer is passed over", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "accept-twice" });
  for (let i = 0; i < 3; i++) {
    const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent: true } });
    assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
    await session.close();
  }
  assert.equal(ran(at, "svc"), 3);
  assert.deepEqual(
    (await at.outcomes(3)).map(([type]) => type),
    Array(3).fill("handoff-completed"),
  );
});

test("eight failures of one backend stop the attempts: the next client gets no token", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "refuse" });
  for (let i = 0; i < 8; i++) {
    const client = await at.raw("svc", DIRECT);
    assert.equal((await client.event())?.ack.accepted, false);
    client.connection.close();
  }
  const { negotiated, connection } = await at.raw("svc", DIRECT);
  assert.deepEqual([negotiated.serverCapabilities, negotiated.handlePassedToken.length], [0n, 0]);
  connection.close();
});

test("clients that are gone before the descriptor is sent leave nothing, and harm nobody", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  await (await at.open("svc")).close();
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      const { connection } = await at.raw("svc", DIRECT);
      connection.close();
    }),
  );
  const session = await at.open("svc");
  assert.equal(session.connection.route, "handed-off");
  assert.equal(answerOf(await session.request(PROTOCOL, payload)), "WORK");
  // Standard streams, event loop, listener, control channel and this one: nothing near a hundred.
  const descriptors = Number(answerOf(await session.request(PROTOCOL, Buffer.from("descriptors"))));
  assert.ok(descriptors < 50, `${descriptors} descriptors`);
  await session.close();
});

test("the backend is killed with connections in its hands: their requests in flight fail, and the next session works", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const session = await at.open("svc");
  assert.equal(answerOf(await session.request(PROTOCOL, payload)), "WORK");
  const backend = at.world.processes().find((pid) => pid !== at.broker.pid);
  const ended = processEnd(at.world, backend ?? 0);
  process.kill(backend ?? 0, "SIGSTOP");
  const lost = session.request(PROTOCOL, Buffer.from("lost"), { idempotent: true });
  process.kill(backend ?? 0, "SIGKILL");
  await assert.rejects(lost, (error) => hasCode(error, "CONNECTION_CLOSED"));
  await ended;
  const next = await at.open("svc");
  assert.equal(answerOf(await next.request(PROTOCOL, payload)), "WORK");
  await next.close();
});
