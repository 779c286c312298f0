/** What is decoded and encoded by table is held against the library, which decodes and encodes everything else. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { decodeFlat, encodeFlat, type FlatShape, flatShapeOf } from "./flat-codec.ts";
import { encodeNegotiatedReply } from "./hello-reply.ts";
import * as messages from "./messages.ts";
import { checkStructure } from "./strict.ts";

const SCHEMAS: readonly DescMessage[] = Object.values(messages).filter(
  (value): value is Extract<typeof value, { kind: "message" }> =>
    typeof value === "object" && "kind" in value && value.kind === "message",
);
const FLAT = SCHEMAS.flatMap((desc) => {
  const shape = flatShapeOf(desc);
  return shape === undefined ? [] : [{ desc, shape }];
});

test("the messages of the hot paths are decoded by table, those with messages, maps or choices inside are not", () => {
  const names = FLAT.map(({ desc }) => desc.name);
  for (const name of ["Frame", "Hello", "Negotiated", "HandoffOffer", "HandoffAck"])
    assert.ok(names.includes(name), `${name} is flat`);
  for (const name of ["HelloReply", "Refused", "ServiceDefinition", "ControlMessage"])
    assert.ok(!names.includes(name), `${name} is not flat`);
});

for (const { desc, shape } of FLAT) {
  describe(desc.name, () => {
    test("is encoded as the library does it, and decoded to what the library decodes", () => {
      fc.assert(
        fc.property(valuesOf(desc), (init) => {
          const expected = toBinary(desc, create(desc, init), { writeUnknownFields: false });
          assert.deepEqual(Uint8Array.from(encodeFlat(shape, init)), expected);
          assert.deepEqual(verdictOfTable(shape, expected), verdictOfLibrary(desc, expected));
        }),
        { numRuns: 60 },
      );
    });

    test("however its bytes are damaged, table and library agree on whether and as what it is read", () => {
      const seen = { read: 0, refused: 0 };
      fc.assert(
        fc.property(
          valuesOf(desc),
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
          fc.nat(),
          (init, damage, cut) => {
            const whole = toBinary(desc, create(desc, init));
            const bytes = whole.subarray(0, cut % 4 === 0 ? cut % (whole.length + 1) : whole.length);
            for (const [position, value] of damage) if (bytes.length > 0) bytes[position % bytes.length] = value;
            const verdict = verdictOfTable(shape, bytes);
            assert.deepEqual(verdict, verdictOfLibrary(desc, bytes));
            if (verdict === "refused") seen.refused++;
            else seen.read++;
          },
        ),
        { numRuns: 400 },
      );
      // A message without fields has no bytes to damage.
      const damageable = shape.fields.length > 0;
      assert.ok(seen.read > 20 && (seen.refused > 20 || !damageable), `both occur: ${JSON.stringify(seen)}`);
    });
  });
}

test("headroom is left free in front, whatever the size", () => {
  for (const length of [0, 10, 5000]) {
    const { shape } = FLAT.find(({ desc }) => desc.name === "Frame") as (typeof FLAT)[number];
    const message = { payload: Buffer.alloc(length, 7), requestId: 3n };
    const bytes = encodeFlat(shape, message, 5);
    assert.deepEqual(bytes.subarray(5), encodeFlat(shape, message));
  }
});

test("a number that its field cannot hold is not cut, but refused", () => {
  const { shape } = FLAT.find(({ desc }) => desc.name === "Frame") as (typeof FLAT)[number];
  for (const init of [
    { envelopeVersion: -1 },
    { envelopeVersion: 2 ** 32 },
    { envelopeVersion: 0.5 },
    { kind: 2 ** 31 },
    { requestId: -1n },
    { requestId: 2n ** 64n },
  ])
    assert.throws(() => encodeFlat(shape, init), /cannot hold/);
});

function verdictOfTable(shape: FlatShape, bytes: Uint8Array): unknown {
  return verdict(() => decodeFlat(shape, bytes));
}

function verdictOfLibrary(desc: DescMessage, bytes: Uint8Array): unknown {
  return verdict(() => {
    checkStructure(desc, bytes);
    return fromBinary(desc, bytes, { readUnknownFields: false });
  });
}

function verdict(decode: () => unknown): unknown {
  try {
    return { ...(decode() as object) };
  } catch {
    return "refused";
  }
}

/** Messages of a kind, with the edges of every type among them. */
function valuesOf(desc: DescMessage): fc.Arbitrary<Record<string, unknown>> {
  const model: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of desc.fields) {
    if (field.fieldKind === "enum") model[field.localName] = fc.integer();
    if (field.fieldKind === "list") model[field.localName] = fc.array(text(), { maxLength: 3 });
    if (field.fieldKind === "scalar") model[field.localName] = scalar(field.scalar);
  }
  return fc.record(model, { requiredKeys: [] });
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

test("a negotiated reply is encoded as the library does it", () => {
  const desc = messages.NegotiatedSchema;
  fc.assert(
    fc.property(valuesOf(desc), (value) => {
      const reply = create(messages.HelloReplySchema, { result: { case: "negotiated", value: create(desc, value) } });
      assert.deepEqual(Uint8Array.from(encodeNegotiatedReply(value)), toBinary(messages.HelloReplySchema, reply));
    }),
  );
});
