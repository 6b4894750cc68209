import { requireLength } from "../errors.ts";
import { requireSameLength, scoreOrNull, type Values } from "./values.ts";

// Every score here is one pass over the rows and leaves out the rows with NaN in any argument.

/**
 * Weighted absolute percentage error as a fraction: sum |y - f| / sum |y|.
 * Null without rows or where every y is 0.
 */
export function wape(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let error = 0;
  let total = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = Math.abs(y[i]! - f[i]!);
    if (Number.isNaN(miss)) continue;
    error += miss;
    total += Math.abs(y[i]!);
  }
  return scoreOrNull(error / total);
}

/** Mean absolute percentage error as a fraction, over the rows with y > 0. Null where there are none. */
export function mape(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const actual = y[i]!;
    const share = Math.abs(actual - f[i]!) / actual;
    if (!(actual > 0) || Number.isNaN(share)) continue;
    sum += share;
    n++;
  }
  return scoreOrNull(sum / n);
}

/**
 * Mean absolute scaled error: mean of |y - f| / scale. `scale` is one number for a single series, or one
 * value per row (the scale of the row's entity); see `seasonalScale`. Rows whose scale is not above 0 are
 * left out, as a series without seasonal change has no scale.
 */
export function mase(y: Values, f: Values, scale: number | Values): number | null {
  requireSameLength(y, f);
  if (typeof scale !== "number") requireLength("scale", scale.length, y.length);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const unit = typeof scale === "number" ? scale : scale[i]!;
    const miss = Math.abs(y[i]! - f[i]!);
    if (!(unit > 0) || Number.isNaN(miss)) continue;
    sum += miss / unit;
    n++;
  }
  return scoreOrNull(sum / n);
}

/**
 * The denominator of MASE: mean |y[t] - y[t - season]| over a TRAINING series in time order, `season` in
 * steps (24 or 168 for hours). Null where no such pair is known.
 */
export function seasonalScale(training: Values, season: number): number | null {
  let sum = 0;
  let n = 0;
  for (let t = season; t < training.length; t++) {
    const change = Math.abs(training[t]! - training[t - season]!);
    if (Number.isNaN(change)) continue;
    sum += change;
    n++;
  }
  return scoreOrNull(sum / n);
}

/** Root mean squared error, in the units of y. */
export function rmse(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = y[i]! - f[i]!;
    if (Number.isNaN(miss)) continue;
    sum += miss * miss;
    n++;
  }
  return scoreOrNull(Math.sqrt(sum / n));
}

/**
 * Root mean squared error of ln(1 + y). Null also where a known value lies below -1, as it has no
 * logarithm and leaving such rows out would flatter the forecast.
 */
export function rmsle(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const actual = y[i]!;
    const forecast = f[i]!;
    if (Number.isNaN(actual) || Number.isNaN(forecast)) continue;
    const miss = Math.log1p(actual) - Math.log1p(forecast);
    sum += miss * miss;
    n++;
  }
  return scoreOrNull(Math.sqrt(sum / n));
}

/** Share of variance explained: 1 - sum (y - f)^2 / sum (y - mean y)^2. Null for a constant y. */
export function r2(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let errors = 0;
  let mean = 0;
  let spread = 0; // Welford's running sum of squares: one pass without cancellation
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const actual = y[i]!;
    const miss = actual - f[i]!;
    if (Number.isNaN(miss)) continue;
    n++;
    errors += miss * miss;
    const step = actual - mean;
    mean += step / n;
    spread += step * (actual - mean);
  }
  return spread > 0 ? scoreOrNull(1 - errors / spread) : null;
}

/** Relative bias: sum (f - y) / sum y; above 0 the forecast is too high. */
export function bias(y: Values, f: Values): number | null {
  requireSameLength(y, f);
  let excess = 0;
  let total = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = f[i]! - y[i]!;
    if (Number.isNaN(miss)) continue;
    excess += miss;
    total += y[i]!;
  }
  return scoreOrNull(excess / total);
}
