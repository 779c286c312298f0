// From samples to figures: rows with their ratios, and what became of the targets.
//
// A benchmark is data beside one function:
//   name, title     what `npm run bench <name>` says, and one line about it
//   samples         how many by default; `smokeSamples` for --smoke
//   rows            [{ id, name, unit, against?, better? }]: `against` is the id of the row it is compared to, `better` is
//                   "higher" for rates (default "lower")
//   targets         [{ row, figure, of?, minus?, atMost? | below? | atLeast? }]: `figure` is "p50" or "p99"; `of` judges the
//                   ratio to that row, `minus` the difference, neither the figure itself
//   measure         async ({ samples, smoke }) => { row id: [sample, ...] }
import { median, summarize } from "./statistics.mjs";

/** `measured`: one object of samples by row a run. Every figure is the median of the runs. */
export function evaluate({ rows, targets }, measured) {
  const runs = measured.map((samples) => new Map(rows.map((row) => [row.id, summarizeRow(row, samples[row.id])])));
  const over = (pick) => median(runs.map(pick));
  return {
    rows: rows.map((row) => ({
      ...row,
      n: runs[0].get(row.id).n,
      p50: over((run) => run.get(row.id).p50),
      p99: over((run) => run.get(row.id).p99),
      ratio:
        row.against === undefined
          ? null
          : { p50: over((run) => ratio(run, row, "p50")), p99: over((run) => ratio(run, row, "p99")) },
      quantiles: runs[0].get(row.id).quantiles,
    })),
    targets: targets.map((target) => {
      const value = over((run) => judgedValue(run, target));
      return { ...target, value, met: isMet(target, value) };
    }),
  };
}

function summarizeRow({ id, better }, samples) {
  if (samples === undefined) throw new Error(`nothing was measured for ${id}`);
  return summarize(samples, { higherIsBetter: better === "higher" });
}

function ratio(run, { id, against }, figure) {
  return run.get(id)[figure] / run.get(against)[figure];
}

function judgedValue(run, { row, figure, of, minus }) {
  const value = run.get(row)[figure];
  if (of !== undefined) return value / run.get(of)[figure];
  return minus === undefined ? value : value - run.get(minus)[figure];
}

function isMet({ atMost, below, atLeast }, value) {
  if (atMost !== undefined) return value <= atMost;
  return below !== undefined ? value < below : value >= atLeast;
}
