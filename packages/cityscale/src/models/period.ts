import { CityScaleError } from "../core/index.ts";
import { type City, dayOfDate, parseDuration, startOfLocalDay, type Target } from "../domain/index.ts";
import {
  buildFeatures,
  createView,
  type FeatureSet,
  type FeatureView,
  type WeatherMode,
} from "../features/index.ts";
import { type Connection, literal } from "../lake/index.ts";
import type { Effort } from "./kinds.ts";
import { learningSet } from "./learning-set.ts";
import { firstTrainingDay, type Origins, originsBefore, regularOrigins } from "./origins.ts";

/** A past period to forecast, as it is asked for. */
export interface PeriodOptions {
  readonly city: City;
  readonly target: Target;
  /** Local dates, inclusive. */
  readonly from: string;
  readonly to: string;
  /** Time between origins; `24h` is the local day. */
  readonly every: string;
  readonly horizon: string;
  /** Ids of the entities wanted; all when left out. */
  readonly entities?: readonly string[];
  readonly lagMs: number;
  readonly weather: boolean;
}

/** A period with the origins in it and all those that could be trained on. */
export interface Period {
  readonly view: FeatureView;
  readonly origins: Origins;
  readonly trainable: Origins;
  /** Numbers of the entities that are scored; all are learned from. */
  readonly entities: readonly number[] | undefined;
  readonly request: { readonly lagMs: number; readonly weather: WeatherMode; readonly path: "fast" };
  /** Instant at which the period ends, ms UTC. */
  readonly end: number;
}

/** Throws DATA_MISSING without observations, ENTITY_UNKNOWN, REQUEST_INVALID. */
export async function preparePeriod(connection: Connection, options: PeriodOptions): Promise<Period> {
  const { city, target, lagMs } = options;
  const fromDay = dayOfDate(options.from);
  const toDay = dayOfDate(options.to);
  if (toDay < fromDay)
    throw new CityScaleError("REQUEST_INVALID", `--to ${options.to} lies before --from ${options.from}`);
  const span = await connection.first<{ low: number | null }>(`
    SELECT min(start_at) AS low FROM observations JOIN steps USING (t) WHERE measure = ${literal(target.measure)}`);
  if (span?.low == null)
    throw new CityScaleError("DATA_MISSING", `there are no observations of ${target.measure}`);
  const origins = regularOrigins(city, fromDay, toDay, options.every, options.horizon);
  const longest = origins.leads.reduce((most, leads) => Math.max(most, leads), 1);
  const trainEvery = parseDuration(options.every) > 86_400_000 ? "24h" : options.every;
  const view = createView(city, target, lagMs, longest);
  return {
    view,
    origins,
    trainable: regularOrigins(
      city,
      firstTrainingDay(city, view, span.low),
      toDay,
      trainEvery,
      options.horizon,
    ),
    entities: options.entities ? await numbersOf(connection, options.entities) : undefined,
    request: { lagMs, weather: options.weather ? "issued-or-observed" : "none", path: "fast" },
    end: startOfLocalDay(city.timeZone, toDay + 1),
  };
}

/** Rows of what was known before `cut`, as many as the effort allows. Throws DATA_MISSING when there is too little. */
export async function trainingSetOf(
  connection: Connection,
  { view, trainable, request }: Period,
  { city }: PeriodOptions,
  cut: number,
  effort: Effort,
): Promise<{ set: FeatureSet; origins: Origins }> {
  const before = originsBefore(trainable, cut);
  if (before.at.length < 28) {
    throw new CityScaleError(
      "DATA_MISSING",
      `only ${before.at.length} training origins lie before ${new Date(cut).toISOString()}; 28 are the least`,
    );
  }
  return await learningSet(connection, { city, view, request, trainable: before, cut, effort });
}

/** Rows of a period's origins to forecast; targets that had not come true by its end count as unknown. */
export async function scoredSetOf(
  connection: Connection,
  { view, request, entities, end }: Period,
  { city, lagMs }: PeriodOptions,
  origins: Origins,
): Promise<FeatureSet> {
  const set = await buildFeatures(connection, city, view, {
    ...request,
    ...(entities ? { entities } : {}),
    origins: origins.at,
    leads: origins.leads,
    onlyWithTarget: false,
    targetsKnownBy: end + lagMs,
  });
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
