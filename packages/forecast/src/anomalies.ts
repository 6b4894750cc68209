import { ForecastError, requireLength } from "./errors.ts";
import { medianKnown } from "./quantile.ts";
import { RollingQuantiles } from "./rolling-quantiles.ts";

/**
 * One series on a dense grid of steps, oldest first, NaN where unknown. `forecast` is what was forecast for a
 * step BEFORE it was known, at one fixed lead; `low` and `high` are the bounds of its interval.
 */
export interface Observed {
  readonly actual: Float64Array;
  readonly forecast?: Float64Array;
  readonly low?: Float64Array;
  readonly high?: Float64Array;
}

/**
 * How the anomaly score of a step is made; the score is signed, an alarm is raised beyond `alarm`:
 * - `residual`: (ln(1 + y) - ln(1 + forecast)) over the robust scale of such residuals in the `window` steps
 *   before, once `minimum` of them are known; below -`fault` the step counts as half loaded. The scale is what makes
 *   the upper quartile of |residual| that of a normal: the usual median of them (Hampel 1974) takes a series that is
 *   mostly quiet and every few days wild for a quiet one
 * - `weekdayMad`: ln(1 + y) against the median of the same slot in the `seasons` seasons before, over 1.4826 x
 *   their median absolute deviation, at least `floor`; `season` in steps (7 for days)
 * - `plainZScore`: y against mean and standard deviation of the `window` steps before
 * - `interval`: y against the forecast's interval, 1 at its bounds
 */
export type Detector =
  | { name: "residual"; window: number; minimum: number; alarm: number; fault: number }
  | { name: "weekdayMad"; season: number; seasons: number; floor: number; alarm: number }
  | { name: "plainZScore"; window: number; minimum: number; alarm: number }
  | { name: "interval"; alarm: number };

/** For daily counts; 3.2 alarms on about 2 % of ordinary days. */
export const RESIDUAL_DETECTOR: Detector = {
  name: "residual",
  window: 90,
  minimum: 30,
  alarm: 3.2,
  fault: 4,
};

/** `unknown`: no value, no forecast, or too little before it. `fault`: so low that loading may have stopped. */
export type AnomalyVerdict = "normal" | "high" | "low" | "fault" | "unknown";

export interface Anomalies {
  /** signed, in the units of the detector; NaN where unknown */
  readonly score: Float64Array;
  readonly verdict: readonly AnomalyVerdict[];
}

/** Level of |residual| that tells its scale, and the quantile there of the standard half-normal distribution. */
const SCALE_LEVEL = 0.75;
const HALF_NORMAL = 1.1503493803760079;

/** Keeps a score finite where everything before was forecast exactly. */
const LEAST_SCALE = 1e-6;

/**
 * Scores every step by what lay before it: a step's own value and later ones never enter its scale, so the
 * verdict on a step is the one that stood on that day.
 *
 * @throws ForecastError `shape` on unequal lengths or a forecast the detector needs and was not given,
 * `option` on numbers that are not above 0, `data` on a count or forecast below 0
 */
export function detectAnomalies(observed: Observed, detector: Detector): Anomalies {
  for (const [option, value] of Object.entries(detector)) {
    if (typeof value === "number" && !(value > 0)) {
      throw new ForecastError("option", `${detector.name}: ${option} is ${value}, expected above 0`);
    }
  }
  const score = scoreBy(observed, detector);
  return { score, verdict: Array.from(score, (value) => judge(value, detector)) };
}

function judge(score: number, detector: Detector): AnomalyVerdict {
  if (Number.isNaN(score)) return "unknown";
  if (detector.name === "residual" && score < -detector.fault) return "fault";
  if (score > detector.alarm) return "high";
  return score < -detector.alarm ? "low" : "normal";
}

function scoreBy(observed: Observed, detector: Detector): Float64Array {
  switch (detector.name) {
    case "residual":
      return residualScores(logRatios(observed), detector.window, detector.minimum);
    case "weekdayMad":
      return sameSlotScores(observed.actual, detector);
    case "plainZScore":
      return plainScores(observed.actual, detector.window, detector.minimum);
    case "interval":
      return intervalScores(observed);
    default:
      throw new ForecastError("option", `unknown detector ${JSON.stringify(detector satisfies never)}`);
  }
}

/** ln(1 + y) - ln(1 + forecast), NaN where either is unknown. */
export function logRatios(observed: Observed): Float64Array {
  const { actual, forecast } = observed;
  if (forecast === undefined) throw new ForecastError("shape", "the detector needs a forecast of each step");
  requireLength("forecast", forecast.length, actual.length);
  return actual.map((y, t) => log1pCount(y, t) - log1pCount(forecast[t]!, t));
}

function log1pCount(value: number, step: number): number {
  if (value < 0) throw new ForecastError("data", `step ${step} has ${value}, expected a count of at least 0`);
  return Math.log1p(value);
}

function residualScores(residuals: Float64Array, window: number, minimum: number): Float64Array {
  const before = new RollingQuantiles(window);
  return residuals.map((residual) => {
    const scale = before.known >= minimum ? before.at(SCALE_LEVEL) / HALF_NORMAL : Number.NaN;
    before.push(Math.abs(residual));
    return residual / Math.max(scale, LEAST_SCALE);
  });
}

function sameSlotScores(
  actual: Float64Array,
  { season, seasons, floor }: Detector & { name: "weekdayMad" },
): Float64Array {
  const logs = actual.map(log1pCount);
  const past = new Float64Array(seasons);
  return logs.map((value, t) => {
    for (let k = 0; k < seasons; k++) past[k] = logs[t - season * (k + 1)] ?? Number.NaN;
    const centre = medianKnown(past);
    const spread = 1.4826 * medianKnown(past.map((p) => Math.abs(p - centre)));
    return (value - centre) / Math.max(spread, floor);
  });
}

function plainScores(actual: Float64Array, window: number, minimum: number): Float64Array {
  return actual.map((value, t) => {
    const past = actual.subarray(Math.max(0, t - window), t).filter((y) => !Number.isNaN(y));
    if (past.length < minimum) return Number.NaN;
    const mean = past.reduce((sum, y) => sum + y, 0) / past.length;
    const variance = past.reduce((sum, y) => sum + (y - mean) ** 2, 0) / Math.max(1, past.length - 1);
    return (value - mean) / Math.max(Math.sqrt(variance), LEAST_SCALE);
  });
}

function intervalScores({ actual, low, high }: Observed): Float64Array {
  if (low === undefined || high === undefined) {
    throw new ForecastError("shape", "the interval detector needs low and high of each step");
  }
  requireLength("low", low.length, actual.length);
  requireLength("high", high.length, actual.length);
  return actual.map((y, t) => {
    const half = (high[t]! - low[t]!) / 2;
    return (y - (low[t]! + half)) / Math.max(half, LEAST_SCALE);
  });
}

/** A lasting change of level, in steps of the series. */
export interface LevelShift {
  /** first step of the new level */
  readonly from: number;
  /** the step on which it could first be told from single odd days */
  readonly confirmedAt: number;
  /** first step that is back to what is forecast, or null while it lasts */
  readonly to: number | null;
  /** new level over what was forecast: exp of the median log-ratio from `from` to `confirmedAt` */
  readonly factor: number;
}

export interface ShiftRule {
  /** known steps in a row on the same side of the forecast */
  readonly run: number;
  /** that the median of their |scores| must exceed */
  readonly median: number;
}

/** One score in 900 or so by chance alone, where scores are independent and normal. */
export const SHIFT_RULE: ShiftRule = { run: 5, median: 1.5 };

/**
 * Level shifts: runs of `run` known steps whose residuals all have one sign and a median |score| above
 * `median`. One outlier moves neither the signs of its neighbours nor the median, so a single day, however
 * odd, is not enough; it is the runs rule of control charts (Western Electric, 1956: 4 of 5 beyond one sigma on one
 * side) with a median in place of a count. A shift ends on the first step at which the median of the last
 * `run` scores has come back below half of `median`: the level returned, or the forecast caught up. Causal:
 * what is confirmed at t rests on steps up to t.
 *
 * @param scores of the `residual` detector
 */
export function levelShifts(
  observed: Observed,
  scores: Float64Array,
  rule: ShiftRule = SHIFT_RULE,
): LevelShift[] {
  const ratios = logRatios(observed);
  requireLength("scores", scores.length, ratios.length);
  const { run, median } = rule;
  if (!(Number.isInteger(run) && run >= 2)) throw new ForecastError("option", `run is ${run}, expected 2 up`);
  if (!(median > 0)) throw new ForecastError("option", `median is ${median}, expected above 0`);
  const known = Int32Array.from(scores.keys()).filter((t) => !Number.isNaN(scores[t]!));
  const shifts: LevelShift[] = [];
  let side = 0; // sign of the shift that lasts, 0 for none
  for (let k = run - 1; k < known.length; k++) {
    const steps = known.subarray(k - run + 1, k + 1);
    const centre = medianKnown(Float64Array.from(steps, (t) => scores[t]!));
    if (side !== 0) {
      if (centre * side >= median / 2) continue;
      shifts.push({ ...shifts.pop()!, to: known[k]! });
      side = 0;
    }
    const sign = Math.sign(centre);
    if (Math.abs(centre) <= median || !steps.every((t) => Math.sign(scores[t]!) === sign)) continue;
    // An ordinary step before the shift may lie on the same side; it is not where the new level began.
    const from = steps.find((t) => Math.abs(scores[t]!) > median / 2)!;
    const factor = Math.exp(medianKnown(ratios.slice(from, known[k]! + 1)));
    shifts.push({ from, confirmedAt: known[k]!, to: null, factor });
    side = sign;
  }
  return shifts;
}
