import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { completeMessage } from "../../test/support/complete-message.ts";
import { hasCode } from "../base/errors.ts";
import { encodeMessage } from "./codec.ts";
import { decodeFrame, encodeRequest } from "./envelope.ts";
import {
  type Ack,
  checkAck,
  decodeOffer,
  encodeAck,
  encodeOffer,
  encodeReadyEvent,
  equalTokens,
  type Offer,
  readReadyEvent,
} from "./handoff.ts";
import {
  type Frame,
  FrameKind,
  FrameSchema,
  HandoffAckSchema,
  HandoffOfferSchema,
  PayloadEncoding,
} from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";

const TOKEN = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
const OTHER_TOKEN = Buffer.from("000102030405060708090a0b0c0d0e10", "hex");
const OFFER: Offer = { handleValue: 0n, token: TOKEN, serviceName: "build-cache", correlationId: 7n };
const ACK: Ack = { token: TOKEN, accepted: true, errorDetail: "", correlationId: 7n };
const REJECTION: Ack = { ...ACK, accepted: false, errorDetail: "handoff token mismatch" };

const MALFORMED = Buffer.from("ffff", "hex");

/** What is judged in every handoff frame, in order; `kind` says what the frame should have been. */
const ENVELOPE_FAULTS = (kind: string): readonly (readonly [string, Partial<Frame>, string])[] => [
  ["envelope_version", { envelopeVersion: 2 }, "envelope_version is not v1"],
  ["kind", { kind: FrameKind.CANCEL }, `kind is not ${kind}`],
  ["payload_protocol", { payloadProtocol: PAYLOAD_PROTOCOL.control }, "payload_protocol is not handoff"],
  ["payload_encoding", { payloadEncoding: PayloadEncoding.ZSTD }, "payload is compressed"],
];

describe("the golden vectors of a handoff", () => {
  const vectors = JSON.parse(
    readFileSync(new URL("../../test/fixtures/golden-vectors.json", import.meta.url), "utf8"),
  ) as { name: string; hex: string }[];
  const bytesOf = (name: string): Buffer => {
    const vector = vectors.find((candidate) => candidate.name === name);
    assert.ok(vector, name);
    return Buffer.from(vector.hex, "hex");
  };

  test("offer: written and read", () => {
    const golden = bytesOf("derived_handoff_offer_unix_wire");
    assert.deepEqual(encodeOffer(OFFER), golden);
    assert.deepEqual(plain(decodeOffer(frameOf(golden))), { ...OFFER, clientReply: Buffer.alloc(0) });
  });

  // Field 21 is the reference's to take: it once was the client's reply.
  test("offer: what stands at the old number of client_reply is skipped", () => {
    const frame = frameOf(bytesOf("derived_handoff_offer_unix_wire"));
    for (const field of [Buffer.of(0xaa, 0x01, 2, 0x68, 0x69), Buffer.of(0xa8, 0x01, 5)]) {
      const payload = Buffer.concat([frame.payload, field]);
      assert.deepEqual(plain(decodeOffer({ ...frame, payload })), { ...OFFER, clientReply: Buffer.alloc(0) });
    }
  });

  test("acknowledgement: written and read", () => {
    const golden = bytesOf("derived_handoff_ack_wire");
    assert.deepEqual(encodeAck(ACK), golden);
    assert.deepEqual(checkAck(frameOf(golden), OFFER), { ok: true });
  });

  test("ready event: written and read", () => {
    const golden = bytesOf("derived_handoff_ready_wire");
    assert.deepEqual(encodeReadyEvent(ACK), golden);
    assert.equal(readReadyEvent(frameOf(golden), TOKEN), "ready");
  });

  test("there are no others", () => {
    assert.equal(vectors.filter((vector) => vector.name.startsWith("derived_handoff_")).length, 3);
  });
});

describe("an offer", () => {
  test("comes back as it was, with any handle, token and name", () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const offers = fc.record({
      handleValue: u64,
      token: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      serviceName: fc.string({ unit: "grapheme" }),
      correlationId: u64,
      clientReply: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(offers, (offer) =>
        assert.deepEqual(plain(decodeOffer(frameOf(encodeOffer(offer)))), plain({ ...offer })),
      ),
    );
  });

  for (const [index, [check, wrong, text]] of ENVELOPE_FAULTS("REQUEST").entries()) {
    test(`with a wrong ${check} is refused with the frozen text, whatever comes behind it`, () => {
      const behind = Object.assign(
        {},
        ...ENVELOPE_FAULTS("REQUEST")
          .slice(index)
          .map(([, values]) => values),
      );
      for (const values of [wrong, { ...behind, payload: MALFORMED, requestId: 8n }])
        assert.throws(() => decodeOffer(damaged(encodeOffer(OFFER), values)), unexpected(check, text));
    });
  }

  test("that is an acknowledgement by its kind is no request", () => {
    const frame = damaged(encodeOffer(OFFER), { kind: FrameKind.RESPONSE });
    assert.throws(() => decodeOffer(frame), unexpected("kind", "kind is not REQUEST"));
  });

  test("that does not decode is malformed before its ids are compared", () => {
    const frame = damaged(encodeOffer(OFFER), { payload: MALFORMED, requestId: 8n });
    assert.throws(
      () => decodeOffer(frame),
      (error) => hasCode(error, "MESSAGE_MALFORMED") && error.message.includes("HandoffOffer"),
    );
  });

  test("whose frame has another id is refused", () => {
    const payload = encodeMessage(HandoffOfferSchema, OFFER);
    const bytes = encodeRequest({ payloadProtocol: PAYLOAD_PROTOCOL.handoff, payload, requestId: 8n });
    assert.throws(
      () => decodeOffer(frameOf(bytes)),
      unexpected("request_id", "frame request_id does not match HandoffOffer correlation_id"),
    );
  });
});

describe("an acknowledgement", () => {
  for (const [index, [check, wrong, text]] of ENVELOPE_FAULTS("RESPONSE").entries()) {
    test(`with a wrong ${check} is refused with the frozen text, whatever comes behind it`, () => {
      const behind = Object.assign(
        {},
        ...ENVELOPE_FAULTS("RESPONSE")
          .slice(index)
          .map(([, values]) => values),
      );
      for (const values of [wrong, { ...behind, payload: MALFORMED, requestId: 8n }])
        assert.throws(() => checkAck(damaged(encodeAck(ACK), values), OFFER), unexpected(check, text));
    });
  }

  // Behind the envelope, in the order of the checks: each frame has this fault and all later ones.
  const noToken = { ...REJECTION, token: OTHER_TOKEN };
  test("in a frame with another id is refused before it is decoded", () => {
    const frame = damaged(encodeAck(ACK), { requestId: 8n, payload: MALFORMED });
    assert.throws(() => checkAck(frame, OFFER), unexpected("request_id"));
  });
  test("that does not decode is malformed", () => {
    assert.throws(
      () => checkAck(damaged(encodeAck(ACK), { payload: MALFORMED }), OFFER),
      (error) => hasCode(error, "MESSAGE_MALFORMED") && error.message.includes("HandoffAck"),
    );
  });
  test("with a wrong correlation id is refused before its token is compared", () => {
    assert.throws(() => checkAck(ackFrame({ ...noToken, correlationId: 8n }), OFFER), unexpected("correlation_id"));
  });
  test("with a wrong token echo is refused before its verdict is looked at", () => {
    assert.throws(() => checkAck(ackFrame(noToken), OFFER), unexpected("token"));
    assert.throws(() => checkAck(ackFrame({ ...ACK, token: OTHER_TOKEN }), OFFER), unexpected("token"));
    assert.throws(() => checkAck(ackFrame({ ...ACK, token: TOKEN.subarray(0, 15) }), OFFER), unexpected("token"));
  });
  test("that is a rejection gives the backend's text", () => {
    assert.deepEqual(checkAck(ackFrame(REJECTION), OFFER), {
      ok: false,
      rejected: true,
      detail: "handoff token mismatch",
    });
  });

  test("echoes even a malformed token verbatim", () => {
    const short = { ...OFFER, token: TOKEN.subarray(3) };
    assert.equal(checkAck(ackFrame({ ...REJECTION, token: short.token }), short).ok, false);
    assert.equal(checkAck(ackFrame({ ...ACK, token: Buffer.alloc(0) }), { ...OFFER, token: Buffer.alloc(0) }).ok, true);
  });
});

describe("the event a client waits for", () => {
  const rows: readonly (readonly [string, Frame, string])[] = [
    ["handoff-ready", frameOf(encodeReadyEvent(ACK)), "ready"],
    ["accepted=false", frameOf(encodeReadyEvent(REJECTION)), "refused"],
    ["token echo differs", frameOf(encodeReadyEvent({ ...ACK, token: OTHER_TOKEN })), "unexpected"],
    ["token echo differs in a refusal", frameOf(encodeReadyEvent({ ...REJECTION, token: OTHER_TOKEN })), "unexpected"],
    ["malformed frame", damaged(encodeReadyEvent(ACK), { payload: MALFORMED }), "unexpected"],
    ["an acknowledgement instead of an event", frameOf(encodeAck(ACK)), "unexpected"],
    ["a frame with every field at its default", completeMessage(FrameSchema), "unexpected"],
    ...ENVELOPE_FAULTS("EVENT").map(
      ([check, wrong]) => [`a wrong ${check}`, damaged(encodeReadyEvent(ACK), wrong), "unexpected"] as const,
    ),
    ["another correlation id", frameOf(encodeReadyEvent({ ...ACK, correlationId: 99n })), "ready"],
    ["another frame id than correlation id", damaged(encodeReadyEvent(ACK), { requestId: 99n }), "ready"],
  ];
  for (const [name, frame, verdict] of rows) {
    test(`${name}: ${verdict}`, () => assert.equal(readReadyEvent(frame, TOKEN), verdict));
  }
});

test("all three frames have no deadline, no encoding and empty trace strings", () => {
  for (const bytes of [encodeOffer(OFFER), encodeAck(ACK), encodeReadyEvent(ACK)]) {
    const frame = frameOf(bytes);
    assert.deepEqual(
      [frame.envelopeVersion, frame.payloadEncoding, frame.deadlineUnixMs, frame.traceparent, frame.tracestate],
      [1, PayloadEncoding.NONE, 0n, "", ""],
    );
    assert.equal(frame.requestId, 7n);
  }
});

test("tokens are equal exactly when their bytes are", () => {
  const blobs = fc.uint8Array({ maxLength: 20 });
  fc.assert(fc.property(blobs, blobs, (a, b) => assert.equal(equalTokens(a, b), Buffer.compare(a, b) === 0)));
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (a, at, flip) => {
        const b = Uint8Array.from(a);
        assert.ok(equalTokens(a, b));
        const i = at % a.length;
        b[i] = (b[i] ?? 0) ^ flip;
        assert.ok(!equalTokens(a, b));
        assert.ok(!equalTokens(a, a.subarray(1)));
      },
    ),
  );
});

function frameOf(bytes: Buffer): Frame {
  return decodeFrame(bytes.subarray(5));
}

function damaged(bytes: Buffer, values: Partial<Frame>): Frame {
  return completeMessage(FrameSchema, { ...frameOf(bytes), ...values });
}

/** A frame whose own id is right, whatever the acknowledgement says. */
function ackFrame(ack: Ack): Frame {
  return damaged(encodeAck(ACK), { payload: encodeMessage(HandoffAckSchema, ack) });
}

function plain(offer: Offer): Offer {
  return { ...offer, token: Buffer.from(offer.token), clientReply: Buffer.from(offer.clientReply ?? []) };
}

function unexpected(check: string, text = ""): (error: unknown) => boolean {
  return (error) => hasCode(error, "FRAME_UNEXPECTED") && error.details.check === check && error.reason.endsWith(text);
}
