import { type Labels, requireSameLength, scoreOrNull, type Values } from "./values.ts";

// Labels are 0 or 1 (above 0.5 counts as 1), `p` is the forecast probability, or any ranking for the
// scores that only rank. Rows with NaN in either are left out.

/** The known rows, highest `p` first; the walk in this order is what the ranking scores share. */
function ranked(y: Labels, p: Values): Int32Array {
  requireSameLength(y, p);
  const order = new Int32Array(y.length);
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    if (!Number.isNaN(y[i]!) && !Number.isNaN(p[i]!)) order[n++] = i;
  }
  return order.subarray(0, n).sort((a, b) => p[b]! - p[a]!);
}

function countPositive(y: Labels, order: Int32Array): number {
  let positives = 0;
  for (let k = 0; k < order.length; k++) if (y[order[k]!]! > 0.5) positives++;
  return positives;
}

/**
 * Average precision: sum over thresholds of (recall gained) x (precision there). Rows with equal `p` are
 * one threshold, so the order of ties changes nothing. Null without a positive row.
 */
export function averagePrecision(y: Labels, p: Values): number | null {
  const order = ranked(y, p);
  const positives = countPositive(y, order);
  let sum = 0;
  let hits = 0;
  let k = 0;
  while (k < order.length) {
    const threshold = p[order[k]!]!;
    let tied = 0;
    for (; k < order.length && p[order[k]!]! === threshold; k++) if (y[order[k]!]! > 0.5) tied++;
    hits += tied;
    sum += (tied * hits) / k;
  }
  return scoreOrNull(sum / positives);
}

/** F1 of the alarm `p >= threshold`: 2 TP / (2 TP + FP + FN). Null without positives and alarms. */
export function f1(y: Labels, p: Values, threshold: number): number | null {
  requireSameLength(y, p);
  let hits = 0;
  let alarms = 0;
  let positives = 0;
  for (let i = 0; i < y.length; i++) {
    if (Number.isNaN(y[i]!) || Number.isNaN(p[i]!)) continue;
    const isPositive = y[i]! > 0.5;
    const isAlarm = p[i]! >= threshold;
    if (isPositive) positives++;
    if (isAlarm) alarms++;
    if (isPositive && isAlarm) hits++;
  }
  return scoreOrNull((2 * hits) / (alarms + positives));
}

/**
 * The threshold with the highest F1, and that F1; the higher threshold (fewer alarms) where several are
 * best. Choose it on rows before those it is judged on. Null without a positive row.
 */
export function bestF1(y: Labels, p: Values): { threshold: number; f1: number } | null {
  const order = ranked(y, p);
  const positives = countPositive(y, order);
  if (positives === 0) return null;
  let best = { threshold: Number.POSITIVE_INFINITY, f1: -1 };
  let hits = 0;
  let k = 0;
  while (k < order.length) {
    const threshold = p[order[k]!]!;
    for (; k < order.length && p[order[k]!]! === threshold; k++) if (y[order[k]!]! > 0.5) hits++;
    const score = (2 * hits) / (k + positives);
    if (score > best.f1) best = { threshold, f1: score };
  }
  return best;
}

/** Brier score: mean (p - y)^2. */
export function brier(y: Labels, p: Values): number | null {
  requireSameLength(y, p);
  let sum = 0;
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = p[i]! - y[i]!;
    if (Number.isNaN(miss)) continue;
    sum += miss * miss;
    n++;
  }
  return scoreOrNull(sum / n);
}

/**
 * Expected calibration error: over equally wide bins of `p` in [0, 1], the mean of |share of positives -
 * mean p|, weighted by the bins' rows.
 */
export function expectedCalibrationError(y: Labels, p: Values, bins = 15): number | null {
  requireSameLength(y, p);
  const excess = new Float64Array(bins);
  let n = 0;
  for (let i = 0; i < y.length; i++) {
    const miss = p[i]! - y[i]!;
    if (Number.isNaN(miss)) continue;
    excess[Math.min(bins - 1, Math.max(0, Math.floor(p[i]! * bins)))]! += miss;
    n++;
  }
  let sum = 0;
  for (let b = 0; b < bins; b++) sum += Math.abs(excess[b]!);
  return scoreOrNull(sum / n);
}

/**
 * Share of the positives found when alarming on the `rate` of rows with the highest `p` (0.01 = 1 %,
 * rounded down to whole rows). Rows tied at the cut share the alarms that are left, as if drawn at random.
 * Null without a positive row.
 */
export function recallAtAlarmRate(y: Labels, p: Values, rate: number): number | null {
  const order = ranked(y, p);
  const positives = countPositive(y, order);
  const alarms = Math.floor(rate * order.length + 1e-9); // 0.07 x 100 is 7.000000000000001
  let found = 0;
  let k = 0;
  while (k < order.length && k < alarms) {
    const threshold = p[order[k]!]!;
    const before = k;
    let tied = 0;
    for (; k < order.length && p[order[k]!]! === threshold; k++) if (y[order[k]!]! > 0.5) tied++;
    found += tied * Math.min(1, (alarms - before) / (k - before));
  }
  return scoreOrNull(found / positives);
}
