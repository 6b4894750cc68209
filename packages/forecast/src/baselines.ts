import { quantileSorted } from "./quantile.ts";

// Naive forecasts from `past`: the values of the same slot (same local hour last week, the week before ...),
// NEWEST FIRST, NaN where unknown. They are the oracles of the platform's SQL: a fixed window of slots in
// which the unknown ones are skipped, as SQL aggregates skip NULL. NaN where nothing in the window is known.

type Past = Float64Array | Float32Array | readonly number[];

/** The newest known value. */
export function lastSeason(past: Past): number {
  for (let i = 0; i < past.length; i++) if (!Number.isNaN(past[i]!)) return past[i]!;
  return Number.NaN;
}

/** Mean of the known values among the `k` newest slots. */
export function meanOf(past: Past, k: number): number {
  let sum = 0;
  let n = 0;
  for (let i = 0; i < Math.min(k, past.length); i++) {
    if (Number.isNaN(past[i]!)) continue;
    sum += past[i]!;
    n++;
  }
  return n === 0 ? Number.NaN : sum / n;
}

/** Median of the known values among the `k` newest slots; the mean of the middle two where they are even. */
export function medianOf(past: Past, k: number): number {
  return quantileOf(past, k, 0.5);
}

/**
 * Empirical quantile at level `tau` (0 .. 1) of the known values among the `k` newest slots, linear between
 * order statistics (type 7 of Hyndman and Fan 1996; `quantile_cont` in SQL).
 */
export function quantileOf(past: Past, k: number, tau: number): number {
  const known = Float64Array.from(past)
    .subarray(0, k)
    .filter((value) => !Number.isNaN(value))
    .sort();
  return quantileSorted(known, tau);
}
