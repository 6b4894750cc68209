import type { Connection } from "../lake/index.ts";
import { heatingOf } from "./heating.ts";
import { fewest } from "./tables.ts";
import type { FeatureView } from "./view.ts";

/**
 * What steps of a day have beyond those of an hour: levels without the week's shape, the same season's change of a
 * year ago, and temperatures against those of the days that a forecast departs from.
 */

/** Weights of the newest day in the fading levels. */
const fadings = [0.15, 0.5, 0.9] as const;
/** Days that a fading level looks back on, itself included. */
const fadingDays = 29;
/** Weekday factors are medians over so many days, the newest of which still has a whole week around it. */
const factorDays = 70;
/** Days on either side of a level of last year. */
const yearHalf = 10;
/** Two weeks before the origin, a year ago: the middle of the three weeks that the season is compared with. */
const yearBefore = 364 + 14;
const meanDays = [7, 28, 56] as const;
/**
 * Days after a forecast's last whole one that it is taken to be as warm on: that tells more than nothing, and a forecast
 * of the day before ends a day sooner.
 */
const daysBeyond = 3;

/** Days behind an origin that these features read. */
export const dailyHistoryDays = factorDays + 6;

/** Local days, from and to in SQL over `asked`, of last year that these features read. */
export const dailyYear = [`anchor_day - ${yearBefore + yearHalf}`, `last_day - ${364 - yearHalf}`] as const;

/** Mean logarithm of the three weeks around a year before each place (columns v, e, key of the target). */
export const yearLevelSql = ({ offset: c }: FeatureView): string => `
  SELECT v, e, key + 364 AS key, ${around("key", c)} AS year_level FROM expected`;

const around = (by: string, c: number) => {
  const frame = `(PARTITION BY v, e ORDER BY ${by} RANGE BETWEEN ${yearHalf} PRECEDING AND ${yearHalf} FOLLOWING)`;
  return `CASE WHEN count(y) OVER ${frame} >= ${fewest(2 * yearHalf + 1)} THEN avg(ln(y + ${c})) OVER ${frame} END`;
};

/**
 * Levels of each entity at the origins' newest day, in logarithms of counts (rows v, e, t): the day's own, means of
 * counts, fading means without the weekday's factor, and the factors themselves, Monday first.
 * A factor is the median of a weekday's departure from the mean of the seven days around it.
 */
export function dailyLevelsSql({ offset: c }: FeatureView): string {
  const mean = (days: number) => {
    const known = `count(b.y) FILTER (b.back < ${days})`;
    return `CASE WHEN ${known} >= ${fewest(days)} THEN ln(avg(b.y) FILTER (b.back < ${days}) + ${c}) END AS log_mean_${days}d`;
  };
  const fade = (share: number) => {
    const weight = `pow(${1 - share}, b.back)`;
    const value = "b.l - f.factors[b.weekday + 1]";
    return `sum(${weight} * (${value})) FILTER (b.back < ${fadingDays}) / nullif(sum(CASE WHEN ${value} IS NOT NULL THEN ${weight} END) FILTER (b.back < ${fadingDays}), 0) AS fading_${Math.round(100 * share)}`;
  };
  return `
    WITH logs AS (
      SELECT v, e, t, y, ln(y + ${c}) AS l, (key + 3) % 7 AS weekday,
        CASE WHEN count(y) OVER week = 7 THEN avg(ln(y + ${c})) OVER week END AS l_week,
        ${around("t", c)} AS l_around
      FROM pass_cells WINDOW week AS (PARTITION BY v, e ORDER BY t RANGE BETWEEN 3 PRECEDING AND 3 FOLLOWING)
    ), newest AS (
      SELECT b.v, b.e, b.t FROM logs b SEMI JOIN (SELECT v, anchor AS t FROM asked) USING (v, t)
    ), by_weekday AS (
      SELECT n.v, n.e, n.t, x.weekday, median(x.l - x.l_week) AS factor
      FROM (SELECT *, t - unnest(range(3, ${factorDays + 3})) AS at FROM newest) n
        JOIN logs x ON x.v = n.v AND x.e = n.e AND x.t = n.at
      GROUP BY ALL
    ), factors AS (
      SELECT v, e, t, [${Array.from({ length: 7 }, (_, day) => `max(factor) FILTER (weekday = ${day})`).join(", ")}] AS factors
      FROM by_weekday GROUP BY v, e, t
    ), behind AS (
      SELECT n.v, n.e, n.t, n.back, x.y, x.l, x.weekday
      FROM (SELECT *, unnest(range(0, ${Math.max(...meanDays)})) AS back FROM newest) n
        JOIN logs x ON x.v = n.v AND x.e = n.e AND x.t = n.t - n.back
    )
    SELECT b.v, b.e, b.t, max(b.l) FILTER (b.back = 0) AS log_day,
      ${meanDays.map(mean).join(", ")}, ${fadings.map(fade).join(", ")},
      any_value(f.factors) AS weekday_factors, any_value(a.l_around) AS year_before
    FROM behind b LEFT JOIN factors f ON f.v = b.v AND f.e = b.e AND f.t = b.t
      LEFT JOIN logs a ON a.v = b.v AND a.e = b.e AND a.t = b.t - ${yearBefore}
    GROUP BY b.v, b.e, b.t`;
}

/**
 * `wx_behind` (o, t): temperature, degrees Celsius, of the day before the first one forecast, of the week that ends
 * with it, and of the four same weekdays that a row's target departs from, with their heating degrees; all as
 * observed by the origin. `ahead` is that of the target's day, or past the forecast's end of its last one. After
 * `row_keys`.
 */
export async function buildDailyWeather(connection: Connection, view: FeatureView): Promise<void> {
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_behind AS
    WITH asked_days AS (
      SELECT DISTINCT o, origin_at, first_t - back AS t FROM (
        SELECT *, unnest(range(1, ${7 * (view.maxWeeksAhead + 4)})) AS back FROM origins)
    ), seen AS (
      SELECT a.o, a.t, avg(x.temperature) AS temperature
      FROM asked_days a JOIN wx_observed x ON x.t = a.t AND x.known_at <= a.origin_at GROUP BY a.o, a.t
    ), recent AS (
      SELECT g.o, avg(s.temperature) FILTER (s.t = g.first_t - 1) AS today, avg(s.temperature) AS week
      FROM origins g JOIN seen s ON s.o = g.o AND s.t BETWEEN g.first_t - 7 AND g.first_t - 1 GROUP BY g.o
    ), ends AS (
      SELECT issue, max(t) AS t, arg_max(temperature, t) AS temperature FROM wx_steps WHERE issue <> -1 GROUP BY issue
    ), base AS (
      SELECT r.o, r.t, avg(s.temperature) AS base, avg(${heatingOf("s.temperature")}) AS heating_base
      FROM (SELECT DISTINCT o, t, weeks, unnest(range(4)) AS back FROM row_keys) r
        JOIN seen s ON s.o = r.o AND s.t = r.t - 7 * (r.weeks + r.back) GROUP BY r.o, r.t
    )
    SELECT r.o, r.t, n.today, n.week, b.base, b.heating_base,
      CASE WHEN r.t > x.t THEN x.temperature ELSE a.temperature END AS ahead
    FROM (SELECT DISTINCT o, t, issue FROM row_keys) r LEFT JOIN recent n USING (o) LEFT JOIN base b USING (o, t)
      LEFT JOIN wx_steps a ON a.issue = r.issue AND a.t = r.t
      LEFT JOIN ends x ON x.issue = r.issue AND r.t <= x.t + ${daysBeyond}`);
}
