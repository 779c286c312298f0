/** A value reduced to the fields that a list names. What the list does not know is not there: a new field has to be let in. */

/** `value`: a text, number, boolean or null. An object: of these fields. One in brackets: a list of such. */
export type Selection = "value" | { readonly [field: string]: Selection } | readonly [Selection];

/** Undefined where the value is not what the selection says. */
export function selectFields(value: unknown, selection: Selection): unknown {
  if (selection === "value") return typeof value === "object" && value !== null ? undefined : value;
  if (isList(selection)) {
    if (!Array.isArray(value)) return undefined;
    return value.map((item) => selectFields(item, selection[0])).filter((item) => item !== undefined);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const given = value as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(selection).flatMap(([field, inner]) => {
      const selected = Object.hasOwn(given, field) ? selectFields(given[field], inner) : undefined;
      return selected === undefined ? [] : [[field, selected]];
    }),
  );
}

/** A selection of plain values. */
export function fields<F extends string>(...names: readonly F[]): Readonly<Record<F, "value">> {
  return Object.fromEntries(names.map((name) => [name, "value"])) as Record<F, "value">;
}

function isList(selection: Selection): selection is readonly [Selection] {
  return Array.isArray(selection);
}
