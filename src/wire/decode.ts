/**
 * Protobuf bytes to messages, by table. It checks while it reads and refuses what the reference's decoder refuses: wrong
 * wire types, lengths past the end of the message that holds them, numbers of more than 64 bits, text that is not UTF-8,
 * and too deep nesting. Unknown fields are dropped, unknown enum numbers kept.
 *
 * No message of the protocol has a repeated number, so packed encoding is not known here and a packed field is refused.
 */
import { Cursor, checkDepth, skipField } from "./cursor.ts";
import { MAX_MESSAGE_DEPTH } from "./limits.ts";
import { type AnyMessage, type Field, type Schema, WIRE_TYPE } from "./schema.ts";

/** Throws a plain Error that says what is wrong. Byte fields are views of `bytes`. */
export function decode(schema: Schema, bytes: Uint8Array): AnyMessage {
  const message = { ...schema.empty };
  readFields(new Cursor(bytes), bytes.length, schema, message, MAX_MESSAGE_DEPTH);
  return message;
}

/** `depthLeft`: how many messages or groups may still be nested inside this one. */
function readFields(cursor: Cursor, end: number, schema: Schema, message: AnyMessage, depthLeft: number): void {
  const { byNumber } = schema;
  while (cursor.at < end) {
    const tag = cursor.tag();
    const field = byNumber[tag >>> 3];
    if (field === undefined) {
      skipField(cursor, tag, depthLeft);
      continue;
    }
    if ((tag & 7) !== field.wireType) throw wrongType(field.name, tag, field.wireType);
    switch (field.kind) {
      case "message":
        readMessage(cursor, field, message, depthLeft);
        break;
      case "messages":
        append(field, message, readNew(cursor, field, depthLeft));
        break;
      case "textMap":
        readEntry(cursor, field, message, depthLeft);
        break;
      case "texts":
        append(field, message, cursor.text());
        break;
      default:
        message[field.name] = readValue(cursor, field);
    }
  }
  if (cursor.at !== end) throw new Error("a field runs past the end of its message");
}

function readValue(cursor: Cursor, field: Field): unknown {
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
    default:
      return cursor.lengthPrefixed();
  }
}

/** One that is there already is merged with; another arm is replaced. */
function readMessage(cursor: Cursor, field: Field, holder: AnyMessage, depthLeft: number): void {
  if (field.oneof === undefined) {
    const present = holder[field.name] as AnyMessage | undefined;
    if (present === undefined) holder[field.name] = readNew(cursor, field, depthLeft);
    else readInto(cursor, field, present, depthLeft);
    return;
  }
  const arm = holder[field.oneof] as { case: string | undefined; value?: AnyMessage };
  if (arm.case === field.name && arm.value !== undefined) readInto(cursor, field, arm.value, depthLeft);
  else holder[field.oneof] = { case: field.name, value: readNew(cursor, field, depthLeft) };
}

function readNew(cursor: Cursor, field: Field, depthLeft: number): AnyMessage {
  const message = { ...schemaOf(field).empty };
  readInto(cursor, field, message, depthLeft);
  return message;
}

function readInto(cursor: Cursor, field: Field, message: AnyMessage, depthLeft: number): void {
  checkDepth(depthLeft);
  readFields(cursor, cursor.endOfLengthPrefixed(), schemaOf(field), message, depthLeft - 1);
}

function schemaOf(field: Field): Schema {
  if (field.message === undefined) throw new Error(`field ${field.name} has no schema`);
  return field.message();
}

/** The default is shared by all messages. */
function append(field: Field, message: AnyMessage, value: unknown): void {
  const values = message[field.name] as unknown[];
  if (values.length === 0) message[field.name] = [value];
  else values.push(value);
}

const ENTRY_KEY = 1;
const ENTRY_VALUE = 2;

/** An entry of a map is a message of a key and a value, each of which may be missing. */
function readEntry(cursor: Cursor, field: Field, message: AnyMessage, depthLeft: number): void {
  checkDepth(depthLeft);
  const end = cursor.endOfLengthPrefixed();
  let key = "";
  let value = "";
  while (cursor.at < end) {
    const tag = cursor.tag();
    const number = tag >>> 3;
    if (number !== ENTRY_KEY && number !== ENTRY_VALUE) {
      skipField(cursor, tag, depthLeft - 1);
      continue;
    }
    if ((tag & 7) !== WIRE_TYPE.lengthDelimited)
      throw wrongType(`${field.name} ${number === ENTRY_KEY ? "key" : "value"}`, tag, WIRE_TYPE.lengthDelimited);
    if (number === ENTRY_KEY) key = cursor.text();
    else value = cursor.text();
  }
  if (cursor.at !== end) throw new Error("a field runs past the end of its message");
  let map = message[field.name] as Record<string, string>;
  if (Object.isFrozen(map)) {
    map = {};
    message[field.name] = map;
  }
  // Not by assignment, which would take "__proto__" for something else.
  Object.defineProperty(map, key, { value, writable: true, enumerable: true, configurable: true });
}

function wrongType(name: string, tag: number, expected: number): Error {
  return new Error(`field ${name} has wire type ${tag & 7}, expected ${expected}`);
}
