/** The codec is held against the general protobuf library, message by message: what is written, what is read, what is refused. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  isMessage,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import * as descriptors from "../../test/support/descriptors.ts";
import { decode } from "./decode.ts";
import { encode } from "./encode.ts";
import { MAX_MESSAGE_DEPTH } from "./limits.ts";
import * as messages from "./messages.ts";
import type { AnyMessage, Schema } from "./schema.ts";

const DESCRIPTORS: readonly DescMessage[] = Object.values(descriptors).filter(
  (value): value is Extract<typeof value, { kind: "message" }> => "kind" in value && value.kind === "message",
);
const SCHEMAS: Readonly<Record<string, unknown>> = { ...messages };
const PAIRS = DESCRIPTORS.map((desc) => ({ desc, schema: SCHEMAS[`${desc.name}Schema`] as Schema }));

test("every message of proto/ has its table", () => {
  assert.ok(PAIRS.length > 30, `${PAIRS.length} messages`);
  for (const { desc, schema } of PAIRS) assert.equal(schema?.name, desc.name);
});

for (const { desc, schema } of PAIRS) {
  describe(desc.name, () => {
    test("is encoded as the library does it, and decoded to what the library decodes", () => {
      fc.assert(
        fc.property(valuesOf(desc), (init) => {
          const expected = toBinary(desc, create(desc, init), { writeUnknownFields: false });
          assert.deepEqual(Uint8Array.from(encode(schema, init, 0)), expected);
          assert.deepEqual(verdictOfCodec(schema, expected), verdictOfLibrary(desc, expected));
        }),
        { numRuns: 60 },
      );
    });

    test("however its bytes are damaged, both agree on what is read, and the library reads all that the codec reads", () => {
      const seen = { read: 0, refused: 0 };
      const damages = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
      fc.assert(
        fc.property(valuesOf(desc), damages, fc.nat(), (init, damage, cut) => {
          const whole = toBinary(desc, create(desc, init));
          const bytes = whole.subarray(0, cut % 4 === 0 ? cut % (whole.length + 1) : whole.length);
          for (const [position, value] of damage) if (bytes.length > 0) bytes[position % bytes.length] = value;
          const verdict = verdictOfCodec(schema, bytes);
          if (verdict === "refused") seen.refused++;
          else {
            seen.read++;
            // The library does not go past unknown fields in an entry of a map, as the reference does (codec.test.ts).
            if (!mapsIn(desc)) assert.deepEqual(verdict, verdictOfLibrary(desc, bytes));
          }
        }),
        { numRuns: 400 },
      );
      // A message without fields has no bytes to damage.
      const damageable = schema.fields.length > 0;
      assert.ok(seen.read > 20 && (seen.refused > 20 || !damageable), `both occur: ${JSON.stringify(seen)}`);
    });
  });
}

test("headroom is left free in front, whatever the size", () => {
  for (const length of [0, 10, 5000]) {
    const message = { payload: Buffer.alloc(length, 7), requestId: 3n };
    const bytes = encode(messages.FrameSchema, message, 5);
    assert.deepEqual(bytes.subarray(5), encode(messages.FrameSchema, message, 0));
  }
});

test("a number that its field cannot hold is not cut, but refused", () => {
  for (const init of [
    { envelopeVersion: -1 },
    { envelopeVersion: 2 ** 32 },
    { envelopeVersion: 0.5 },
    { kind: 2 ** 31 },
    { requestId: -1n },
    { requestId: 2n ** 64n },
  ])
    assert.throws(() => encode(messages.FrameSchema, init, 0), /cannot hold/);
});

test("null, as JSON has it, is as good as nothing", () => {
  const init = { pid: 7, exePath: null, ipcEndpoint: null, idleTimeoutSecs: null };
  assert.deepEqual(encode(messages.DaemonProcessSchema, init, 0), encode(messages.DaemonProcessSchema, { pid: 7 }, 0));
});

test("a list of a hundred thousand is read in one pass", () => {
  const bytes = Buffer.alloc(200_000);
  for (let at = 0; at < bytes.length; at += 2) bytes[at] = (4 << 3) | 2;
  const { warnings } = decode(messages.NegotiatedSchema, bytes) as unknown as messages.Negotiated;
  assert.equal(warnings.length, 100_000);
});

test("a message that is decoded shares nothing with the next one", () => {
  const first = decode(messages.RefusedSchema, encode(messages.RefusedSchema, { details: { a: "1" } }, 0));
  const second = decode(messages.RefusedSchema, encode(messages.RefusedSchema, { details: { b: "2" } }, 0));
  assert.deepEqual([first.details, second.details], [{ a: "1" }, { b: "2" }]);
});

function verdictOfCodec(schema: Schema, bytes: Uint8Array): unknown {
  try {
    return decode(schema, bytes);
  } catch {
    return "refused";
  }
}

function verdictOfLibrary(desc: DescMessage, bytes: Uint8Array): unknown {
  try {
    return plain(fromBinary(desc, bytes, { readUnknownFields: false, recursionLimit: MAX_MESSAGE_DEPTH + 1 }));
  } catch {
    return "refused";
  }
}

/** Without the library's note of what it is. */
function plain(message: MessageShape<DescMessage>): AnyMessage {
  const { $typeName: _, ...fields } = message as unknown as AnyMessage;
  return mapValues(fields);
}

function mapValues(fields: AnyMessage): AnyMessage {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (isMessage(value)) return plain(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === "object" && value !== null && "case" in value) return mapValues(value as AnyMessage);
  return value;
}

/** Messages of a kind, with the edges of every type among them. */
function valuesOf(desc: DescMessage): fc.Arbitrary<AnyMessage> {
  const model: Record<string, fc.Arbitrary<unknown>> = {};
  for (const member of desc.members) {
    if (member.kind === "field") model[member.localName] = valueOfField(member);
    else
      model[member.localName] = fc.oneof(
        ...member.fields.map((field) => fc.record({ case: fc.constant(field.localName), value: valueOfField(field) })),
      );
  }
  return fc.record(model, { requiredKeys: [] });
}

function valueOfField(field: DescField): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "enum":
      return fc.integer();
    case "scalar":
      return scalar(field.scalar);
    case "message":
      return valuesOf(field.message);
    case "list":
      return fc.array<unknown>(field.listKind === "message" ? valuesOf(field.message) : text(), { maxLength: 3 });
    case "map":
      return fc.dictionary(text().filter(isKeptByLibrary), text(), { maxKeys: 3 });
  }
}

function mapsIn(desc: DescMessage): boolean {
  return desc.fields.some(
    (field) => field.fieldKind === "map" || (field.message !== undefined && mapsIn(field.message)),
  );
}

/** It assigns entries, which this one survives in our decoder only (codec.test.ts). */
function isKeptByLibrary(key: string): boolean {
  return key !== "__proto__";
}

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.UINT32:
      return fc.integer({ min: 0, max: 0xffff_ffff });
    case ScalarType.UINT64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(5000)));
    default:
      return text();
  }
}

function text(): fc.Arbitrary<string> {
  return fc.oneof(fc.string({ unit: "grapheme", maxLength: 30 }), fc.string({ minLength: 60, maxLength: 70 }));
}
