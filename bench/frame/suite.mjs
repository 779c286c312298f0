// Carries benchmarks out, one after the other, and puts everything that came of it into one document.
import { cleanUp } from "./children.mjs";
import { evaluate } from "./evaluate.mjs";
import { describeMachine } from "./machine.mjs";

/** Grows when the document's shape changes. */
export const DOCUMENT_VERSION = 1;

/**
 * `options`: { samples, runs, smoke }; `say` is told what is going on. A benchmark that fails is in the document with its
 * error; the others are carried out all the same.
 */
export async function runSuite(benchmarks, options, say) {
  const results = [];
  for (const benchmark of benchmarks) results.push(await runBenchmark(benchmark, options, say));
  return {
    version: DOCUMENT_VERSION,
    startedAt: new Date().toISOString(),
    machine: describeMachine(),
    runs: options.runs,
    smoke: options.smoke,
    benchmarks: results,
  };
}

async function runBenchmark(benchmark, { samples, runs, smoke }, say) {
  const { name, title } = benchmark;
  const count = smoke ? benchmark.smokeSamples : (samples ?? benchmark.samples);
  const begun = performance.now();
  const measured = [];
  try {
    for (let run = 1; run <= runs; run++) {
      say(`${name}: ${count} samples${runs > 1 ? `, run ${run} of ${runs}` : ""}`);
      measured.push(await benchmark.measure({ samples: count, smoke }));
      await cleanUp();
    }
  } catch (error) {
    await cleanUp();
    return { name, title, samples: count, error: error instanceof Error ? error.message : String(error) };
  }
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  return { name, title, samples: count, seconds, ...evaluate(benchmark, measured) };
}

/** Node itself exits with 1 for any error that is not caught, so a missed target has a status of its own. */
const TARGET_MISSED = 3;

/** 0 all is well, 3 a target is missed, 2 a benchmark could not be carried out. */
export function exitStatus({ benchmarks, smoke }, { judging }) {
  if (benchmarks.some(({ error }) => error !== undefined)) return 2;
  if (!judging || smoke) return 0;
  return benchmarks.every(({ targets }) => targets.every(({ met }) => met)) ? 0 : TARGET_MISSED;
}
