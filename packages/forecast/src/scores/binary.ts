import { type Labels, requireSameLength, scoreOrNull, type Values } from "./values.ts";

// Labels are 0 or 1 (above 0.5 counts as 1), `p` is the forecast probability, or any ranking for the
// scores that only rank. Rows with NaN in either are left out.

/**
 * The known rows, highest `p` first, as the thresholds that tell them apart: of each, the rows with `p` at or above
 * it and how many of them are positive. What the ranking scores walk along; made once, it serves all of them.
 */
export interface Ranking {
  /** Falling. */
  readonly threshold: Float64Array;
  readonly alarms: Float64Array;
  readonly hits: Float64Array;
  readonly rows: number;
  readonly positives: number;
}

/** Sorts positives and negatives apart: the engine sorts plain numbers ten times as fast as rows by a comparison. */
export function rankingOf(y: Labels, p: Values): Ranking {
  requireSameLength(y, p);
  const sides = [new Float64Array(y.length), new Float64Array(y.length)] as const;
  const counts: [number, number] = [0, 0];
  for (let i = 0; i < y.length; i++) {
    if (Number.isNaN(y[i]!) || Number.isNaN(p[i]!)) continue;
    const side = y[i]! > 0.5 ? 1 : 0;
    sides[side][counts[side]++] = p[i]!;
  }
  const [negative, positive] = [
    sides[0].subarray(0, counts[0]).sort(),
    sides[1].subarray(0, counts[1]).sort(),
  ];
  const rows = negative.length + positive.length;
  const [threshold, alarms, hits] = [new Float64Array(rows), new Float64Array(rows), new Float64Array(rows)];
  let n = 0;
  let [low, high] = [negative.length, positive.length];
  while (low > 0 || high > 0) {
    const at = Math.max(
      low > 0 ? negative[low - 1]! : Number.NEGATIVE_INFINITY,
      high > 0 ? positive[high - 1]! : Number.NEGATIVE_INFINITY,
    );
    while (low > 0 && negative[low - 1] === at) low--;
    while (high > 0 && positive[high - 1] === at) high--;
    threshold[n] = at;
    hits[n] = positive.length - high;
    alarms[n] = hits[n]! + negative.length - low;
    n++;
  }
  return {
    threshold: threshold.subarray(0, n),
    alarms: alarms.subarray(0, n),
    hits: hits.subarray(0, n),
    rows,
    positives: positive.length,
  };
}

const asRanking = (y: Labels | Ranking, p: Values | undefined): Ranking =>
  "threshold" in y ? y : rankingOf(y, p!);

/**
 * Average precision: sum over thresholds of (recall gained) x (precision there). Rows with equal `p` are
 * one threshold, so the order of ties changes nothing. Null without a positive row.
 */
export function averagePrecision(ranking: Ranking): number | null;
export function averagePrecision(y: Labels, p: Values): number | null;
export function averagePrecision(y: Labels | Ranking, p?: Values): number | null {
  const { alarms, hits, positives } = asRanking(y, p);
  let sum = 0;
  for (let k = 0; k < hits.length; k++) {
    const tied = hits[k]! - (k === 0 ? 0 : hits[k - 1]!);
    sum += (tied * hits[k]!) / alarms[k]!;
  }
  return scoreOrNull(sum / positives);
}

/** F1 of the alarm `p >= threshold`: 2 TP / (2 TP + FP + FN). Null without positives and alarms. */
export function f1(y: Labels, p: Labels, threshold: number): number | null {
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
  const { threshold, alarms, hits, positives } = rankingOf(y, p);
  if (positives === 0) return null;
  let best = { threshold: Number.POSITIVE_INFINITY, f1: -1 };
  for (let k = 0; k < hits.length; k++) {
    const score = (2 * hits[k]!) / (alarms[k]! + positives);
    if (score > best.f1) best = { threshold: threshold[k]!, f1: score };
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

/** Mean p over the share of positives: 1 where as many come as were forecast. Null without a positive row. */
export function probabilityBias(y: Labels, p: Values): number | null {
  requireSameLength(y, p);
  let [expected, came] = [0, 0];
  for (let i = 0; i < y.length; i++) {
    if (Number.isNaN(y[i]!) || Number.isNaN(p[i]!)) continue;
    expected += p[i]!;
    if (y[i]! > 0.5) came++;
  }
  return scoreOrNull(expected / came);
}

/** Rows of alike probability: what was forecast of them, and what came. */
export interface ReliabilityBin {
  readonly rows: number;
  /** Mean p, and its bounds among the rows. */
  readonly forecast: number;
  readonly from: number;
  readonly to: number;
  /** Share of positives. */
  readonly came: number;
}

/**
 * Reliability by bins of `p`, lowest first: of equally many rows (`rows`) or equally wide on [0, 1] (`width`). Bins
 * without rows are left out; rows with the same `p` lie in one bin where bins are of rows.
 */
export function reliability(y: Labels, p: Values, by: "rows" | "width", bins = 10): ReliabilityBin[] {
  const { threshold, alarms, hits, rows } = rankingOf(y, p);
  const out: { rows: number; sum: number; hits: number; from: number; to: number }[] = [];
  let bin = -1;
  // From the lowest threshold up: `above` rows lie above the one at hand.
  for (let k = threshold.length - 1; k >= 0; k--) {
    const above = k === 0 ? 0 : alarms[k - 1]!;
    const tied = alarms[k]! - above;
    const place = by === "rows" ? (rows - alarms[k]!) / rows : threshold[k]!;
    const here = Math.min(bins - 1, Math.max(0, Math.floor(place * bins)));
    if (here !== bin) out.push({ rows: 0, sum: 0, hits: 0, from: threshold[k]!, to: threshold[k]! });
    bin = here;
    const last = out.at(-1)!;
    last.rows += tied;
    last.sum += tied * threshold[k]!;
    last.hits += hits[k]! - (k === 0 ? 0 : hits[k - 1]!);
    last.to = threshold[k]!;
  }
  return out.map(({ rows, sum, hits, from, to }) => ({
    rows,
    forecast: sum / rows,
    from,
    to,
    came: hits / rows,
  }));
}

/**
 * Recall and precision when alarming on the `rate` of rows with the highest `p` (0.01 = 1 %, rounded down to whole
 * rows). Rows tied at the cut share the alarms that are left, as if drawn at random. Recall is null without a
 * positive row, precision without an alarm.
 */
export function atAlarmRate(
  { alarms, hits, rows, positives }: Ranking,
  rate: number,
): { recall: number | null; precision: number | null } {
  const budget = Math.floor(rate * rows + 1e-9); // 0.07 x 100 is 7.000000000000001
  let found = 0;
  for (let k = 0; k < hits.length; k++) {
    const [alarmed, hit] = k === 0 ? [0, 0] : [alarms[k - 1]!, hits[k - 1]!];
    if (alarmed >= budget) break;
    found += (hits[k]! - hit) * Math.min(1, (budget - alarmed) / (alarms[k]! - alarmed));
  }
  return { recall: scoreOrNull(found / positives), precision: scoreOrNull(found / budget) };
}

/** The recall of `atAlarmRate`. */
export function recallAtAlarmRate(y: Labels, p: Values, rate: number): number | null {
  return atAlarmRate(rankingOf(y, p), rate).recall;
}
