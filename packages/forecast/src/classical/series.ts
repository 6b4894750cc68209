import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ForecastError } from "../errors.ts";

/**
 * One series on a regular grid. Times are wall-clock times of the place, in ms as if they were UTC, so that a
 * day has 24 steps of an hour: seasons follow the clock on the wall.
 */
export interface Series {
  readonly startMs: number;
  readonly stepMs: number;
  /** oldest first, NaN where unknown */
  readonly values: Float64Array;
}

/** One value per step after the end of the series; on the scale of the series, not clipped at 0. */
export interface SeriesForecast {
  readonly point: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** A model fitted to one series. */
export interface FittedSeries {
  readonly kind: "prophet" | "ets" | "mstl";
  /** unknown steps that were filled by interpolation, as the model knows no gaps */
  readonly filled: number;
  /** The next `horizon` steps. The same model gives the same forecasts. */
  predict(horizon: number): SeriesForecast;
  toBytes(): Uint8Array;
}

/** @throws ForecastError `option` on a coverage outside (0, 1) */
export function checkCoverage(coverage: number): void {
  if (!(coverage > 0 && coverage < 1)) {
    throw new ForecastError("option", `coverage is ${coverage}, expected inside (0, 1)`);
  }
}

/** @throws ForecastError `option` */
export function checkHorizon(horizon: number): void {
  if (!(Number.isInteger(horizon) && horizon >= 1)) {
    throw new ForecastError("option", `horizon is ${horizon}, expected 1 up`);
  }
}

/** @throws ForecastError `option` on a step that is not above 0, `noRows` with fewer than two known values */
export function checkSeries({ startMs, stepMs, values }: Series): void {
  if (!(stepMs > 0 && Number.isFinite(startMs))) {
    throw new ForecastError("option", `a series from ${startMs} in steps of ${stepMs} ms`);
  }
  let known = 0;
  for (const value of values) if (Number.isFinite(value)) known++;
  if (known < 2)
    throw new ForecastError("noRows", `${known} of ${values.length} values are known, expected 2 up`);
}

/**
 * Unknown values on the straight line between their known neighbours, before the first and after the last at
 * that value. A gap filled so is smoother than the truth: it narrows the intervals of what is fitted.
 */
export function interpolated(values: Float64Array): { values: Float64Array; filled: number } {
  const out = values.slice();
  let filled = 0;
  let before = -1;
  for (let t = 0; t < out.length; t++) {
    if (Number.isFinite(values[t]!)) {
      before = t;
      continue;
    }
    let after = t + 1;
    while (after < values.length && !Number.isFinite(values[after]!)) after++;
    const left = before >= 0 ? values[before]! : values[after]!;
    const right = after < values.length ? values[after]! : left;
    const share = before >= 0 ? (t - before) / (after - before) : 1;
    out[t] = left + (right - left) * share;
    filled++;
  }
  return { values: out, filled };
}

/** The bytes of one of augurs' WebAssembly modules, which lie beside its scripts. */
export function augursModule(name: "ets" | "mstl" | "prophet"): Uint8Array<ArrayBuffer> {
  const script = createRequire(import.meta.url).resolve(`@bsull/augurs/${name}`);
  return new Uint8Array(readFileSync(script.replace(/\.js$/, "_bg.wasm")));
}
