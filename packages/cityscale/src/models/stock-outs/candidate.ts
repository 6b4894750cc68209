import { BinaryForecaster } from "@cityscale/forecast";
import { CityScaleError } from "../../core/index.ts";
import { formatDuration, formatLocal, parseDuration, type WeatherBasis } from "../../domain/index.ts";
import {
  hasWeather,
  type LevelHistory,
  type LevelTarget,
  levelHistory,
  profileMemoryMs,
  readLevels,
} from "../../features/index.ts";
import type { Connection } from "../../lake/index.ts";
import { type Candidate, type CandidateOptions, championName } from "../candidate.ts";
import { forecastStockOuts } from "./forecasts.ts";
import { gainOf, judgeModel, judgePersistence, persistenceName } from "./judge.ts";
import { knownRows } from "./known-rows.ts";
import { fitPersistence, persistenceRisk } from "./persistence.ts";
import type { BinaryReport } from "./scores.ts";
import { levelTargetOf } from "./target.ts";
import { calibrationMs, fitStockOuts } from "./train.ts";
import { stockOutView } from "./view.ts";

/** A table of scores on the same rows, persistence among them. */
export interface StockOutTable {
  /** A count under it is a stock-out. */
  readonly below: number;
  readonly rows: number;
  readonly entities: number;
  readonly models: readonly BinaryReport[];
  readonly bestNaive: typeof persistenceName;
  /** 1 - Brier score / that of persistence, on onset rows; null where either is missing. */
  readonly gain: number | null;
  /** Thresholds on the trained probability, chosen before the window. */
  readonly alarms: { readonly budget: number; readonly f1: number } | null;
  /** Persistence as a probability: by count now, from 0 on. */
  readonly persistence: readonly number[];
  readonly weather: WeatherBasis;
  readonly notes: readonly string[];
}

/** A fitted model of a binary target, and how it did on the test window that it never saw. */
export interface StockOutCandidate extends Omit<Candidate, "kind" | "scores"> {
  readonly kind: "trees";
  readonly scores: StockOutTable;
}

const dayMs = 86_400_000;

/** Rows are learned from over so long a time before the test window. */
const learnMs = 60 * dayMs;

/** Without so much there is no day to judge on beside two to learn from. */
const leastHistoryMs = 3 * dayMs;

/** Origins of the test window that are forecast, and those that persistence is fitted on. */
const testOrigins = 1000;
const persistenceOrigins = 1000;

/**
 * Trains on the two months before the test window and judges on it, on the lake's tables behind `connection`.
 * What was judged is what will be promoted. Throws DATA_MISSING when there is too little history.
 */
export async function trainStockOutCandidate(
  connection: Connection,
  options: CandidateOptions,
): Promise<{ candidate: StockOutCandidate; model: BinaryForecaster }> {
  const { city, target, knownAt, signal, champion } = options;
  const progress = options.onProgress ?? (() => undefined);
  const asked = levelTargetOf(target);
  const view = stockOutView(asked, hasWeather(city));
  const testMs = parseDuration(target.training.testWindow);
  progress("reading snapshots", 0);
  let began = performance.now();
  const seconds = () => {
    const took = (performance.now() - began) / 1000;
    began = performance.now();
    return Number(took.toFixed(2));
  };
  const levels = await readLevels(connection, {
    from: knownAt - testMs - learnMs - profileMemoryMs,
    knownBy: knownAt,
  });
  const end = levels.knownAt.at(-1);
  if (end === undefined)
    throw new CityScaleError("DATA_MISSING", `there are no snapshots for ${target.name} yet`);
  const first = levels.knownAt[0]!;
  if (end - first < leastHistoryMs)
    throw new CityScaleError(
      "DATA_MISSING",
      `snapshots of ${city.id} go back to ${formatLocal(city.timeZone, first)} only; a first model of ${target.name} wants ${formatDuration(leastHistoryMs)} of them`,
    );
  // A city that has only begun is judged on the newest third of what there is.
  const testFrom = end - Math.min(testMs, (end - first) / 3);
  const learnFrom = Math.max(first, testFrom - learnMs);
  const history = await levelHistory(connection, city, levels, {
    from: learnFrom,
    until: end,
    weather: "issued-or-observed",
  });
  const test = thinned(levels.knownAt, testFrom, end, testOrigins);
  const read = seconds();
  const { model, rows: trainingRows } = await fitStockOuts(history, asked, {
    ...{ from: learnFrom, until: testFrom, threads: options.threads, seed: target.training.seed },
    calibrateFrom: testFrom - Math.min(calibrationMs, (testFrom - learnFrom) / 2),
    ...(signal ? { signal } : {}),
    onProgress: (message, share) => progress(message, 0.1 + 0.6 * share),
  });
  const fit = seconds();
  progress("judging on the test window", 0.7);
  const rates = persistenceRates(history, asked, learnFrom, testFrom);
  const scored = new Uint8Array(levels.stations.length).fill(1);
  const judgedRows = async (judged: BinaryForecaster, onChunk?: (share: number) => void) =>
    knownRows(await forecastStockOuts(history, asked, judged, test, onChunk), scored, asked.below);
  const known = await judgedRows(model, (share) =>
    progress("judging on the test window", 0.7 + 0.25 * share),
  );
  const naive = known.count.map((now) => persistenceRisk(rates, now, asked.below));
  const persistence = judgePersistence(known, naive, asked.below);
  const trained = judgeModel(known, known.probability, {
    name: "trees",
    thresholdsOf: () => model.thresholds,
  });
  const models = [persistence, trained];
  const rival = champion?.viewId === view.id ? BinaryForecaster.fromBytes(champion.bytes) : null;
  if (champion && rival) {
    const { probability } = await judgedRows(rival);
    models.push(
      judgeModel(known, probability, {
        name: championName(champion.version),
        thresholdsOf: () => rival.thresholds,
      }),
    );
  }
  progress("done", 1);
  const notes: string[] = [];
  if (known.uncounted > 0) notes.push(`${known.uncounted} rows are of stations out of service or not there`);
  if (known.unknown > 0)
    notes.push(`${known.unknown} rows cannot be scored: the station was not observed throughout`);
  return {
    model,
    candidate: {
      kind: "trees",
      viewId: view.id,
      columns: view.columns,
      categorical: [],
      scores: {
        below: asked.below,
        rows: known.label.length,
        entities: known.stations,
        models,
        bestNaive: persistenceName,
        gain: gainOf(trained, persistence),
        alarms: model.thresholds,
        persistence: rates,
        weather: history.weather?.basisOf(test) ?? "none",
        notes,
      },
      test: { from: test[0]!, to: test.at(-1)!, origins: test.length },
      trainingRows,
      trainingOrigins: levels.knownAt.filter((at) => at >= learnFrom && at < testFrom).length,
      seconds: { features: read, fit, evaluation: seconds() },
    },
  };
}

/** At most so many of the instants in [from, until), evenly. */
function thinned(instants: Float64Array, from: number, until: number, most: number): Float64Array {
  const all = instants.filter((at) => at >= from && at < until);
  const stride = Math.max(1, Math.ceil(all.length / most));
  return all.filter((_, i) => i % stride === 0);
}

/** From the training window alone: outcomes that the test window shows stay out. */
function persistenceRates(history: LevelHistory, target: LevelTarget, from: number, until: number): number[] {
  const { knownAt } = history.levels;
  const origins = thinned(knownAt, from, until - target.horizonMs, persistenceOrigins);
  return fitPersistence(
    history.counts(target.measure, origins),
    history.outcomes(target, origins).lowest,
    target.below,
  );
}
