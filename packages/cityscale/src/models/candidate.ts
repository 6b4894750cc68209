import { CityScaleError } from "../core/index.ts";
import { type City, type ModelKindName, parseDuration, type Target } from "../domain/index.ts";
import { buildFeatures, createView, type WeatherMode } from "../features/index.ts";
import { type Connection, literal } from "../lake/index.ts";
import { type DirectForecaster, fitForecaster, loadForecaster } from "./forecaster.ts";
import { judge, type ScoreTable } from "./judge.ts";
import { forecastRows, type JudgedRows, joinJudged } from "./judged-rows.ts";
import { declaredEffort, declaredModel } from "./kinds.ts";
import { learningSet } from "./learning-set.ts";
import {
  calibrationStart,
  firstTrainingDay,
  type Origins,
  originsBefore,
  scheduledOrigins,
  thinOrigins,
} from "./origins.ts";

export interface CandidateOptions {
  readonly city: City;
  readonly target: Target;
  readonly lagMs: number;
  /** Instant at which the data were cut, ms UTC. */
  readonly knownAt: number;
  readonly threads: number;
  /** The model that serves now; it is scored on the same rows when its features are the same. */
  readonly champion?: ServingModel;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
}

export interface ServingModel {
  readonly version: number;
  readonly viewId: string;
  readonly bytes: Uint8Array;
}

/** Name under which the serving model stands in a candidate's score table, beside the candidate's kind. */
export const championName = (version: number): string => `champion (version ${version})`;

/** A fitted model and how it, and the naive forecasts, did on the test window that it never saw. */
export interface Candidate {
  /** Its name in the score table. */
  readonly kind: ModelKindName;
  readonly viewId: string;
  readonly columns: readonly string[];
  readonly categorical: readonly string[];
  readonly scores: ScoreTable;
  /** First and last origin of the test window, ms UTC. */
  readonly test: { readonly from: number; readonly to: number; readonly origins: number };
  readonly trainingRows: number;
  readonly trainingOrigins: number;
  readonly seconds: { readonly features: number; readonly fit: number; readonly evaluation: number };
}

/** Origins of the test window that are forecast: enough for a fair score, few enough to be quick. */
const testOrigins = 120;
/** Bounds the memory that judging takes. */
const testOriginsAtOnce = 120;

/**
 * Trains on everything before the test window and judges on it, on the lake's tables behind `connection`.
 * What was judged is what will serve. Throws DATA_MISSING when the history is too short.
 */
export async function trainCandidate(
  connection: Connection,
  options: CandidateOptions,
): Promise<{ candidate: Candidate; model: DirectForecaster }> {
  const { city, target, lagMs } = options;
  const progress = options.onProgress ?? (() => undefined);
  const view = createView(city, target, lagMs);
  const span = await connection.first<{ low: number | null; high: number | null }>(`
    SELECT min(start_at) AS low, max(end_at) AS high
    FROM observations JOIN steps USING (t) WHERE measure = ${literal(target.measure)}`);
  if (span?.low == null || span.high == null)
    throw new CityScaleError("DATA_MISSING", `there are no observations of ${target.measure} yet`);
  // The window ends where the data do, so that its targets have come true.
  const newest = Math.min(span.high, options.knownAt);
  const testFrom = newest - parseDuration(target.training.testWindow);
  const all = scheduledOrigins(city, target, span.low, newest);
  const before = originsBefore(all, testFrom);
  const first = firstTrainingDay(city, view, span.low) * 86_400_000;
  const firstUsable = before.at.findIndex((at) => at >= first);
  const trainable: Origins =
    firstUsable < 0
      ? { at: new Float64Array(0), leads: new Int32Array(0) }
      : { at: before.at.slice(firstUsable), leads: before.leads.slice(firstUsable) };
  if (trainable.at.length < 28) {
    throw new CityScaleError(
      "DATA_MISSING",
      `${trainable.at.length} origins to train on lie between the first eight weeks of data and the test window; 28 are the least`,
    );
  }
  const weather: WeatherMode = "issued-or-observed";
  const request = { lagMs, weather, path: "fast" as const };

  progress("computing training features", 0);
  let began = performance.now();
  const seconds = () => {
    const now = performance.now();
    const took = (now - began) / 1000;
    began = now;
    return Number(took.toFixed(2));
  };
  const effort = declaredEffort(target);
  const kind = declaredModel(target, view).kind ?? "trees";
  // In a function of its own: the training set is gone before the test window's is computed.
  const fit = async () => {
    const learning = { city, view, request, trainable, cut: testFrom, effort };
    const { set: training, origins } = await learningSet(connection, learning);
    globalThis.gc?.();
    const features = seconds();
    progress(`training on ${training.rows} rows x ${view.columns.length} features`, 0.3);
    const model = await fitForecaster(training, {
      target,
      originAt: origins.at,
      kind,
      effort,
      calibrateFrom: calibrationStart(origins, testFrom, parseDuration(effort.calibrationWindow)),
      threads: options.threads,
      ...(options.signal ? { signal: options.signal } : {}),
      onProgress: (p) => progress("training", 0.3 + (0.5 * p.done) / p.of),
    });
    return { model, rows: training.rows, origins: origins.at.length, seconds: { features, fit: seconds() } };
  };
  const { model, rows: trainingRows, origins: trainingOrigins, seconds: spent } = await fit();
  // In a training process (see trainer.ts) what the fit held is given back before the next features want it.
  globalThis.gc?.();
  progress("judging on the test window", 0.8);
  const test = thinOrigins(scheduledOrigins(city, target, testFrom - 1, newest - 1), testOrigins);
  const { champion } = options;
  const rival = champion?.viewId === view.id ? champion : undefined;
  const models = [model, ...(rival ? [loadForecaster(rival.bytes)] : [])];
  const names = [kind, ...(rival ? [championName(rival.version)] : [])];
  const parts: JudgedRows[] = [];
  for (let from = 0; from < test.at.length; from += testOriginsAtOnce) {
    const to = from + testOriginsAtOnce;
    const set = await buildFeatures(connection, city, view, {
      ...request,
      origins: test.at.slice(from, to),
      leads: test.leads.slice(from, to),
      onlyWithTarget: false,
    });
    parts.push(forecastRows(set, models));
    progress("judging on the test window", 0.8 + (0.2 * Math.min(to, test.at.length)) / test.at.length);
  }
  const judged = joinJudged(parts);
  const forecasts = judged.forecasts.map((forecast, i) => ({ name: names[i]!, forecast }));
  const scores = await judge(connection, judged.set, { before: testFrom, forecasts });
  progress("done", 1);
  return {
    model,
    candidate: {
      kind,
      viewId: view.id,
      columns: view.columns,
      categorical: view.categorical,
      scores,
      test: { from: test.at[0]!, to: test.at.at(-1)!, origins: test.at.length },
      trainingRows,
      trainingOrigins,
      seconds: { ...spent, evaluation: seconds() },
    },
  };
}
