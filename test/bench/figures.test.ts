import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../support/world.ts";

interface Row {
  readonly id: string;
  readonly name: string;
  readonly unit: string;
  readonly against?: string;
  readonly better?: "higher";
}

interface Figures extends Row {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  readonly ratio: { readonly p50: number; readonly p99: number } | null;
}

interface Verdict {
  readonly value: number;
  readonly met: boolean;
}

const load = (name: string): Promise<unknown> => import(join(PROJECT, "bench/frame", name));
const statistics = (await load("statistics.mjs")) as {
  percentile(sorted: readonly number[], share: number): number;
  summarize(
    samples: readonly number[],
    options?: { higherIsBetter?: boolean },
  ): { n: number; p50: number; p99: number };
  median(values: readonly number[]): number;
};
const { evaluate } = (await load("evaluate.mjs")) as {
  evaluate(
    benchmark: { rows: readonly Row[]; targets: readonly object[] },
    measured: readonly Record<string, readonly number[]>[],
  ): { rows: Figures[]; targets: Verdict[] };
};
const { compareDocuments } = (await load("compare.mjs")) as {
  compareDocuments(now: object, before: object): { row: string; p50: number; p99: number; ratio: number | null }[];
};
const { exitStatus } = (await load("suite.mjs")) as {
  exitStatus(document: object, options: { judging: boolean }): number;
};
const { readArguments } = (await load("arguments.mjs")) as {
  readArguments(args: readonly string[], known: readonly string[]): Record<string, unknown> | undefined;
};

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

test("a percentile is the nearest rank: a sample that was measured", () => {
  const { percentile, summarize, median } = statistics;
  assert.equal(percentile(upTo(100), 0.5), 50);
  assert.equal(percentile(upTo(100), 0.99), 99);
  assert.equal(percentile([7], 0.99), 7);
  assert.equal(percentile([7, 9], 0), 7);
  const { n, p50, p99 } = summarize([...upTo(200)].reverse());
  assert.deepEqual([n, p50, p99], [200, 100, 198]);
  assert.deepEqual([median([5, 1, 3]), median([4, 2])], [3, 3]);
});

test("of a rate, P99 is what nearly all samples reach", () => {
  const { p50, p99 } = statistics.summarize(upTo(100), { higherIsBetter: true });
  assert.deepEqual([p50, p99], [51, 2]);
});

test("nothing measured is an error, not a figure", () => {
  assert.throws(() => statistics.summarize([]), /no samples/);
  assert.throws(() => evaluate({ rows: [ROWS[0]], targets: [] }, [{}]), /nothing was measured for fast/);
});

const ROWS = [
  { id: "fast", name: "fast", unit: "µs" },
  { id: "slow", name: "slow", unit: "µs", against: "fast" },
  { id: "rate", name: "rate", unit: "1/s", better: "higher" },
] as const;

test("targets judge a figure, a ratio or a difference, from below or from above", () => {
  const targets = [
    { row: "slow", figure: "p50", of: "fast", atMost: 2 },
    { row: "slow", figure: "p50", of: "fast", below: 2 },
    { row: "slow", figure: "p50", minus: "fast", atMost: 9 },
    { row: "slow", figure: "p99", atMost: 20 },
    { row: "rate", figure: "p50", atLeast: 1000 },
    { row: "rate", figure: "p50", of: "fast", atLeast: 1000 },
  ];
  const { rows, targets: verdicts } = evaluate({ rows: ROWS, targets }, [{ fast: [10], slow: [20], rate: [1000] }]);
  assert.deepEqual(rows[1]?.ratio, { p50: 2, p99: 2 });
  assert.equal(rows[0]?.ratio, null);
  assert.deepEqual(
    verdicts.map(({ value, met }) => [value, met]),
    [
      [2, true],
      [2, false],
      [10, false],
      [20, true],
      [1000, true],
      [100, false],
    ],
  );
});

test("over several runs every figure, ratio and verdict is the median of the runs", () => {
  const targets = [{ row: "slow", figure: "p50", of: "fast", atMost: 2 }];
  const measured = [
    { fast: [10], slow: [20], rate: [1] },
    { fast: [20], slow: [20], rate: [1] },
    // One bad run decides nothing.
    { fast: [1], slow: [90], rate: [1] },
  ];
  const { rows, targets: verdicts } = evaluate({ rows: ROWS, targets }, measured);
  assert.deepEqual([rows[0]?.p50, rows[1]?.p50, rows[1]?.ratio?.p50], [10, 20, 2]);
  assert.deepEqual(verdicts[0] && [verdicts[0].value, verdicts[0].met], [2, true]);
});

test("a comparison has each figure's ratio to the earlier one, and that of the ratio to the yardstick", () => {
  const document = (fast: number, slow: number): object => ({
    benchmarks: [
      { name: "demo", ...evaluate({ rows: ROWS.slice(0, 2), targets: [] }, [{ fast: [fast], slow: [slow] }]) },
    ],
  });
  const compared = compareDocuments(document(10, 40), document(10, 20));
  assert.deepEqual(
    compared.map(({ row, p50, p99, ratio }) => [row, p50, p99, ratio]),
    [
      ["fast", 1, 1, null],
      ["slow", 2, 2, 2],
    ],
  );
  // The machine is half as fast: the figures double, their ratio to the yardstick stays.
  assert.equal(compareDocuments(document(20, 40), document(10, 20))[1]?.ratio, 1);
  assert.deepEqual(compareDocuments(document(1, 1), { benchmarks: [{ name: "another", rows: [] }] }), []);
  assert.deepEqual(compareDocuments({ benchmarks: [{ name: "demo", error: "broke" }] }, document(1, 1)), []);
});

test("the exit status tells a missed target, a benchmark that broke, and neither when nothing is judged", () => {
  const document = (met: boolean, smoke = false): object => ({ smoke, benchmarks: [{ targets: [{ met }] }] });
  assert.equal(exitStatus(document(true), { judging: true }), 0);
  assert.equal(exitStatus(document(false), { judging: true }), 3);
  assert.equal(exitStatus(document(false), { judging: false }), 0);
  assert.equal(exitStatus(document(false, true), { judging: true }), 0);
  assert.equal(exitStatus({ smoke: true, benchmarks: [{ error: "broke" }] }, { judging: false }), 2);
});

test("names choose benchmarks, none means all, and what makes no sense is refused", () => {
  const known = ["a", "b"];
  assert.deepEqual(readArguments([], known)?.names, known);
  assert.deepEqual(readArguments(["b", "a", "b"], known)?.names, known);
  assert.deepEqual(readArguments(["b", "--runs", "3"], known)?.runs, 3);
  for (const wrong of [["c"], ["--samples", "0"], ["--runs", "x"], ["--json", "--markdown"], ["--unknown"]])
    assert.equal(readArguments(wrong, known), undefined, wrong.join(" "));
});
