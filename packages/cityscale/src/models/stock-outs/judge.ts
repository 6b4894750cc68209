import type { AlarmThresholds } from "@cityscale/forecast";
import type { KnownRows } from "./known-rows.ts";
import { type BinaryReport, scoreBinary } from "./scores.ts";

/** Name of the naive forecast of a binary target: what is short now stays short, and the lower the likelier. */
export const persistenceName = "persistence" as const;

/** Alarm thresholds in force at the origin of a row; null where there are none. */
export type ThresholdsOf = (row: number) => AlarmThresholds | null;

/** What scores look at of known rows. */
export type JudgedRows = Pick<KnownRows, "label" | "onset" | "count">;

/** Scores of persistence and its probabilities: it ranks by the count now and alarms where that is short. */
export function judgePersistence(
  { label, onset, count }: JudgedRows,
  probability: Float32Array,
  below: number,
): BinaryReport {
  return scoreBinary(label, onset, {
    name: persistenceName,
    kind: "naive",
    ranking: count.map((now) => -now),
    probability,
    alarm: Uint8Array.from(count, (now) => (now < below ? 1 : 0)),
  });
}

/**
 * Scores of a model's probabilities of known rows, with its alarms.
 *
 * @param thresholdsOf those in force at a row's origin; null where there are none
 */
export function judgeModel(
  { label, onset }: JudgedRows,
  probability: Float32Array,
  model: { readonly name: string; readonly thresholdsOf: ThresholdsOf },
): BinaryReport {
  const { name, thresholdsOf } = model;
  return scoreBinary(label, onset, {
    name,
    kind: "trained",
    ...{ ranking: probability, probability },
    alarm: alarmsOf(probability, "f1", thresholdsOf),
  });
}

/** Rows at or above their threshold; null where there is a row without one. */
export function alarmsOf(
  probability: Float32Array,
  by: keyof AlarmThresholds,
  thresholdsOf: ThresholdsOf,
): Uint8Array | null {
  const alarm = new Uint8Array(probability.length);
  for (let i = 0; i < alarm.length; i++) {
    const thresholds = thresholdsOf(i);
    if (thresholds === null) return null;
    alarm[i] = probability[i]! >= thresholds[by] ? 1 : 0;
  }
  return alarm;
}

/** 1 - Brier score of a model / that of persistence, on onset rows; null where either is missing. */
export function gainOf(
  model: BinaryReport | undefined,
  persistence: BinaryReport | undefined,
): number | null {
  const [brier, naive] = [model?.onset.brier, persistence?.onset.brier];
  return brier == null || naive == null || naive === 0 ? null : 1 - brier / naive;
}
