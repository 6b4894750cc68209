import type { BinaryForecaster } from "@cityscale/forecast";
import type { LevelHistory, LevelTarget } from "../../features/index.ts";
import { matrixOf } from "./train.ts";

/** Forecasts of all stations at all origins, origins x stations. */
export interface StockOutForecasts {
  readonly history: LevelHistory;
  readonly target: LevelTarget;
  readonly origins: Float64Array;
  /** NaN where there is nothing to forecast from. */
  readonly probability: Float32Array;
  /** -1 where missing. */
  readonly count: Int16Array;
}

/** Origins whose features are held at once. */
const chunk = 48;

/**
 * Forecasts every station at every origin, chunk by chunk: the features of a month of snapshots would be most of a
 * gigabyte.
 */
export async function forecastStockOuts(
  history: LevelHistory,
  target: LevelTarget,
  model: BinaryForecaster,
  origins: Float64Array,
  onChunk: (share: number) => void = () => undefined,
): Promise<StockOutForecasts> {
  const width = history.levels.stations.length;
  const probability = new Float32Array(origins.length * width).fill(Number.NaN);
  const count = history.counts(target.measure, origins);
  for (let first = 0; first < origins.length; first += chunk) {
    const some = origins.subarray(first, first + chunk);
    const wanted = new Uint8Array(some.length * width);
    for (let i = 0; i < wanted.length; i++) wanted[i] = count[first * width + i]! >= 0 ? 1 : 0;
    const set = history.features(target, some, wanted);
    const p = model.predict(matrixOf(set));
    for (let i = 0; i < set.rows; i++)
      probability[(first + set.origin[i]!) * width + set.station[i]!] = p[i]!;
    onChunk(first / origins.length);
    // Lets an abort through.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { history, target, origins, probability, count };
}
