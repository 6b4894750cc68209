import { createHash } from "node:crypto";
import { CityScaleError } from "../core/index.ts";
import {
  type City,
  type ExpectationName,
  type FeatureDeclaration,
  parseDuration,
  stuckSteps,
  type Target,
} from "../domain/index.ts";
import { columnsOf, type ViewPart, type ViewShape, type ViewWindow } from "./columns.ts";

/** Raised when the meaning of a built-in feature changes, so that old models are never fed new columns. */
const definition = 3;

/** Windows of the level features, as durations; those shorter than a step are left out. */
const levelWindows = ["1h", "3h", "6h", "1d", "3d", "7d"] as const;
const cityWindows = ["1h", "3h", "1d", "7d"] as const;
const dailyLags = [1, 2, 3, 4, 5, 6] as const;
const weeklyLags = [1, 2, 3, 4] as const;
const medianWeeks = [3, 4, 12, 26] as const;
/** Time on either side of the target over which weather is averaged. */
const nearMs = 3 * 3_600_000;

/** A named definition of features for rows of (entity, origin, lead); `id` hashes all that gives them meaning. */
export interface FeatureView extends ViewShape {
  readonly id: string;
  readonly name: string;
  readonly measure: string;
  /** What the expectation is. */
  readonly expectation: ExpectationName;
  /** Steps of zeros from which a counter is taken as dead. */
  readonly stuckSteps: number;
  readonly columns: readonly string[];
  /** What each column tells. */
  readonly parts: readonly ViewPart[];
  readonly categorical: readonly string[];
  /** The columns, and the categories among them, of models that are smooth in their inputs. */
  readonly smooth: { readonly names: readonly string[]; readonly categorical: readonly string[] };
  /** Columns that say the same of a target from whatever origin. */
  readonly timeless: readonly string[];
  /** Columns that tell the place in the year: only several years teach what they mean. */
  readonly seasonal: readonly string[];
  /** Columns that change as slowly, or come once a year: the same of them, without the newest counts beside them. */
  readonly slow: readonly string[];
  /** Columns that tell how other entities do. */
  readonly ofOthers: readonly string[];
  /** Columns that come from the weather, which a model must be able to do without. */
  readonly weatherColumns: readonly string[];
}

/**
 * The view of a target. `lagMs` (publication lag) and the horizon decide how many weeks back the newest
 * same-weekday value can be.
 */
export function createView(
  city: City,
  target: Target,
  lagMs: number,
  horizonSteps = target.horizonSteps,
): FeatureView {
  const spd = city.grid.slotsPerDay;
  const stepMs = city.stepMs;
  const windows = (names: readonly string[]): ViewWindow[] => {
    const seen = new Set<number>();
    return names.flatMap((name) => {
      const steps = Math.round(parseDuration(name) / stepMs);
      if (steps < 1 || seen.has(steps)) return [];
      seen.add(steps);
      return [{ name, steps }];
    });
  };
  for (const feature of target.features) checkCustom(feature);
  const shape: ViewShape = {
    offset: target.offset,
    slotsPerDay: spd,
    maxWeeksAhead: Math.ceil((horizonSteps + Math.ceil(lagMs / stepMs) + 1) / (7 * spd)),
    levels: windows(levelWindows),
    cityLevels: windows(cityWindows),
    dailyLags: [...dailyLags],
    weeklyLags: [...weeklyLags],
    medianWeeks: [...medianWeeks],
    nearSteps: Math.floor(nearMs / stepMs),
    neighboursWithinKm: target.neighboursWithinKm ?? null,
    hasEvents: Object.values(city.sources).some(({ kind }) => kind === "eventsCsv"),
    custom: target.features,
    location: city.location,
  };
  const columns = columnsOf(shape);
  const view = {
    ...shape,
    name: `${city.id}/${target.name}`,
    measure: target.measure,
    expectation: target.expectation,
    stuckSteps: stuckSteps(city, target.measure),
    columns: columns.map(({ name }) => name),
    parts: columns.map(({ part }) => part),
    categorical: columns.filter(({ categorical }) => categorical).map(({ name }) => name),
    smooth: {
      names: columns.filter(({ smooth }) => smooth !== "none").map(({ name }) => name),
      categorical: columns.filter(({ smooth }) => smooth === "category").map(({ name }) => name),
    },
    timeless: columns.filter(({ timeless }) => timeless).map(({ name }) => name),
    seasonal: columns.filter(({ seasonal }) => seasonal).map(({ name }) => name),
    slow: columns.filter(({ slow }) => slow).map(({ name }) => name),
    ofOthers: columns.filter(({ ofOthers }) => ofOthers).map(({ name }) => name),
    weatherColumns: columns.filter(({ part }) => part === "weather").map(({ name }) => name),
  };
  const id = createHash("sha256")
    .update(JSON.stringify({ definition, ...view }))
    .digest("hex")
    .slice(0, 16);
  return { id, ...view };
}

/** A feature is one SELECT; anything else could change the tables it is given. */
function checkCustom(feature: FeatureDeclaration): void {
  const sql = feature.sql.trim();
  if (!/^(select|with)\b/i.test(sql) || sql.includes(";")) {
    throw new CityScaleError(
      "FEATURE_SQL_INVALID",
      `feature "${feature.name}" must be one SELECT without a semicolon`,
    );
  }
}
