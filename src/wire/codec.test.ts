/** What the decoder accepts, rule by rule (spec: wire §2), and what encoding promises. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  END_GROUP,
  FIXED32,
  FIXED64,
  field,
  GROUP,
  hexOf,
  join,
  longVarint,
  nestedGroups,
  tag,
  VARINT,
  varint,
} from "../../test/wire/support/raw-fields.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import type * as messages from "./messages.ts";
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

function replyOf(bytes: Uint8Array): messages.HelloReply["result"] {
  return decodeMessage(HelloReplySchema, bytes).result;
}
