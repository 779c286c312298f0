#!/usr/bin/env -S node --import tsx
/**
 * Plugin of `buf generate`: all messages of proto/ as one file of plain types, enums and tables for src/wire/codec.ts.
 * It knows what the protocol has and refuses the rest, so that a new kind of field is noticed here, not on the wire.
 */
import {
  type DescEnum,
  type DescEnumValue,
  type DescField,
  type DescMessage,
  type DescOneof,
  ScalarType,
} from "@bufbuild/protobuf";
import { createEcmaScriptPlugin, type GeneratedFile, getComments, runNodeJs, type Schema } from "@bufbuild/protoplugin";

const SCALARS: Readonly<Partial<Record<ScalarType, { kind: string; type: string }>>> = {
  [ScalarType.UINT32]: { kind: "uint32", type: "number" },
  [ScalarType.UINT64]: { kind: "uint64", type: "bigint" },
  [ScalarType.BOOL]: { kind: "bool", type: "boolean" },
  [ScalarType.STRING]: { kind: "text", type: "string" },
  [ScalarType.BYTES]: { kind: "bytes", type: "Uint8Array" },
};

runNodeJs(createEcmaScriptPlugin({ name: "protoc-gen-messages", version: "1", generateTs }));

function generateTs(schema: Schema): void {
  const file = schema.generateFile("messages.ts");
  file.print("// Generated from proto/ by `npm run generate`; not to be edited.");
  file.print('import { createSchema, type Schema } from "./schema.ts";');
  for (const { enums, messages } of schema.files) {
    for (const each of enums) printEnum(file, each);
    for (const each of messages) {
      if (each.nestedMessages.length > mapEntries(each) || each.nestedEnums.length > 0)
        throw new Error(`${each.typeName} declares messages of its own, which is not known here`);
      printType(file, each);
      printSchema(file, each);
    }
  }
}

/** They are messages inside, too. */
function mapEntries(message: DescMessage): number {
  return message.fields.filter(({ fieldKind }) => fieldKind === "map").length;
}

function printEnum(file: GeneratedFile, desc: DescEnum): void {
  file.print();
  printComment(file, "", desc);
  file.print("export enum ", desc.name, " {");
  for (const value of desc.values) {
    printComment(file, "  ", value);
    file.print("  ", value.localName, " = ", value.number, ",");
  }
  file.print("}");
}

/** What the source says in front of a declaration, or behind it. */
function printComment(
  file: GeneratedFile,
  indent: string,
  desc: DescMessage | DescEnum | DescEnumValue | DescField | DescOneof,
): void {
  const { leading = "", trailing = "" } = getComments(desc);
  const lines = [leading, trailing]
    .join("")
    .trim()
    .split("\n")
    .map((line) => line.trim());
  if (lines.length > 1) file.print(indent, "/**");
  for (const line of lines.length > 1 ? lines : []) file.print(indent, " * ", line);
  if (lines.length > 1) file.print(indent, " */");
  else if (lines[0] !== "") file.print(indent, "/** ", lines[0] ?? "", " */");
}

function printType(file: GeneratedFile, message: DescMessage): void {
  file.print();
  printComment(file, "", message);
  if (message.members.length === 0) {
    file.print("export type ", message.name, " = Record<string, never>;");
    return;
  }
  file.print("export interface ", message.name, " {");
  for (const member of message.members) {
    printComment(file, "  ", member);
    if (member.kind === "oneof") file.print("  ", member.localName, ": ", typeOfOneof(member), ";");
    else file.print("  ", member.localName, mayBeAbsent(member) ? "?: " : ": ", typeOf(member), ";");
  }
  file.print("}");
}

function typeOfOneof(oneof: DescOneof): string {
  const arms = oneof.fields.map((field) => `{ case: "${field.localName}"; value: ${typeOf(field)} }`);
  return [...arms, "{ case: undefined; value?: undefined }"].join(" | ");
}

function printSchema(file: GeneratedFile, { name, fields }: DescMessage): void {
  file.print();
  file.print("export const ", name, "Schema: Schema<", name, '> = createSchema("', name, '", [');
  for (const field of [...fields].sort((a, b) => a.number - b.number)) {
    const facts = [`number: ${field.number}`, `name: "${field.localName}"`, `kind: "${kindOf(field)}"`];
    if (field.fieldKind === "scalar" && mayBeAbsent(field)) facts.push("optional: true");
    if (field.oneof !== undefined) facts.push(`oneof: "${field.oneof.localName}"`);
    if (field.message !== undefined) facts.push(`message: () => ${field.message.name}Schema`);
    file.print("  { ", facts.join(", "), " },");
  }
  file.print("]);");
}

/** A message is there or not, and so is what is declared `optional`; anything else has a default. */
function mayBeAbsent(field: DescField): boolean {
  return field.fieldKind === "message" || field.proto.proto3Optional;
}

function kindOf(field: DescField): string {
  switch (field.fieldKind) {
    case "enum":
      if (!field.proto.proto3Optional) return "enum";
      break;
    case "message":
      if (!field.delimitedEncoding) return "message";
      break;
    case "scalar": {
      const kind = SCALARS[field.scalar]?.kind;
      if (kind !== undefined && field.oneof === undefined) return kind;
      break;
    }
    case "list":
      if (field.listKind === "message" && !field.delimitedEncoding) return "messages";
      if (field.listKind === "scalar" && field.scalar === ScalarType.STRING) return "texts";
      break;
    case "map":
      if (field.mapKey === ScalarType.STRING && field.scalar === ScalarType.STRING) return "textMap";
  }
  throw new Error(`${field} is of a kind that src/wire/codec.ts does not know`);
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "enum":
      return field.enum.name;
    case "message":
      return field.message.name;
    case "scalar":
      return SCALARS[field.scalar]?.type ?? "never";
    case "list":
      return field.listKind === "message" ? `${field.message.name}[]` : "string[]";
    case "map":
      return "Record<string, string>";
  }
}
