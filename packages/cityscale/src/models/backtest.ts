import type { DirectForecaster } from "@cityscale/forecast";
import { CityScaleError } from "../core/index.ts";
import {
  type City,
  dayOfDate,
  type MemberKindName,
  type ModelKindName,
  parseDuration,
  startOfLocalDay,
  type Target,
} from "../domain/index.ts";
import { buildFeatures, createView, type FeatureSet, type WeatherMode } from "../features/index.ts";
import { type Connection, literal } from "../lake/index.ts";
import { type ClassicalTable, judgeClassical } from "./classical.ts";
import { bestBlend, comparison, type FoundBlend } from "./compare.ts";
import { fitForecaster } from "./forecaster.ts";
import { judge, type ScoreTable } from "./judge.ts";
import { forecastRows, type JudgedRows, joinJudged } from "./judged-rows.ts";
import { fullEffort, isFar } from "./kinds.ts";
import {
  calibrationStart,
  firstDay,
  firstTrainingDay,
  type Origins,
  originsBefore,
  regularOrigins,
  thinOrigins,
} from "./origins.ts";

export interface BacktestOptions {
  readonly city: City;
  readonly target: Target;
  /** Local dates, inclusive. */
  readonly from: string;
  readonly to: string;
  /** `24h` is the local day. */
  readonly every: string;
  readonly horizon: string;
  /** Ids of the entities wanted; all when left out. */
  readonly entities?: readonly string[];
  /** Time after which the model is fitted anew inside the window; never when left out. */
  readonly refit?: string;
  readonly lagMs: number;
  readonly weather: boolean;
  /** What is trained; a blend's kinds stand beside it. */
  readonly kind: ModelKindName;
  /** Every one of these, and the blend of them that is best on these very rows, in place of `kind`. */
  readonly compare?: readonly MemberKindName[];
  /** Models of single series too, on every 14th origin. */
  readonly classical?: boolean;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
  /** Told every forecast before it is scored; the first of the models is the one judged. */
  readonly onForecasts?: (rows: JudgedRows) => void;
}

export interface BacktestResult extends Omit<ScoreTable, "bestNaive" | "gain"> {
  readonly city: string;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  readonly every: string;
  readonly horizon: string;
  readonly trainSeconds: number;
  /** Of a comparison: the weights of the blend that was found. */
  readonly blend?: FoundBlend;
  readonly classical?: ClassicalTable;
}

/**
 * Forecasts from every origin in [from, to] with models trained on what was known before `from` (and, with
 * `refit`, before each refit), and scores what has come true by the end of `to`.
 * Throws DATA_MISSING when there is too little history, ENTITY_UNKNOWN, REQUEST_INVALID.
 */
export async function backtest(connection: Connection, options: BacktestOptions): Promise<BacktestResult> {
  const { city, target, lagMs } = options;
  const progress = options.onProgress ?? (() => undefined);
  const compared = options.compare ? comparison(options.compare, target) : undefined;
  const kind = compared ? "blend" : options.kind;
  const fromDay = dayOfDate(options.from);
  const toDay = dayOfDate(options.to);
  if (toDay < fromDay)
    throw new CityScaleError("REQUEST_INVALID", `--to ${options.to} lies before --from ${options.from}`);
  const end = startOfLocalDay(city.timeZone, toDay + 1);
  const span = await connection.first<{ low: number | null; high: number | null }>(`
    SELECT min(start_at) AS low, max(start_at) AS high
    FROM observations JOIN steps USING (t) WHERE measure = ${literal(target.measure)}`);
  if (span?.low == null || span.high == null)
    throw new CityScaleError("DATA_MISSING", `there are no observations of ${target.measure}`);
  const entities = options.entities ? await numbersOf(connection, options.entities) : undefined;
  const origins = regularOrigins(city, fromDay, toDay, options.every, options.horizon);
  const view = createView(
    city,
    target,
    lagMs,
    origins.leads.reduce((most, leads) => Math.max(most, leads), 1),
  );

  const everyMs = parseDuration(options.every);
  const trainEvery = everyMs > 86_400_000 ? "24h" : options.every;
  const trainable = regularOrigins(
    city,
    firstTrainingDay(city, span.low),
    toDay,
    trainEvery,
    options.horizon,
  );
  const weather: WeatherMode = options.weather ? "issued-or-observed" : "none";
  // Only the entities wanted are scored; all are learned from.
  const request = { lagMs, weather, path: "fast" as const };

  let trainSeconds = 0;
  const parts: JudgedRows[] = [];
  let names: string[] = [];
  const segments = segmentsOf(origins, options.refit);
  for (const [n, segment] of segments.entries()) {
    const cut = segment.at[0]!;
    const began = performance.now();
    const at = (share: number) => (n + share) / segments.length;
    progress(`training on what was known by ${new Date(cut).toISOString()}`, at(0));
    const order = { ...options, kind, target: compared ?? target, cut, trainable, view, request };
    const model = await train(connection, order, (share) => progress("training", at(0.1 + 0.7 * share)));
    trainSeconds += (performance.now() - began) / 1000;
    progress("forecasting", at(0.85));
    const set = await buildFeatures(connection, city, view, {
      ...request,
      ...(entities ? { entities } : {}),
      origins: segment.at,
      leads: segment.leads,
      onlyWithTarget: false,
      targetsKnownBy: end + lagMs,
    });
    const kinds = compared || model.kinds.length > 1 ? model.kinds : [];
    const alone = kinds.map((member) => model.only(member));
    names = compared ? [...kinds] : [kind, ...kinds];
    parts.push(forecastRows(dropAfter(city, set, end), compared ? alone : [model, ...alone]));
  }
  const merged = joinJudged(parts);
  options.onForecasts?.(merged);
  progress("scoring", 0.89);
  const found = compared && bestBlend(merged, names, target);
  const table = await judge(connection, merged.set, {
    before: origins.at[0]!,
    forecasts: [
      ...merged.forecasts.map((forecast, i) => ({ name: names[i]!, forecast })),
      ...(found ? [{ name: "blend", kind: "blend" as const, forecast: found.forecast }] : []),
    ],
  });
  const { bestNaive: _bestNaive, gain: _gain, ...scores } = table;
  const classical = options.classical
    ? await judgeClassical(connection, merged, {
        ...options,
        view,
        origins,
        names,
        onProgress: (message, share) => progress(message, 0.9 + 0.1 * share),
      })
    : undefined;
  return {
    city: city.id,
    target: target.name,
    from: options.from,
    to: options.to,
    every: options.every,
    horizon: options.horizon,
    trainSeconds: Number(trainSeconds.toFixed(2)),
    ...(found ? { blend: found.blend } : {}),
    ...scores,
    ...(classical ? { classical } : {}),
  };
}

async function train(
  connection: Connection,
  options: BacktestOptions & {
    cut: number;
    trainable: Origins;
    view: ReturnType<typeof createView>;
    request: { lagMs: number; weather: WeatherMode; path: "fast" };
  },
  onProgress: (share: number) => void,
): Promise<DirectForecaster> {
  const { city, target, cut, view } = options;
  const before = originsBefore(options.trainable, cut);
  if (before.at.length < 28) {
    throw new CityScaleError(
      "DATA_MISSING",
      `only ${before.at.length} training origins lie before ${options.from}; 28 are the least`,
    );
  }
  const effort = fullEffort;
  const thinned = thinOrigins(before, effort.maxOrigins);
  const origins = isFar(view) ? firstDay(thinned, view.slotsPerDay) : thinned;
  const counted = await connection.first<{ n: number }>("SELECT count(*) AS n FROM entities");
  const perOrigin = counted!.n * origins.leads.reduce((most, leads) => Math.max(most, leads), 1);
  const set = await buildFeatures(connection, city, view, {
    ...options.request,
    origins: origins.at,
    leads: origins.leads,
    onlyWithTarget: true,
    targetsKnownBy: cut,
    share: Math.min(1, effort.maxRows / (perOrigin * origins.at.length)),
  });
  await connection.trim();
  return await fitForecaster(set, {
    target,
    kind: options.kind,
    effort,
    originAt: origins.at,
    calibrateFrom: calibrationStart(origins, cut, parseDuration(effort.calibrationWindow)),
    threads: options.threads,
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: (p) => onProgress(p.done / p.of),
  });
}

function segmentsOf(origins: Origins, refit: string | undefined): Origins[] {
  if (refit === undefined) return [origins];
  const every = parseDuration(refit);
  const segments: Origins[] = [];
  for (let first = 0; first < origins.at.length; ) {
    let last = first;
    while (last < origins.at.length && origins.at[last]! < origins.at[first]! + every) last++;
    segments.push({ at: origins.at.slice(first, last), leads: origins.leads.slice(first, last) });
    first = last;
  }
  return segments;
}

/** Targets that had not come true by the end of the window count as unknown. */
function dropAfter(city: City, set: FeatureSet, end: number): FeatureSet {
  const target = set.target.map((y, i) => (city.grid.endOf(set.step[i]!) <= end ? y : Number.NaN));
  return { ...set, target };
}

async function numbersOf(connection: Connection, ids: readonly string[]): Promise<number[]> {
  const rows = await connection.rows<{ entity: string; e: number }>("SELECT entity, e FROM entities");
  const known = new Map(rows.map((row) => [row.entity, row.e]));
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new CityScaleError(
      "ENTITY_UNKNOWN",
      `there is no entity ${unknown
        .slice(0, 5)
        .map((id) => `"${id}"`)
        .join(", ")} in the data`,
    );
  }
  return ids.map((id) => known.get(id)!);
}
