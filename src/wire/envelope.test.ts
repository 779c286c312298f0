import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { completeMessage } from "../../test/support/complete-message.ts";
import { hasCode } from "../base/errors.ts";
import {
  checkEnvelope,
  checkReply,
  decodeFrame,
  encodeRequest,
  encodeResponse,
  envelopeFault,
  NO_CORRELATION,
} from "./envelope.ts";
import { type Frame, FrameKind, FrameSchema, PayloadEncoding } from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";

const GOOD = { envelopeVersion: 1, kind: FrameKind.RESPONSE, payloadProtocol: PAYLOAD_PROTOCOL.admin, requestId: 7n };
const EXPECTED = { kind: FrameKind.RESPONSE, payloadProtocol: PAYLOAD_PROTOCOL.admin };

/** One wrong value per field, in the order in which the fields are judged. */
const FAULTS = [
  ["envelope_version", { envelopeVersion: 2 }],
  ["kind", { kind: FrameKind.EVENT }],
  ["payload_protocol", { payloadProtocol: PAYLOAD_PROTOCOL.probe }],
  ["request_id", { requestId: 8n }],
  ["payload_encoding", { payloadEncoding: PayloadEncoding.ZSTD }],
] as const;

describe("envelope checks", () => {
  test("a frame as expected passes", () => {
    assert.equal(envelopeFault(frame({}), EXPECTED), undefined);
    checkEnvelope(frame({}), EXPECTED);
    checkReply(frame({}), GOOD);
  });

  for (const [index, [field, wrong]] of FAULTS.entries()) {
    test(`a wrong ${field} is reported before everything behind it`, () => {
      const allBehind = Object.assign({}, ...FAULTS.slice(index).map(([, values]) => values));
      for (const values of [wrong, allBehind]) {
        assert.throws(() => checkReply(frame(values), GOOD), refusing(field));
        if (field === "request_id") continue;
        assert.equal(envelopeFault(frame(values), EXPECTED), field);
        assert.throws(() => checkEnvelope(frame(values), EXPECTED), refusing(field));
      }
    });
  }

  test("the request id is nobody's business outside replies", () => {
    assert.equal(envelopeFault(frame({ requestId: 99n }), EXPECTED), undefined);
  });

  test("numbers this version does not know are never the expected ones", () => {
    assert.equal(envelopeFault(frame({ kind: 77 as FrameKind }), EXPECTED), "kind");
    assert.equal(envelopeFault(frame({ payloadEncoding: 77 as PayloadEncoding }), EXPECTED), "payload_encoding");
    assert.equal(envelopeFault(frame({ envelopeVersion: 0 }), EXPECTED), "envelope_version");
  });

  test("the message says what came and what was expected", () => {
    assert.throws(() => checkEnvelope(frame({ payloadProtocol: 0x7a63 }), EXPECTED), /0x7A63, expected 0xAD01/);
    assert.throws(() => checkReply(frame({ requestId: 8n }), GOOD), /request_id 8, expected 7/);
  });
});

describe("building frames", () => {
  const trace = { traceparent: "00-aa-bb-01", tracestate: "rp=1" };

  test("a request carries what it was given and defaults for the rest", () => {
    const request = roundTrip(encodeRequest({ payloadProtocol: 0x7a63, payload: Buffer.from("ping"), requestId: 5n }));
    assert.deepEqual(
      { ...request, payload: Buffer.from(request.payload).toString() },
      {
        envelopeVersion: 1,
        kind: FrameKind.REQUEST,
        payloadProtocol: 0x7a63,
        payload: "ping",
        requestId: 5n,
        payloadEncoding: PayloadEncoding.NONE,
        deadlineUnixMs: 0n,
        traceparent: "",
        tracestate: "",
      },
    );
  });

  test("a response echoes id and trace strings of its request, and nothing else of it", () => {
    const request = roundTrip(
      encodeRequest({ payloadProtocol: 1, payload: Buffer.from("x"), requestId: 2n ** 64n - 1n, ...trace }),
    );
    const response = roundTrip(encodeResponse(request, { payloadProtocol: 2, payload: Buffer.from("y") }));
    assert.equal(response.kind, FrameKind.RESPONSE);
    assert.equal(response.requestId, 2n ** 64n - 1n);
    assert.deepEqual([response.traceparent, response.tracestate], [trace.traceparent, trace.tracestate]);
    assert.equal(response.payloadProtocol, 2);
    assert.equal(Buffer.from(response.payload).toString(), "y");
  });

  test("what could not be decoded is answered with id 0 and empty trace strings", () => {
    const response = roundTrip(encodeResponse(NO_CORRELATION, { payloadProtocol: 0, payload: new Uint8Array() }));
    assert.deepEqual([response.requestId, response.traceparent, response.tracestate], [0n, "", ""]);
  });
});

function frame(values: Partial<Frame>): Frame {
  return Object.assign(completeMessage(FrameSchema, GOOD), values);
}

function roundTrip(bytes: Buffer): Frame {
  return decodeFrame(bytes.subarray(5));
}

function refusing(field: string): (error: unknown) => boolean {
  return (error) => hasCode(error, "FRAME_UNEXPECTED") && error.details.check === field;
}
