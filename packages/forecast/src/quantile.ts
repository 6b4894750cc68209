/**
 * Quantile at level `tau` (0 .. 1) of ascending values without NaN, linear between order statistics (type 7
 * of Hyndman and Fan 1996; numpy's default, `quantile_cont` in SQL). NaN where there are none.
 */
export function quantileSorted(sorted: Float64Array, tau: number): number {
  if (sorted.length === 0) return Number.NaN;
  const position = tau * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (position - below) * (high - low);
}

/** The middle of the known values, the mean of the middle two where they are even; NaN where there are none. */
export function medianKnown(values: Float64Array): number {
  return quantileSorted(values.filter((value) => !Number.isNaN(value)).sort(), 0.5);
}
