import type { FeatureView } from "../features/index.ts";

const changes = ["temperature_week", "temperature_base", "temperature_today", "heating_base"];

/**
 * What a regression of one entity, one lead and some thousand days has use for: everything that a network takes
 * costs it more than it tells, for most of it says the same again.
 */
const numbers = [
  ...["holiday", "holiday_tomorrow", "holiday_yesterday", "holiday_origin", "christmas_week"],
  ...["year_sin", "year_cos", "r_year", "year_change"],
  ...["log_day", "log_mean_7d", "log_mean_28d", "log_mean_56d", "fading_15", "fading_50", "fading_90"],
  ...["weekday_factor", "r_day_1", "level_3d", "level_7d", "y_week_1", "spread", "fading_mean"],
  ...["mean_4_weeks", "median_3_weeks", "median_4_weeks", "median_12_weeks", "median_26_weeks"],
  ...["sunday_like", "r_last_holiday"],
  ...["wx_temperature", "temperature_low", "temperature_high", "wxchange_temperature", "heating"],
  ...["wx_rain", "wx_wind"],
  ...changes.flatMap((name) => [name, `${name}_sin`, `${name}_cos`]),
];
const categories = ["day_type", "holiday_name"];

/**
 * What the weather does follows no straight line: heating is asked for below a temperature, and a little rain does
 * nothing.
 */
const bends = {
  columns: ["wx_temperature", "heating", "wx_rain", "wx_wind", ...changes],
  knots: [-1, 0, 1],
};

/**
 * How far back it learns. It is of one series alone, a few thousand rows of what was usual then; in two weeks what was
 * usual six years ago misleads more than it steadies.
 */
const newestDays = 4 * 365.25;

/**
 * A ridge regression of days, declared columns among its own. By squares one storm would have more to say than weeks of
 * usual days.
 */
export function dailyRidge({ custom }: FeatureView) {
  const names = [...numbers, ...custom.map(({ name }) => `x_${name}`), ...categories];
  return { alpha: 30, huber: 0.1, newestDays, columns: { names, categorical: categories }, bends };
}
