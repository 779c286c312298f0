/** Ended streams and unexpected answers: which fail one request, and which break the connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../../test/client/support/failure-of.ts";
import { bytes, frameBytes, PROTOCOL, setUp, text } from "../../test/support/peers/frame-client.ts";
import { hasCode } from "../base/errors.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Frame, FrameKind, PayloadEncoding } from "../wire/messages.ts";

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
    const { code, details } = await failure;
    assert.deepEqual([code, details.check], ["FRAME_UNEXPECTED", check]);
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
    const { code, details } = await failure;
    assert.deepEqual([code, details.check], ["FRAME_UNEXPECTED", "request_id"]);
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
