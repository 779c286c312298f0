/** Encoding and decoding are each other's inverse, and no bytes crash the decoder. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { field, hexOf, join, tag, VARINT, varint } from "../../test/wire/support/raw-fields.ts";
import { hasCode } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import * as messages from "./messages.ts";
import { FrameSchema, HelloSchema } from "./messages.ts";
import type { Init, Schema } from "./schema.ts";

const SCHEMAS = Object.values(messages).filter(
  (value): value is Extract<typeof value, Schema<never>> => typeof value === "object" && "fields" in value,
) as readonly Schema[];

describe("properties", () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const text = fc.string({ unit: "grapheme", maxLength: 30 });
  const blob = fc.uint8Array({ maxLength: 50 });
  const frames = fc.record({
    envelopeVersion: u32,
    kind: fc.integer({ min: -5, max: 90 }),
    payloadProtocol: u32,
    payload: blob,
    requestId: u64,
    payloadEncoding: fc.integer({ min: 0, max: 90 }),
    deadlineUnixMs: u64,
    traceparent: text,
    tracestate: text,
  });
  const hellos = fc.record({
    clientMinProtocol: u32,
    clientMaxProtocol: u32,
    serviceName: text,
    wantedVersion: text,
    clientVersion: text,
    clientCapabilities: u64,
    authToken: blob,
    requestId: text,
    connectionId: u64,
    peerPid: u32,
    clientLibName: text,
    clientLibVersion: text,
    peerAttestationNonce: blob,
    capabilityToken: blob,
    clientKeepaliveSecs: u64,
  });

  test("every Frame comes back as it was", () => {
    fc.assert(fc.property(frames, (frame) => assertRoundTrip(FrameSchema, frame)));
  });

  test("every Hello comes back as it was", () => {
    fc.assert(fc.property(hellos, (hello) => assertRoundTrip(HelloSchema, hello)));
  });

  test("arbitrary bytes decode or are malformed, and what decodes is a fixed point", () => {
    const schemas = fc.constantFrom(...SCHEMAS);
    const pieces = fc.oneof(
      blob,
      fc.tuple(fc.integer({ min: 1, max: 120 }), blob).map(([number, bytes]) => field(number, bytes)),
      fc
        .tuple(fc.integer({ min: 1, max: 120 }), u64)
        .map(([number, value]) => join(tag(number, VARINT), varint(value))),
    );
    const run = { decoded: 0, refused: 0 };
    fc.assert(
      fc.property(schemas, fc.array(pieces, { maxLength: 4 }), (schema, parts) => {
        let message: unknown;
        try {
          message = decodeMessage(schema, join(...parts));
          run.decoded++;
        } catch (error) {
          assert.ok(hasCode(error, "MESSAGE_MALFORMED"), String(error));
          run.refused++;
          return;
        }
        const again = encodeMessage(schema, message as object);
        assert.equal(hexOf(encodeMessage(schema, decodeMessage(schema, again) as object)), hexOf(again));
      }),
      { numRuns: 2000 },
    );
    assert.ok(run.decoded > 100 && run.refused > 100, `both outcomes occur: ${JSON.stringify(run)}`);
  });

  test("a valid message that is damaged in one byte decodes or is malformed", () => {
    fc.assert(
      fc.property(hellos, fc.nat(), fc.integer({ min: 1, max: 255 }), (hello, position, flip) => {
        const bytes = Buffer.from(encodeMessage(HelloSchema, hello));
        if (bytes.length === 0) return;
        const at = position % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        try {
          decodeMessage(HelloSchema, bytes);
        } catch (error) {
          assert.ok(hasCode(error, "MESSAGE_MALFORMED"), String(error));
        }
      }),
    );
  });
});

/** `message` has every field. */
function assertRoundTrip<M extends object>(schema: Schema<M>, message: M): void {
  const back = decodeMessage(schema, encodeMessage(schema, message as Init<M>));
  assert.deepEqual(plainBytes(back as Record<string, unknown>), { ...message });
}

/** Byte fields are views, of a Buffer when a Buffer was decoded. */
function plainBytes(message: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Uint8Array.from(value) : value,
    ]),
  );
}
