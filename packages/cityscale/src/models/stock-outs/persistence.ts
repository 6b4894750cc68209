import type { LevelHistory, LevelTarget } from "../../features/index.ts";
import type { StockOutForecasts } from "./forecasts.ts";

/** Rows that the overall rate counts as, for counts seldom seen. */
const priorRows = 10;

/** Counts from here on are one. */
const mostCount = 40;

/**
 * Persistence as a probability: how often a stock-out came at each count now, 0 to 40 (and more), shrunk towards the
 * overall rate by ten rows.
 *
 * @param count the counts at some origins; those below 0 are missing
 * @param lowest the lowest counts that came, in the same order; those below 0 are not known
 */
export function fitPersistence(count: Int16Array, lowest: Int16Array, below: number): number[] {
  const rows = new Float64Array(mostCount + 1);
  const hits = new Float64Array(mostCount + 1);
  let [all, positives] = [0, 0];
  for (let i = 0; i < count.length; i++) {
    if (count[i]! < 0 || lowest[i]! < 0) continue;
    const at = Math.min(mostCount, count[i]!);
    rows[at]!++;
    all++;
    if (lowest[i]! >= below) continue;
    hits[at]!++;
    positives++;
  }
  const rate = positives / Math.max(1, all);
  return Array.from(hits, (hit, at) => (hit + priorRows * rate) / (rows[at]! + priorRows));
}

/** The probability that persistence gives a count; without rates the plain rule: short stays short. */
export function persistenceRisk(rates: readonly number[] | null, count: number, below: number): number {
  if (rates === null) return count < below ? 1 : 0;
  return rates[Math.min(rates.length - 1, count)]!;
}

/** Forecasts of persistence, as `forecastStockOuts` gives those of a model. */
export function forecastPersistence(
  history: LevelHistory,
  target: LevelTarget,
  rates: readonly number[] | null,
  origins: Float64Array,
): StockOutForecasts {
  const count = history.counts(target.measure, origins);
  const probability = Float32Array.from(count, (now) =>
    now < 0 ? Number.NaN : persistenceRisk(rates, now, target.below),
  );
  return { history, target, origins, probability, count };
}
