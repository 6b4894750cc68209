import type { BinaryForecaster, ProbabilityMap } from "@cityscale/forecast";
import { CityScaleError } from "../../core/index.ts";
import {
  type City,
  dayOfDate,
  parseDuration,
  startOfLocalDay,
  type Target,
  type WeatherBasis,
} from "../../domain/index.ts";
import {
  type LevelHistory,
  levelHistory,
  profileDays,
  profileMemoryMs,
  readLevels,
} from "../../features/index.ts";
import type { Connection } from "../../lake/index.ts";
import { forecastStockOuts, type StockOutForecasts } from "./forecasts.ts";
import { alarmsOf, judgeModel, judgePersistence, type ThresholdsOf } from "./judge.ts";
import { type KnownRows, knownRows } from "./known-rows.ts";
import { persistenceRisk } from "./persistence.ts";
import { calibratedForecasts } from "./recalibrate.ts";
import type { BinaryReport } from "./scores.ts";
import { levelTargetOf } from "./target.ts";
import { calibrationMs, fitStockOuts } from "./train.ts";

export interface StockOutBacktestOptions {
  readonly city: City;
  readonly target: Target;
  /** Local dates, inclusive. */
  readonly from: string;
  readonly to: string;
  /** An origin every so often by the clock; one for each snapshot when left out. */
  readonly every?: string;
  /** How long before `from` training rows begin. */
  readonly train: string;
  /** Time after which the model is calibrated anew inside the window, on its newest outcomes; never when left out. */
  readonly recalibrate?: string;
  /** With the weather, where the city has any. */
  readonly weather: boolean;
  /** Ids of the stations that are scored; all are learned from. */
  readonly entities?: readonly string[];
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
  /** Told every forecast that is scored. */
  readonly onForecasts?: (forecasts: StockOutForecasts) => void;
}

export interface StockOutBacktest {
  readonly city: string;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  /** `snapshots`, or the time between origins. */
  readonly every: string;
  readonly horizon: string;
  readonly below: number;
  readonly origins: number;
  readonly entities: number;
  readonly training: {
    readonly from: string;
    readonly rows: number;
    readonly onsets: number;
    /** The map of the last origins. */
    readonly calibration: ProbabilityMap["kind"];
    /** Maps fitted on the newest outcomes, the one in force at `from` among them. */
    readonly recalibrations: number;
    /** The model's 12 weightiest columns with their shares of its gain. */
    readonly columns: readonly { readonly name: string; readonly gain: number }[];
  };
  /** Thresholds for alarms at the first origin, and the share of the onset rows from the budget's of their origin on. */
  readonly alarms: { readonly budget: number; readonly f1: number; readonly share: number } | null;
  readonly trainSeconds: number;
  readonly weather: WeatherBasis;
  readonly notes: readonly string[];
  readonly models: readonly BinaryReport[];
}

const dayMs = 86_400_000;

/**
 * Forecasts a stock-out for every station at every origin in [from, to] with a model trained on what was known before
 * `from`, calibrated anew every so often, and scores it where what came is known by the end of `to`, beside the rule of
 * persistence: the lower the count now, the sooner it runs out.
 * Throws DATA_MISSING when there is too little history, ENTITY_UNKNOWN, REQUEST_INVALID.
 */
export async function backtestStockOuts(
  connection: Connection,
  options: StockOutBacktestOptions,
): Promise<StockOutBacktest> {
  const { city, target, signal } = options;
  const progress = options.onProgress ?? (() => undefined);
  const asked = levelTargetOf(target);
  const [fromDay, toDay] = [dayOfDate(options.from), dayOfDate(options.to)];
  if (toDay < fromDay)
    throw new CityScaleError("REQUEST_INVALID", `--to ${options.to} lies before --from ${options.from}`);
  const begin = startOfLocalDay(city.timeZone, fromDay);
  const end = startOfLocalDay(city.timeZone, toDay + 1);
  const learnFrom = begin - parseDuration(options.train);
  progress("reading snapshots", 0);
  const levels = await readLevels(connection, { from: learnFrom - profileMemoryMs, knownBy: end });
  const scored = scoredStations(levels.stations, options.entities);
  const history = await levelHistory(connection, city, levels, {
    from: learnFrom,
    until: end,
    weather: options.weather ? "issued-or-observed" : "none",
  });
  const origins = originsOf(levels.knownAt, begin, end, options.every);
  if (origins.length === 0 || !(levels.knownAt[0]! < begin)) {
    throw new CityScaleError(
      "DATA_MISSING",
      `there are no snapshots ${origins.length === 0 ? `from ${options.from} to ${options.to}` : `before ${options.from} to learn from`}`,
    );
  }
  signal?.throwIfAborted();

  const began = performance.now();
  const calibrateFrom = begin - Math.min(calibrationMs, (begin - learnFrom) / 2);
  const { model, rows, onsets, heldOut } = await fitStockOuts(history, asked, {
    ...{ from: learnFrom, until: begin, calibrateFrom, seed: target.training.seed, threads: options.threads },
    ...(signal ? { signal } : {}),
    onProgress: (message, share) => progress(message, 0.05 + 0.5 * share),
  });
  const trainSeconds = (performance.now() - began) / 1000;

  const own = await forecastStockOuts(history, asked, model.uncalibrated(), origins, (share) => {
    signal?.throwIfAborted();
    progress("forecasting", 0.55 + 0.4 * share);
  });
  const { forecasts, models: calibrated } = calibratedForecasts(own, model, heldOut, {
    begin,
    end,
    ...(options.recalibrate === undefined ? {} : { every: parseDuration(options.recalibrate) }),
  });
  options.onForecasts?.(forecasts);
  progress("scoring", 0.96);
  const known = knownRows(forecasts, scored, asked.below);
  const { thresholds } = calibrated[0]!;
  const thresholdsOf: ThresholdsOf = (row) => calibrated[known.origin[row]!]!.thresholds;
  const models = [
    judgePersistence(
      known,
      known.count.map((now) => persistenceRisk(null, now, asked.below)),
      asked.below,
    ),
    judgeModel(known, known.probability, { name: "trees", thresholdsOf }),
  ];
  return {
    city: city.id,
    target: target.name,
    from: options.from,
    to: options.to,
    every: options.every ?? "snapshots",
    horizon: target.horizon,
    below: asked.below,
    origins: origins.length,
    entities: known.stations,
    training: {
      from: new Date(learnFrom).toISOString(),
      rows,
      onsets,
      calibration: calibrated.at(-1)!.map.kind,
      recalibrations: new Set(calibrated.filter((one) => one !== model)).size,
      columns: weightiest(model),
    },
    alarms: thresholds && { ...thresholds, share: alarmShare(known, thresholdsOf) },
    trainSeconds: Number(trainSeconds.toFixed(2)),
    weather: history.weather?.basisOf(origins) ?? "none",
    notes: notesOf(known, levels.late, levels.at[0]!, learnFrom),
    models,
  };
}

/** Every snapshot known in [begin, end), or instants by the clock. */
function originsOf(
  knownAt: Float64Array,
  begin: number,
  end: number,
  every: string | undefined,
): Float64Array {
  if (every === undefined) return knownAt.filter((at) => at >= begin && at < end);
  const step = parseDuration(every);
  const first = knownAt.find((at) => at >= begin);
  if (first === undefined) return new Float64Array(0);
  return Float64Array.from({ length: Math.ceil((end - begin) / step) }, (_, i) => begin + i * step);
}

/** 1 for stations that are scored. Throws ENTITY_UNKNOWN. */
function scoredStations(
  stations: LevelHistory["levels"]["stations"],
  ids: readonly string[] | undefined,
): Uint8Array {
  if (!ids) return new Uint8Array(stations.length).fill(1);
  const places = new Map(stations.map(({ entity }, s) => [entity, s]));
  const unknown = ids.filter((id) => !places.has(id));
  if (unknown.length > 0) {
    throw new CityScaleError(
      "ENTITY_UNKNOWN",
      `there is no station ${unknown
        .slice(0, 5)
        .map((id) => `"${id}"`)
        .join(", ")} in the data`,
    );
  }
  const scored = new Uint8Array(stations.length);
  for (const id of ids) scored[places.get(id)!] = 1;
  return scored;
}

/** Share of the onset rows that the budget of their origin alarms on. */
function alarmShare({ probability, onset }: KnownRows, thresholdsOf: ThresholdsOf): number {
  const alarm = alarmsOf(probability, "budget", thresholdsOf);
  let [alarms, rows] = [0, 0];
  for (let i = 0; i < onset.length; i++) {
    if (onset[i] === 0) continue;
    rows++;
    alarms += alarm?.[i] ?? 0;
  }
  return Number((alarms / Math.max(1, rows)).toPrecision(4));
}

function weightiest(model: BinaryForecaster): { name: string; gain: number }[] {
  const gain = model.importance();
  return model.featureNames
    .map((name, k) => ({ name, gain: Number(gain[k]!.toPrecision(4)) }))
    .sort((a, b) => b.gain - a.gain)
    .slice(0, 12);
}

function notesOf(known: KnownRows, late: number, firstAt: number, learnFrom: number): string[] {
  const notes: string[] = [];
  if (known.uncounted > 0)
    notes.push(`${known.uncounted} rows are of stations out of service or not in the newest snapshot`);
  if (known.unknown > 0) {
    notes.push(
      `${known.unknown} rows cannot be scored: within their horizon the station was not observed in service for more than 20 minutes, or the data end`,
    );
  }
  if (late > 0) notes.push(`${late} snapshots became known after later ones and are left out`);
  const days = Math.floor((learnFrom - firstAt) / dayMs);
  if (days < profileDays[1])
    notes.push(
      `the first rows learned from have ${Math.max(0, days)} days of history; profiles want ${profileDays[1]}`,
    );
  return notes;
}
