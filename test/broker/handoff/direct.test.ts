/** Direct mode: the connection on which Hello was said is the backend's, and what was sent behind it, too. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { connect } from "../../../src/client/index.ts";
import { hasCode } from "../../../src/index.ts";
import { answerOf, createHanding, DIRECT, HASHING, PROTOCOL } from "../../support/handing.ts";
import { rpb } from "../../support/world-cli.ts";

test("a session is handed over: its requests are answered, and the backend accepted no connection for it", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  for (const text of ["one", "two"]) {
    const session = await at.open("svc");
    assert.ok(session.connection.route === "handed-off" && session.connection.direct);
    assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from(text))), text.toUpperCase());
    assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("more"))), "MORE");
    await session.close();
  }
  // The broker's probe is the only one that dialled.
  assert.deepEqual(at.journal("svc"), ["dialled", "ran one", "ran more", "ran two", "ran more"]);
  assert.deepEqual(
    (await at.outcomes(2)).map(([type, mode]) => [type, mode]),
    [
      ["handoff-completed", "direct"],
      ["handoff-completed", "direct"],
    ],
  );
});

test("a first request of 1 MiB that is sent along with the Hello arrives whole and once", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const payload = randomBytes(1024 * 1024);
  const session = await at.open("svc", { firstRequest: { protocol: HASHING, payload, idempotent: true } });
  assert.equal(session.connection.route, "handed-off");
  const hash = createHash("sha256").update(payload).digest("hex");
  assert.equal(Buffer.from((await session.firstResponse) ?? []).toString("hex"), hash);
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("next"))), "NEXT");
  await session.close();
  assert.deepEqual(at.journal("svc"), ["dialled", `hashed ${payload.length}`, "ran next"]);
});

test("a first request of 1 MiB reaches a backend to which nothing is handed over", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { labels: { "handoff.enabled": "false" } });
  const payload = randomBytes(1024 * 1024);
  const session = await at.open("svc", { firstRequest: { protocol: HASHING, payload, idempotent: true } });
  assert.equal(session.connection.route, "negotiated");
  const hash = createHash("sha256").update(payload).digest("hex");
  assert.equal(Buffer.from((await session.firstResponse) ?? []).toString("hex"), hash);
  await session.close();
  assert.deepEqual(at.journal("svc"), ["dialled", "dialled", `hashed ${payload.length}`]);
});

test("a first request that may not run twice is sent after the reply, and runs once", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload: Buffer.from("once") } });
  assert.equal(session.connection.route, "handed-off");
  assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "ONCE");
  await session.close();
  assert.deepEqual(at.journal("svc"), ["dialled", "ran once"]);
});

test("a first request that was given up before the reply came does not lend its answer to another one", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const given = { protocol: PROTOCOL, payload: Buffer.from("given up"), idempotent: true, signal: AbortSignal.abort() };
  const session = await at.open("svc", { firstRequest: given });
  await assert.rejects(session.firstResponse ?? Promise.resolve(), (error) => hasCode(error, "ABORTED"));
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("next"))), "NEXT");
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("more"))), "MORE");
  await session.close();
  assert.deepEqual(at.journal("svc"), ["dialled", "ran given up", "ran next", "ran more"]);
});

test("token and bits are given to those only to whom a connection will be handed over", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  at.define("off", { labels: { "handoff.enabled": "false" } });
  const tokens = new Set<string>();
  for (const [service, offered, granted] of [
    ["svc", DIRECT, DIRECT],
    ["svc", DIRECT | (1n << 8n), DIRECT],
    ["svc", 1n, 1n],
    ["svc", 0n, 0n],
    // Direct alone means nothing.
    ["svc", 1n << 32n, 0n],
    ["off", DIRECT, 0n],
  ] as const) {
    const { negotiated, connection } = await at.raw(service, offered);
    assert.equal(negotiated.serverCapabilities, granted, `${service} ${offered}`);
    assert.equal(negotiated.handlePassedToken.length, granted === 0n ? 0 : 16);
    if (granted !== 0n) tokens.add(Buffer.from(negotiated.handlePassedToken).toString("hex"));
    assert.ok(negotiated.backendPipe !== "");
    connection.close();
  }
  assert.equal(tokens.size, 3);
});

test("who does not adopt is not handed over", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const session = await at.open("svc", { adopt: false });
  assert.equal(session.connection.route, "negotiated");
  await session.close();
  const { endpoint } = at.broker;
  const plain = await connect({ service: "svc", version: "1.0.0", env: at.world.env, broker: { endpoint } });
  assert.equal(plain.route, "negotiated");
  plain.socket.destroy();
  assert.doesNotMatch(at.broker.log(), /"handoff-/);
});

test("rpb connect --adopt takes the connection over and says so", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const args = ["connect", "svc", "1.0.0", "--json", "--broker", at.broker.endpoint];
  for (const [more, route] of [
    [[], "negotiated"],
    [["--adopt"], "handed-off"],
  ] as const) {
    const { stdout, stderr } = await rpb(at.world, [...args, ...more]);
    const report = JSON.parse(stdout || `"${stderr}"`);
    assert.equal(report.route, route);
    assert.deepEqual([report.attempts, report.startedBroker, report.negotiated.protocol], [1, false, 1]);
    assert.equal(report.identity.endpoint.path, report.endpoint);
  }
});
