/** The decoder's strictness, rule by rule (spec: wire §2), and what encoding promises. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import * as messages from "./messages.ts";
import {
  AdminRequestSchema,
  CacheManifestSchema,
  DaemonProcessSchema,
  FrameSchema,
  HandoffAckSchema,
  HelloReplySchema,
  HelloSchema,
  NegotiatedSchema,
  RefusedSchema,
  ServiceDefinitionSchema,
} from "./messages.ts";
import type { Init, Schema } from "./schema.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

const SCHEMAS = Object.values(messages).filter(
  (value): value is Extract<typeof value, Schema<never>> => typeof value === "object" && "fields" in value,
) as readonly Schema[];

describe("refused bytes", () => {
  const unknown = 2000;
  const rows: readonly (readonly [string, Schema, Uint8Array])[] = [
    ["a number where bytes belong", FrameSchema, join(tag(4, VARINT), varint(1))],
    ["bytes where a number belongs", FrameSchema, join(tag(1, BYTES), varint(0))],
    ["bytes where an enum belongs", FrameSchema, join(tag(2, BYTES), varint(0))],
    ["a fixed number where a varint belongs", FrameSchema, join(tag(5, FIXED64), Buffer.alloc(8))],
    ["a number where a message belongs", HelloReplySchema, join(tag(1, VARINT), varint(0))],
    ["a number where repeated text belongs", NegotiatedSchema, join(tag(4, VARINT), varint(0))],
    ["a number where a map belongs", RefusedSchema, join(tag(5, VARINT), varint(0))],
    ["a number as a map key", RefusedSchema, field(5, join(tag(1, VARINT), varint(1)))],
    ["a number as a map value", RefusedSchema, field(5, join(tag(2, VARINT), varint(1)))],
    ["a group where text belongs", HelloSchema, join(tag(3, GROUP), tag(3, END_GROUP))],
    ["field number 0", FrameSchema, join(tag(0, VARINT), varint(1))],
    ["wire type 6", FrameSchema, join(tag(unknown, 6), varint(1))],
    ["wire type 7", FrameSchema, join(tag(unknown, 7), varint(1))],
    ["a tag above 32 bits", FrameSchema, join(varint(2n ** 32n + 8n), varint(1))],
    ["a tag cut off", FrameSchema, Buffer.from("80", "hex")],
    ["a number cut off", FrameSchema, join(tag(1, VARINT), Buffer.from("80", "hex"))],
    ["a number missing", FrameSchema, tag(1, VARINT)],
    ["an unknown number cut off", FrameSchema, join(tag(unknown, VARINT), Buffer.from("ff", "hex"))],
    ["a number of eleven bytes", FrameSchema, join(tag(5, VARINT), longVarint(11))],
    ["an unknown number of eleven bytes", FrameSchema, join(tag(unknown, VARINT), longVarint(11))],
    ["a number above 64 bits", FrameSchema, join(tag(5, VARINT), Buffer.alloc(9, 0x80), Buffer.from("02", "hex"))],
    [
      "an unknown number above 64 bits",
      FrameSchema,
      join(tag(unknown, VARINT), Buffer.alloc(9, 0x80), Buffer.from("02", "hex")),
    ],
    ["text that runs past the end", HelloSchema, join(tag(3, BYTES), varint(3), Buffer.from("ab"))],
    [
      "a length that only fits when cut to 32 bits",
      HelloSchema,
      join(tag(3, BYTES), varint(2n ** 32n + 2n), Buffer.from("ab")),
    ],
    ["an unknown field that runs past the end", FrameSchema, join(tag(unknown, BYTES), varint(9), Buffer.from("ab"))],
    ["four bytes cut off", FrameSchema, join(tag(unknown, FIXED32), Buffer.alloc(3))],
    ["eight bytes cut off", FrameSchema, join(tag(unknown, FIXED64), Buffer.alloc(7))],
    [
      "text in a nested message that runs into its parent",
      HelloReplySchema,
      join(tag(1, BYTES), varint(3), tag(2, BYTES), varint(4), Buffer.from("abcd")),
    ],
    [
      "a number in a nested message that runs into its parent",
      HelloReplySchema,
      join(tag(1, BYTES), varint(2), tag(1, VARINT), Buffer.from("8001", "hex")),
    ],
    [
      "a map value that runs past its entry",
      RefusedSchema,
      join(tag(5, BYTES), varint(3), tag(2, BYTES), varint(2), Buffer.from("ab")),
    ],
    ["text that is not UTF-8", HelloSchema, field(3, Buffer.from("ff", "hex"))],
    ["an overlong UTF-8 form", HelloSchema, field(3, Buffer.from("c0af", "hex"))],
    ["a surrogate in UTF-8", HelloSchema, field(3, Buffer.from("eda080", "hex"))],
    ["long text with one bad byte", HelloSchema, field(8, Buffer.from(`${"61".repeat(500)}fe`, "hex"))],
    ["repeated text that is not UTF-8", NegotiatedSchema, field(4, Buffer.from("ff", "hex"))],
    ["a map key that is not UTF-8", ServiceDefinitionSchema, field(8, field(1, Buffer.from("ff", "hex")))],
    ["a map value that is not UTF-8", ServiceDefinitionSchema, field(8, field(2, Buffer.from("ff", "hex")))],
    ["nested text that is not UTF-8", HelloReplySchema, field(1, field(2, Buffer.from("ff", "hex")))],
    ["the end of a group that never began", FrameSchema, tag(unknown, END_GROUP)],
    ["a group that ends with another number", FrameSchema, join(tag(unknown, GROUP), tag(unknown + 1, END_GROUP))],
    ["a group that never ends", FrameSchema, tag(unknown, GROUP)],
    ["101 nested groups", FrameSchema, nestedGroups(101)],
    ["a field in the hundredth nested group", FrameSchema, nestedGroups(100, join(tag(1, VARINT), varint(1)))],
  ];
  for (const [name, desc, bytes] of rows) {
    test(name, () => {
      assert.throws(
        () => decodeMessage(desc, bytes),
        (error) => hasCode(error, "MESSAGE_MALFORMED") && error.message.includes(desc.name),
      );
    });
  }
});

describe("accepted bytes", () => {
  test("no bytes are a message with every field at its default", () => {
    const frame = decodeMessage(FrameSchema, Buffer.alloc(0));
    assert.deepEqual([frame.envelopeVersion, frame.kind, frame.requestId, frame.traceparent], [0, 0, 0n, ""]);
  });

  test("unknown fields of every wire type are dropped, here and in nested messages", () => {
    const extras = join(
      ...[
        join(tag(2000, VARINT), varint(2n ** 64n - 1n)),
        join(tag(2001, FIXED64), Buffer.alloc(8)),
        field(2002, Buffer.from("ff", "hex")),
        join(tag(2003, GROUP), tag(1, VARINT), varint(1), tag(2003, END_GROUP)),
        join(tag(2004, FIXED32), Buffer.alloc(4)),
      ],
    );
    const known = encodeMessage(NegotiatedSchema, { backendPipe: "p", connectionId: 3n });
    const reply = decodeMessage(HelloReplySchema, join(extras, field(1, join(extras, known, extras)), extras));
    assert.equal(hexOf(encodeMessage(HelloReplySchema, reply)), hexOf(field(1, known)));
  });

  test("groups may nest a hundred deep", () => {
    decodeMessage(FrameSchema, nestedGroups(100));
  });

  test("unknown enum numbers are kept, negative ones too", () => {
    for (const [number, bytes] of [
      [77, varint(77)],
      [-1, varint(2n ** 64n - 1n)],
    ] as const) {
      const request = decodeMessage(AdminRequestSchema, join(tag(1, VARINT), bytes));
      assert.equal(request.verb, number);
      assert.equal(hexOf(encodeMessage(AdminRequestSchema, request)), hexOf(join(tag(1, VARINT), bytes)));
    }
  });

  test("the last of several scalars wins", () => {
    const bytes = join(
      tag(1, VARINT),
      varint(1),
      field(8, Buffer.from("a")),
      tag(1, VARINT),
      varint(2),
      field(8, Buffer.from("b")),
    );
    const frame = decodeMessage(FrameSchema, bytes);
    assert.deepEqual([frame.envelopeVersion, frame.traceparent], [2, "b"]);
  });

  test("a default that comes last wins, too", () => {
    assert.equal(
      decodeMessage(FrameSchema, join(field(8, Buffer.from("a")), field(8, Buffer.alloc(0)))).traceparent,
      "",
    );
  });

  test("repeated text is appended", () => {
    const bytes = join(field(4, Buffer.from("a")), tag(1, VARINT), varint(1), field(4, Buffer.from("b")));
    assert.deepEqual(decodeMessage(NegotiatedSchema, bytes).warnings, ["a", "b"]);
  });

  test("an embedded message that comes twice is merged", () => {
    const first = encodeMessage(DaemonProcessSchema, { pid: 1, exePath: "/a", ipcEndpoint: { path: "/s" } });
    const second = encodeMessage(DaemonProcessSchema, { exePath: "/b", ipcEndpoint: { namespaceId: "n" } });
    const daemon = decodeMessage(CacheManifestSchema, join(field(20, first), field(20, second))).currentDaemon;
    assert.deepEqual([daemon?.pid, daemon?.exePath], [1, "/b"]);
    assert.deepEqual([daemon?.ipcEndpoint?.namespaceId, daemon?.ipcEndpoint?.path], ["n", "/s"]);
  });

  test("the same arm of a oneof is merged, another arm replaces it", () => {
    const negotiated = (init: { backendPipe?: string; connectionId?: bigint }) =>
      field(1, encodeMessage(NegotiatedSchema, init));
    const refused = field(2, encodeMessage(RefusedSchema, { reason: "no" }));
    const merged = replyOf(join(negotiated({ backendPipe: "p" }), negotiated({ connectionId: 5n })));
    assert.ok(merged.case === "negotiated");
    assert.deepEqual([merged.value.backendPipe, merged.value.connectionId], ["p", 5n]);
    assert.equal(replyOf(join(negotiated({ backendPipe: "p" }), refused)).case, "refused");
    const last = replyOf(join(negotiated({ backendPipe: "p" }), refused, negotiated({ connectionId: 5n })));
    assert.ok(last.case === "negotiated");
    assert.deepEqual([last.value.backendPipe, last.value.connectionId], ["", 5n]);
  });

  test("map entries may lack key or value, and the last one of a key wins", () => {
    const entry = (key: string, value: string) =>
      field(8, join(field(1, Buffer.from(key)), field(2, Buffer.from(value))));
    const bytes = join(
      entry("a", "1"),
      field(8, Buffer.alloc(0)),
      entry("a", "2"),
      field(8, field(1, Buffer.from("b"))),
      entry("__proto__", "p"),
    );
    const { labels } = decodeMessage(ServiceDefinitionSchema, bytes);
    assert.deepEqual(Object.entries(labels).sort(), [
      ["", ""],
      ["__proto__", "p"],
      ["a", "2"],
      ["b", ""],
    ]);
  });

  test("unknown fields in an entry of a map are dropped", () => {
    const unknown = [
      field(3, Buffer.from("x")),
      join(tag(4, VARINT), varint(9)),
      join(tag(5, FIXED32), Buffer.alloc(4)),
    ];
    const entry = join(...unknown, field(1, Buffer.from("k")), ...unknown, field(2, Buffer.from("v")), ...unknown);
    assert.deepEqual(decodeMessage(ServiceDefinitionSchema, field(8, entry)).labels, { k: "v" });
  });

  test("a 32-bit number keeps its low 32 bits, and every nonzero number is true", () => {
    assert.equal(decodeMessage(FrameSchema, join(tag(1, VARINT), varint(2n ** 32n + 1n))).envelopeVersion, 1);
    assert.equal(decodeMessage(HandoffAckSchema, join(tag(2, VARINT), varint(2n ** 40n))).accepted, true);
    assert.equal(decodeMessage(HandoffAckSchema, join(tag(2, VARINT), longVarint(10))).accepted, false);
  });

  test("a number may take up to ten bytes, however small it is", () => {
    assert.equal(decodeMessage(FrameSchema, join(tag(5, VARINT), longVarint(10))).requestId, 0n);
    assert.equal(decodeMessage(FrameSchema, join(tag(5, VARINT), varint(2n ** 64n - 1n))).requestId, 2n ** 64n - 1n);
  });

  test("a byte-order mark is text", () => {
    assert.equal(decodeMessage(HelloSchema, field(3, Buffer.from("efbbbf61", "hex"))).serviceName, "\ufeffa");
  });
});

describe("encoding", () => {
  test("fields are written by ascending number, also where they are declared otherwise", () => {
    const bytes = encodeMessage(CacheManifestSchema, {
      manifestSchemaVersion: 1,
      mediaType: "m",
      serviceName: "s",
      roots: [{ path: "/r" }],
    });
    assert.equal(hexOf(bytes), "0a01735204" + "0a022f72" + "a00601" + "aa06016d");
  });

  test("defaults are left out, optional fields are written when present, an arm even when empty", () => {
    assert.equal(
      encodeMessage(FrameSchema, { envelopeVersion: 0, traceparent: "", payload: new Uint8Array() }).length,
      0,
    );
    assert.equal(hexOf(encodeMessage(DaemonProcessSchema, { idleTimeoutSecs: 0 })), "3800");
    assert.equal(hexOf(encodeMessage(HelloReplySchema, { result: { case: "negotiated", value: {} } })), "0a00");
  });
});

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

function replyOf(bytes: Uint8Array): messages.HelloReply["result"] {
  return decodeMessage(HelloReplySchema, bytes).result;
}

function tag(number: number, wireType: number): Buffer {
  return varint(BigInt(number) * 8n + BigInt(wireType));
}

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** Zero in `length` bytes. */
function longVarint(length: number): Buffer {
  return Buffer.concat([Buffer.alloc(length - 1, 0x80), Buffer.alloc(1)]);
}

function field(number: number, bytes: Uint8Array): Buffer {
  return join(tag(number, BYTES), varint(bytes.length), bytes);
}

function nestedGroups(depth: number, inside: Uint8Array = Buffer.alloc(0)): Buffer {
  return join(
    ...Array<Buffer>(depth).fill(tag(2000, GROUP)),
    inside,
    ...Array<Buffer>(depth).fill(tag(2000, END_GROUP)),
  );
}

function join(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
