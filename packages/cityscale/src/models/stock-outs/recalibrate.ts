import type { BinaryForecaster } from "@cityscale/forecast";
import type { StockOutForecasts } from "./forecasts.ts";
import type { OnsetRows } from "./sample.ts";
import { alarmRate } from "./train.ts";

const dayMs = 86_400_000;

/** Newest outcomes that a map of every day is fitted on: what came a month ago says little of how often it comes now. */
export const recalibrationMs = 14 * dayMs;

/** It is fitted on so much at least: a day or two, or a few dozen events, tell of chance. */
const fewestOnsets = 200;
const leastMs = 7 * dayMs;

/**
 * What was known by `knownBy` of uncalibrated forecasts from `from` on, at all origins: a stock-out within half an hour is
 * seen at three of them, and few are.
 *
 * @param forecasts of `BinaryForecaster.uncalibrated`
 */
export function onsetRows(
  { history, target, origins, probability, count }: StockOutForecasts,
  { from, knownBy }: { readonly from: number; readonly knownBy: number },
): OnsetRows {
  const { knownAt, stations } = history.levels;
  const width = stations.length;
  const places = [...origins.keys()].filter((i) => origins[i]! >= from && origins[i]! < knownBy);
  const { lowest, endRow } = history.outcomes(
    target,
    Float64Array.from(places, (i) => origins[i]!),
  );
  const cells = new Int32Array(places.length * width);
  const labels = new Uint8Array(cells.length);
  let n = 0;
  for (const [k, i] of places.entries()) {
    const end = endRow[k]!;
    if (!(end < knownAt.length && knownAt[end]! <= knownBy)) continue;
    for (let s = 0; s < width; s++) {
      const cell = i * width + s;
      const came = lowest[k * width + s]!;
      if (came < 0 || count[cell]! < target.below || Number.isNaN(probability[cell]!)) continue;
      labels[n] = came < target.below ? 1 : 0;
      cells[n++] = cell;
    }
  }
  const rows = cells.subarray(0, n);
  return {
    at: Float64Array.from(rows, (cell) => origins[Math.floor(cell / width)]!),
    y: Float64Array.from(labels.subarray(0, n)),
    p: Float64Array.from(rows, (cell) => probability[cell]!),
    weight: new Float64Array(n).fill(1),
  };
}

/**
 * The model with the map and the thresholds of the rows from `from` on: what a season makes of the same counts drifts
 * within weeks, and trees that are learned anew lag behind it. Null where the rows tell too little.
 */
export function recalibrate(
  model: BinaryForecaster,
  parts: readonly OnsetRows[],
  from: number,
): BinaryForecaster | null {
  const newest = (get: (rows: OnsetRows) => Float64Array) =>
    joined(parts.map((rows) => get(rows).filter((_, i) => rows.at[i]! >= from)));
  const at = newest((rows) => rows.at);
  const y = newest((rows) => rows.y);
  const first = at.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const last = at.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const onsets = y.reduce((sum, came) => sum + came, 0);
  if (onsets < fewestOnsets || last - first < leastMs) return null;
  return model.recalibrated(
    { y, p: newest((rows) => rows.p), weight: newest((rows) => rows.weight) },
    alarmRate,
  );
}

/**
 * Forecasts as a model gives them that is calibrated at `begin` and `every` so often (ms) after it, on the outcomes known
 * by then, those of the rows held out of training among them; with its own map throughout where `every` is left out.
 *
 * @param own forecasts of the model's `uncalibrated`, in time order
 * @returns the forecasts, and the model in force at each origin
 */
export function calibratedForecasts(
  own: StockOutForecasts,
  model: BinaryForecaster,
  heldOut: OnsetRows,
  { begin, end, every }: { readonly begin: number; readonly end: number; readonly every?: number },
): { forecasts: StockOutForecasts; models: readonly BinaryForecaster[] } {
  const width = own.history.levels.stations.length;
  const probability = own.probability.slice();
  const models = new Array<BinaryForecaster>(own.origins.length).fill(model);
  let inForce = model;
  const step = every ?? end - begin;
  for (let from = begin; from < end; from += step) {
    const since = from - recalibrationMs;
    if (every !== undefined) {
      const newest = [heldOut, onsetRows(own, { from: since, knownBy: from })];
      inForce = recalibrate(model, newest, since) ?? inForce;
    }
    const [first, next] = [placeOf(own.origins, from), placeOf(own.origins, from + step)];
    models.fill(inForce, first, next);
    const ours = Float64Array.from(own.probability.subarray(width * first, width * next));
    probability.set(inForce.calibrate(ours), width * first);
  }
  return { forecasts: { ...own, probability }, models };
}

/** How many of the instants, in time order, lie before one. */
function placeOf(instants: Float64Array, at: number): number {
  const place = instants.findIndex((instant) => instant >= at);
  return place < 0 ? instants.length : place;
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
