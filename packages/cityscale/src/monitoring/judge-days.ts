import {
  type Detector,
  detectAnomalies,
  type LevelShift,
  levelShifts,
  RESIDUAL_DETECTOR,
} from "@cityscale/forecast";
import type { AnomalyRule } from "../domain/index.ts";
import type { DaySums } from "./day-sums.ts";

/** Days that detectors look back on, and the fewest of them. */
export const windowDays = 90;
const fewestDays = 30;

/** What a day is by itself: out of the ordinary, or so low that only a part of it can have been loaded. */
export type DayKind = "anomaly" | "half-loaded";

export interface JudgedDays {
  readonly days: DaySums;
  /** Signed, in the units of the detector; NaN where it cannot be told. */
  readonly score: Float64Array;
  /** What each day is; null for ordinary ones, and for those of a confirmed shift to the same side. */
  readonly kind: readonly (DayKind | null)[];
  /** Lasting changes against the forecast, as indices of days. */
  readonly shifts: readonly LevelShift[];
}

/**
 * Judges each day by what lay before it: what comes later changes no verdict. A day beyond the threshold is an anomaly,
 * one below minus the fault threshold half loaded; once a level shift is confirmed, days on its side are its own.
 */
export function judgeDays(days: DaySums, rule: AnomalyRule): JudgedDays {
  const { score } = detectAnomalies(days, detectorOf(rule));
  const residual =
    rule.detector === "residual"
      ? score
      : detectAnomalies(days, detectorOf({ ...rule, detector: "residual" })).score;
  const shifts = levelShifts(days, residual);
  const kind = Array.from(score, (value, t): DayKind | null => {
    if (Number.isNaN(value)) return null;
    const shifted = shifts.some(
      ({ confirmedAt, to, factor }) =>
        confirmedAt <= t && (to === null || t < to) && Math.sign(Math.log(factor)) === Math.sign(value),
    );
    if (shifted) return null;
    if (
      rule.faultThreshold !== null &&
      value < -rule.faultThreshold &&
      !byChance(days, t, rule.faultThreshold)
    )
      return "half-loaded";
    return Math.abs(value) > rule.threshold ? "anomaly" : null;
  });
  return { days, score, kind, shifts };
}

/** Where a few are forecast, none is no sign of half a load: chance (Poisson's) alone does that. */
function byChance({ actual, forecast }: DaySums, t: number, threshold: number): boolean {
  return forecast[t]! - actual[t]! < threshold * Math.sqrt(forecast[t]!);
}

/** The detector of the forecast package that a rule names; its verdicts are made here, its scores there. */
function detectorOf({ detector, threshold: alarm }: AnomalyRule): Detector {
  switch (detector) {
    case "residual":
      return { ...RESIDUAL_DETECTOR, window: windowDays, minimum: fewestDays } as Detector;
    case "weekday-mad":
      return { name: "weekdayMad", season: 7, seasons: 8, floor: 0.05, alarm };
    case "z-score":
      return { name: "plainZScore", window: windowDays, minimum: fewestDays, alarm };
    case "interval":
      return { name: "interval", alarm };
  }
}
