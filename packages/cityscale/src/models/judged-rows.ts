import type { DirectForecaster } from "@cityscale/forecast";
import type { FeatureSet } from "../features/index.ts";
import { type Forecast, predict } from "./forecaster.ts";

/** What is left of a feature set once it has been forecast: everything that scores need, and no features. */
export type OutcomeRows = Omit<FeatureSet, "columns">;

/** Rows with the forecasts of each model on them, in the models' order. */
export interface JudgedRows {
  readonly set: OutcomeRows;
  readonly forecasts: readonly Forecast[];
}

/** Forecasts every row by every model, and lets the features go: they are most of the memory. */
export function forecastRows(set: FeatureSet, models: readonly DirectForecaster[]): JudgedRows {
  const { columns: _columns, ...rows } = set;
  return { set: rows, forecasts: models.map((model) => predict(model, set)) };
}

/** One after the other, as if they had been forecast together. Throws RangeError when there are none. */
export function joinJudged(parts: readonly JudgedRows[]): JudgedRows {
  const first = parts[0];
  if (!first) throw new RangeError("there are no rows to judge");
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + part.set.rows, 0);
  const join = <T extends Float64Array | Int32Array | Float32Array | Uint8Array>(
    get: (part: JudgedRows) => T,
  ): T => {
    const out = new (get(first).constructor as new (length: number) => T)(rows);
    let at = 0;
    for (const part of parts) {
      out.set(get(part), at);
      at += part.set.rows;
    }
    return out;
  };
  return {
    set: {
      view: first.set.view,
      rows,
      entity: join((p) => p.set.entity),
      origin: join((p) => p.set.origin),
      lead: join((p) => p.set.lead),
      step: join((p) => p.set.step),
      target: join((p) => p.set.target),
      dead: join((p) => p.set.dead),
      expectation: join((p) => p.set.expectation),
      naive: Object.fromEntries(
        Object.keys(first.set.naive).map((name) => [name, join((p) => p.set.naive[name]!)]),
      ),
      naiveLow: join((p) => p.set.naiveLow),
      naiveHigh: join((p) => p.set.naiveHigh),
      weatherIssued: join((p) => p.set.weatherIssued),
      weatherIssuedAt: join((p) => p.set.weatherIssuedAt),
    },
    forecasts: first.forecasts.map((forecast, model) => ({
      point: join((p) => p.forecasts[model]!.point),
      quantiles: forecast.quantiles.map((_, level) => join((p) => p.forecasts[model]!.quantiles[level]!)),
    })),
  };
}

/** The rows at the indices given, in that order. */
export function pickRows({ set, forecasts }: JudgedRows, keep: readonly number[]): JudgedRows {
  const pick = <T extends Float64Array | Int32Array | Float32Array | Uint8Array>(values: T): T => {
    const out = new (values.constructor as new (length: number) => T)(keep.length);
    for (let i = 0; i < keep.length; i++) out[i] = values[keep[i]!]!;
    return out;
  };
  return {
    set: {
      view: set.view,
      rows: keep.length,
      entity: pick(set.entity),
      origin: pick(set.origin),
      lead: pick(set.lead),
      step: pick(set.step),
      target: pick(set.target),
      dead: pick(set.dead),
      expectation: pick(set.expectation),
      naive: Object.fromEntries(Object.entries(set.naive).map(([name, values]) => [name, pick(values)])),
      naiveLow: pick(set.naiveLow),
      naiveHigh: pick(set.naiveHigh),
      weatherIssued: pick(set.weatherIssued),
      weatherIssuedAt: pick(set.weatherIssuedAt),
    },
    forecasts: forecasts.map(({ point, quantiles }) => ({
      point: pick(point),
      quantiles: quantiles.map((values) => pick(values)),
    })),
  };
}
