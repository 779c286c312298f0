// The benchmarks, on what `npm run build` has put into dist: npm run bench
import { readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { readArguments } from "./frame/arguments.mjs";
import { endRun } from "./frame/children.mjs";
import { compareDocuments, renderComparison } from "./frame/compare.mjs";
import { renderHtml } from "./frame/html.mjs";
import { renderMarkdown } from "./frame/markdown.mjs";
import { exitStatus, runSuite } from "./frame/suite.mjs";
import { renderText } from "./frame/text.mjs";

const NAMES = ["hello", "hello-load", "handoff", "client", "cold", "herd", "scale", "throughput", "idle", "logs"];

const USAGE = `usage: npm run bench [name ...] [-- option ...]

  ${NAMES.join(", ")} (default: all)

  --samples <n>         measured samples of each row, instead of the benchmark's own number
  --runs <n>            carry each benchmark out n times; every figure is the median (default 1)
  --smoke               a few samples of everything, nothing is judged
  --json                one document for machines; --markdown: the table of targets
  --report <file.html>  also write a page with plots
  --compare <old.json>  print each figure's ratio to an earlier --json document; nothing is judged
  --from <result.json>  show that document instead of measuring

Exit 0 measured and within the targets, 2 a benchmark could not be carried out, 3 a target was missed, 64 usage. Any
other status is a crash.
`;

const chosen = readArguments(process.argv.slice(2), NAMES);
if (chosen === undefined) {
  process.stderr.write(USAGE);
  process.exitCode = 64;
} else {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void interrupted(signal));
  process.exitCode = await main(chosen);
}

async function main({ names, json, markdown, smoke, compare, report, from, samples, runs }) {
  // Before anything takes minutes.
  const before = compare === undefined ? undefined : readDocument(compare);
  const document = from === undefined ? await measure(names, { samples, runs, smoke }) : readDocument(from);
  const compared = before && compareDocuments(document, before);
  if (report !== undefined) writeFileSync(report, renderHtml(document));
  if (json) console.log(JSON.stringify(compared ? { ...document, compared } : document));
  else {
    console.log(markdown ? renderMarkdown(document) : renderText(document));
    if (compared) console.log(`\n${renderComparison(compared, before)}`);
  }
  return exitStatus(document, { judging: before === undefined });
}

async function measure(names, options) {
  const benchmarks = [];
  for (const name of names) benchmarks.push((await import(`./benchmarks/${name}.mjs`)).default);
  // Progress is for who watches, the result for whoever reads stdout.
  return runSuite(benchmarks, options, (line) => process.stderr.write(`${line}\n`));
}

function readDocument(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

async function interrupted(signal) {
  await endRun();
  process.exit(128 + constants.signals[signal]);
}
