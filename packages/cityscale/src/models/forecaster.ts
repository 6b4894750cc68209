import {
  DirectForecaster,
  type Explanation,
  type FitProgress,
  fitDirect,
  type TreeParams,
} from "@cityscale/forecast";
import { CityScaleError } from "../core/index.ts";
import type { ModelKindName, Target } from "../domain/index.ts";
import {
  eventLoadNames,
  type FeatureSet,
  type FeatureView,
  isFar,
  type ViewPart,
} from "../features/index.ts";
import { type Effort, membersOf, quantileRows } from "./kinds.ts";

/** Levels of the quantiles that are forecast. */
export const quantileLevels = [0.1, 0.5, 0.9] as const;

export interface FitOptions {
  readonly target: Target;
  /** Origins from this instant on calibrate the intervals, ms UTC. */
  readonly calibrateFrom: number;
  /** Instants of the origins that the set's rows refer to. */
  readonly originAt: Float64Array;
  readonly kind: ModelKindName;
  readonly effort: Effort;
  /** Quantiles too; true when left out. */
  readonly intervals?: boolean;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FitProgress) => void;
}

/** Point and 10 %, 50 %, 90 % quantile forecasts, in counts; NaN where there is no expectation to depart from. */
export interface Forecast {
  readonly point: Float64Array;
  readonly quantiles: readonly Float64Array[];
}

/** More bins cost time and gain nothing measurable. */
const maxBin = 63;

/** Share of the training origins whose weather is hidden, so that a model knows what to do without it. */
const blindShare = 0.06;

/** Fits a model of a kind to a training set. The weather columns of some of its rows are blanked in place. */
export async function fitForecaster(set: FeatureSet, options: FitOptions): Promise<DirectForecaster> {
  if (set.rows < 200) {
    throw new CityScaleError(
      "DATA_MISSING",
      `${set.rows} training rows are too few to fit a model; 200 are the least`,
    );
  }
  const partial = hideWeather(set);
  const { target, effort, intervals = true } = options;
  const far = isFar(set.view);
  const emphasis = far ? undefined : emphasisOf(set);
  const view = learnable(set.view, options.originAt);
  const days = set.view.slotsPerDay === 1;
  const calibration = Uint8Array.from(set.origin, (o) =>
    options.originAt[o]! >= options.calibrateFrom ? 1 : 0,
  );
  const inWindow = calibration.reduce((sum, flag) => sum + flag, 0);
  if (intervals && (inWindow === 0 || inWindow === set.rows)) {
    throw new CityScaleError(
      "DATA_MISSING",
      "the calibration window leaves no rows on one of its sides; the history is too short",
    );
  }
  const trees: TreeParams = {
    // A few thousand rows have no use for the trees and leaves of a million, nor have days: those of one series
    // and the same target differ by little more than their origin.
    numIterations: Math.min(effort.trees, Math.max(60, Math.floor(set.rows / 100))),
    learningRate: days ? Math.min(effort.learningRate, 0.04) : effort.learningRate,
    numLeaves: Math.min(days ? 15 : effort.leaves, effort.leaves, Math.max(8, Math.floor(set.rows / 1000))),
    minDataInLeaf: Math.max(5, Math.min(100, Math.floor(set.rows / 500))),
    featureFraction: days ? 0.5 : 0.7,
    baggingFraction: 0.8,
    baggingFreq: 1,
  };
  return await fitDirect(
    {
      matrix: matrixOf(set, far ? view.timeless : view.columns),
      expectation: set.expectation,
      // Rows of far horizons are alike whatever their lead, which in training is not that of the forecasts.
      lead: far ? new Int32Array(set.rows).fill(1) : set.lead,
      target: set.target,
      ageDays: agesOf(set, options.originAt),
      partial,
      ...(emphasis ? { emphasis } : {}),
      calibration,
    },
    {
      transform: { name: far ? "log" : "logRatio", offset: set.view.offset },
      objective: target.errors === "relative" ? "l2" : "l1",
      levels: intervals ? quantileLevels : [],
      calibrate: intervals ? effort.calibrate : "none",
      members: membersOf(options.kind, target, view, effort),
      trees,
      quantileTrees: {
        ...trees,
        numIterations: Math.max(1, Math.round((trees.numIterations ?? effort.trees) * 0.6)),
      },
      quantileRows,
      maxBin,
      seed: target.training.seed,
      threads: options.threads,
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    },
  );
}

/** A history from which a season can be told from a trend: one that has seen most of the year twice. */
const seasonsFromDays = 550;

/**
 * The view without the columns that the history is too short to learn from: a year seen once teaches which weeks
 * were quiet, not which are. Near the newest counts those tell how things stand, and only the place in the year goes.
 */
export function learnable(view: FeatureView, originAt: Float64Array): FeatureView {
  const first = originAt.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
  const last = originAt.reduce((most, at) => Math.max(most, at), Number.NEGATIVE_INFINITY);
  if (last - first >= seasonsFromDays * 86_400_000) return view;
  const left = isFar(view) ? [...view.seasonal, ...view.slow] : view.seasonal;
  const kept = (names: readonly string[]) => names.filter((name) => !left.includes(name));
  const { smooth } = view;
  return {
    ...view,
    columns: kept(view.columns),
    timeless: kept(view.timeless),
    smooth: { ...smooth, names: kept(smooth.names), categorical: kept(smooth.categorical) },
  };
}

/** Which rows had their weather hidden. */
function hideWeather(set: FeatureSet): Uint8Array {
  const weather = set.view.columns.flatMap((name, i) =>
    set.view.weatherColumns.includes(name) ? [set.columns[i]!] : [],
  );
  const blind = (o: number) => (Math.imul(o + 1, 2654435761) >>> 0) / 2 ** 32 < blindShare;
  const hidden = new Uint8Array(set.rows);
  for (let i = 0; i < set.rows; i++) {
    if (!blind(set.origin[i]!)) continue;
    hidden[i] = 1;
    for (const column of weather) column[i] = Number.NaN;
  }
  return hidden;
}

/** Share of the people at an event who are counted beside it: an order of magnitude, and enough for a weight. */
const countedShare = 0.05;
const mostEmphasis = 10;

/**
 * Rows weigh with their expectation, as an error of so many per cent does. Where an event brings many times what is
 * expected the same error is as many times larger, and such rows are few: with an ordinary weight trees would spend
 * their splits elsewhere.
 */
function emphasisOf({ view, rows, columns }: FeatureSet): Float64Array | undefined {
  const loads = eventLoadNames.flatMap((name) => columns[view.columns.indexOf(name)] ?? []);
  if (loads.length === 0) return undefined;
  return Float64Array.from({ length: rows }, (_, i) => {
    let times = 0;
    for (const load of loads) if (!Number.isNaN(load[i]!)) times += Math.expm1(load[i]!);
    return Math.min(mostEmphasis, 1 + countedShare * times);
  });
}

/** Days from each row's origin to the newest. */
function agesOf(set: FeatureSet, originAt: Float64Array): Float64Array {
  const newest = originAt.reduce((most, at) => Math.max(most, at), Number.NEGATIVE_INFINITY);
  return Float64Array.from(set.origin, (o) => (newest - originAt[o]!) / 86_400_000);
}

type Rows = Pick<FeatureSet, "view" | "rows" | "columns" | "expectation" | "lead">;

/** The columns named, in that order. */
function matrixOf({ view, rows, columns }: Omit<Rows, "expectation" | "lead">, names: readonly string[]) {
  return {
    rows,
    names,
    columns: names === view.columns ? columns : names.map((name) => columns[view.columns.indexOf(name)]!),
    categorical: view.categorical.filter((name) => names.includes(name)),
  };
}

/** Forecasts for rows of a view; the model must have been fitted on the same view. */
export function predict(model: DirectForecaster, rows: Rows): Forecast {
  return model.predict({
    matrix: matrixOf(rows, model.featureNames),
    expectation: rows.expectation,
    lead: rows.lead,
  });
}

/**
 * Why the point forecasts are what they are: by part of the view, and by column what trees say. Events contribute what
 * they add to the forecast of the same row without any.
 */
export function explain(model: DirectForecaster, rows: Rows): Explanation {
  const { parts, columns } = rows.view;
  return model.explain(
    {
      matrix: matrixOf(rows, model.featureNames),
      expectation: rows.expectation,
      lead: rows.lead,
    },
    model.featureNames.map((name) => parts[columns.indexOf(name)]!),
    "events" satisfies ViewPart,
  );
}

/** A stored model. Throws ARTIFACT_DAMAGED when the bytes are not one. */
export function loadForecaster(bytes: Uint8Array): DirectForecaster {
  try {
    return DirectForecaster.fromBytes(bytes);
  } catch (error) {
    throw new CityScaleError("ARTIFACT_DAMAGED", "the stored model cannot be read", { cause: error });
  }
}
export type { DirectForecaster };
