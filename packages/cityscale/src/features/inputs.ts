import { dayOfDate } from "../domain/index.ts";
import { type Connection, literal, weatherColumns } from "../lake/index.ts";
import type { FeatureRequest } from "./request.ts";
import { type FeatureView, weatherWithMemory } from "./view.ts";

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
      SELECT unnest(generate_series(min(day) - 8, max(day) + 8)) AS day FROM steps
    ), named AS (
      SELECT s.day, DATE '1970-01-01' + CAST(s.day AS INTEGER) AS date, p.name,
        EXISTS (FROM holidays h WHERE h.kind = 'school' AND h.day = s.day) AS school
      FROM span s LEFT JOIN public p USING (day)
    )
    SELECT day, date, name, name IS NOT NULL AS holiday, school,
      -- A number made of the name alone: a model meets the same one in any year and any lake.
      CASE WHEN name IS NULL THEN 0 ELSE 1 + ('0x' || substr(md5(name), 1, 6))::INTEGER % 4093 END AS holiday_name,
      lead(name) OVER by_day IS NOT NULL AS holiday_tomorrow,
      lag(name) OVER by_day IS NOT NULL AS holiday_yesterday,
      (day + 3) % 7 AS weekday, day(date) AS day_of_month, dayofyear(date) AS day_of_year,
      CASE WHEN month(date) >= 7 THEN date - make_date(year(date), 12, 25) ELSE date - make_date(year(date) - 1, 12, 25) END AS from_christmas,
      lag(day) OVER (PARTITION BY name ORDER BY day) AS last_same_holiday
    FROM named WINDOW by_day AS (ORDER BY day)`);
}

/** `wx`: weather at each step by issue (-1 = observed), with day means and departures from the eight weeks before. */
export async function buildWeather(connection: Connection, view: FeatureView, request: FeatureRequest): Promise<void> {
  const { weather: mode } = request;
  const names = weatherColumns.map((name) => `"${name}"`);
  const hourMs = 3_600_000;
  const stepMs = 86_400_000 / view.slotsPerDay;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE issues AS
    SELECT issued_at, min(known_at) AS known_at FROM weather WHERE issued_at IS NOT NULL ${mode === "none" || mode === "observed" ? "AND false" : ""}
    GROUP BY issued_at`);
  // For each origin the newest forecast that was known by then.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE origin_issue AS
    SELECT g.o, max(i.issued_at) AS issued_at FROM origins g JOIN issues i ON i.known_at <= g.origin_at
    WHERE i.issued_at > g.origin_at - 10 * 86400000 GROUP BY g.o`);
  const asSteps = (source: string, extra: string) => {
    const values = names.map((name) => (name === '"rain"' && stepMs > hourMs ? `sum(w.${name}) AS ${name}` : `avg(w.${name}) AS ${name}`)).join(", ");
    return stepMs < hourMs
      ? `SELECT ${extra} s.t, any_value(s.key) AS key, ${values} FROM steps s JOIN (${source}) w ON w.valid_at = s.start_at // ${hourMs} * ${hourMs} GROUP BY ALL`
      : `SELECT ${extra} s.t, any_value(s.key) AS key, ${values} FROM (${source}) w ASOF JOIN steps s ON w.valid_at >= s.start_at GROUP BY ALL`;
  };
  const used = mode === "none" ? "AND false" : "";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_observed AS
    SELECT t, any_value(key) AS key, min(known_at) AS known_at, ${names.map((name) => `avg(${name}) AS ${name}`).join(", ")}
    FROM (${asSteps(`SELECT * FROM weather WHERE issued_at IS NULL ${used}`, "w.known_at,")}) GROUP BY t`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_steps AS
    ${asSteps("SELECT * FROM weather WHERE issued_at IN (SELECT DISTINCT issued_at FROM origin_issue)", "w.issued_at AS issue,")}
    ${mode === "issued" ? "" : `UNION ALL SELECT -1, t, key, ${names.join(", ")} FROM wx_observed`}`);
  if (request.whatIf?.weather) {
    const sets = Object.entries(request.whatIf.weather).map(([name, value]) => `"${name}" = ${Number(value)}`);
    await connection.run(`
      UPDATE wx_steps SET ${sets.join(", ")} WHERE t >= (SELECT min(first_t) FROM origins)`);
  }
  // Hours of a forecast's own day that lie before its issue are filled with what was observed by then.
  const spd = view.slotsPerDay;
  const memory = weatherWithMemory.map((name) => `"${name}"`);
  const active = spd > 1 ? `AND (key % ${spd}) * 24 // ${spd} BETWEEN 8 AND 20` : "";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx_day AS
    SELECT issue, key // ${spd} AS day, ${memory.map((name) => `avg(${name}) AS ${name}`).join(", ")} FROM (
      SELECT issue, key, ${memory.join(", ")} FROM wx_steps
      UNION ALL
      SELECT i.issued_at, o.key, ${memory.map((name) => `o.${name}`).join(", ")}
      FROM (SELECT DISTINCT issued_at FROM origin_issue) q JOIN issues i USING (issued_at)
        JOIN wx_observed o ON o.known_at <= i.known_at AND o.t BETWEEN (SELECT s.t FROM steps s ORDER BY s.start_at LIMIT 1) AND 2147483647
        AND o.key // ${spd} IN (SELECT key // ${spd} FROM wx_steps x WHERE x.issue = i.issued_at)
        AND NOT EXISTS (FROM wx_steps x WHERE x.issue = i.issued_at AND x.t = o.t)
    ) WHERE true ${active} GROUP BY ALL`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wx AS
    WITH usual AS (
      SELECT w.issue, w.t, ${memory.map((name) => `avg(o.${name}) AS ${name}`).join(", ")}
      FROM wx_steps w CROSS JOIN (SELECT unnest([1, 2, 3, 4, 5, 6, 7, 8]) AS k)
        LEFT JOIN issues i ON i.issued_at = w.issue
        JOIN wx_observed o ON o.key = w.key - k * ${7 * spd} AND (w.issue = -1 OR o.known_at <= i.known_at)
      GROUP BY w.issue, w.t
    )
    SELECT w.issue, w.t, ${names.map((name) => `w.${name} AS ${name.replace('"', '"wx_')}`).join(", ")},
      ${memory.map((name) => `d.${name} AS ${name.replace('"', '"wxday_')}`).join(", ")},
      ${memory.map((name) => `w.${name} - u.${name} AS ${name.replace('"', '"wxdep_')}`).join(", ")}
    FROM wx_steps w LEFT JOIN wx_day d ON d.issue = w.issue AND d.day = w.key // ${spd}
      LEFT JOIN usual u ON u.issue = w.issue AND u.t = w.t`);
}

/** Metres of one degree of latitude. */
const degreeM = 111_195;

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
      exp(-sqrt(pow((n.lat - x.lat) * ${degreeM}, 2) + pow((n.lon - x.lon) * ${degreeM} * cos(radians(n.lat)), 2)) / 600.0) AS nearness,
      s.start_at < x.end_at AND s.end_at > x.start_at AS during,
      s.start_at <= x.start_at AND s.end_at > x.start_at - 7200000 AS before_start,
      s.end_at > x.end_at AND s.start_at < x.end_at + 7200000 AS after_end
    FROM event_versions x
      JOIN steps s ON s.end_at > x.start_at - ${margin} AND s.start_at < x.end_at + ${margin}
      CROSS JOIN entities n
    WHERE NOT x.cancelled AND x.lat IS NOT NULL AND n.lat IS NOT NULL
      AND s.t BETWEEN (SELECT min(first_t) FROM origins) AND (SELECT max(last_t) FROM origins)`);
}
