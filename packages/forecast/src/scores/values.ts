import { requireLength } from "../errors.ts";

/** A column of numbers, one per row; NaN means unknown. */
export type Values = Float64Array | Float32Array;

/** Labels of a binary target, one per row: 0, 1, or (in a float array) NaN for unknown. */
export type Labels = Values | Uint8Array;

/** A score is a number or, where it cannot be computed, null: never NaN or an infinity. */
export function scoreOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** @throws ForecastError `shape` unless every array is as long as the first. */
export function requireSameLength(first: { length: number }, ...others: { length: number }[]): void {
  for (const other of others) requireLength("an argument of a score", other.length, first.length);
}
