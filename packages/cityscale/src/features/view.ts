import { createHash } from "node:crypto";
import { CityScaleError } from "../core/index.ts";
import {
  type City,
  type FeatureDeclaration,
  parseDuration,
  stuckSteps,
  type Target,
} from "../domain/index.ts";
import { weatherColumns } from "../lake/index.ts";

/** Raised when the meaning of a built-in feature changes, so that old models are never fed new columns. */
const definition = 2;

/** Windows of the level features, as durations; those shorter than a step are left out. */
const levelWindows = ["1h", "3h", "6h", "1d", "3d", "7d"] as const;
const cityWindows = ["1h", "3h", "1d", "7d"] as const;
const dailyLags = [1, 2, 3, 4, 5, 6] as const;
const weeklyLags = [1, 2, 3, 4] as const;
/** Weather variables that also get a day mean and a departure from the usual. */
export const weatherWithMemory = ["temperature", "humidity", "rain", "wind", "cloud", "radiation"] as const;

export interface ViewWindow {
  readonly name: string;
  readonly steps: number;
}

/** A named definition of features for rows of (entity, origin, lead); `id` hashes all that gives them meaning. */
export interface FeatureView {
  readonly id: string;
  readonly name: string;
  readonly measure: string;
  /** Added to counts before logarithms. */
  readonly offset: number;
  readonly slotsPerDay: number;
  /** Steps of zeros from which a counter is taken as dead. */
  readonly stuckSteps: number;
  /** Weeks between a target and its newest usable same-weekday value, at most. */
  readonly maxWeeksAhead: number;
  readonly levels: readonly ViewWindow[];
  readonly cityLevels: readonly ViewWindow[];
  readonly dailyLags: readonly number[];
  readonly weeklyLags: readonly number[];
  readonly custom: readonly FeatureDeclaration[];
  readonly columns: readonly string[];
  readonly categorical: readonly string[];
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
  const maxWeeksAhead = Math.ceil((horizonSteps + Math.ceil(lagMs / stepMs) + 1) / (7 * spd));
  const levels = windows(levelWindows);
  const cityLevels = windows(cityWindows);
  const shortLags = spd > 1 ? dailyLags : dailyLags.filter((lag) => lag < 7);
  for (const feature of target.features) checkCustom(feature);
  const weather = [
    ...weatherColumns.map((name) => `wx_${name}`),
    ...weatherWithMemory.flatMap((name) => [`wxday_${name}`, `wxdep_${name}`]),
  ];
  const columns = [
    "lead",
    "slot",
    "weekday",
    "day_of_month",
    "day_of_year",
    "holiday",
    "holiday_tomorrow",
    "holiday_yesterday",
    "holiday_name",
    "school_holiday",
    "days_to_christmas",
    "entity",
    "log_expectation",
    "lat",
    "lon",
    "spread",
    "mean_4_weeks",
    ...shortLags.map((lag) => `r_day_${lag}`),
    "y_day_1",
    ...weeklyLags.map((lag) => `y_week_${lag}`),
    ...levels.map(({ name }) => `level_${name}`),
    "level_plain_7d",
    "level_plain_28d",
    "volatility_28d",
    "observed_share_7d",
    ...cityLevels.map(({ name }) => `city_${name}`),
    "city_day_1",
    "r_year",
    "r_year_week",
    "sunday_like",
    "r_last_holiday",
    "origin_slot",
    "events_near",
    "events_city",
    "event_start_soon",
    "event_end_recent",
    ...weather,
    ...target.features.map((feature) => `x_${feature.name}`),
  ];
  const view = {
    name: `${city.id}/${target.name}`,
    measure: target.measure,
    offset: target.offset,
    slotsPerDay: spd,
    stuckSteps: stuckSteps(city, target.measure),
    maxWeeksAhead,
    levels,
    cityLevels,
    dailyLags: [...shortLags],
    weeklyLags: [...weeklyLags],
    custom: target.features,
    columns,
    categorical: ["entity", "holiday_name"],
    weatherColumns: weather,
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
