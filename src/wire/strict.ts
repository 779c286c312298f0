/**
 * Structural check of protobuf bytes against a descriptor, run before the library decodes them; `flat-codec.ts` does the
 * same for what it decodes itself. The library trusts the
 * wire types of known fields and the bounds of nested messages, cuts lengths to 32 bits and lets skipped varints be of
 * any length; the reference decoder refuses all of these, and a peer must get the same answer from either broker. Text
 * is the one thing left to the library: it checks UTF-8 while it decodes.
 *
 * No message of the protocol has a repeated number, so packed encoding is not known here and a packed field is refused.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { Cursor, checkDepth, skipField } from "./cursor.ts";
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
      skipField(cursor, tag, depthLeft);
      continue;
    }
    if (wireType !== field.wireType)
      throw new Error(`field ${field.name} has wire type ${wireType}, expected ${field.wireType}`);
    if (field.child === undefined) {
      skipField(cursor, tag, depthLeft);
      continue;
    }
    checkDepth(depthLeft);
    checkFields(cursor, cursor.endOfLengthPrefixed(), field.child, depthLeft - 1);
  }
  if (cursor.at !== end) throw new Error("a field runs past the end of its message");
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
