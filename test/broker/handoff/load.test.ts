/** Many at once, backends that stall, brokers that die, and what is left of it all in descriptors. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import type { Session } from "../../../src/client/session.ts";
import { readFrameBody } from "../../../src/exchange/frame-io.ts";
import { hasCode } from "../../../src/index.ts";
import { encodeRequest } from "../../../src/wire/envelope.ts";
import {
  answerOf,
  brokerRoundTrip,
  brokerSettles,
  createHanding,
  DIRECT,
  type Handing,
  PROTOCOL,
  V1,
} from "../../support/handing.ts";
import { openedSince, openNow } from "../../support/peers/pairs.ts";
import { helloBytes } from "../../support/peers/raw-peer.ts";
import { descriptorsOf } from "../../support/process-facts.ts";

/** One session with its first request, closed after the answer. */
async function exchange(at: Handing, text: string): Promise<void> {
  const payload = Buffer.from(text);
  const session = await at.open("svc", { firstRequest: { protocol: PROTOCOL, payload, idempotent: true } });
  assert.equal(session.connection.route, "handed-off");
  assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), text.toUpperCase());
  await session.close();
}

/** Runs `count` exchanges, some at a time. */
async function exchanges(at: Handing, count: number): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await exchange(at, `n${next++}`);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

async function backendDescriptors(session: Session): Promise<number> {
  return Number(answerOf(await session.request(PROTOCOL, Buffer.from("descriptors"))));
}

function backendPid(at: Handing): number {
  const pid = at.world.processes().find((other) => other !== at.broker.pid);
  assert.ok(pid !== undefined);
  return pid;
}

test("1000 handed-over sessions leave the descriptors of client, broker and backend as they were", async (t) => {
  await leavesNothing(t, { count: 1_000, exchanges: (at, count) => exchanges(at, count) });
});

test("10000 handoffs leave the descriptors of client, broker and backend as they were", async (t) => {
  await leavesNothing(t, { count: 10_000, exchanges: knocks });
});

/** `exchanges` leaves a line "ran …" in the journal for each. */
async function leavesNothing(
  t: TestContext,
  { count, exchanges: run }: { count: number; exchanges: (at: Handing, count: number) => Promise<void> },
): Promise<void> {
  const at = await createHanding(t, { args: ["--log-level", "info"] });
  at.define("svc");
  await exchanges(at, 50);
  const watcher = await at.open("svc");
  const backend = await backendDescriptors(watcher);
  const [own, broker] = [openNow(), descriptorsOf(at.broker.pid)];
  await run(at, count);
  // Fewer when one of the first fifty was not closed yet as they were counted.
  assert.ok((await backendDescriptors(watcher)) <= backend, "backend");
  await brokerSettles(at, broker);
  assert.deepEqual(openedSince(own), [], "client");
  await watcher.close();
  const ran = at.journal("svc").filter((line) => line.startsWith("ran n"));
  assert.equal(ran.length, count + 50);
  assert.equal(at.journal("svc").filter((line) => line === "dialled").length, 1);
}

/** Connections by hand, each with a request behind its Hello: without the client library, which is the slowest of all. */
async function knocks(at: Handing, count: number): Promise<void> {
  const { clock, transport } = at.world.platform;
  const request = encodeRequest({ payloadProtocol: PROTOCOL, payload: Buffer.from("n"), requestId: 1n });
  const bytes = Buffer.concat([helloBytes({ serviceName: "svc", clientCapabilities: DIRECT }), request]);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next++ < count) {
      const deadline = Deadline.after(clock, 60_000);
      const connection = await transport.connect(at.broker.endpoint, deadline);
      await connection.writeAll(bytes, deadline);
      for (const what of ["reply", "answer"])
        assert.ok((await readFrameBody(connection, { maxBodyBytes: 1 << 20, deadline })).length > 0, what);
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

test("1000 handoffs in flight to a stopped backend: it goes on, and all of them are answered", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  await exchange(at, "warm");
  const pid = backendPid(at);
  process.kill(pid, "SIGSTOP");
  const opening = Array.from({ length: 1_000 }, (_, i) =>
    at.open("svc", { firstRequest: { protocol: PROTOCOL, payload: Buffer.from(`n${i}`), idempotent: true } }),
  );
  while (descriptorsOf(at.broker.pid) < 1_000) await brokerRoundTrip(at);
  // Far more than the channel holds: the broker waits for room, and answers others meanwhile.
  (await at.raw("svc", 0n)).connection.close();
  process.kill(pid, "SIGCONT");
  const sessions = await Promise.all(opening);
  const answers = await Promise.all(sessions.map((session) => session.firstResponse));
  assert.deepEqual(
    answers.map((answer) => answerOf(answer ?? Buffer.alloc(0))),
    sessions.map((_, i) => `N${i}`),
  );
  await Promise.all(sessions.map((session) => session.close()));
  const ran = at.journal("svc").filter((line) => line.startsWith("ran n"));
  assert.equal(new Set(ran).size, 1_000);
  // Only what the broker gave up may run again, which takes a machine so busy that five seconds are not enough.
  const givenUp = at.broker
    .log()
    .split("\n")
    .filter((line) => line.includes('"handoff-fallback"')).length;
  assert.ok(ran.length <= 1_000 + givenUp, `${ran.length} runs, ${givenUp} handoffs given up`);
});

test("a backend that stays stopped past the deadline: no connection has two owners, no request of one owner runs twice", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  await exchange(at, "warm");
  const pid = backendPid(at);
  process.kill(pid, "SIGSTOP");
  const open = (text: string, idempotent: boolean): Promise<Session> =>
    at.open("svc", { firstRequest: { protocol: PROTOCOL, payload: Buffer.from(text), idempotent } });
  const opening = {
    twice: [1, 2, 3, 4].map((i) => open(`twice${i}`, true)),
    once: [1, 2, 3, 4].map((i) => open(`once${i}`, false)),
  };
  // The broker gives up: without a reply, all of them ask again and dial.
  const twice = await Promise.all(opening.twice);
  const once = await Promise.all(opening.once);
  for (const { connection } of [...twice, ...once]) assert.equal(connection.route, "negotiated");
  const outcomes = (await at.outcomes(9)).slice(1);
  assert.deepEqual(outcomes, Array(8).fill(["handoff-fallback", "direct", "await-ack", "backend-ack-timeout", true]));
  process.kill(pid, "SIGCONT");
  for (const [name, sessions] of Object.entries({ twice, once }))
    for (const [i, session] of sessions.entries()) {
      assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), `${name.toUpperCase()}${i + 1}`);
      // One answer, and the stream is in step.
      assert.equal(
        answerOf(await session.request(PROTOCOL, Buffer.from(`${name}after${i}`))),
        `${name.toUpperCase()}AFTER${i}`,
      );
    }
  // Asked for while all others are closed, so that whatever the backend was late for is over, too.
  await Promise.all([...twice, ...once.slice(1)].map((session) => session.close()));
  await backendDescriptors(once[0] as Session);
  await once[0]?.close();
  const times = (text: string): number => at.journal("svc").filter((line) => line === `ran ${text}`).length;
  for (const i of [1, 2, 3, 4]) {
    assert.equal(times(`once${i}`), 1);
    assert.ok(times(`twice${i}`) >= 1 && times(`twice${i}`) <= 2);
  }
  for (const i of [0, 1, 2, 3]) assert.deepEqual([times(`twiceafter${i}`), times(`onceafter${i}`)], [1, 1]);
});

test("an acknowledgement that comes after the deadline takes nothing over: the client has left for good", async (t) => {
  const at = await createHanding(t);
  at.define("svc", { plan: "late,accept" });
  at.define("silent", { plan: "silent" });
  const [session, raw] = await Promise.all([
    at.open("svc", { firstRequest: { protocol: PROTOCOL, payload: Buffer.from("work") } }),
    at.raw("silent", V1),
    // In direct mode the reply ends with the connection.
    assert.rejects(at.raw("silent", DIRECT), (error) => hasCode(error, "FRAME_TRUNCATED")),
  ]);
  // In v1 mode neither a ready event nor a refusal: the end of the stream.
  assert.equal(await raw.event(), undefined);
  raw.connection.close();
  // The session has asked again and dialled; what the late backend serves is a connection that nobody has.
  assert.equal(session.connection.route, "negotiated");
  assert.equal(answerOf((await session.firstResponse) ?? Buffer.alloc(0)), "work");
  at.go("svc");
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("more"))), "more");
  const next = await at.open("svc");
  assert.equal(answerOf(await next.request(PROTOCOL, Buffer.from("next"))), "next");
  for (const open of [session, next]) await open.close();
  const journal = at.journal("svc");
  assert.equal(journal.filter((line) => line === "ran work").length, 1);
  assert.equal(journal.filter((line) => line === "ran more").length, 1);
  assert.equal(journal.filter((line) => line === "took over").length, 2);
});
