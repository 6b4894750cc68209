import type { AlarmThresholds } from "@cityscale/forecast";
import type { KnownRows } from "./known-rows.ts";
import { type BinaryReport, scoreBinary } from "./scores.ts";

/** Name of the naive forecast of a binary target: what is short now stays short, and the lower the likelier. */
export const persistenceName = "persistence" as const;

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
    threshold: { all: 1 - below, onset: 1 - below },
  });
}

/** Scores of a model's probabilities of known rows, with the alarms of the threshold that it brings. */
export function judgeModel(
  { label, onset }: JudgedRows,
  probability: Float32Array,
  model: { readonly name: string; readonly thresholds: AlarmThresholds | null },
): BinaryReport {
  const { name, thresholds } = model;
  return scoreBinary(label, onset, {
    name,
    kind: "trained",
    ...{ ranking: probability, probability },
    threshold: thresholds && { all: thresholds.f1, onset: thresholds.f1 },
  });
}

/** 1 - Brier score of a model / that of persistence, on onset rows; null where either is missing. */
export function gainOf(
  model: BinaryReport | undefined,
  persistence: BinaryReport | undefined,
): number | null {
  const [brier, naive] = [model?.onset.brier, persistence?.onset.brier];
  return brier == null || naive == null || naive === 0 ? null : 1 - brier / naive;
}
