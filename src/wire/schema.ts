/**
 * What the codec knows of a message: a table of its fields, written by `npm run generate` (scripts/protoc-gen-messages.ts)
 * from proto/. One loop over such a table is small, always the same and therefore always warm; descriptors that a
 * general library makes when it is loaded cost every process a third of a Node start (docs/performance.md).
 */

/** Wire types (protobuf.dev/programming-guides/encoding, "Message Structure"). */
export const WIRE_TYPE = {
  varint: 0,
  fixed64: 1,
  lengthDelimited: 2,
  startGroup: 3,
  endGroup: 4,
  fixed32: 5,
} as const;

/** `text`, `bytes` and `message` are one value; `texts`, `messages` and `textMap` any number of them. */
export type FieldKind =
  | "uint32"
  | "uint64"
  | "enum"
  | "bool"
  | "text"
  | "bytes"
  | "message"
  | "texts"
  | "messages"
  | "textMap";

interface FieldFacts {
  readonly number: number;
  /** Of the property. */
  readonly name: string;
  readonly kind: FieldKind;
  /** Written also when it is at its default; absent when it is not on the wire. */
  readonly optional?: true;
  /** The property that holds it as one of several arms, `{ case: name, value }`. */
  readonly oneof?: string;
  /** Of `message` and `messages`. A function, because messages may name each other before they are made. */
  readonly message?: () => Schema;
}

/** Every property is always there: objects of one shape are looked at faster. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly kind: FieldKind;
  readonly wireType: number;
  readonly optional: boolean;
  readonly oneof: string | undefined;
  readonly message: (() => Schema) | undefined;
}

export type AnyMessage = Record<string, unknown>;

export interface Schema<M = unknown> {
  readonly name: string;
  /** By ascending number. */
  readonly fields: readonly Field[];
  readonly byNumber: readonly (Field | undefined)[];
  /** A message with every field at its default. */
  readonly empty: Readonly<AnyMessage>;
  /** Never there: it ties the type of the messages to the table. */
  readonly message?: M;
}

/** A message to be encoded: what is left out (or null) is at its default, here and in messages inside. */
export type Init<M> = { readonly [K in keyof M]?: InitOf<M[K]> | undefined };

type InitOf<V> = V extends string | number | bigint | boolean | Uint8Array | undefined
  ? V
  : V extends readonly (infer E)[]
    ? readonly InitOf<E>[]
    : V extends { case: infer C extends string; value: infer A }
      ? { readonly case: C; readonly value: Init<A> }
      : V extends { case: undefined } | Record<string, string>
        ? Readonly<V>
        : Init<V>;

const DEFAULTS: Readonly<Record<FieldKind, unknown>> = {
  uint32: 0,
  uint64: 0n,
  enum: 0,
  bool: false,
  text: "",
  bytes: new Uint8Array(0),
  message: undefined,
  texts: Object.freeze([]),
  messages: Object.freeze([]),
  textMap: Object.freeze({}),
};

const VARINTS: ReadonlySet<FieldKind> = new Set<FieldKind>(["uint32", "uint64", "enum", "bool"]);

/** `facts`: by ascending number. */
export function createSchema<M>(name: string, facts: readonly FieldFacts[]): Schema<M> {
  const fields: Field[] = [];
  const byNumber: Field[] = [];
  const empty: AnyMessage = {};
  for (const each of facts) {
    const { number, name: property, kind, optional = false, oneof, message } = each;
    const wireType = VARINTS.has(kind) ? WIRE_TYPE.varint : WIRE_TYPE.lengthDelimited;
    const field: Field = { number, name: property, kind, wireType, optional, oneof, message };
    fields.push(field);
    byNumber[number] = field;
    if (oneof !== undefined) empty[oneof] = NO_ARM;
    else if (kind !== "message" && !optional) empty[property] = DEFAULTS[kind];
  }
  return { name, fields, byNumber: Array.from(byNumber), empty };
}

const NO_ARM = Object.freeze({ case: undefined });
