/** Limits of number, time and size, and abort signals: each fails its own requests, and the others go on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../../test/client/support/failure-of.ts";
import { type BackendPair, createBackendPair } from "../../test/support/peers/backend-pair.ts";
import { bytes, frameBytes, PROTOCOL, setUp, text } from "../../test/support/peers/frame-client.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { encodeMessage } from "../wire/codec.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Frame, FrameKind, FrameSchema } from "../wire/messages.ts";
import { createFrameClient } from "./frame-client.ts";
import { MAX_REQUESTS_IN_FLIGHT } from "./pending-requests.ts";

test("the request above the limit is refused and the others are not", async (t) => {
  const { pair, client } = await setUp(t);
  const requests = Array.from({ length: MAX_REQUESTS_IN_FLIGHT }, () => client.request(PROTOCOL, bytes("")));
  assert.equal((await failureOf(client.request(PROTOCOL, bytes("")))).code, "TOO_MANY_REQUESTS");
  pair.onFrame((frame) => pair.answer(frame, bytes("")));
  await Promise.all(requests);
  await client.request(PROTOCOL, bytes("after"));
});

test("a request whose time is up fails alone, and its late answer is ignored", async (t) => {
  const { pair, client } = await setUp(t);
  const late = failureOf(client.request(PROTOCOL, bytes("late"), { timeoutMs: 1 }));
  const other = client.request(PROTOCOL, bytes("other"));
  const lateFrame = await pair.nextFrame();
  const failure = await late;
  assert.equal(failure.code, "DEADLINE_EXCEEDED");
  assert.match(failure.message, /1 ms were up while waiting for the response to a request of protocol 0xF00D/);
  await answerLate(pair, lateFrame, other);
});

test("a request without a limit of its own fails after ten minutes, alone, and a younger one goes on", async (t) => {
  const pair = await createBackendPair(t);
  const clock = createManualClock();
  const client = createFrameClient(pair.client, clock);
  const late = failureOf(client.request(PROTOCOL, bytes("late")));
  const lateFrame = await pair.nextFrame();
  const unlimited = client.request(PROTOCOL, bytes("unlimited"), { timeoutMs: 0 });
  const unlimitedFrame = await pair.nextFrame();
  clock.advance(60_000);
  const younger = client.request(PROTOCOL, bytes("younger"));
  const youngerFrame = await pair.nextFrame();
  clock.advance(539_999);
  assert.equal(client.inFlight, 3, "before the ten minutes are up");
  clock.advance(30_001);
  const failure = await late;
  assert.equal(failure.code, "DEADLINE_EXCEEDED");
  assert.match(
    failure.message,
    /600000 ms, the default limit, .* protocol 0xF00D; timeoutMs sets another limit, 0 none/,
  );
  assert.equal(client.inFlight, 2);
  pair.answer(lateFrame, bytes("too late"));
  pair.answer(youngerFrame, bytes("in time"));
  assert.equal(text(await younger), "in time");
  clock.advance(86_400_000);
  pair.answer(unlimitedFrame, bytes("a day later"));
  assert.equal(text(await unlimited), "a day later");
});

test("the default limit costs one timer for a session, which ends with what it is for", async (t) => {
  const pair = await createBackendPair(t);
  const clock = createManualClock();
  const client = createFrameClient(pair.client, clock);
  assert.equal(clock.pendingTimers, 0);
  pair.onFrame((frame) => pair.answer(frame, frame.payload));
  await Promise.all(Array.from({ length: 100 }, () => client.request(PROTOCOL, bytes("x"))));
  assert.equal(clock.pendingTimers, 1);
  clock.advance(30_000);
  assert.equal(clock.pendingTimers, 0, "a session at rest wakes up for nothing");
  await client.request(PROTOCOL, bytes("x"));
  assert.equal(clock.pendingTimers, 1);
  await client.close();
  assert.equal(clock.pendingTimers, 0);
});

test("an aborted request fails alone, and its late answer is ignored", async (t) => {
  const { pair, client } = await setUp(t);
  const abort = new AbortController();
  const failure = failureOf(client.request(PROTOCOL, bytes("gone"), { signal: abort.signal }));
  const goneFrame = await pair.nextFrame();
  abort.abort(new Error("changed my mind"));
  assert.equal((await failure).code, "ABORTED");
  await answerLate(pair, goneFrame, client.request(PROTOCOL, bytes("other")));
});

test("a signal that has fired already sends nothing", async (t) => {
  const { pair, client } = await setUp(t);
  assert.equal(
    (await failureOf(client.request(PROTOCOL, bytes("no"), { signal: AbortSignal.abort() }))).code,
    "ABORTED",
  );
  const next = client.request(PROTOCOL, bytes("yes"));
  const frame = await pair.nextFrame();
  assert.equal(text(frame.payload), "yes");
  pair.answer(frame, bytes(""));
  await next;
});

test("one signal for a hundred requests: no leak warning, one abort ends them all", async (t) => {
  const { client } = await setUp(t);
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  t.after(() => process.off("warning", onWarning));
  const abort = new AbortController();
  const failures = Array.from({ length: 100 }, () =>
    failureOf(client.request(PROTOCOL, bytes("x"), { signal: abort.signal })),
  );
  abort.abort();
  assert.deepEqual(new Set((await Promise.all(failures)).map((failure) => failure.code)), new Set(["ABORTED"]));
  assert.equal(client.inFlight, 0);
  await new Promise(setImmediate);
  assert.deepEqual(warnings, []);
});

test("a response of exactly 16 MiB arrives whole", async (t) => {
  const { pair, client } = await setUp(t);
  const request = client.request(PROTOCOL, bytes("big"));
  const { requestId } = await pair.nextFrame();
  const overhead = encodeMessage(FrameSchema, {
    envelopeVersion: 1,
    kind: FrameKind.RESPONSE,
    payloadProtocol: PROTOCOL,
    requestId,
  }).length;
  // Tag and the four length bytes of a payload this long.
  const payload = Buffer.alloc(MAX_FRAME_BODY_BYTES - overhead - 5, 0xab);
  const response = frameBytes({ requestId, payload });
  assert.equal(response.length, 5 + MAX_FRAME_BODY_BYTES);
  pair.backend.write(response);
  assert.ok(payload.equals(await request));
});

test("a request above 16 MiB fails before a byte of it is sent", async (t) => {
  const { pair, client } = await setUp(t);
  assert.equal((await failureOf(client.request(PROTOCOL, Buffer.alloc(MAX_FRAME_BODY_BYTES)))).code, "FRAME_TOO_LARGE");
  const next = client.request(PROTOCOL, bytes("small"));
  const frame = await pair.nextFrame();
  assert.equal(text(frame.payload), "small");
  pair.answer(frame, bytes("ok"));
  await next;
});

test("a backend that does not read holds requests back; withdrawn ones never reach the wire", async (t) => {
  const { pair, client } = await setUp(t);
  pair.backend.pause();
  const block = Buffer.alloc(1024 * 1024, 1);
  const blocks = Array.from({ length: 8 }, () => client.request(PROTOCOL, block));
  const abort = new AbortController();
  const withdrawn = failureOf(client.request(PROTOCOL, bytes("withdrawn"), { signal: abort.signal }));
  const last = client.request(PROTOCOL, bytes("last"));
  // One block is with the socket; the seven others and the two small ones wait outside.
  assert.ok(
    pair.client.writableLength < 2 * block.length,
    `${pair.client.writableLength} bytes are queued in the socket`,
  );
  abort.abort();
  assert.equal((await withdrawn).code, "ABORTED");
  const seen: number[] = [];
  pair.onFrame((frame) => {
    seen.push(frame.payload.length);
    assert.notEqual(text(frame.payload), "withdrawn");
    pair.answer(frame, bytes("ok"));
  });
  pair.backend.resume();
  await Promise.all([...blocks, last]);
  assert.deepEqual(seen, [...blocks.map(() => block.length), 4]);
});

/** Answers a request that has failed, and then the other one, which gets its own answer. */
async function answerLate(pair: BackendPair, failed: Frame, other: Promise<Uint8Array>): Promise<void> {
  pair.answer(failed, bytes("too late"));
  pair.answer(await pair.nextFrame(), bytes("in time"));
  assert.equal(text(await other), "in time");
}
