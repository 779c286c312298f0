/**
 * Messages whose fields are all numbers, flags, text or bytes: the envelope, Hello, offers, acknowledgements, and what
 * is in a reply. They are what a broker decodes and encodes for every client, and one small loop over a table, always
 * the same one and therefore always warm, costs a fraction of the general library (docs/performance.md). Everything
 * else is the library's; `codec.ts` decides, and its tests hold the two against each other.
 *
 * Decoding checks while it reads: what `strict.ts` refuses is refused here.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { Cursor, skipField } from "./cursor.ts";

type FlatKind = "uint32" | "uint64" | "enum" | "bool" | "text" | "texts" | "bytes";

interface FlatField {
  readonly number: number;
  readonly name: string;
  readonly kind: FlatKind;
  readonly wireType: WireType;
}

export interface FlatShape {
  readonly fields: readonly FlatField[];
  readonly byNumber: readonly (FlatField | undefined)[];
  /** A message with every field at its default. */
  readonly empty: FlatMessage;
}

type FlatMessage = Readonly<Record<string, unknown>>;

const KINDS: Readonly<Partial<Record<ScalarType, FlatKind>>> = {
  [ScalarType.UINT32]: "uint32",
  [ScalarType.UINT64]: "uint64",
  [ScalarType.BOOL]: "bool",
  [ScalarType.STRING]: "text",
  [ScalarType.BYTES]: "bytes",
};

const NO_BYTES = new Uint8Array(0);
const DEFAULTS: Readonly<Record<FlatKind, unknown>> = {
  uint32: 0,
  uint64: 0n,
  enum: 0,
  bool: false,
  text: "",
  texts: [],
  bytes: NO_BYTES,
};

const shapes = new WeakMap<DescMessage, FlatShape | "not flat">();

/** Undefined for a message that has other fields than these. */
export function flatShapeOf(desc: DescMessage): FlatShape | undefined {
  let shape = shapes.get(desc);
  if (shape === undefined) {
    shape = buildShape(desc);
    shapes.set(desc, shape);
  }
  return shape === "not flat" ? undefined : shape;
}

function buildShape(desc: DescMessage): FlatShape | "not flat" {
  const fields: FlatField[] = [];
  for (const field of desc.fields) {
    const kind = kindOf(field);
    if (kind === undefined) return "not flat";
    const wireType =
      kind === "text" || kind === "texts" || kind === "bytes" ? WireType.LengthDelimited : WireType.Varint;
    fields.push({ number: field.number, name: field.localName, kind, wireType });
  }
  fields.sort((a, b) => a.number - b.number);
  const byNumber: (FlatField | undefined)[] = [];
  for (const field of fields) byNumber[field.number] = field;
  const empty: Record<string, unknown> = { $typeName: desc.typeName };
  for (const { name, kind } of fields) empty[name] = DEFAULTS[kind];
  return { fields, byNumber: Array.from(byNumber), empty };
}

function kindOf(field: DescField): FlatKind | undefined {
  if (field.oneof !== undefined || field.presence === 1) return undefined;
  switch (field.fieldKind) {
    case "scalar":
      return KINDS[field.scalar];
    case "enum":
      return "enum";
    case "list":
      return field.listKind === "scalar" && field.scalar === ScalarType.STRING ? "texts" : undefined;
    default:
      return undefined;
  }
}

// ---------------------------------------------------------------------------------------------------- decoding

/** Throws a plain Error that says what is wrong. Byte fields are views of `bytes`. */
export function decodeFlat(shape: FlatShape, bytes: Uint8Array): FlatMessage {
  const message: Record<string, unknown> = { ...shape.empty };
  const cursor = new Cursor(bytes);
  const end = bytes.length;
  while (cursor.at < end) {
    const tag = cursor.tag();
    const field = shape.byNumber[tag >>> 3];
    if (field === undefined) {
      skipField(cursor, tag);
      continue;
    }
    if ((tag & 7) !== field.wireType)
      throw new Error(`field ${field.name} has wire type ${tag & 7}, expected ${field.wireType}`);
    message[field.name] = readValue(cursor, field, message);
  }
  if (cursor.at !== end) throw new Error("a field runs past the end of its message");
  return message;
}

function readValue(cursor: Cursor, field: FlatField, message: Readonly<Record<string, unknown>>): unknown {
  switch (field.kind) {
    case "uint32":
      cursor.varint();
      return cursor.low;
    case "uint64":
      return cursor.uint64();
    case "enum":
      cursor.varint();
      return cursor.low | 0;
    case "bool":
      return cursor.varint() !== 0;
    case "text":
      return cursor.text();
    case "texts":
      return [...(message[field.name] as string[]), cursor.text()];
    case "bytes":
      return cursor.lengthPrefixed();
  }
}

// ---------------------------------------------------------------------------------------------------- encoding

/** Small messages are put together here and copied out; encoding is synchronous, so one serves all. */
const scratch = Buffer.allocUnsafeSlow(4096);

/** `headroom`: bytes left free, and undefined, in front of the message. */
export function encodeFlat(shape: FlatShape, init: FlatMessage, headroom = 0): Buffer {
  const bound = headroom + boundOf(shape, init);
  const target = bound <= scratch.length ? scratch : Buffer.allocUnsafeSlow(bound);
  let at = headroom;
  for (const field of shape.fields) {
    const value = init[field.name];
    if (value !== undefined) at = writeField(target, at, field, value);
  }
  return target === scratch ? Buffer.from(scratch.subarray(0, at)) : target.subarray(0, at);
}

/** A message in a field of another one, as the whole of that other one. */
export function encodeNested(number: number, message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FIELD_OVERHEAD_BYTES + message.length);
  const tagEnd = writeVarint(bytes, 0, (number << 3) | WireType.LengthDelimited);
  const start = writeVarint(bytes, tagEnd, message.length);
  bytes.set(message, start);
  return bytes.subarray(0, start + message.length);
}

const MAX_VARINT_BYTES = 10;
/** Tag and value, or tag and length. */
const FIELD_OVERHEAD_BYTES = 2 * MAX_VARINT_BYTES;
const MAX_UTF8_BYTES_PER_UNIT = 3;

/** What the message takes at most. */
function boundOf(shape: FlatShape, init: FlatMessage): number {
  let bound = 0;
  for (const { name } of shape.fields) {
    const value = init[name];
    bound += FIELD_OVERHEAD_BYTES;
    if (typeof value === "string") bound += MAX_UTF8_BYTES_PER_UNIT * value.length;
    else if (value instanceof Uint8Array) bound += value.length;
    else if (Array.isArray(value))
      for (const text of value as string[]) bound += FIELD_OVERHEAD_BYTES + MAX_UTF8_BYTES_PER_UNIT * text.length;
  }
  return bound;
}

/** Where the next field goes. Defaults take nothing. */
function writeField(target: Buffer, at: number, field: FlatField, value: unknown): number {
  const tag = (field.number << 3) | field.wireType;
  switch (field.kind) {
    case "uint32":
    case "enum":
    case "uint64": {
      const number = Number(value);
      if (number === 0) return at;
      return writeVarint(target, writeVarint(target, at, tag), inRange(field, value as number | bigint, number));
    }
    case "bool":
      return value === true ? writeVarint(target, writeVarint(target, at, tag), 1) : at;
    case "text":
      return value === "" ? at : writeText(target, writeVarint(target, at, tag), value as string);
    case "texts": {
      let end = at;
      for (const text of value as readonly string[]) end = writeText(target, writeVarint(target, end, tag), text);
      return end;
    }
    case "bytes": {
      const bytes = value as Uint8Array;
      if (bytes.length === 0) return at;
      const start = writeVarint(target, writeVarint(target, at, tag), bytes.length);
      target.set(bytes, start);
      return start + bytes.length;
    }
  }
}

const MAX_UINT32 = 0xffff_ffff;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
const MIN_INT32 = -0x8000_0000;
const MAX_INT32 = 0x7fff_ffff;

/** As a bigint only when a double is not exact. Throws a plain Error for what the field cannot hold. */
function inRange(field: FlatField, value: number | bigint, number: number): number | bigint {
  if (field.kind === "uint64") {
    if (value < 0n || value > MAX_UINT64) throw new Error(`field ${field.name} cannot hold ${value}`);
    return Number.isSafeInteger(number) ? number : value;
  }
  const [least, most] = field.kind === "enum" ? [MIN_INT32, MAX_INT32] : [0, MAX_UINT32];
  if (!Number.isInteger(value) || number < least || number > most)
    throw new Error(`field ${field.name} cannot hold ${value}`);
  // Negative numbers go as 64 bits.
  return number < 0 ? BigInt.asUintN(64, BigInt(number)) : number;
}

function writeVarint(target: Buffer, at: number, value: number | bigint): number {
  let end = at;
  let rest = value;
  if (typeof rest === "bigint") {
    for (; rest >= 0x80n; rest >>= 7n) target[end++] = Number(rest & 0x7fn) | 0x80;
    target[end++] = Number(rest);
    return end;
  }
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[end++] = (rest % 0x80) | 0x80;
  target[end++] = rest;
  return end;
}

function writeText(target: Buffer, at: number, text: string): number {
  const start = writeVarint(target, at, Buffer.byteLength(text));
  return start + target.write(text, start);
}
