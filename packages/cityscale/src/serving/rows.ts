import type { FeatureSet, OnlineVectors } from "../features/index.ts";
import { type ColdStart, predict } from "../models/index.ts";
import type { Champion } from "./champions.ts";
import type { ForecastRows } from "./store.ts";

/** An entity's rows lie together: its columns are windows onto the stored ones, nothing is copied. */
export function rowsOfEntity(vectors: OnlineVectors, e: number): FeatureSet | null {
  const span = vectors.rowsOf.get(e);
  if (!span) return null;
  const { set } = vectors;
  const [from, to] = [span.first, span.first + span.count];
  return {
    ...set,
    rows: span.count,
    columns: set.columns.map((column) => column.subarray(from, to)),
    entity: set.entity.subarray(from, to),
    origin: set.origin.subarray(from, to),
    lead: set.lead.subarray(from, to),
    step: set.step.subarray(from, to),
    target: set.target.subarray(from, to),
    dead: set.dead.subarray(from, to),
    expectation: set.expectation.subarray(from, to),
    naive: Object.fromEntries(
      Object.entries(set.naive).map(([name, values]) => [name, values.subarray(from, to)]),
    ),
    naiveLow: set.naiveLow.subarray(from, to),
    naiveHigh: set.naiveHigh.subarray(from, to),
    weatherIssued: set.weatherIssued.subarray(from, to),
    weatherIssuedAt: set.weatherIssuedAt.subarray(from, to),
  };
}

// `from` with a function walks an iterator: for a hundred columns that took longer than the model.
function pick<Column extends Float32Array | Float64Array | Int32Array | Uint8Array>(
  column: Column,
  rows: Int32Array,
  out: Column,
): Column {
  for (let i = 0; i < rows.length; i++) out[i] = column[rows[i]!]!;
  return out;
}

/** The rows of a set at these places, copied. */
export function pickRows(set: FeatureSet, rows: Int32Array): FeatureSet {
  const n = rows.length;
  const f64 = (column: Float64Array) => pick(column, rows, new Float64Array(n));
  const i32 = (column: Int32Array) => pick(column, rows, new Int32Array(n));
  return {
    view: set.view,
    rows: n,
    columns: set.columns.map((column) => pick(column, rows, new Float32Array(n))),
    entity: i32(set.entity),
    origin: i32(set.origin),
    lead: i32(set.lead),
    step: i32(set.step),
    target: f64(set.target),
    dead: pick(set.dead, rows, new Uint8Array(n)),
    expectation: f64(set.expectation),
    naive: Object.fromEntries(Object.entries(set.naive).map(([name, values]) => [name, f64(values)])),
    naiveLow: f64(set.naiveLow),
    naiveHigh: f64(set.naiveHigh),
    weatherIssued: pick(set.weatherIssued, rows, new Float32Array(n)),
    weatherIssuedAt: f64(set.weatherIssuedAt),
  };
}

/** The champion's forecasts, with the naive one beside and, where a row has no expectation, in its place. */
export function forecastBy(
  set: FeatureSet,
  champion: Champion,
): { rows: ForecastRows; fellBack: boolean; notes: string[] } {
  const notes: string[] = [];
  const values = set.naive[champion.naive]!;
  const naive = values.map((value, i) => (Number.isNaN(value) ? set.expectation[i]! : value));
  if (champion.fallback !== null) notes.push(`the champion could not be used: ${champion.fallback}`);
  if (!champion.model) {
    return {
      rows: {
        entity: set.entity,
        step: set.step,
        lead: set.lead,
        point: naive,
        low: set.naiveLow,
        median: naive,
        high: set.naiveHigh,
        naive,
        coldStart: new Uint8Array(set.rows),
      },
      fellBack: champion.fallback !== null,
      notes,
    };
  }
  const forecast = predict(champion.model, set);
  return {
    rows: {
      entity: set.entity,
      step: set.step,
      lead: set.lead,
      naive,
      point: forecast.point,
      low: forecast.quantiles[0]!,
      median: forecast.quantiles[1]!,
      high: forecast.quantiles[2]!,
      coldStart: new Uint8Array(set.rows),
    },
    fellBack: false,
    notes,
  };
}

/** The rows with those of new entities as their cold starts have them. */
export function withColdStarts(rows: ForecastRows, starts: readonly ColdStart[]): ForecastRows {
  if (starts.length === 0) return rows;
  const startOf = new Map(starts.map((start) => [start.entity, start]));
  const out = {
    ...rows,
    point: rows.point.slice(),
    low: rows.low.slice(),
    median: rows.median.slice(),
    high: rows.high.slice(),
    naive: rows.naive.slice(),
    coldStart: new Uint8Array(rows.entity.length),
  };
  for (let i = 0; i < rows.entity.length; i++) {
    const start = startOf.get(rows.entity[i]!);
    const at = rows.lead[i]! - 1;
    if (start === undefined || !Number.isFinite(start.point[at]!)) continue;
    out.point[i] = out.median[i] = start.point[at]!;
    out.low[i] = start.low[at]!;
    out.high[i] = start.high[at]!;
    out.naive[i] = start.naive[at]!;
    out.coldStart[i] = 1;
  }
  return out;
}
