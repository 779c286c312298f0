/** Messages to protobuf bytes, by table: fields by ascending number, defaults left out, as the reference writes them. */
import { type AnyMessage, type Field, type Schema, WIRE_TYPE } from "./schema.ts";

/** Small messages are put together here and copied out; encoding is synchronous, so one serves all. */
const scratch = Buffer.allocUnsafeSlow(4096);

/**
 * Throws a plain Error for a number that its field cannot hold. `headroom`: bytes left free, and undefined, in front of
 * the message.
 */
export function encode(schema: Schema, message: Readonly<AnyMessage>, headroom: number): Buffer {
  const end = writeFields(scratch, headroom, schema, message);
  if (end <= scratch.length) return Buffer.from(scratch.subarray(0, end));
  // Now it is known how long it is.
  const target = Buffer.allocUnsafeSlow(end);
  writeFields(target, headroom, schema, message);
  return target;
}

function valueIn(field: Field, message: Readonly<AnyMessage>): unknown {
  if (field.oneof === undefined) return message[field.name] ?? undefined;
  const arm = message[field.oneof] as { readonly case?: string; readonly value?: unknown } | undefined;
  return arm?.case === field.name ? arm.value : undefined;
}

/** All `write…` return where the next byte goes. What lies beyond the end of the target is counted and not written. */
function writeFields(target: Buffer, start: number, schema: Schema, message: Readonly<AnyMessage>): number {
  let at = start;
  for (const field of schema.fields) {
    const value = valueIn(field, message);
    if (value !== undefined) at = writeField(target, at, field, value);
  }
  return at;
}

function writeField(target: Buffer, at: number, field: Field, value: unknown): number {
  switch (field.kind) {
    case "uint32":
    case "enum":
    case "uint64": {
      const number = Number(value);
      if (number === 0 && !field.optional) return at;
      return writeVarint(target, writeTag(target, at, field), inRange(field, value as number | bigint, number));
    }
    case "bool":
      return value === true || field.optional
        ? writeVarint(target, writeTag(target, at, field), Number(value === true))
        : at;
    case "text":
      return value === "" && !field.optional ? at : writeText(target, writeTag(target, at, field), value as string);
    case "bytes": {
      const bytes = value as Uint8Array;
      if (bytes.length === 0 && !field.optional) return at;
      const start = writeVarint(target, writeTag(target, at, field), bytes.length);
      const end = start + bytes.length;
      if (end <= target.length) target.set(bytes, start);
      return end;
    }
    case "message":
      return writeMessage(target, at, field, value as AnyMessage);
    case "texts": {
      let end = at;
      for (const text of value as readonly string[]) end = writeText(target, writeTag(target, end, field), text);
      return end;
    }
    case "messages": {
      let end = at;
      for (const each of value as readonly AnyMessage[]) end = writeMessage(target, end, field, each);
      return end;
    }
    case "textMap": {
      let end = at;
      for (const entry of Object.entries(value as Readonly<Record<string, string>>))
        end = writeEntry(target, end, field, entry);
      return end;
    }
  }
}

function writeTag(target: Buffer, at: number, field: Field): number {
  return writeVarint(target, at, (field.number << 3) | field.wireType);
}

function writeMessage(target: Buffer, at: number, field: Field, message: AnyMessage): number {
  if (field.message === undefined) throw new Error(`field ${field.name} has no schema`);
  const lengthAt = writeTag(target, at, field);
  const bodyEnd = writeFields(target, lengthAt + 1, field.message(), message);
  return putLength(target, lengthAt, bodyEnd);
}

const KEY_TAG = (1 << 3) | WIRE_TYPE.lengthDelimited;
const VALUE_TAG = (2 << 3) | WIRE_TYPE.lengthDelimited;

function writeEntry(target: Buffer, at: number, field: Field, [key, value]: readonly [string, string]): number {
  const lengthAt = writeTag(target, at, field);
  const keyEnd = writeText(target, writeVarint(target, lengthAt + 1, KEY_TAG), key);
  return putLength(target, lengthAt, writeText(target, writeVarint(target, keyEnd, VALUE_TAG), value));
}

/** Most lengths are one byte: room is left for that, and the rare longer message moves. */
function putLength(target: Buffer, lengthAt: number, bodyEnd: number): number {
  const length = bodyEnd - lengthAt - 1;
  const more = varintBytes(length) - 1;
  if (more > 0) target.copyWithin(lengthAt + 1 + more, lengthAt + 1, bodyEnd);
  writeVarint(target, lengthAt, length);
  return bodyEnd + more;
}

/** Of a safe integer. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

const MAX_UINT32 = 0xffff_ffff;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
const MIN_INT32 = -0x8000_0000;
const MAX_INT32 = 0x7fff_ffff;

/** As a bigint only when a double is not exact. */
function inRange(field: Field, value: number | bigint, number: number): number | bigint {
  if (field.kind === "uint64") {
    if (value < 0n || value > MAX_UINT64) throw new Error(`field ${field.name} cannot hold ${value}`);
    return Number.isSafeInteger(number) ? number : value;
  }
  const isEnum = field.kind === "enum";
  if (!Number.isInteger(value) || number < (isEnum ? MIN_INT32 : 0) || number > (isEnum ? MAX_INT32 : MAX_UINT32))
    throw new Error(`field ${field.name} cannot hold ${value}`);
  // Negative numbers go as 64 bits.
  return number < 0 ? BigInt.asUintN(64, BigInt(number)) : number;
}

/** Returns where the next byte goes. */
export function writeVarint(target: Buffer, at: number, value: number | bigint): number {
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
  const length = Buffer.byteLength(text);
  const start = writeVarint(target, at, length);
  const end = start + length;
  if (end <= target.length) target.write(text, start);
  return end;
}
