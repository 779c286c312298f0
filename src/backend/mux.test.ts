import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { identityFromMessage } from "../model/identity.ts";
import { encodeMessage } from "../wire/codec.ts";
import { decodeFrame, encodeRequest } from "../wire/envelope.ts";
import { encodeFrameBytes, FRAME_HEADER_BYTES } from "../wire/framing.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { FrameKind, FrameSchema, PayloadEncoding } from "../wire/messages.ts";
import { decodeProbeResponse, encodeProbeRequest } from "../wire/probe.ts";
import { createEndpointMux } from "./mux.ts";

const SERVED = 0xf001;
const IDENTITY: BackendIdentity = {
  pid: 4242,
  exePath: "/opt/tool/1.2.3/tool",
  sha256: Buffer.alloc(32, 1),
  blake3: Buffer.alloc(32, 2),
  endpoint: { namespaceId: "shared", path: "/run/tool.sock" },
  startedAtUnixMs: 1_700_000_000_000,
  bootId: "boot",
  idleTimeoutSecs: 30,
};
const NONCE = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const PROBE = encodeProbeRequest(NONCE);

const plainMux = createEndpointMux({ identity: IDENTITY, protocols: [SERVED] });

function request(options: { protocol?: number; payload?: string; requestId?: bigint } = {}): Buffer {
  const { protocol = SERVED, payload = "ping", requestId = 7n } = options;
  return encodeRequest({
    payloadProtocol: protocol,
    payload: Buffer.from(payload),
    requestId,
    traceparent: "tp",
    tracestate: "ts",
  });
}

function header(length: number): Buffer {
  const bytes = Buffer.from([1, 0, 0, 0, 0]);
  bytes.writeUInt32LE(length, 1);
  return bytes;
}

function unexpected(check: string): (error: unknown) => boolean {
  return (error) => hasCode(error, "FRAME_UNEXPECTED") && error.details.check === check;
}

test("row 1: an empty buffer needs more, and the detector is not asked", () => {
  const mux = createEndpointMux({
    identity: IDENTITY,
    protocols: [],
    legacy: () => assert.fail("the detector was called"),
  });
  assert.deepEqual(mux.poll(Buffer.alloc(0)), { type: "need-more" });
});

test("row 2: what the detector claims is legacy, even a whole valid frame that begins with 0x01", () => {
  const seen: Buffer[] = [];
  const mux = createEndpointMux({
    identity: IDENTITY,
    protocols: [SERVED],
    legacy: (bytes) => {
      seen.push(bytes);
      return "legacy";
    },
  });
  const bytes = Buffer.concat([request(), PROBE]);
  assert.deepEqual(mux.poll(bytes), { type: "legacy" });
  assert.deepEqual(seen, [bytes], "the detector sees the whole buffer");
});

test("row 3: a detector that wants more makes even a whole frame wait", () => {
  const mux = createEndpointMux({
    identity: IDENTITY,
    protocols: [SERVED],
    legacy: (bytes) => (bytes.length < 100 ? "need-more" : "not-legacy"),
  });
  assert.deepEqual(mux.poll(request()), { type: "need-more" });
  assert.equal(mux.poll(Buffer.concat([request(), Buffer.alloc(100)])).type, "payload");
});

test("row 4: bytes nobody claims that do not begin with 0x01 belong to the legacy decoder", () => {
  const mux = createEndpointMux({ identity: IDENTITY, protocols: [SERVED], legacy: () => "not-legacy" });
  for (const first of [0x00, 0x02, 0x7b, 0xff]) assert.deepEqual(mux.poll(Buffer.from([first])), { type: "legacy" });
  assert.deepEqual(plainMux.poll(Buffer.from("GET / HTTP/1.1")), { type: "legacy" }, "also without a detector");
});

test("row 5: a length above 16 MiB is refused as soon as the header is there, exactly 16 MiB is waited for", () => {
  const tooLarge = header(MAX_FRAME_BODY_BYTES + 1);
  assert.deepEqual(plainMux.poll(tooLarge.subarray(0, 4)), { type: "need-more" });
  assert.throws(
    () => plainMux.poll(tooLarge),
    (error) => hasCode(error, "FRAME_TOO_LARGE"),
  );
  assert.deepEqual(plainMux.poll(header(MAX_FRAME_BODY_BYTES)), { type: "need-more" });
});

test("row 6: a message split at every byte needs more until its last one", () => {
  for (const message of [request(), PROBE]) {
    for (let cut = 1; cut < message.length; cut++) {
      assert.deepEqual(plainMux.poll(message.subarray(0, cut)), { type: "need-more" }, `cut at ${cut}`);
    }
    assert.notEqual(plainMux.poll(message).type, "need-more");
  }
});

test("row 7: a body that is no Frame is refused", () => {
  assert.throws(
    () => plainMux.poll(encodeFrameBytes(Buffer.from([0xff, 0xff, 0xff]))),
    (error) => hasCode(error, "MESSAGE_MALFORMED"),
  );
});

test("row 8: a probe is answered with the nonce, the identity and the trace strings of the request", () => {
  const traced = encodeFrameBytes(
    encodeMessage(FrameSchema, {
      ...decodeFrame(PROBE.subarray(FRAME_HEADER_BYTES)),
      traceparent: "00-1-2-01",
      tracestate: "rp=1",
    }),
  );
  const outcome = plainMux.poll(traced);
  assert.ok(outcome.type === "probe-answered");
  assert.equal(outcome.consumed, traced.length);
  const reply = decodeFrame(outcome.reply.subarray(FRAME_HEADER_BYTES));
  assert.equal(reply.traceparent, "00-1-2-01");
  assert.equal(reply.tracestate, "rp=1");
  assert.deepEqual(normalised(identityFromMessage(decodeProbeResponse(reply, NONCE))), normalised(IDENTITY));
});

function normalised(identity: BackendIdentity): unknown {
  return { ...identity, sha256: Buffer.from(identity.sha256 ?? []), blake3: Buffer.from(identity.blake3 ?? []) };
}

test("row 8: a probe that breaks a rule is a malformed probe", () => {
  const good = decodeFrame(PROBE.subarray(FRAME_HEADER_BYTES));
  const bad = [
    { ...good, payload: NONCE.subarray(0, 31) },
    { ...good, payload: Buffer.alloc(33) },
    { ...good, kind: FrameKind.RESPONSE },
    { ...good, envelopeVersion: 2 },
    { ...good, payloadEncoding: PayloadEncoding.ZSTD },
  ];
  for (const frame of bad) {
    assert.throws(
      () => plainMux.poll(encodeFrameBytes(encodeMessage(FrameSchema, frame))),
      unexpected("malformed-probe"),
    );
  }
});

test("row 8: a late identity is asked for at each probe, and only then", () => {
  let asked = 0;
  const mux = createEndpointMux({
    protocols: [SERVED],
    identity: () => {
      asked++;
      return IDENTITY;
    },
  });
  mux.poll(request());
  assert.equal(asked, 0);
  mux.poll(PROBE);
  mux.poll(PROBE);
  assert.equal(asked, 2);
});

test("row 9: the broker's own protocols are refused, and so is a frame without a body, whose protocol is 0", () => {
  for (const protocol of [0x0000, 0xad01, 0xd0ff]) {
    const mux = createEndpointMux({ identity: IDENTITY, protocols: [protocol] });
    assert.throws(() => mux.poll(request({ protocol })), unexpected("first-party-protocol"));
  }
  assert.throws(() => plainMux.poll(header(0)), unexpected("first-party-protocol"));
});

test("row 10: a protocol that is not served is refused", () => {
  for (const protocol of [0xf002, 0x5350, 0x7a63])
    assert.throws(() => plainMux.poll(request({ protocol })), unexpected("unserved-protocol"));
});

test("row 11: a served frame is passed on whatever its kind, encoding and envelope version", () => {
  for (const odd of [
    {},
    { kind: FrameKind.RESPONSE },
    { kind: FrameKind.EVENT },
    { kind: FrameKind.CANCEL },
    { kind: 9 },
    { payloadEncoding: PayloadEncoding.LZ4 },
    { envelopeVersion: 2 },
  ]) {
    const bytes = encodeFrameBytes(
      encodeMessage(FrameSchema, {
        envelopeVersion: 1,
        payloadProtocol: SERVED,
        payload: Buffer.from("x"),
        requestId: 9n,
        ...odd,
      }),
    );
    const outcome = plainMux.poll(bytes);
    assert.ok(outcome.type === "payload");
    assert.equal(outcome.consumed, bytes.length);
    assert.equal(outcome.frame.requestId, 9n);
    assert.deepEqual(Buffer.from(outcome.frame.payload), Buffer.from("x"));
  }
});

test("two messages in one buffer are taken one poll at a time", () => {
  const first = request({ payload: "one", requestId: 1n });
  const second = request({ payload: "two", requestId: 2n });
  const bytes = Buffer.concat([first, second]);
  const one = plainMux.poll(bytes);
  assert.ok(one.type === "payload");
  assert.equal(one.consumed, first.length);
  const two = plainMux.poll(bytes.subarray(one.consumed));
  assert.ok(two.type === "payload");
  assert.equal(two.frame.requestId, 2n);
});

test("the served protocols are copied at construction", () => {
  const protocols = [SERVED];
  const mux = createEndpointMux({ identity: IDENTITY, protocols });
  protocols.pop();
  assert.equal(mux.poll(request()).type, "payload");
});
