/** Every vector of test/fixtures/golden-vectors.json in both directions; a kind of vector not known here fails. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
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
import type { Field, Schema } from "./schema.ts";

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

function checkMessage(desc: Schema, vector: Vector): void {
  const expected = messageOf(desc, vector.fields);
  assertEqualMessages(decodeMessage(desc, Buffer.from(vector.hex, "hex")), expected);
  if (vector.decode_only) return;
  assert.equal(hexOf(encodeMessage(desc, expected)), vector.hex);
}

function checkEnveloped(key: string, desc: Schema, vector: Vector): void {
  const frameFields = vector.fields.frame as Fields;
  const inner = messageOf(desc, vector.fields[key] as Fields);
  const payload = hexOf(encodeMessage(desc, inner));
  const expected = messageOf(FrameSchema, { ...frameFields, payload });
  checkFraming(vector, encodeMessage(FrameSchema, expected));
  const frame = decodeFrame(bodyOf(vector));
  assertEqualMessages(frame, expected);
  assertEqualMessages(decodeMessage(desc, frame.payload), inner);
  if (frame.kind === FrameKind.REQUEST) {
    assert.equal(hexOf(encodeRequest(frame)), vector.hex);
  }
}

function checkFramedRequestOrResponse(vector: Vector): void {
  const expected = messageOf(FrameSchema, vector.fields);
  checkFraming(vector, encodeMessage(FrameSchema, expected));
  assertEqualMessages(decodeFrame(bodyOf(vector)), expected);
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
  assertEqualMessages(frame, messageOf(FrameSchema, frameFields));
  assertEqualMessages(decodeProbeResponse(frame, PROBE_NONCE), identity);
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

/** A message from a vector's fields: names are those of proto/ there, bytes are hex, 64-bit numbers decimal text. */
function messageOf<M>(schema: Schema<M>, fields: Fields): M & object {
  const message: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    const property = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    const field = schema.fields.find((candidate) => candidate.name === property);
    assert.ok(field, `${schema.name} has a field ${property}`);
    const local = localValueOf(field, value);
    if (field.oneof === undefined) message[property] = local;
    else message[field.oneof] = { case: property, value: local };
  }
  return { ...schema.empty, ...message } as M & object;
}

function localValueOf(field: Field, value: unknown): unknown {
  if (field.message !== undefined) return messageOf(field.message(), value as Fields);
  if (typeof value !== "string") return value;
  if (field.kind === "bytes") return Buffer.from(value, "hex");
  return field.kind === "uint64" ? BigInt(value) : value;
}

function assertEqualMessages(actual: unknown, expected: unknown): void {
  assert.deepEqual(plain(actual), plain(expected));
}

/** Byte fields are views of what was decoded: bytes count, not the class of the view. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
