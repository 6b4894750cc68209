import { ForecastError } from "../errors.ts";
import { requireSameLength, type Values } from "./values.ts";

/** Scores by group; each array has one value per group, NaN where the score cannot be computed. */
export interface GroupScores {
  /** rows counted */
  readonly n: Int32Array;
  readonly wape: Float64Array;
  readonly mape: Float64Array;
  readonly bias: Float64Array;
  readonly coverage: Float64Array;
  /** relative width, as `relativeWidth` */
  readonly width: Float64Array;
}

/**
 * The scores of every group (lead, entity, hour ...) in one pass. Definitions are those of the scores
 * of the same name; a row with NaN in any given argument is left out of all of them, so that they
 * speak of the same rows. Pass null for `lo` and `hi` of a forecast without intervals: coverage and
 * width are then NaN.
 *
 * @param group index of the row's group, 0 .. groups - 1; a row with a negative index is left out
 * @throws ForecastError `shape` on unequal lengths, `data` on an index of `groups` or more
 */
export function groupScores(
  y: Values,
  f: Values,
  lo: Values | null,
  hi: Values | null,
  group: Int32Array,
  groups: number,
): GroupScores {
  requireSameLength(y, f, group, lo ?? y, hi ?? y);
  const hasInterval = lo !== null && hi !== null;
  const low = lo ?? y;
  const high = hi ?? y;
  const n = new Int32Array(groups);
  const positive = new Int32Array(groups);
  const absolute = new Float64Array(groups);
  const relative = new Float64Array(groups);
  const signed = new Float64Array(groups);
  const sum = new Float64Array(groups);
  const sumAbsolute = new Float64Array(groups);
  const inside = new Float64Array(groups);
  const span = new Float64Array(groups);
  for (let i = 0; i < y.length; i++) {
    const g = group[i]!;
    if (g < 0) continue;
    if (g >= groups) {
      throw new ForecastError("data", `row ${i} has group ${g}, expected less than ${groups}`);
    }
    const actual = y[i]!;
    const miss = f[i]! - actual;
    const width = high[i]! - low[i]!;
    if (Number.isNaN(miss) || Number.isNaN(width)) continue;
    n[g]! += 1;
    absolute[g]! += Math.abs(miss);
    signed[g]! += miss;
    sum[g]! += actual;
    sumAbsolute[g]! += Math.abs(actual);
    span[g]! += width;
    if (low[i]! <= actual && actual <= high[i]!) inside[g]! += 1;
    if (actual > 0) {
      positive[g]! += 1;
      relative[g]! += Math.abs(miss) / actual;
    }
  }
  return {
    n,
    wape: ratios(absolute, sumAbsolute),
    mape: ratios(relative, positive),
    bias: ratios(signed, sum),
    coverage: hasInterval ? ratios(inside, n) : new Float64Array(groups).fill(Number.NaN),
    width: hasInterval ? ratios(span, sum) : new Float64Array(groups).fill(Number.NaN),
  };
}

function ratios(top: Float64Array, bottom: Float64Array | Int32Array): Float64Array {
  return top.map((value, g) => (bottom[g] === 0 ? Number.NaN : value / bottom[g]!));
}
