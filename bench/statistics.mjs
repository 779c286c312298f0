// Percentiles by nearest rank: each is a sample that was really measured, none is interpolated.

/** The smallest sample that at least `share` (0 to 1) of all samples do not exceed. `sorted` ascending, not empty. */
export function percentile(sorted, share) {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1];
}

export function summarize(samples) {
  const sorted = Float64Array.from(samples).sort();
  return { n: sorted.length, p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}
