import type { StockOutForecasts } from "./forecasts.ts";

/** Rows of forecasts whose count was known at the origin, and whose outcome is. */
export interface KnownRows {
  readonly label: Uint8Array;
  readonly onset: Uint8Array;
  /** Place of the row's origin among the forecasts'. */
  readonly origin: Int32Array;
  readonly count: Float32Array;
  readonly probability: Float32Array;
  readonly stations: number;
  /** Rows left out: no count at the origin, and an outcome that is not known. */
  readonly uncounted: number;
  readonly unknown: number;
}

/** @param scored 1 for stations that are scored */
export function knownRows(forecasts: StockOutForecasts, scored: Uint8Array, below: number): KnownRows {
  const { history, target, origins, probability, count } = forecasts;
  const { lowest } = history.outcomes(target, origins);
  const width = scored.length;
  const keep = new Int32Array(count.length);
  const seen = new Uint8Array(width);
  let [n, uncounted, unknown] = [0, 0, 0];
  for (let i = 0; i < count.length; i++) {
    if (scored[i % width] === 0) continue;
    if (count[i]! < 0) uncounted++;
    else if (lowest[i]! < 0) unknown++;
    else {
      keep[n++] = i;
      seen[i % width] = 1;
    }
  }
  const rows = keep.subarray(0, n);
  return {
    label: Uint8Array.from(rows, (i) => (lowest[i]! < below ? 1 : 0)),
    onset: Uint8Array.from(rows, (i) => (count[i]! >= below ? 1 : 0)),
    origin: Int32Array.from(rows, (i) => Math.floor(i / width)),
    count: Float32Array.from(rows, (i) => count[i]!),
    probability: Float32Array.from(rows, (i) => probability[i]!),
    stations: seen.reduce((sum, flag) => sum + flag, 0),
    ...{ uncounted, unknown },
  };
}
