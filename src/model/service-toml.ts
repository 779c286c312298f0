/**
 * The form in which people write service definitions. Pure: text to draft and back; what a draft means, and whether it
 * is valid, is decided by `defineService`. Unknown keys are errors, because a misspelt setting would be ignored
 * silently otherwise.
 */
import { parse, stringify, TomlDate, TomlError } from "smol-toml";
import { BrokerError } from "../base/errors.ts";
import type { ServiceDraft } from "./define-service.ts";

type ValueType = "string" | "boolean" | "integer" | "strings" | "string table" | "table";

interface KeyRow {
  /** Property of the draft. */
  readonly as: string;
  readonly type: ValueType;
  readonly oneOf?: readonly string[];
  readonly required?: boolean;
  /** Rows of a sub-table. */
  readonly keys?: Readonly<Record<string, KeyRow>>;
}

/** Every key the form has. `rpb service add --help` shows an example; docs/operations.md has the list. */
const KEYS: Readonly<Record<string, KeyRow>> = {
  name: { as: "name", type: "string", required: true },
  binary: { as: "binary", type: "string", required: true },
  root: { as: "root", type: "string" },
  isolation: { as: "isolation", type: "string", oneOf: ["private", "shared", "explicit"] },
  instance: { as: "instance", type: "string" },
  min_version: { as: "minVersion", type: "string" },
  versions: { as: "versions", type: "strings" },
  exec: {
    as: "exec",
    type: "table",
    keys: {
      args: { as: "args", type: "strings" },
      cwd: { as: "cwd", type: "string" },
      bind: { as: "bind", type: "string", oneOf: ["broker", "backend"] },
      ready: { as: "ready", type: "string", oneOf: ["probe", "listen", "connect"] },
      nonblocking: { as: "nonBlocking", type: "boolean" },
      ready_timeout: { as: "readyTimeout", type: "string" },
      stop_timeout: { as: "stopTimeout", type: "string" },
      env: { as: "env", type: "string table" },
    },
  },
  log: { as: "log", type: "table", keys: { max_bytes: { as: "maxBytes", type: "integer" } } },
  labels: { as: "labels", type: "string table" },
};

/**
 * @throws BrokerError DEFINITION_MALFORMED with line and column when it is not TOML; DEFINITION_INVALID naming the key
 * when a key is unknown, missing or of another type.
 */
export function parseServiceToml(text: string): ServiceDraft {
  return readTable(parseToml(text), KEYS, "") as unknown as ServiceDraft;
}

/** The text that `parseServiceToml` reads back as `draft`. */
export function formatServiceToml(draft: ServiceDraft): string {
  return `${stringify(writeTable(draft as unknown as Record<string, unknown>, KEYS)).trimEnd()}\n`;
}

/** A draft as plain JSON data under the keys of the TOML form. */
export function draftToJson(draft: ServiceDraft): Record<string, unknown> {
  return writeTable(draft as unknown as Record<string, unknown>, KEYS);
}

function parseToml(text: string): Record<string, unknown> {
  try {
    return parse(text, { unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
    throw new BrokerError(
      "DEFINITION_MALFORMED",
      `not a TOML document, line ${error.line}, column ${error.column}: ${what}`,
      { details: { check: "toml" }, cause: error },
    );
  }
}

function readTable(
  table: Readonly<Record<string, unknown>>,
  keys: Readonly<Record<string, KeyRow>>,
  prefix: string,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    const row = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (row === undefined) throw unknownKey(prefix + key, Object.keys(keys), prefix);
    result[row.as] = readValue(value, row, prefix + key);
  }
  for (const [key, row] of Object.entries(keys)) {
    if (row.required && !Object.hasOwn(table, key)) throw invalid(prefix + key, `key ${prefix}${key} is missing`);
  }
  return result;
}

function readValue(value: unknown, row: KeyRow, key: string): unknown {
  if (!hasType(value, row.type))
    throw invalid(key, `key ${key} is ${describe(value)}, expected ${TYPE_TEXT[row.type]}`);
  if (row.keys !== undefined) return readTable(value as Record<string, unknown>, row.keys, `${key}.`);
  if (row.oneOf !== undefined && !row.oneOf.includes(value as string)) {
    throw invalid(
      key,
      `key ${key} is ${JSON.stringify(value)}, expected ${row.oneOf.map((word) => JSON.stringify(word)).join(", ")}`,
    );
  }
  return value;
}

const TYPE_TEXT: Record<ValueType, string> = {
  string: "a string",
  boolean: "true or false",
  integer: "an integer",
  strings: "an array of strings",
  "string table": "a table of strings",
  table: "a table",
};

function hasType(value: unknown, type: ValueType): boolean {
  switch (type) {
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "integer":
      return Number.isSafeInteger(value);
    case "strings":
      return Array.isArray(value) && value.every((item) => typeof item === "string");
    case "string table":
      return isTable(value) && Object.values(value).every((item) => typeof item === "string");
    case "table":
      return isTable(value);
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof TomlDate);
}

function describe(value: unknown): string {
  if (isTable(value)) return "a table";
  return JSON.stringify(value).slice(0, 100);
}

function writeTable(
  draft: Readonly<Record<string, unknown>>,
  keys: Readonly<Record<string, KeyRow>>,
): Record<string, unknown> {
  const table: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(keys)) {
    const value = draft[row.as];
    if (value === undefined) continue;
    table[key] = row.keys === undefined ? value : writeTable(value as Record<string, unknown>, row.keys);
  }
  return table;
}

function unknownKey(key: string, siblings: readonly string[], prefix: string): BrokerError {
  const near = nearest(key.slice(prefix.length), siblings) ?? elsewhere(key.slice(prefix.length), prefix);
  const proposal =
    near === undefined
      ? `known keys here: ${siblings.join(", ")}`
      : `did you mean ${near.includes(".") ? near : prefix + near}?`;
  return invalid(key, `key ${key} is unknown; ${proposal}`);
}

/** A key that exists in another table: people forget the [exec] header, or write it too early. */
function elsewhere(key: string, prefix: string): string | undefined {
  for (const [table, row] of Object.entries(KEYS)) {
    if (row.keys !== undefined && `${table}.` !== prefix && Object.hasOwn(row.keys, key)) return `${table}.${key}`;
  }
  return undefined;
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const plain = key.replaceAll("-", "_").toLowerCase();
  const ranked = known
    .map((name) => ({ name, distance: editDistance(plain, name) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return ranked !== undefined && ranked.distance <= Math.max(1, Math.floor(ranked.name.length / 3))
    ? ranked.name
    : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function invalid(check: string, what: string): BrokerError {
  return new BrokerError("DEFINITION_INVALID", what, { details: { check } });
}
