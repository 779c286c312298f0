/** Every vector of test/fixtures/golden-vectors.json in both directions; a kind of vector not known here fails. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  equals,
  type Message,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { hasCode } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { decodeFrame, encodeRequest, encodeResponse } from "./envelope.ts";
import { createFrameDecoder, type FrameDecoder } from "./frame-decoder.ts";
import { encodeFrameBytes, truncationContext } from "./framing.ts";
import {
  AdminRequestSchema,
  DaemonProcessSchema,
  FrameKind,
  FrameSchema,
  HandoffAckSchema,
  HandoffOfferSchema,
  HelloReplySchema,
  HelloSchema,
  NegotiatedSchema,
  RefusedSchema,
  ServiceDefinitionSchema,
} from "./messages.ts";
import { answerProbe, decodeProbeResponse, encodeProbeRequest } from "./probe.ts";

type Fields = Record<string, unknown>;

interface Vector {
  name: string;
  message: string;
  fields: Fields;
  hex: string;
  length: number;
  decode_only?: boolean;
  expect_error?: ExpectedError;
}

interface ExpectedError {
  variant: string;
  got?: number;
  expected?: number;
  body_length?: number;
  cap?: number;
  context?: string;
}

const VECTORS = JSON.parse(
  readFileSync(new URL("../../test/fixtures/golden-vectors.json", import.meta.url), "utf8"),
) as Vector[];
const EXPECTED_COUNT = 27;

const PROBE_NONCE = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

type Check = (vector: Vector) => void;

const CHECKS: Record<string, Check> = {
  Frame: (vector) => checkMessage(FrameSchema, vector),
  Hello: (vector) => checkMessage(HelloSchema, vector),
  Negotiated: (vector) => checkMessage(NegotiatedSchema, vector),
  Refused: (vector) => checkMessage(RefusedSchema, vector),
  HelloReply: (vector) => checkMessage(HelloReplySchema, vector),
  HandoffOffer: (vector) => checkMessage(HandoffOfferSchema, vector),
  HandoffAck: (vector) => checkMessage(HandoffAckSchema, vector),
  ServiceDefinition: (vector) => checkMessage(ServiceDefinitionSchema, vector),
  "framing(Frame(Hello))": (vector) => checkEnveloped("hello", HelloSchema, vector),
  "framing(Frame(HandoffOffer))": (vector) => checkEnveloped("handoff_offer", HandoffOfferSchema, vector),
  "framing(Frame(HandoffAck))": (vector) => checkEnveloped("handoff_ack", HandoffAckSchema, vector),
  "framing(Frame(AdminRequest))": (vector) => checkEnveloped("admin_request", AdminRequestSchema, vector),
  "framing(Frame)": checkFramedRequestOrResponse,
  "framing(Frame(nonce))": checkProbeRequest,
  "framing(Frame(nonce+DaemonProcess))": checkProbeResponse,
  "framing(body=Hello)": (vector) =>
    checkFraming(vector, encodeMessage(HelloSchema, messageOf(HelloSchema, vector.fields))),
  "framing(body=empty)": (vector) => checkFraming(vector, new Uint8Array()),
  "framing-error": (vector) => {
    const error = vector.expect_error;
    assert.ok(error, "an error vector says which error");
    const check = ERROR_CHECKS[error.variant];
    assert.ok(check, `there is a check for the error ${error.variant}`);
    check(vector, error);
  },
};

const ERROR_CHECKS: Record<string, (vector: Vector, error: ExpectedError) => void> = {
  UnsupportedFramingVersion(vector, error) {
    const decoder = decoderOf(vector, error);
    assertRefused(() => decoder.next(), "FRAMING_VERSION_UNSUPPORTED", `${error.got}`, `${error.expected}`);
  },
  FrameTooLarge(vector, error) {
    const decoder = decoderOf(vector, error);
    assertRefused(() => decoder.next(), "FRAME_TOO_LARGE", `${error.body_length}`, `${error.cap}`);
  },
  UnexpectedEof(vector, error) {
    const decoder = decoderOf(vector, error);
    assert.equal(decoder.next(), undefined);
    assert.equal(truncationContext(vector.length), error.context);
    // A stream that ends between frames is no error for the buffer decoder.
    if (vector.length === 0) decoder.end();
    else assertRefused(() => decoder.end(), "FRAME_TRUNCATED", `${error.context}`);
  },
  Decode(vector) {
    assertRefused(() => decodeFrame(bodyOf(vector)), "MESSAGE_MALFORMED", "Frame");
  },
};

describe("golden vectors", () => {
  test(`there are ${EXPECTED_COUNT}, each with a name of its own and the length it says`, () => {
    assert.equal(VECTORS.length, EXPECTED_COUNT);
    assert.equal(new Set(VECTORS.map((vector) => vector.name)).size, EXPECTED_COUNT);
    for (const vector of VECTORS) assert.equal(vector.hex.length, vector.length * 2, vector.name);
  });

  for (const vector of VECTORS) {
    test(vector.name, () => {
      const check = CHECKS[vector.message];
      assert.ok(check, `there is a check for vectors of "${vector.message}"`);
      check(vector);
    });
  }
});

function checkMessage(desc: DescMessage, vector: Vector): void {
  const expected = messageOf(desc, vector.fields);
  assertEqualMessages(desc, decodeMessage(desc, Buffer.from(vector.hex, "hex")), expected);
  if (vector.decode_only) return;
  assert.equal(hexOf(encodeMessage(desc, expected)), vector.hex);
}

function checkEnveloped(key: string, desc: DescMessage, vector: Vector): void {
  const frameFields = vector.fields.frame as Fields;
  const inner = messageOf(desc, vector.fields[key] as Fields);
  const payload = hexOf(encodeMessage(desc, inner));
  const expected = messageOf(FrameSchema, { ...frameFields, payload });
  checkFraming(vector, encodeMessage(FrameSchema, expected));
  const frame = decodeFrame(bodyOf(vector));
  assertEqualMessages(FrameSchema, frame, expected);
  assertEqualMessages(desc, decodeMessage(desc, frame.payload), inner);
  if (frame.kind === FrameKind.REQUEST) {
    assert.equal(hexOf(encodeRequest(frame)), vector.hex);
  }
}

function checkFramedRequestOrResponse(vector: Vector): void {
  const expected = messageOf(FrameSchema, vector.fields);
  checkFraming(vector, encodeMessage(FrameSchema, expected));
  assertEqualMessages(FrameSchema, decodeFrame(bodyOf(vector)), expected);
  const built = expected.kind === FrameKind.REQUEST ? encodeRequest(expected) : encodeResponse(expected, expected);
  assert.equal(hexOf(built), vector.hex);
}

function checkProbeRequest(vector: Vector): void {
  checkFramedRequestOrResponse(vector);
  assert.equal(hexOf(encodeProbeRequest(PROBE_NONCE)), vector.hex);
}

function checkProbeResponse(vector: Vector): void {
  const identity = messageOf(DaemonProcessSchema, vector.fields.daemon_process as Fields);
  const request = decodeFrame(encodeProbeRequest(PROBE_NONCE).subarray(5));
  assert.equal(hexOf(answerProbe(request, identity)), vector.hex);
  const frame = decodeFrame(bodyOf(vector));
  const frameFields = { ...(vector.fields.frame as Fields), payload: hexOf(frame.payload) };
  assertEqualMessages(FrameSchema, frame, messageOf(FrameSchema, frameFields));
  assertEqualMessages(DaemonProcessSchema, decodeProbeResponse(frame, PROBE_NONCE), identity);
}

function checkFraming(vector: Vector, body: Uint8Array): void {
  assert.equal(hexOf(encodeFrameBytes(body)), vector.hex);
  assert.equal(bodyOf(vector).toString("hex"), hexOf(body));
}

function decoderOf(vector: Vector, error: ExpectedError): FrameDecoder {
  const decoder = createFrameDecoder(error.cap === undefined ? {} : { maxBodyBytes: error.cap });
  decoder.push(Buffer.from(vector.hex, "hex"));
  return decoder;
}

function assertRefused(run: () => unknown, code: Parameters<typeof hasCode>[1], ...words: string[]): void {
  assert.throws(run, (error) => {
    assert.ok(hasCode(error, code), `expected ${code}, got ${String(error)}`);
    for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" names ${word}`);
    return true;
  });
}

function bodyOf(vector: Vector): Buffer {
  const decoder = createFrameDecoder();
  decoder.push(Buffer.from(vector.hex, "hex"));
  const body = decoder.next();
  assert.ok(body, "one whole frame");
  assert.equal(decoder.bufferedBytes, 0, "nothing behind it");
  return body;
}

/** A message from a vector's fields: bytes are hex there, 64-bit numbers decimal text. */
function messageOf<D extends DescMessage>(desc: D, fields: Fields): MessageShape<D> {
  const message: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    const field = desc.fields.find((candidate) => candidate.name === name);
    assert.ok(field, `${desc.name} has a field ${name}`);
    const local = localValueOf(field, value);
    if (field.oneof === undefined) message[field.localName] = local;
    else message[field.oneof.localName] = { case: field.localName, value: local };
  }
  return create(desc, message as MessageInitShape<D>);
}

function localValueOf(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "message") return messageOf(field.message, value as Fields);
  if (typeof value !== "string" || field.fieldKind !== "scalar") return value;
  if (field.scalar === ScalarType.BYTES) return Buffer.from(value, "hex");
  return field.scalar === ScalarType.UINT64 ? BigInt(value) : value;
}

function assertEqualMessages(desc: DescMessage, actual: Message, expected: Message): void {
  if (equals(desc, actual, expected)) return;
  assert.deepEqual(actual, expected);
  assert.fail(`${desc.name} differs`);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
