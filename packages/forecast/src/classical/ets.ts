import * as etsModule from "@bsull/augurs/ets";
import * as mstlModule from "@bsull/augurs/mstl";
import { floatsOf, pack, sectionOf, unpack } from "../container.ts";
import { ForecastError } from "../errors.ts";
import {
  augursModule,
  checkCoverage,
  checkHorizon,
  checkSeries,
  type FittedSeries,
  interpolated,
  type Series,
  type SeriesForecast,
} from "./series.ts";

export interface EtsOptions {
  /** nominal coverage of the interval, inside (0, 1) */
  readonly coverage: number;
}

export interface MstlOptions extends EtsOptions {
  /** steps of each season, shortest first: [24, 168] for hours */
  readonly periods: readonly number[];
}

const KIND = "ets-series/1";

/**
 * Exponential smoothing, error and trend chosen by AICc, without a season (AutoETS "ZZN" of Hyndman and
 * Khandakar 2008; augurs). For a series with a season take `fitMstl`.
 *
 * @throws ForecastError `option` or `noRows` on what cannot be fitted, `data` where no model fits
 */
export function fitEts(series: Series, options: EtsOptions): FittedSeries {
  return new SmoothedSeries(series, { ...options, periods: [] });
}

/**
 * Seasons taken off by repeated loess (MSTL: Bandara, Hyndman and Bergmeir 2021), the rest smoothed as by
 * `fitEts`, the last season added back (augurs).
 *
 * @throws ForecastError as `fitEts`; `option` without periods, `noRows` on less than two seasons
 */
export function fitMstl(series: Series, options: MstlOptions): FittedSeries {
  const { periods } = options;
  if (periods.length === 0 || !periods.every((period) => Number.isInteger(period) && period >= 2)) {
    throw new ForecastError(
      "option",
      `periods are [${periods.join(", ")}], expected whole numbers from 2 up`,
    );
  }
  const longest = Math.max(...periods);
  if (series.values.length < 2 * longest) {
    throw new ForecastError("noRows", `${series.values.length} steps, two seasons of ${longest} are needed`);
  }
  return new SmoothedSeries(series, options);
}

/** @throws ForecastError `bytes` on anything that `toBytes` of these models cannot have written */
export function etsFromBytes(bytes: Uint8Array): FittedSeries {
  const { fields, sections } = unpack(bytes, KIND);
  if (sections.length !== 1) throw new ForecastError("bytes", `${sections.length} sections, expected 1`);
  const series = {
    startMs: fields.number("startMs"),
    stepMs: fields.number("stepMs"),
    values: floatsOf(sections[0]!),
  };
  const options = { coverage: fields.number("coverage"), periods: fields.numbers("periods") };
  try {
    return options.periods.length === 0 ? fitEts(series, options) : fitMstl(series, options);
  } catch (cause) {
    throw new ForecastError("bytes", "saved with a series that no fit accepts", { cause });
  }
}

/**
 * augurs cannot save a fitted model. Fitting takes milliseconds and gives the same model each time, so the
 * series itself is what is saved.
 */
class SmoothedSeries implements FittedSeries {
  readonly kind: "ets" | "mstl";
  readonly filled: number;
  readonly #series: Series;
  readonly #options: MstlOptions;
  readonly #model: etsModule.AutoETS | mstlModule.MSTL;

  constructor(series: Series, options: MstlOptions) {
    checkCoverage(options.coverage);
    checkSeries(series);
    const { values, filled } = interpolated(series.values);
    this.kind = options.periods.length === 0 ? "ets" : "mstl";
    this.filled = filled;
    this.#series = { ...series, values: series.values.slice() };
    this.#options = options;
    this.#model = this.kind === "ets" ? newEts() : newMstl(options.periods);
    try {
      this.#model.fit(values);
    } catch (cause) {
      throw new ForecastError("data", `${this.kind} found no model of ${values.length} steps`, { cause });
    }
  }

  predict(horizon: number): SeriesForecast {
    checkHorizon(horizon);
    const { point, intervals } = this.#model.predict(horizon, this.#options.coverage);
    return {
      point: Float64Array.from(point),
      low: Float64Array.from(intervals!.lower),
      high: Float64Array.from(intervals!.upper),
    };
  }

  toBytes(): Uint8Array {
    const { startMs, stepMs, values } = this.#series;
    const { coverage, periods } = this.#options;
    return pack(KIND, { startMs, stepMs, coverage, periods }, [sectionOf(values)]);
  }
}

let isEtsReady = false;
let isMstlReady = false;

function newEts(): etsModule.AutoETS {
  if (!isEtsReady) etsModule.initSync({ module: augursModule("ets") });
  isEtsReady = true;
  return new etsModule.AutoETS(1, "ZZN");
}

function newMstl(periods: readonly number[]): mstlModule.MSTL {
  if (!isMstlReady) mstlModule.initSync({ module: augursModule("mstl") });
  isMstlReady = true;
  return mstlModule.MSTL.ets([...periods]);
}
