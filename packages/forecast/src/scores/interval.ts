import { requireSameLength, scoreOrNull, type Values } from "./values.ts";

/**
 * Mean pinball loss of the quantile forecast `q` at level `tau`: tau (y - q) where y >= q, else
 * (1 - tau) (q - y). In the units of y.
 */
export function pinball(y: Values, q: Values, tau: number): number | null {
  requireSameLength(y, q);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = y[i]! - q[i]!;
    if (Number.isNaN(miss)) continue;
    sum += miss >= 0 ? tau * miss : (tau - 1) * miss;
    n++;
  }
  return scoreOrNull(sum / n);
}

/** Share of rows with lo <= y <= hi. */
export function coverage(y: Values, lo: Values, hi: Values): number | null {
  requireSameLength(y, lo, hi);
  let inside = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const actual = y[i]!;
    const low = lo[i]!;
    const high = hi[i]!;
    if (Number.isNaN(actual) || Number.isNaN(low) || Number.isNaN(high)) continue;
    if (low <= actual && actual <= high) inside++;
    n++;
  }
  return scoreOrNull(inside / n);
}

/** Mean width over mean y: sum (hi - lo) / sum y. What coverage was paid for. */
export function relativeWidth(y: Values, lo: Values, hi: Values): number | null {
  requireSameLength(y, lo, hi);
  let width = 0;
  let total = 0;
  for (let i = 0; i < y.length; i++) {
    const span = hi[i]! - lo[i]!;
    if (Number.isNaN(span) || Number.isNaN(y[i]!)) continue;
    width += span;
    total += y[i]!;
  }
  return scoreOrNull(width / total);
}
