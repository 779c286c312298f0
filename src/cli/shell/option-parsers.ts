/** From an option's text to its value; what does not fit is a usage error that says what would. */
import { posix } from "node:path";
import { InvalidArgumentError } from "commander";
import { isBrokerError } from "../../base/errors.ts";
import type { WantedBackend } from "../../model/backend-key.ts";
import { checkName, checkVersion, parseInstanceId } from "../../model/names.ts";

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
/** setTimeout holds no more; 24 days. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/** `500ms`, `10s`, `2m`, `1h` as milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (!(ms >= 1 && ms <= MAX_DURATION_MS))
    throw new InvalidArgumentError('Write a duration with its unit, such as "500ms", "10s" or "2m".');
  return ms;
}

export function parsePositiveCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError("Write a whole number of at least 1.");
  return count;
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("Write a whole number, 0 or more.");
  return Number(text);
}

/** Checks the grammar and hands the text on. */
export function parseInstance(text: string): string {
  try {
    parseInstanceId(text);
    return text;
  } catch (error) {
    if (isBrokerError(error)) throw new InvalidArgumentError(`${error.reason}.`);
    throw error;
  }
}

/** For options whose value must not be empty: an empty one is nearly always an unset variable of the caller's script. */
export function parseNonEmpty(text: string): string {
  if (text === "") throw new InvalidArgumentError("The value is empty.");
  return text;
}

/** Collects a repeatable `SERVICE@VERSION`. */
export function collectWanted(text: string, earlier: readonly WantedBackend[] | undefined): WantedBackend[] {
  const [, service = "", version = ""] = /^([^@]*)@(.*)$/s.exec(text) ?? [];
  try {
    checkName("service name", service);
    checkVersion("version", version);
  } catch (error) {
    if (isBrokerError(error))
      throw new InvalidArgumentError(`Write SERVICE@VERSION, such as demo@1.2.0: ${error.reason}.`);
    throw error;
  }
  return [...(earlier ?? []), { service, version }];
}

/** Collects a repeatable option. */
export function collect(text: string, earlier: readonly string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

/** Collects a repeatable `NAME=value`. */
export function collectPairs(
  text: string,
  earlier: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write NAME=value.");
  const name = text.slice(0, at);
  if (earlier !== undefined && Object.hasOwn(earlier, name)) throw new InvalidArgumentError(`${name} is given twice.`);
  return { ...earlier, [name]: text.slice(at + 1) };
}

/** A relative path is taken from where the command runs; an absolute one stays as it is written, byte for byte. */
export function absolutePath(text: string, cwd: string): string {
  return posix.isAbsolute(text) ? text : posix.join(cwd, text);
}
