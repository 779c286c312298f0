/** Requests and their answers, events, and how a client closes its connection. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { failureOf } from "../../test/client/support/failure-of.ts";
import { bytes, frameBytes, PROTOCOL, setUp, text } from "../../test/support/peers/frame-client.ts";
import { systemClock } from "../platform/node/clock.ts";
import { type Frame, FrameKind, PayloadEncoding } from "../wire/messages.ts";
import { type BackendEvent, createFrameClient } from "./frame-client.ts";

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

test("only numbers for consumers can be asked for", async (t) => {
  const { client } = await setUp(t);
  for (const protocol of [0, 0xad01, 0x6fff, 0x7f00, 0x1_0000, Number.NaN]) {
    assert.equal((await failureOf(client.request(protocol, bytes("")))).code, "PAYLOAD_PROTOCOL_INVALID");
  }
  assert.equal((await failureOf(client.request(PROTOCOL, bytes(""), { timeoutMs: -1 }))).code, "OPTION_INVALID");
});

test("options of the wrong type are refused before anything is counted or sent", async (t) => {
  const { pair, client } = await setUp(t);
  for (const [check, wrong] of [
    ["traceparent", 5],
    ["tracestate", {}],
    ["idempotent", "yes"],
    ["timeoutMs", "5000"],
  ] as const)
    assert.deepEqual(
      await failureOf(client.request(PROTOCOL, bytes("x"), { [check]: wrong })).then(({ code, details }) => [
        code,
        details.check,
      ]),
      ["OPTION_INVALID", check],
    );
  assert.equal(client.inFlight, 0);
  const next = client.request(PROTOCOL, bytes("good"));
  const frame = await pair.nextFrame();
  assert.deepEqual([frame.requestId, text(frame.payload)], [1n, "good"]);
  pair.answer(frame, bytes(""));
  await next;
});

test("an option that changes while its request waits for the socket fails that request alone", async (t) => {
  // It is encoded on the stack of the socket's event, where what is thrown is an uncaught exception.
  const { pair, client } = await setUp(t);
  const large = new Uint8Array(8 * 1024 * 1024);
  pair.backend.pause();
  const first = client.request(PROTOCOL, large);
  const options = { traceparent: "tp" };
  const failure = failureOf(client.request(PROTOCOL, bytes("waits"), options));
  const last = client.request(PROTOCOL, bytes("last"));
  assert.equal(client.inFlight, 3);
  (options as { traceparent: unknown }).traceparent = 5;
  pair.onFrame((frame) => pair.answer(frame, bytes("ok")));
  pair.backend.resume();
  assert.equal((await failure).code, "INTERNAL");
  assert.deepEqual((await Promise.all([first, last])).map(text), ["ok", "ok"]);
  assert.equal(client.inFlight, 0);
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
