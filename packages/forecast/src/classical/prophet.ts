import * as augurs from "@bsull/augurs/prophet";
import { floatsOf, pack, sectionOf, unpack } from "../container.ts";
import { ForecastError } from "../errors.ts";
import { quantileSorted } from "../quantile.ts";
import { normalOf, randomOf } from "../random.ts";
import { type ProphetParameters, prophetOptimum, toOptimized } from "./prophet-optimum.ts";
import {
  augursModule,
  checkCoverage,
  checkHorizon,
  checkSeries,
  type FittedSeries,
  type Series,
  type SeriesForecast,
} from "./series.ts";

export interface ProphetOptions {
  /** nominal coverage of the interval, inside (0, 1) */
  readonly coverage: number;
  /** of the simulated futures the interval is made of */
  readonly seed: number;
}

const KIND = "prophet-series/1";
const FUTURES = 1000;

/**
 * Prophet (Taylor and Letham 2018) with its defaults: linear trend with 25 possible changes, additive yearly,
 * weekly and daily seasons where the series is long and fine enough. Data and forecast by augurs, the optimum
 * by `prophetOptimum`. Gaps stay gaps. For seasons that grow with the level fit the logarithms.
 *
 * @throws ForecastError `option` or `noRows` on what cannot be fitted
 */
export function fitProphet(series: Series, options: ProphetOptions): FittedSeries {
  checkCoverage(options.coverage);
  checkSeries(series);
  return new ProphetSeries(series, options, null);
}

/** @throws ForecastError `bytes` on anything `toBytes` cannot have written */
export function prophetFromBytes(bytes: Uint8Array): FittedSeries {
  const { fields, sections } = unpack(bytes, KIND);
  if (sections.length !== 4) throw new ForecastError("bytes", `${sections.length} sections, expected 4`);
  const [values, scalars, delta, beta] = sections.map(floatsOf);
  const series = { startMs: fields.number("startMs"), stepMs: fields.number("stepMs"), values: values! };
  const options = { coverage: fields.number("coverage"), seed: fields.number("seed") };
  const [k, m, sigma] = scalars!;
  if (k === undefined || m === undefined || sigma === undefined) {
    throw new ForecastError("bytes", "the parameters are not complete");
  }
  try {
    checkCoverage(options.coverage);
    checkSeries(series);
    return new ProphetSeries(series, options, { k, m, sigma, delta: delta!, beta: beta! });
  } catch (cause) {
    throw new ForecastError("bytes", "saved with a series that no fit accepts", { cause });
  }
}

class ProphetSeries implements FittedSeries {
  readonly kind = "prophet";
  readonly filled = 0;
  readonly #series: Series;
  readonly #options: ProphetOptions;
  readonly #model: augurs.Prophet;
  readonly #parameters: ProphetParameters;
  readonly #height: number;

  /** @param stored the optimum of an earlier fit of the same series: augurs cannot save a model, so it is replayed */
  constructor(series: Series, options: ProphetOptions, stored: ProphetParameters | null) {
    this.#series = { ...series, values: series.values.slice() };
    this.#options = options;
    const ds: number[] = [];
    const y: number[] = [];
    for (const [t, value] of series.values.entries()) {
      if (!Number.isFinite(value)) continue;
      ds.push(Math.round((series.startMs + t * series.stepMs) / 1000));
      y.push(value);
    }
    this.#height = Math.max(...y.map(Math.abs)) || 1; // Prophet scales the series by its largest value
    let parameters = stored;
    const optimize = (_: unknown, json: string) => {
      const data: augurs.ProphetStanData = JSON.parse(json);
      parameters ??= prophetOptimum(data);
      if (parameters.delta.length !== data.S || parameters.beta.length !== data.K) {
        throw new ForecastError("bytes", "the stored optimum belongs to another series");
      }
      const logs = { debug: "", info: "", warn: "", error: "", fatal: "" };
      return { logs, params: toOptimized(parameters, data) };
    };
    this.#model = newProphet({ optimizer: { optimize }, uncertaintySamples: 0 });
    try {
      this.#model.fit({ ds, y });
    } catch (cause) {
      throw new ForecastError("data", `prophet could not fit ${y.length} steps`, { cause });
    }
    this.#parameters = parameters!;
  }

  predict(horizon: number): SeriesForecast {
    checkHorizon(horizon);
    const { startMs, stepMs, values } = this.#series;
    const first = startMs + values.length * stepMs;
    const ds = Array.from({ length: horizon }, (_, h) => Math.round((first + h * stepMs) / 1000));
    const point = Float64Array.from(this.#model.predict({ ds }).yhat.point);
    const { low, high } = this.#departures(horizon);
    return {
      point,
      low: point.map((value, h) => value + low[h]!),
      high: point.map((value, h) => value + high[h]!),
    };
  }

  /**
   * Quantiles of simulated futures about the point forecast: noise, and changes of the trend as frequent and as
   * big as those of the past (Taylor and Letham 2018, 3.1.4). Ours, because augurs draws without a seed.
   */
  #departures(horizon: number): { low: Float64Array; high: Float64Array } {
    const { values } = this.#series;
    const { sigma, delta } = this.#parameters;
    const random = randomOf(this.#options.seed);
    const normal = normalOf(random);
    const first = values.findIndex(Number.isFinite);
    const last = values.findLastIndex(Number.isFinite);
    // In Prophet's time the known series runs from 0 to 1.
    const steps = Float64Array.from(
      { length: horizon },
      (_, h) => (values.length + h - first) / Math.max(1, last - first),
    );
    const span = steps[horizon - 1]! - 1;
    const scale = delta.reduce((sum, d) => sum + Math.abs(d), 0) / Math.max(1, delta.length) + 1e-8;
    const futures = Array.from({ length: horizon }, () => new Float64Array(FUTURES));
    for (let f = 0; f < FUTURES; f++) {
      const changes = poisson(delta.length * span, random);
      const at = Float64Array.from({ length: changes }, () => 1 + span * random()).sort();
      const by = at.map(() => laplace(scale, random));
      for (let h = 0; h < horizon; h++) {
        let departure = sigma * normal();
        for (let c = 0; c < changes && at[c]! < steps[h]!; c++) departure += by[c]! * (steps[h]! - at[c]!);
        futures[h]![f] = departure * this.#height;
      }
    }
    const tail = (1 - this.#options.coverage) / 2;
    for (const future of futures) future.sort();
    return {
      low: Float64Array.from(futures, (future) => quantileSorted(future, tail)),
      high: Float64Array.from(futures, (future) => quantileSorted(future, 1 - tail)),
    };
  }

  toBytes(): Uint8Array {
    const { startMs, stepMs, values } = this.#series;
    const { coverage, seed } = this.#options;
    const { k, m, sigma, delta, beta } = this.#parameters;
    const sections = [values, Float64Array.of(k, m, sigma), delta, beta].map(sectionOf);
    return pack(KIND, { startMs, stepMs, coverage, seed }, sections);
  }
}

let isReady = false;

function newProphet(options: augurs.ProphetOptions): augurs.Prophet {
  if (!isReady) augurs.initSync({ module: augursModule("prophet") });
  isReady = true;
  return new augurs.Prophet(options);
}

/** Arrivals within `mean` of a process of rate 1; the means here are small. */
function poisson(mean: number, random: () => number): number {
  const gap = () => -Math.log(1 - random());
  let count = 0;
  for (let sum = gap(); sum < mean; sum += gap()) count++;
  return count;
}

function laplace(scale: number, random: () => number): number {
  const u = random() - 0.5;
  return -scale * Math.sign(u) * Math.log(1 - 2 * Math.abs(u));
}
