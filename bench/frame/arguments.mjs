// What the command line says.
import { parseArgs } from "node:util";

/** Undefined when it makes no sense. `known`: names of benchmarks. */
export function readArguments(args, known) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        markdown: { type: "boolean", default: false },
        smoke: { type: "boolean", default: false },
        samples: { type: "string" },
        runs: { type: "string", default: "1" },
        compare: { type: "string" },
        report: { type: "string" },
        from: { type: "string" },
      },
    });
    const { json, markdown, smoke, compare, report, from } = values;
    const samples = values.samples === undefined ? undefined : count(values.samples);
    if (positionals.some((name) => !known.includes(name))) return undefined;
    if (json && markdown) return undefined;
    // In the order in which they are kept, and none twice.
    const names = positionals.length === 0 ? known : known.filter((name) => positionals.includes(name));
    return { names, json, markdown, smoke, compare, report, from, samples, runs: count(values.runs) };
  } catch {
    return undefined;
  }
}

function count(text) {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`${text} is not a count`);
  return Number(text);
}
