// A document for people.
import { describeLimit, describeRun, describeTarget, describeVerdict, formatFigure, formatRatio } from "./format.mjs";

export function renderText(document) {
  const lines = [describeRun(document)];
  if (document.smoke) lines.push("A smoke run: it shows that everything runs, its figures mean nothing.");
  for (const benchmark of document.benchmarks) lines.push("", ...renderBenchmark(benchmark, document.smoke));
  return lines.join("\n");
}

function renderBenchmark(benchmark, smoke) {
  const { name, title, samples, seconds, error, rows, targets } = benchmark;
  if (error !== undefined) return [`${name}: ${title}`, `  COULD NOT BE MEASURED: ${error}`];
  const lines = [`${name}: ${title} (${samples} samples, ${seconds} s)`];
  const nameWidth = Math.max(...rows.map((row) => row.name.length)) + 2;
  const head = ["", "P50", "P99", "P50", "P99"];
  lines.push(`  ${"".padEnd(nameWidth)}${head.map((text) => text.padStart(9)).join("")}`);
  for (const row of rows) {
    const cells = [row.unit, formatFigure(row.p50), formatFigure(row.p99)];
    if (row.ratio !== null) cells.push(formatRatio(row.ratio.p50), formatRatio(row.ratio.p99));
    const against = row.ratio === null ? "" : `  of ${rows.find(({ id }) => id === row.against).name}`;
    lines.push(`  ${row.name.padEnd(nameWidth)}${cells.map((cell) => cell.padStart(9)).join("")}${against}`);
  }
  if (!smoke) for (const target of targets) lines.push(`  ${renderTarget(benchmark, target)}`);
  return lines;
}

function renderTarget(benchmark, target) {
  const limit = describeLimit(benchmark, target);
  return `${describeVerdict(target).padEnd(7)}${describeTarget(benchmark, target)}: ${formatFigure(target.value)} (${limit})`;
}
