// Percentiles by nearest rank: each is a sample that was really measured, none is interpolated.

/** Shares of the samples whose values are kept for plots. */
export const PLOTTED_SHARES = [...Array.from({ length: 50 }, (_, i) => i / 50), 0.99, 0.995, 0.999, 1];

/** The smallest sample that at least `share` (0 to 1) of all samples do not exceed. `sorted` ascending, not empty. */
export function percentile(sorted, share) {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1];
}

/**
 * `higherIsBetter`: P99 is what 99 of a hundred samples reach, instead of what they do not exceed: in both cases one in
 * a hundred is worse.
 */
export function summarize(samples, { higherIsBetter = false } = {}) {
  if (samples.length === 0) throw new Error("there are no samples to summarize");
  const sorted = Float64Array.from(samples).sort();
  const worse = higherIsBetter ? sorted.slice().reverse() : sorted;
  return {
    n: sorted.length,
    p50: percentile(worse, 0.5),
    p99: percentile(worse, 0.99),
    quantiles: PLOTTED_SHARES.map((share) => percentile(sorted, share)),
  };
}

/** Of a few figures, one a run; the mean of the middle two when their number is even. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
