// Every figure of a document to the same figure of an earlier one.
import { formatRatio } from "./format.mjs";

/** What is in only one of the two is left out. Above 1: more than before. */
export function compareDocuments(now, before) {
  const compared = [];
  for (const benchmark of now.benchmarks) {
    const old = before.benchmarks.find(({ name }) => name === benchmark.name);
    for (const row of benchmark.rows ?? []) {
      const oldRow = old?.rows?.find(({ id }) => id === row.id);
      if (oldRow === undefined) continue;
      const ratioOfRatios = row.ratio && oldRow.ratio ? quotient(row.ratio.p50, oldRow.ratio.p50) : null;
      compared.push({
        benchmark: benchmark.name,
        row: row.id,
        name: row.name,
        better: row.better ?? "lower",
        p50: quotient(row.p50, oldRow.p50),
        p99: quotient(row.p99, oldRow.p99),
        ratio: ratioOfRatios,
      });
    }
  }
  return compared;
}

/** 0 of 0 has not changed. */
function quotient(now, before) {
  return now === before ? 1 : now / before;
}

/** Changes below this may be noise: they get no arrow. */
const NOTEWORTHY = 1.1;

export function renderComparison(compared, before) {
  const width = Math.max(10, ...compared.map(({ name }) => name.length)) + 2;
  const lines = [
    `Now to ${before.startedAt} (${before.machine.node}, ${before.machine.cpu}); the last column compares the ratio to the row's`,
    "own yardstick, which a busier machine changes least.",
  ];
  let benchmark;
  for (const entry of compared) {
    if (entry.benchmark !== benchmark) {
      benchmark = entry.benchmark;
      lines.push(
        "",
        `${benchmark}`.padEnd(width + 2) + ["P50", "P99", "ratio"].map((text) => text.padStart(9)).join(""),
      );
    }
    const cells = [entry.p50, entry.p99, entry.ratio].map((value) => (value === null ? "" : formatRatio(value)));
    lines.push(`  ${entry.name.padEnd(width)}${cells.map((cell) => cell.padStart(9)).join("")}${verdict(entry)}`);
  }
  return lines.join("\n");
}

function verdict({ better, p50, ratio }) {
  const change = ratio ?? p50;
  const worse = better === "higher" ? 1 / change : change;
  if (worse > NOTEWORTHY) return "  slower or more";
  return worse < 1 / NOTEWORTHY ? "  better" : "";
}
