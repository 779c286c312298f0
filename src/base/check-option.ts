/** What callers without types get wrong: one error for all public entries. `details.check` names the option. */
import { BrokerError } from "./errors.ts";

/** OPTION_INVALID: `option NAME is GOT, expected EXPECTED`. */
export function optionInvalid(name: string, got: unknown, expected: string): BrokerError {
  return new BrokerError("OPTION_INVALID", `option ${name} is ${shown(got)}, expected ${expected}`, {
    details: { check: name },
  });
}

/** @throws BrokerError OPTION_INVALID */
export function requireObject(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw optionInvalid(name, value, "an object");
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalObject(name: string, value: unknown): void {
  if (value !== undefined) requireObject(name, value);
}

/** @param maxBytes of its UTF-8. Default: no limit. @throws BrokerError OPTION_INVALID */
export function requireText(name: string, value: unknown, maxBytes = Number.POSITIVE_INFINITY): void {
  if (typeof value !== "string") throw optionInvalid(name, value, "a string");
  if (maxBytes === Number.POSITIVE_INFINITY) return;
  const bytes = Buffer.byteLength(value);
  if (bytes > maxBytes) throw optionInvalid(name, value, `at most ${maxBytes} bytes, and it has ${bytes}`);
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalText(name: string, value: unknown, maxBytes?: number): void {
  if (value !== undefined) requireText(name, value, maxBytes);
}

/** @throws BrokerError OPTION_INVALID, which names the first element that is no text */
export function requireTexts(name: string, values: unknown): void {
  if (!Array.isArray(values)) throw optionInvalid(name, values, "an array of strings");
  for (const [index, value] of values.entries()) requireText(`${name}[${index}]`, value);
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalTexts(name: string, values: unknown): void {
  if (values !== undefined) requireTexts(name, values);
}

/** An object whose values are texts; undefined ones are fine, as in an environment. @throws BrokerError OPTION_INVALID */
export function requireTextMap(name: string, values: unknown): void {
  requireObject(name, values);
  for (const [key, value] of Object.entries(values as object)) optionalText(`${name}.${key}`, value);
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalTextMap(name: string, values: unknown): void {
  if (values !== undefined) requireTextMap(name, values);
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalBytes(name: string, value: unknown): void {
  if (value !== undefined) requireBytes(name, value);
}

/** @throws BrokerError OPTION_INVALID */
export function requireBytes(name: string, value: unknown): void {
  if (!(value instanceof Uint8Array)) throw optionInvalid(name, value, "a Uint8Array");
}

/** @throws BrokerError OPTION_INVALID */
export function requireFunction(name: string, value: unknown): void {
  if (typeof value !== "function") throw optionInvalid(name, value, "a function");
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalFunction(name: string, value: unknown): void {
  if (value !== undefined) requireFunction(name, value);
}

/** Undefined is fine. Any object with the methods of an AbortSignal is one. @throws BrokerError OPTION_INVALID */
export function optionalSignal(name: string, value: unknown): void {
  if (value !== undefined && !hasMethods(value, "addEventListener", "removeEventListener"))
    throw optionInvalid(name, value, "an AbortSignal");
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") throw optionInvalid(name, value, "true or false");
}

/** What a number may be; no bound where none is given. NaN is never one. */
export interface NumberRule {
  /** Smallest value that is good. */
  readonly least?: number;
  /** Every good value is greater. */
  readonly above?: number;
  /** Largest value that is good. */
  readonly most?: number;
  /** Only integers that a number holds exactly. Default false. */
  readonly whole?: boolean;
}

/** @param expected the rule in words, with the unit. @throws BrokerError OPTION_INVALID */
export function requireNumber(name: string, value: unknown, rule: NumberRule, expected: string): void {
  if (typeof value !== "number" || !keeps(value, rule)) throw optionInvalid(name, value, expected);
}

/** Undefined is fine. @throws BrokerError OPTION_INVALID */
export function optionalNumber(name: string, value: unknown, rule: NumberRule, expected: string): void {
  if (value !== undefined) requireNumber(name, value, rule, expected);
}

function keeps(value: number, { least, above, most, whole }: NumberRule): boolean {
  if (Number.isNaN(value) || (whole === true && !Number.isSafeInteger(value))) return false;
  if (least !== undefined && value < least) return false;
  return (above === undefined || value > above) && (most === undefined || value <= most);
}

/** Is it an object of which these are functions? */
export function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");
}

/** A wrong value in a message. Never runs code of the value's. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : "an object";
}
