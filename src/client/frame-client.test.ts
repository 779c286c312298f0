import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { type BackendPair, createBackendPair } from "../../test/client/support/backend-pair.ts";
import { hasCode, isBrokerError } from "../base/errors.ts";
import { systemClock } from "../platform/node/clock.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { encodeMessage } from "../wire/codec.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Frame, FrameKind, FrameSchema, PayloadEncoding } from "../wire/messages.ts";
import { type BackendEvent, createFrameClient, type FrameClient, type FrameClientOptions } from "./frame-client.ts";
import { MAX_REQUESTS_IN_FLIGHT } from "./pending-requests.ts";

const PROTOCOL = 0xf00d;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

async function setUp(
  t: TestContext,
  options: FrameClientOptions & { firstRequestId?: bigint } = {},
): Promise<{ pair: BackendPair; client: FrameClient }> {
  const pair = await createBackendPair(t);
  const client = createFrameClient(pair.client, systemClock, options);
  return { pair, client };
}

function frameBytes(fields: Partial<Frame>): Buffer {
  const defaults = { envelopeVersion: 1, kind: FrameKind.RESPONSE, payloadProtocol: PROTOCOL };
  return encodeFrameBytes(encodeMessage(FrameSchema, { ...defaults, ...fields }));
}

/** The rejection of a promise that must reject, with its handler attached at once. */
async function failureOf(
  work: Promise<unknown>,
): Promise<{ code: string; check: string | undefined; message: string }> {
  try {
    await work;
  } catch (error) {
    assert.ok(isBrokerError(error), String(error));
    return { code: error.code, check: error.details.check, message: error.message };
  }
  assert.fail("the promise was expected to reject");
}

test("a request frame is what the reference sends, and ids count from 1", async (t) => {
  const { pair, client } = await setUp(t);
  const first = client.request(PROTOCOL, bytes("a"), { traceparent: "tp", tracestate: "ts" });
  const frame = await pair.nextFrame();
  assert.equal(frame.envelopeVersion, 1);
  assert.equal(frame.kind, FrameKind.REQUEST);
  assert.equal(frame.payloadProtocol, PROTOCOL);
  assert.equal(frame.payloadEncoding, PayloadEncoding.NONE);
  assert.equal(frame.requestId, 1n);
  assert.equal(frame.deadlineUnixMs, 0n);
  assert.deepEqual([frame.traceparent, frame.tracestate], ["tp", "ts"]);
  pair.answer(frame, bytes("A"));
  assert.equal(text(await first), "A");
  const second = client.request(PROTOCOL, bytes("b"));
  const next = await pair.nextFrame();
  assert.equal(next.requestId, 2n);
  pair.answer(next, bytes("B"));
  assert.equal(text(await second), "B");
  assert.equal(client.inFlight, 0);
});

test("request ids wrap from 2^64-1 to 1 and never are 0", async (t) => {
  const { pair, client } = await setUp(t, { firstRequestId: 2n ** 64n - 1n });
  const seen: bigint[] = [];
  pair.onFrame((frame) => {
    seen.push(frame.requestId);
    pair.answer(frame, frame.payload);
  });
  await client.request(PROTOCOL, bytes("x"));
  await client.request(PROTOCOL, bytes("y"));
  assert.deepEqual(seen, [2n ** 64n - 1n, 1n]);
});

test("responses find their requests in whatever order they come", async (t) => {
  const { pair, client } = await setUp(t);
  const requests = ["a", "b", "c"].map((name) => client.request(PROTOCOL, bytes(name)));
  const frames = [await pair.nextFrame(), await pair.nextFrame(), await pair.nextFrame()];
  for (const frame of frames.reverse()) pair.answer(frame, bytes(`re:${text(frame.payload)}`));
  assert.deepEqual((await Promise.all(requests)).map(text), ["re:a", "re:b", "re:c"]);
});

test("a thousand requests at once, answered shuffled and cut into odd chunks, each get their own answer", async (t) => {
  const { pair, client } = await setUp(t);
  const count = 1000;
  const frames: Frame[] = [];
  const all = new Promise<void>((resolve) => {
    pair.onFrame((frame) => {
      frames.push(frame);
      if (frames.length === count) resolve();
    });
  });
  const requests = Array.from({ length: count }, (_, i) => client.request(PROTOCOL, bytes(`q${i}`)));
  assert.equal(client.inFlight, count);
  await all;
  // A fixed shuffle: 7 and 1000 have no common factor.
  const shuffled = frames.map((_, i) => frames[(i * 7) % count] as Frame);
  const stream = Buffer.concat(
    shuffled.map((frame) => frameBytes({ requestId: frame.requestId, payload: bytes(`a${text(frame.payload)}`) })),
  );
  for (let at = 0; at < stream.length; at += 997) pair.backend.write(stream.subarray(at, at + 997));
  assert.deepEqual(
    (await Promise.all(requests)).map(text),
    Array.from({ length: count }, (_, i) => `aq${i}`),
  );
  assert.equal(client.inFlight, 0);
});

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
  const [lateFrame, otherFrame] = [await pair.nextFrame(), await pair.nextFrame()];
  const failure = await late;
  assert.equal(failure.code, "DEADLINE_EXCEEDED");
  assert.match(failure.message, /1 ms were up while waiting for the response to a request of protocol 0xF00D/);
  pair.answer(lateFrame, bytes("too late"));
  pair.answer(otherFrame, bytes("in time"));
  assert.equal(text(await other), "in time");
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
  const gone = client.request(PROTOCOL, bytes("gone"), { signal: abort.signal });
  const failure = failureOf(gone);
  const goneFrame = await pair.nextFrame();
  abort.abort(new Error("changed my mind"));
  assert.equal((await failure).code, "ABORTED");
  const other = client.request(PROTOCOL, bytes("other"));
  pair.answer(goneFrame, bytes("too late"));
  pair.answer(await pair.nextFrame(), bytes("fine"));
  assert.equal(text(await other), "fine");
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

test("the end of the stream fails every request, and later ones at once", async (t) => {
  const { pair, client } = await setUp(t);
  const failures = [failureOf(client.request(PROTOCOL, bytes("a"))), failureOf(client.request(PROTOCOL, bytes("b")))];
  await pair.nextFrame();
  pair.backend.end();
  assert.deepEqual(
    (await Promise.all(failures)).map((failure) => failure.code),
    ["CONNECTION_CLOSED", "CONNECTION_CLOSED"],
  );
  assert.equal((await failureOf(client.request(PROTOCOL, bytes("c")))).code, "CONNECTION_CLOSED");
  assert.ok(hasCode(await client.closed, "CONNECTION_CLOSED"));
});

test("the end of the stream inside a frame says so", async (t) => {
  const { pair, client } = await setUp(t);
  const failure = failureOf(client.request(PROTOCOL, bytes("a")));
  const { requestId } = await pair.nextFrame();
  pair.backend.end(frameBytes({ requestId, payload: bytes("never whole") }).subarray(0, 9));
  const { code, message } = await failure;
  assert.equal(code, "CONNECTION_CLOSED");
  assert.match(message, /inside a frame: unexpected end of stream in the frame body/);
});

test("an answer with another protocol, kind, encoding or envelope fails its request and no other", async (t) => {
  const { pair, client } = await setUp(t);
  const cases: [string, Partial<Frame>][] = [
    ["payload_protocol", { payloadProtocol: PROTOCOL + 1 }],
    ["kind", { kind: FrameKind.REQUEST }],
    ["payload_encoding", { payloadEncoding: PayloadEncoding.ZSTD }],
    ["envelope_version", { envelopeVersion: 2 }],
  ];
  for (const [check, fields] of cases) {
    const failure = failureOf(client.request(PROTOCOL, bytes(check)));
    const { requestId } = await pair.nextFrame();
    pair.backend.write(frameBytes({ requestId, ...fields }));
    const { code, check: found } = await failure;
    assert.deepEqual([code, found], ["FRAME_UNEXPECTED", check]);
  }
  const fine = client.request(PROTOCOL, bytes("fine"));
  pair.answer(await pair.nextFrame(), bytes("ok"));
  assert.equal(text(await fine), "ok");
});

test("an id that no request waits for breaks the connection", async (t) => {
  for (const strange of [0n, 99n]) {
    const { pair, client } = await setUp(t);
    const failure = failureOf(client.request(PROTOCOL, bytes("a")));
    await pair.nextFrame();
    pair.backend.write(frameBytes({ requestId: strange }));
    const { code, check } = await failure;
    assert.deepEqual([code, check], ["FRAME_UNEXPECTED", "request_id"]);
    assert.ok(hasCode(await client.closed, "FRAME_UNEXPECTED"));
    assert.equal((await failureOf(client.request(PROTOCOL, bytes("b")))).code, "CONNECTION_CLOSED");
  }
});

test("a second answer to the same request breaks the connection", async (t) => {
  const { pair, client } = await setUp(t);
  const first = client.request(PROTOCOL, bytes("a"));
  const frame = await pair.nextFrame();
  pair.answer(frame, bytes("once"));
  assert.equal(text(await first), "once");
  pair.answer(frame, bytes("twice"));
  assert.ok(hasCode(await client.closed, "FRAME_UNEXPECTED"));
});

test("bytes that are no frame break the connection with their own code", async (t) => {
  const huge = Buffer.alloc(5);
  huge[0] = 1;
  huge.writeUInt32LE(MAX_FRAME_BODY_BYTES + 1, 1);
  const cases: [string, Buffer][] = [
    ["FRAMING_VERSION_UNSUPPORTED", Buffer.from("HTTP/1.1 400")],
    ["FRAME_TOO_LARGE", huge],
    ["MESSAGE_MALFORMED", encodeFrameBytes(Buffer.from("ff", "hex"))],
  ];
  for (const [code, garbage] of cases) {
    const { pair, client } = await setUp(t);
    const failure = failureOf(client.request(PROTOCOL, bytes("a")));
    await pair.nextFrame();
    pair.backend.write(garbage);
    assert.equal((await failure).code, code);
  }
});

test("events are delivered in order and disturb nothing", async (t) => {
  const events: BackendEvent[] = [];
  const { pair, client } = await setUp(t, { onEvent: (event) => events.push(event) });
  const request = client.request(PROTOCOL, bytes("a"));
  const frame = await pair.nextFrame();
  for (const name of ["one", "two"]) {
    pair.backend.write(
      frameBytes({ kind: FrameKind.EVENT, payloadProtocol: 0x7abc, payload: bytes(name), requestId: 77n }),
    );
  }
  pair.answer(frame, bytes("b"));
  await request;
  assert.deepEqual(
    events.map((event) => [event.protocol, text(event.payload)]),
    [
      [0x7abc, "one"],
      [0x7abc, "two"],
    ],
  );
});

test("events that nobody wants are dropped", async (t) => {
  const { pair, client } = await setUp(t);
  const request = client.request(PROTOCOL, bytes("a"));
  const frame = await pair.nextFrame();
  pair.backend.write(frameBytes({ kind: FrameKind.EVENT }));
  pair.answer(frame, bytes("b"));
  assert.equal(text(await request), "b");
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

test("only numbers for consumers can be asked for", async (t) => {
  const { client } = await setUp(t);
  for (const protocol of [0, 0xad01, 0x6fff, 0x7f00, 0x1_0000, Number.NaN]) {
    assert.equal((await failureOf(client.request(protocol, bytes("")))).code, "PAYLOAD_PROTOCOL_INVALID");
  }
  assert.equal((await failureOf(client.request(PROTOCOL, bytes(""), { timeoutMs: -1 }))).code, "OPTION_INVALID");
});

test("close ends the connection, fails what is in flight, and may be repeated", async (t) => {
  const { pair, client } = await setUp(t);
  const failure = failureOf(client.request(PROTOCOL, bytes("a")));
  await pair.nextFrame();
  const ended = once(pair.backend, "end");
  await client.close();
  await client.close();
  assert.equal((await failure).code, "CONNECTION_CLOSED");
  assert.equal(await client.closed, undefined);
  assert.equal((await failureOf(client.request(PROTOCOL, bytes("b")))).code, "CONNECTION_CLOSED");
  await ended;
});

test("await using closes the connection", async (t) => {
  const { pair } = await setUp(t);
  const ended = once(pair.backend, "end");
  {
    await using client = createFrameClient(pair.client, systemClock);
    const request = client.request(PROTOCOL, bytes("a"));
    pair.answer(await pair.nextFrame(), bytes("b"));
    await request;
  }
  await ended;
});
