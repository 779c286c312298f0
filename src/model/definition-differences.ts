/** What would change when one definition of a service replaces another. */
import { isDraftedLabel } from "./define-service.ts";
import { LABELS } from "./exec-settings.ts";
import type { ServiceDefinition } from "./service-definition.ts";

/** Labels that are compared by what they mean, not by their text. */
const PARSED_LABELS = new Set(LABELS.map((row) => row.key).filter((key) => /^(handoff|idle)\./.test(key)));

/** A field in which two definitions of one service behave differently. */
export interface DefinitionDifference {
  readonly field: string;
  readonly from: string;
  readonly to: string;
}

/** What changes for backends and clients when `from` becomes `to`; a default and its spelled-out form are equal. */
export function definitionDifferences(from: ServiceDefinition, to: ServiceDefinition): readonly DefinitionDifference[] {
  const [before, after] = [comparable(from), comparable(to)];
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...fields]
    .filter((field) => before[field] !== after[field])
    .map((field) => ({ field, from: before[field] ?? "(none)", to: after[field] ?? "(none)" }));
}

function comparable(definition: ServiceDefinition): Record<string, string> {
  const { labels, exec, handoff, ...plain } = definition;
  const env = Object.entries(exec.env).map(([name, value]) => [`exec.env.${name}`, value]);
  const others = Object.entries(labels).filter(([key]) => !isDraftedLabel(key) && !PARSED_LABELS.has(key));
  return Object.fromEntries(
    [
      ...Object.entries(plain),
      ...Object.entries({ ...exec, env: undefined }).map(([key, value]) => [`exec.${key}`, value]),
      ...Object.entries(handoff).map(([key, value]) => [`handoff.${key}`, value]),
      ...env,
      ...others.map(([key, value]) => [`label ${key}`, value]),
    ]
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key as string, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}
