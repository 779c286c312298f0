// Runs one benchmark by name, on what `npm run build` has put into dist: npm run bench handoff
import { parseArgs } from "node:util";

const USAGE = `usage: npm run bench <name> -- [--samples <n>] [--json]

  handoff        direct connect, Hello + reconnect, v1 handoff and direct handoff, by a lean client and by the library

  --samples <n>  measured uses of each route by each client (default 5000)
  --json         the report for machines

Exit 0 measured and within the targets, 1 a target was missed, 64 usage.
`;

const BENCHMARKS = { handoff: () => import("./handoff.mjs") };

const chosen = readArguments(process.argv.slice(2));
if (chosen === undefined) {
  process.stderr.write(USAGE);
  process.exitCode = 64;
} else {
  const { run } = await chosen.load();
  process.exitCode = await run(chosen.options);
}

/** Undefined when they make no sense. */
function readArguments(args) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { json: { type: "boolean", default: false }, samples: { type: "string", default: "5000" } },
    });
    const [name = "", ...rest] = positionals;
    if (!Object.hasOwn(BENCHMARKS, name) || rest.length > 0 || !/^[1-9]\d{0,6}$/.test(values.samples)) return undefined;
    return { load: BENCHMARKS[name], options: { json: values.json, samples: Number(values.samples) } };
  } catch {
    return undefined;
  }
}
