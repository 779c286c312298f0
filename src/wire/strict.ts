/**
 * Structural check of protobuf bytes against a descriptor, run before the library decodes them. The library trusts the
 * wire types of known fields and the bounds of nested messages, cuts lengths to 32 bits and lets skipped varints be of
 * any length; the reference decoder refuses all of these, and a peer must get the same answer from either broker. Text
 * is the one thing left to the library: it checks UTF-8 while it decodes.
 *
 * No message of the protocol has a repeated number, so packed encoding is not known here and a packed field is refused.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { MAX_MESSAGE_DEPTH } from "./limits.ts";

/** Throws a plain Error that says what is wrong; the codec gives it its code. */
export function checkStructure(desc: DescMessage, bytes: Uint8Array): void {
  checkFields(new Cursor(bytes), bytes.length, shapeOf(desc), MAX_MESSAGE_DEPTH);
}

/** `depthLeft`: how many messages or groups may still be nested inside this one. */
function checkFields(cursor: Cursor, end: number, shape: MessageShape, depthLeft: number): void {
  while (cursor.at < end) {
    const tag = cursor.tag();
    const wireType = tag & 7;
    const field = shape.get(tag >>> 3);
    if (field === undefined) {
      skip(cursor, tag, depthLeft);
      continue;
    }
    if (wireType !== field.wireType)
      throw new Error(`field ${field.name} has wire type ${wireType}, expected ${field.wireType}`);
    if (field.child === undefined) {
      skip(cursor, tag, depthLeft);
      continue;
    }
    checkDepth(depthLeft);
    checkFields(cursor, cursor.endOfLengthPrefixed(), field.child, depthLeft - 1);
  }
  if (cursor.at !== end) throw new Error("a field runs past the end of its message");
}

function skip(cursor: Cursor, tag: number, depthLeft: number): void {
  switch (tag & 7) {
    case WireType.Varint:
      cursor.varint();
      return;
    case WireType.LengthDelimited:
      cursor.at = cursor.endOfLengthPrefixed();
      return;
    case WireType.Bit32:
      cursor.at += 4;
      return;
    case WireType.Bit64:
      cursor.at += 8;
      return;
    case WireType.StartGroup:
      checkDepth(depthLeft);
      skipGroup(cursor, tag >>> 3, depthLeft - 1);
      return;
    default:
      throw new Error(`unexpected wire type ${tag & 7}`);
  }
}

function skipGroup(cursor: Cursor, number: number, depthLeft: number): void {
  for (;;) {
    const tag = cursor.tag();
    if ((tag & 7) === WireType.EndGroup) {
      if (tag >>> 3 !== number) throw new Error("a group ends with the number of another field");
      return;
    }
    // The reference spends a level on every field inside a group, not only on groups.
    checkDepth(depthLeft);
    skip(cursor, tag, depthLeft);
  }
}

function checkDepth(depthLeft: number): void {
  if (depthLeft <= 0) throw new Error(`messages nest deeper than ${MAX_MESSAGE_DEPTH}`);
}

const MAX_VARINT_BYTES = 10;
const MAX_TAG = 0xffff_ffff;

/** Moving `at` past the end is harmless: whatever looks next, a read or the end of the message, reports it. */
class Cursor {
  at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** Field number and wire type as they are on the wire; the number is never 0. */
  tag(): number {
    const tag = this.varint();
    if (tag > MAX_TAG || tag >>> 3 === 0) throw new Error("invalid field tag");
    return tag;
  }

  /** Exact below 2^53, an approximation above: every caller compares it with something much smaller. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw truncated();
      // Nine bytes hold 63 bits: the tenth may only add one.
      if (i === MAX_VARINT_BYTES - 1 && byte > 1) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new Error("a varint is longer than 64 bits");
  }

  endOfLengthPrefixed(): number {
    const length = this.varint();
    if (length > this.bytes.length - this.at) throw truncated();
    return this.at + length;
  }
}

function truncated(): Error {
  return new Error("the bytes end inside a field");
}

type MessageShape = ReadonlyMap<number, FieldShape>;

interface FieldShape {
  readonly name: string;
  readonly wireType: WireType;
  /** Set for embedded messages and for map entries, which are messages of a key and a value. */
  readonly child?: MessageShape;
}

const shapes = new WeakMap<DescMessage, MessageShape>();

function shapeOf(desc: DescMessage): MessageShape {
  const known = shapes.get(desc);
  if (known !== undefined) return known;
  const shape = new Map<number, FieldShape>();
  // Registered before it is filled, so that a message may contain itself.
  shapes.set(desc, shape);
  for (const field of desc.fields) shape.set(field.number, fieldShapeOf(field));
  return shape;
}

function fieldShapeOf(field: DescField): FieldShape {
  if (field.fieldKind === "map") {
    const value = field.message === undefined ? { wireType: wireTypeOf(field.scalar) } : embedded(field.message);
    const entry = new Map<number, FieldShape>([
      [1, { name: `${field.name} key`, wireType: wireTypeOf(field.mapKey) }],
      [2, { name: `${field.name} value`, ...value }],
    ]);
    return { name: field.name, wireType: WireType.LengthDelimited, child: entry };
  }
  return {
    name: field.name,
    ...(field.message === undefined ? { wireType: wireTypeOf(field.scalar) } : embedded(field.message)),
  };
}

function embedded(message: DescMessage): { wireType: WireType; child: MessageShape } {
  return { wireType: WireType.LengthDelimited, child: shapeOf(message) };
}

/** Undefined stands for an enum. */
function wireTypeOf(scalar: ScalarType | undefined): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bit32;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    default:
      return WireType.Varint;
  }
}
