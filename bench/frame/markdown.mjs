// The table of targets, to be put into a document.
import { describeLimit, describeRun, describeTarget, describeVerdict, formatFigure } from "./format.mjs";

export function renderMarkdown(document) {
  const rows = document.benchmarks.flatMap((benchmark) =>
    benchmark.error === undefined
      ? benchmark.targets.map((target) => [
          benchmark.name,
          describeTarget(benchmark, target),
          describeLimit(benchmark, target),
          formatFigure(target.value),
          target.met ? describeVerdict(target) : `**${describeVerdict(target).toLowerCase()}**`,
        ])
      : [[benchmark.name, "could not be measured", "", "", benchmark.error]],
  );
  const table = [["benchmark", "what", "target", "measured", ""], ...rows];
  const widths = table[0].map((_, column) => Math.max(3, ...table.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`;
  const [head, ...body] = table;
  return [
    `${describeRun(document)}, ${document.startedAt.slice(0, 10)}:`,
    "",
    line(head),
    line(widths.map((width) => "-".repeat(width))),
    ...body.map(line),
  ].join("\n");
}
