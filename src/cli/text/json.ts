/** JSON that another process wrote: nothing of it has to be of the type that it should be. */

export type JsonObject = Readonly<Record<string, unknown>>;

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
