/** The decoder's strictness, rule by rule (spec: wire §2). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  BYTES,
  END_GROUP,
  FIXED32,
  FIXED64,
  field,
  GROUP,
  join,
  longVarint,
  nestedGroups,
  tag,
  VARINT,
  varint,
} from "../../test/wire/support/raw-fields.ts";
import { hasCode } from "../base/errors.ts";
import { decodeMessage } from "./codec.ts";
import {
  FrameSchema,
  HelloReplySchema,
  HelloSchema,
  NegotiatedSchema,
  RefusedSchema,
  ServiceDefinitionSchema,
} from "./messages.ts";
import type { Schema } from "./schema.ts";

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
