/** Admin verbs whose answer is one JSON object. */
import { BrokerError } from "../base/errors.ts";
import type { AdminQuery } from "../exchange/admin-client.ts";
import { askBroker } from "./admin-access.ts";
import type { CliContext } from "./context.ts";
import type { Permission } from "./permissions.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface JsonAnswer {
  /** As it came. */
  readonly body: string;
  readonly object: JsonObject;
  readonly exitCode: number;
}

/**
 * @param options.timeout milliseconds for the answer
 * @throws BrokerError as `askBroker`; MESSAGE_MALFORMED for an answer of another form, with its text when it is one
 */
export async function askJson(
  context: CliContext,
  permission: Permission,
  endpoint: string,
  query: AdminQuery,
  options: { readonly timeout?: number } = {},
): Promise<JsonAnswer> {
  const { body, exitCode, kind } = await askBroker(context, permission, endpoint, query, {
    ...(options.timeout !== undefined && { timeoutMs: options.timeout }),
  });
  const object = parseObject(body);
  if (object !== undefined) return { body, object, exitCode };
  const what = kind === "text" ? `with the text ${JSON.stringify(body.trimEnd().slice(0, 200))}` : "something";
  throw new BrokerError("MESSAGE_MALFORMED", `the broker on ${endpoint} answered ${what}, which is no JSON object`, {
    details: { path: endpoint },
  });
}

/** Rows of a list in an answer; whatever is no object in it is left out. */
export function rowsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/**
 * A string or number of an answer as text; "?" for anything else. Not `String`: of a parsed object that has a member `toString`
 * it throws.
 */
export function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "?";
}

/** A number of an answer; 0 for anything else. */
export function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined for any other text. */
export function parseObject(body: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
