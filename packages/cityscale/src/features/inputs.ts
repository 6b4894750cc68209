import { dayOfDate } from "../domain/index.ts";
import { type Connection, literal, weatherColumns } from "../lake/index.ts";
import { weatherWithMemory } from "./columns.ts";
import { metresSql } from "./metres.ts";
import type { FeatureRequest } from "./request.ts";
import type { FeatureView } from "./view.ts";

/** `days`: the calendar of local days that the steps touch, with public and school holidays. */
export async function buildDays(connection: Connection, request: FeatureRequest): Promise<void> {
  const changed = Object.entries(request.whatIf?.holidays ?? {});
  const on = changed.filter(([, holiday]) => holiday).map(([date]) => dayOfDate(date));
  const off = changed.filter(([, holiday]) => !holiday).map(([date]) => dayOfDate(date));
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE days AS
    WITH public AS (
      SELECT day, min(name) AS name FROM holidays WHERE kind = 'public' AND day NOT IN (${[-1, ...off].join(", ")}) GROUP BY day
      ${on.map((day) => `UNION SELECT ${day}, 'Declared holiday' WHERE NOT EXISTS (FROM holidays WHERE kind = 'public' AND day = ${day})`).join(" ")}
    ), span AS (
      -- As far as the longest window over days, that of the school holidays, looks.
      SELECT unnest(generate_series(min(day) - 60, max(day) + 60)) AS day FROM steps
    ), named AS (
      SELECT s.day, DATE '1970-01-01' + CAST(s.day AS INTEGER) AS date, p.name,
        EXISTS (FROM holidays h WHERE h.kind = 'school' AND h.day = s.day) AS school
      FROM span s LEFT JOIN public p USING (day)
    ), told AS (
      SELECT *, name IS NOT NULL AS holiday, (day + 3) % 7 AS weekday,
        -- A number made of the name alone: a model meets the same one in any year and any lake.
        CASE WHEN name IS NULL THEN 0 ELSE 1 + ('0x' || substr(md5(name), 1, 6))::INTEGER % 4093 END AS holiday_name
      FROM named
    ), runs AS (
      -- Days in a row of one sort have the same difference between the day and its number among the sort's days.
      SELECT *, holiday OR weekday >= 5 AS off,
        day - row_number() OVER (PARTITION BY holiday OR weekday >= 5 ORDER BY day) AS off_run,
        day - row_number() OVER (PARTITION BY school ORDER BY day) AS school_run
      FROM told
    )
    SELECT day, date, name, holiday, school, weekday, holiday_name,
      lead(holiday_name) OVER by_day AS holiday_name_tomorrow, lag(holiday_name) OVER by_day AS holiday_name_yesterday,
      COALESCE(lead(holiday) OVER by_day, false) AS holiday_tomorrow,
      COALESCE(lag(holiday) OVER by_day, false) AS holiday_yesterday,
      least(15, COALESCE(min(CASE WHEN holiday THEN day END) OVER (ORDER BY day ROWS BETWEEN CURRENT ROW AND 15 FOLLOWING) - day, 15)) AS days_to_holiday,
      least(15, COALESCE(day - max(CASE WHEN holiday THEN day END) OVER (ORDER BY day ROWS BETWEEN 15 PRECEDING AND CURRENT ROW), 15)) AS days_since_holiday,
      CASE WHEN off THEN count(*) OVER (PARTITION BY off, off_run) ELSE 0 END AS days_off,
      NOT off AND (weekday = 4 AND COALESCE(lag(holiday) OVER by_day, false) OR weekday = 0 AND COALESCE(lead(holiday) OVER by_day, false)) AS bridge,
      CASE WHEN school THEN least(45, row_number() OVER (PARTITION BY school, school_run ORDER BY day)) ELSE 0 END AS school_day,
      CASE WHEN school THEN least(45, row_number() OVER (PARTITION BY school, school_run ORDER BY day DESC)) ELSE 0 END AS school_left,
      COALESCE(lag(school, 7) OVER by_day, false) AS school_week_ago,
      avg(school::INTEGER) OVER (ORDER BY day ROWS BETWEEN 56 PRECEDING AND 1 PRECEDING) AS school_share,
      day(date) AS day_of_month, dayofyear(date) AS day_of_year,
      CASE WHEN month(date) >= 7 THEN date - make_date(year(date), 12, 25) ELSE date - make_date(year(date) - 1, 12, 25) END AS from_christmas,
      CASE WHEN name IS NOT NULL THEN lag(day) OVER (PARTITION BY name ORDER BY day) END AS last_same_holiday
    FROM runs WINDOW by_day AS (ORDER BY day)`);
}

/** Share of the hours of a whole day that a forecast's last day has, or it is not counted. */
const leastOfDay = 0.7;

/**
 * `issues`: forecasts by what was there of them at a time: an issue that came in two parts is two of them.
 * `origin_issue`: the newest that was known at each origin. `wx`: weather at each step by issue (-1 = observed),
 * with day means and departures from the eight weeks before.
 */
export async function buildWeather(
  connection: Connection,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const { weather: mode } = request;
  const names = weatherColumns.map((name) => `"${name}"`);
  const memory = weatherWithMemory.map((name) => `"${name}"`);
  const hourMs = 3_600_000;
  const spd = view.slotsPerDay;
  const stepMs = 86_400_000 / spd;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE issues AS
    SELECT CAST(row_number() OVER (ORDER BY issued_at, known_at) AS INTEGER) AS issue, issued_at, known_at
    FROM (SELECT DISTINCT issued_at, known_at FROM weather WHERE issued_at IS NOT NULL ${mode === "none" || mode === "observed" ? "AND false" : ""})`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE origin_issue AS
    SELECT g.o, max(i.issue) AS issue FROM origins g JOIN issues i ON i.known_at <= g.origin_at
    WHERE i.issued_at > g.origin_at - 10 * 86400000 GROUP BY g.o`);
  // The hours of each step; an hour stands for all the steps in it where steps are shorter.
  const onSteps = (source: string) =>
    stepMs < hourMs
      ? `(SELECT w.*, s.t, s.key FROM steps s JOIN (${source}) w ON w.valid_at = s.start_at // ${hourMs} * ${hourMs})`
      : `(SELECT w.*, s.t, s.key FROM (${source}) w ASOF JOIN steps s ON w.valid_at >= s.start_at)`;
  const range = (from: string) =>
    spd === 1 ? `, min(${from}.temperature) AS low, max(${from}.temperature) AS high` : "";
  const mean = (name: string, from: string) =>
    name === '"rain"' && stepMs > hourMs
      ? `sum(${from}.${name}) / count(DISTINCT ${from}.t) AS ${name}`
      : `avg(${from}.${name}) AS ${name}`;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_observed AS
    SELECT t, key, key // ${spd} AS day, known_at, ${names.join(", ")}
    FROM ${onSteps(`FROM weather WHERE issued_at IS NULL ${mode === "none" ? "AND false" : ""}`)}`);
  // A forecast ends within a day: some hours of the night are no mean of it.
  const whole =
    spd === 1
      ? `QUALIFY w.t < max(w.t) OVER (PARTITION BY issue) OR count(*) >= ${leastOfDay} * max(count(*)) OVER (PARTITION BY issue)`
      : "";
  const ofSteps = (issue: string, from: string) => `
    SELECT ${issue} AS issue, w.t, w.key, ${names.map((name) => mean(name, "w")).join(", ")}${range("w")}
    FROM ${from} w GROUP BY 1, 2, 3 ${whole}`;
  const forecasts = onSteps(`
    SELECT i.issue, x.* FROM issues i SEMI JOIN origin_issue USING (issue)
      JOIN weather x ON x.issued_at = i.issued_at AND x.known_at <= i.known_at`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_steps AS
    ${ofSteps("w.issue", forecasts)}
    ${mode === "issued" ? "" : `UNION ALL ${ofSteps("-1", "wx_observed")}`}`);
  if (request.whatIf?.weather) {
    const sets = Object.entries(request.whatIf.weather).map(
      ([name, value]) => `"${name}" = ${Number(value)}`,
    );
    const { temperature } = request.whatIf.weather;
    if (spd === 1 && temperature !== undefined) sets.push(`low = ${temperature}`, `high = ${temperature}`);
    await connection.run(`
      UPDATE wx_steps SET ${sets.join(", ")} WHERE t >= (SELECT min(first_t) FROM origins)`);
  }
  // Steps of a forecast's own days, and of the day before, that lie before its issue are filled with what was
  // observed by then.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_filled AS
    SELECT issue, t, key, ${memory.join(", ")} FROM wx_steps
    UNION ALL
    SELECT d.issue, o.t, o.key, ${memory.map((name) => mean(name, "o")).join(", ")}
    FROM (SELECT DISTINCT issue, key // ${spd} - unnest([0, 1]) AS day FROM wx_steps WHERE issue <> -1) d JOIN issues i USING (issue)
      JOIN wx_observed o ON o.day = d.day AND o.known_at <= i.known_at
      ANTI JOIN wx_steps x ON x.issue = d.issue AND x.t = o.t
    GROUP BY d.issue, o.t, o.key`);
  const active = spd > 1 ? `WHERE (key % ${spd}) * 24 // ${spd} BETWEEN 8 AND 20` : "";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_day AS
    SELECT issue, key // ${spd} AS day, ${memory.map((name) => `avg(${name}) AS ${name}`).join(", ")}
    FROM wx_filled ${active} GROUP BY ALL`);
  const near = (name: string) =>
    `avg(${name}) OVER (PARTITION BY issue ORDER BY t RANGE BETWEEN ${view.nearSteps} PRECEDING AND ${view.nearSteps} FOLLOWING) AS ${name}`;
  const called = (prefix: string, name: string) => name.replace('"', `"${prefix}_`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx AS
    WITH usual AS (
      SELECT w.issue, w.t, ${memory.map((name) => mean(name, "o")).join(", ")}
      FROM (SELECT issue, t, key - unnest([1, 2, 3, 4, 5, 6, 7, 8]) * ${7 * spd} AS key FROM wx_steps) w
        LEFT JOIN issues i ON i.issue = w.issue
        JOIN wx_observed o ON o.key = w.key AND (w.issue = -1 OR o.known_at <= i.known_at)
      GROUP BY w.issue, w.t
    ), before AS (
      SELECT f.* FROM wx_filled f JOIN steps s ON s.t = f.t AND s.fold = 0
    ), around AS (
      SELECT issue, t, ${memory.map(near).join(", ")} FROM wx_filled
    )
    SELECT w.issue, w.t, ${spd === 1 ? "w.low, w.high, " : ""}${names.map((name) => `w.${name} AS ${called("wx", name)}`).join(", ")},
      ${memory.map((name) => `d.${name} AS ${called("wxday", name)}`).join(", ")},
      ${memory.map((name) => `w.${name} - u.${name} AS ${called("wxdep", name)}`).join(", ")},
      ${memory.map((name) => `w.${name} - b.${name} AS ${called("wxchange", name)}`).join(", ")},
      ${memory.map((name) => `d.${name} - y.${name} AS ${called("wxdaychange", name)}`).join(", ")},
      ${memory.map((name) => `a.${name} AS ${called("wxnear", name)}`).join(", ")}
    FROM wx_steps w LEFT JOIN wx_day d ON d.issue = w.issue AND d.day = w.key // ${spd}
      LEFT JOIN wx_day y ON y.issue = w.issue AND y.day = w.key // ${spd} - 1
      LEFT JOIN usual u ON u.issue = w.issue AND u.t = w.t
      LEFT JOIN before b ON b.issue = w.issue AND b.key = w.key - ${spd}
      LEFT JOIN around a ON a.issue = w.issue AND a.t = w.t`);
}

/**
 * `events_at`: attendance near each entity for the steps from three hours before an event to three hours after,
 * with the time from which it was known; the newest version known at an origin counts.
 */
export async function buildEvents(connection: Connection, request: FeatureRequest): Promise<void> {
  const extra = request.whatIf?.event;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE event_versions AS
    SELECT *, COALESCE(lead(known_at) OVER (PARTITION BY id ORDER BY known_at), 9223372036854775807) AS known_to
    FROM (
      SELECT id, known_at, start_at, end_at, lat, lon, COALESCE(attendance, 1000) AS attendance, cancelled FROM events
      ${extra ? `UNION ALL SELECT ${literal("what-if")}, 0, ${extra.startAt}, ${extra.endAt}, ${extra.lat}, ${extra.lon}, ${extra.attendance}, false` : ""}
    )`);
  const margin = 3 * 3_600_000;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE events_at AS
    SELECT n.e, s.t, x.known_at, x.known_to, x.attendance,
      exp(-${metresSql("n", "x")} / 600.0) AS nearness,
      s.start_at < x.end_at AND s.end_at > x.start_at AS during,
      (x.start_at - (s.start_at + s.end_at) / 2) / 3600000.0 AS starts_in,
      ((s.start_at + s.end_at) / 2 - x.end_at) / 3600000.0 AS ended_ago,
      s.start_at <= x.start_at AND s.end_at > x.start_at - 7200000 AS before_start,
      s.end_at > x.end_at AND s.start_at < x.end_at + 7200000 AS after_end
    FROM event_versions x
      JOIN steps s ON s.end_at > x.start_at - ${margin} AND s.start_at < x.end_at + ${margin}
      CROSS JOIN entities n
    WHERE NOT x.cancelled AND x.lat IS NOT NULL AND n.lat IS NOT NULL
      AND s.t BETWEEN (SELECT min(first_t) FROM origins) AND (SELECT max(last_t) FROM origins)`);
}
