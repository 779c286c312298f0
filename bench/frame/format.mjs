// Figures and targets as words, the same ones wherever they are shown.

export function formatFigure(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function formatRatio(value) {
  return `x ${Number.isFinite(value) ? formatFigure(value) : "-"}`;
}

/** What a target is about, without its limit: "Hello through the broker, P50 to the koffi floor". */
export function describeTarget({ rows }, { row, figure, of, minus }) {
  const name = (id) => rows.find((each) => each.id === id).name;
  const what = `${name(row)}, ${figure.toUpperCase()}`;
  if (of !== undefined) return `${what} to ${name(of)}`;
  return minus === undefined ? what : `${what} above ${name(minus)}`;
}

export function describeLimit(benchmark, target) {
  const unit = target.of === undefined ? ` ${benchmark.rows.find(({ id }) => id === target.row).unit}` : "";
  const { atMost, below, atLeast } = target;
  if (atMost !== undefined) return `at most ${atMost}${unit}`;
  return below === undefined ? `at least ${atLeast}${unit}` : `below ${below}${unit}`;
}

export function describeVerdict({ met }) {
  return met ? "met" : "MISSED";
}

export function describeRun({ machine, runs }) {
  const { cpu, cores, kernel, node } = machine;
  const over = runs > 1 ? `, medians of ${runs} runs` : "";
  return `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}${over}`;
}
