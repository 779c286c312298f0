/** Reading protobuf bytes strictly: every number, length and text is judged as it is read (spec: wire §2). */
import { MAX_MESSAGE_DEPTH } from "./limits.ts";
import { WIRE_TYPE } from "./schema.ts";

const MAX_VARINT_BYTES = 10;
const MAX_TAG = 0xffff_ffff;
const TWO_TO_32 = 0x1_0000_0000;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Its methods throw a plain Error. Moving `at` past the end is harmless: whatever looks next, a read or the end of the
 * message, reports it.
 */
export class Cursor {
  at = 0;
  /** Of the last varint: the lower 32 bits, and those above. */
  low = 0;
  high = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** Field number and wire type as they are on the wire; the number is never 0. */
  tag(): number {
    const tag = this.varint();
    if (tag > MAX_TAG || tag >>> 3 === 0) throw new Error("invalid field tag");
    return tag;
  }

  /** Exact below 2^53, an approximation above; `low` and `high` are exact. */
  varint(): number {
    const { bytes } = this;
    let low = 0;
    let high = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = bytes[this.at++];
      if (byte === undefined) throw truncated();
      // Nine bytes hold 63 bits: the tenth may only add one.
      if (i === MAX_VARINT_BYTES - 1 && byte > 1) break;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return this.high * TWO_TO_32 + this.low;
      }
    }
    throw new Error("a varint is longer than 64 bits");
  }

  uint64(): bigint {
    const number = this.varint();
    return Number.isSafeInteger(number) ? BigInt(number) : (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  /** Where the bytes end whose length comes next. */
  endOfLengthPrefixed(): number {
    const length = this.varint();
    if (length > this.bytes.length - this.at) throw truncated();
    return this.at + length;
  }

  /** A view. */
  lengthPrefixed(): Uint8Array {
    const end = this.endOfLengthPrefixed();
    const view = this.bytes.subarray(this.at, end);
    this.at = end;
    return view;
  }

  text(): string {
    const { bytes } = this;
    const end = this.endOfLengthPrefixed();
    const start = this.at;
    this.at = end;
    let ascii = end - start <= MAX_SHORT_TEXT_BYTES;
    for (let i = start; ascii && i < end; i++) ascii = (bytes[i] as number) < 0x80;
    // Throws for what is not UTF-8.
    if (!ascii) return utf8.decode(bytes.subarray(start, end));
    if (end - start > MAX_WORD_BYTES) return latin1Slice.call(bytes, start, end);
    let text = "";
    for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
    return text;
  }
}

/** Names and versions; calling the decoder for them costs more than going through them. */
const MAX_SHORT_TEXT_BYTES = 64;
/** Up to here putting characters together costs less than any call. */
const MAX_WORD_BYTES = 8;
/** Of a Buffer, but it takes any bytes. */
const { latin1Slice } = Buffer.prototype as unknown as {
  readonly latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

/** Goes past a field nobody knows. `depthLeft`: how many groups may be nested inside it. */
export function skipField(cursor: Cursor, tag: number, depthLeft: number = MAX_MESSAGE_DEPTH): void {
  switch (tag & 7) {
    case WIRE_TYPE.varint:
      cursor.varint();
      return;
    case WIRE_TYPE.lengthDelimited:
      cursor.at = cursor.endOfLengthPrefixed();
      return;
    case WIRE_TYPE.fixed32:
      cursor.at += 4;
      return;
    case WIRE_TYPE.fixed64:
      cursor.at += 8;
      return;
    case WIRE_TYPE.startGroup:
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
    if ((tag & 7) === WIRE_TYPE.endGroup) {
      if (tag >>> 3 !== number) throw new Error("a group ends with the number of another field");
      return;
    }
    // The reference spends a level on every field inside a group, not only on groups.
    checkDepth(depthLeft);
    skipField(cursor, tag, depthLeft);
  }
}

export function checkDepth(depthLeft: number): void {
  if (depthLeft <= 0) throw new Error(`messages nest deeper than ${MAX_MESSAGE_DEPTH}`);
}

function truncated(): Error {
  return new Error("the bytes end inside a field");
}
