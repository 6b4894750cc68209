import { type Connection, literal } from "../lake/index.ts";
import type { FeatureRequest } from "./request.ts";
import type { FeatureView } from "./view.ts";

/**
 * Temporary tables behind a view, on the lake's own tables. `v` is the variant of the past: 0 = as the values
 * stand now, `o + 1` = as they were known at origin number o, for the entities where that differs.
 * `key` is a step's place on the wall clock (local day x slots + slot), so a lag of whole days is a difference
 * of keys and clock changes need no care. Of two steps with one key (autumn) the first stands for it.
 */

/** Frames reach at most this far: 371 days for "a year ago", and 400 behind each of those values. */
const lookbackDays = 800;

export async function buildCells(connection: Connection, view: FeatureView, request: FeatureRequest): Promise<void> {
  const spd = view.slotsPerDay;
  const measure = literal(view.measure);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE life AS
    SELECT o.e, greatest(min(o.t), (SELECT min(anchor) - ${lookbackDays * spd} FROM origins)) AS first_t
    FROM observations o WHERE o.measure = ${measure} AND o.t <= (SELECT max(anchor) FROM origins) GROUP BY o.e`);
  if (request.path === "exact") {
    // The one origin's own past, out of current values and revisions.
    await connection.run("CREATE OR REPLACE TEMP TABLE variants (v INTEGER, e INTEGER, o INTEGER)");
    await connection.run(`
      CREATE OR REPLACE TEMP TABLE values_known AS
      SELECT 0 AS v, e, t, value AS y FROM observations, origins
      WHERE measure = ${measure} AND known_at <= origin_at AND t <= anchor
      UNION ALL
      SELECT 0, e, t, value FROM revisions, origins
      WHERE measure = ${measure} AND known_from <= origin_at AND known_to > origin_at AND t <= anchor`);
  } else {
    // A value that came, or was corrected, after its regular time differs for the origins in between.
    await connection.run(`
      CREATE OR REPLACE TEMP TABLE variants AS
      SELECT DISTINCT g.o + 1 AS v, x.e, g.o
      FROM origins g JOIN (
        SELECT d.e, s.end_at + ${request.lagMs} AS due_at, d.known_at
        FROM observations d JOIN steps s USING (t)
        WHERE d.measure = ${measure} AND d.known_at > s.end_at + ${request.lagMs}
      ) x ON g.origin_at >= x.due_at AND g.origin_at < x.known_at`);
    await connection.run(`
      CREATE OR REPLACE TEMP TABLE values_known AS
      SELECT 0 AS v, e, t, value AS y FROM observations
      WHERE measure = ${measure} AND t <= (SELECT max(anchor) FROM origins)
      UNION ALL
      SELECT n.v, d.e, d.t, d.value FROM variants n JOIN origins g USING (o) JOIN observations d ON d.e = n.e
      WHERE d.measure = ${measure} AND d.known_at <= g.origin_at AND d.t <= g.anchor
      UNION ALL
      SELECT n.v, d.e, d.t, d.value FROM variants n JOIN origins g USING (o) JOIN revisions d ON d.e = n.e
      WHERE d.measure = ${measure} AND d.known_from <= g.origin_at AND d.known_to > g.origin_at AND d.t <= g.anchor`);
  }
  // The dense grid: a row for every step of an entity's life, with NULL where nothing is known; zeros in a row
  // from which a counter is taken as dead become NULL from that step on, as they would have been read then.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE dense AS
    WITH spans AS (
      SELECT 0 AS v, e, first_t, (SELECT max(anchor) FROM origins) AS last_t FROM life
      UNION ALL
      SELECT n.v, n.e, l.first_t, g.anchor FROM variants n JOIN life l USING (e) JOIN origins g USING (o)
    ), grid AS (
      SELECT p.v, p.e, s.t, s.key, s.day, s.fold FROM spans p JOIN steps s ON s.t BETWEEN p.first_t AND p.last_t
    ), runs AS (
      SELECT g.*, k.y,
        g.t - COALESCE(
          max(CASE WHEN k.y > 0 THEN g.t END) OVER life_so_far,
          min(CASE WHEN k.y IS NOT NULL THEN g.t END) OVER life_so_far - 1) AS quiet
      FROM grid g LEFT JOIN values_known k USING (v, e, t)
      WINDOW life_so_far AS (PARTITION BY g.v, g.e ORDER BY g.t ROWS UNBOUNDED PRECEDING)
    )
    SELECT v, e, t, key, day, fold,
      CASE WHEN y = 0 AND quiet >= ${view.stuckSteps} THEN NULL ELSE y END AS y
    FROM runs`);
  await connection.run("DROP TABLE values_known");
}

/**
 * `keyed`: one row per wall-clock place, up to the last target, with the seasonal expectation and everything
 * that is aligned with it. `s1..sW`: expectation of that place from values at least 1..W weeks older.
 */
export async function buildKeyed(connection: Connection, view: FeatureView): Promise<void> {
  const spd = view.slotsPerDay;
  const week = 7 * spd;
  const weeks = Array.from({ length: view.maxWeeksAhead }, (_, i) => i + 1);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE keyed_values AS
    WITH spans AS (
      SELECT v, e, min(key) AS low, max(key) AS high FROM dense GROUP BY v, e
    ), ends AS (
      SELECT p.v, p.e, p.low, greatest(p.high, COALESCE(g.last_key, (SELECT max(last_key) FROM origins))) AS high
      FROM spans p LEFT JOIN origins g ON g.o = p.v - 1
    ), places AS (
      SELECT v, e, unnest(generate_series(low, high)) AS key FROM ends
    )
    SELECT p.v, p.e, p.key, d.y, CASE WHEN h.holiday THEN NULL ELSE d.y END AS ym
    FROM places p
    LEFT JOIN (SELECT v, e, key, y FROM dense WHERE fold = 0) d USING (v, e, key)
    LEFT JOIN days h ON h.day = p.key // ${spd}`);
  const perWeek = weeks.flatMap((w) => {
    const frame = (from: number, to: number) => `(PARTITION BY v, e, key % ${week} ORDER BY key ROWS BETWEEN ${from} PRECEDING AND ${to} PRECEDING)`;
    return [
      `quantile_cont(ym, [0.2, 0.5, 0.8]) OVER ${frame(w + 7, w)} AS q${w}`,
      `avg(ym) OVER ${frame(w + 3, w)} AS m${w}`,
      `avg(ym) OVER ${frame(w + 38, w + 8)} AS older${w}`,
      `avg(y) OVER (PARTITION BY v, e ORDER BY key ROWS BETWEEN ${400 * spd} PRECEDING AND ${w * week} PRECEDING) AS all${w}`,
      `quantile_cont(y, [0.1, 0.5, 0.9]) OVER ${frame(w + 7, w)} AS n${w}`,
      `avg(y) OVER ${frame(w + 3, w)} AS nm${w}`,
    ];
  });
  const lags = Array.from({ length: view.weeklyLags.length + view.maxWeeksAhead - 1 }, (_, i) => i + 1);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE seasonal AS
    SELECT v, e, key, y, ${perWeek.join(",\n      ")},
      ${lags.map((j) => `lag(y, ${j}) OVER same_place AS yw${j}`).join(", ")}
    FROM keyed_values
    WINDOW same_place AS (PARTITION BY v, e, key % ${week} ORDER BY key)`);
  await connection.run("DROP TABLE keyed_values");
  const s = (w: number) => `COALESCE(q${w}[2], older${w}, all${w})`;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE expected AS
    SELECT v, e, key, y,
      ${weeks.map((w) => `${s(w)} AS s${w}, q${w}[1] AS lo${w}, q${w}[3] AS hi${w}, m${w}, n${w}[1] AS nlo${w}, n${w}[2] AS nmed${w}, n${w}[3] AS nhi${w}, nm${w}`).join(",\n      ")},
      ${lags.map((j) => `yw${j}`).join(", ")},
      ln((y + ${view.offset}) / (${s(1)} + ${view.offset})) AS r
    FROM seasonal`);
  await connection.run("DROP TABLE seasonal");
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE keyed AS
    SELECT *,
      ${view.dailyLags.map((j) => `lag(r, ${j}) OVER same_time AS r_day_${j}`).join(", ")},
      lag(y, 1) OVER same_time AS y_day_1,
      lag(r, 364) OVER same_time AS r_year,
      avg(r) OVER (PARTITION BY v, e ORDER BY key ROWS BETWEEN ${364 * spd + Math.floor(3.5 * spd)} PRECEDING AND ${364 * spd - Math.floor(3.5 * spd)} PRECEDING) AS r_year_week,
      ${weeks.map((w) => `lag(s${w}, CAST(1 + (key // ${spd} + 3) % 7 AS INTEGER)) OVER same_time AS sunday${w}`).join(", ")}
    FROM expected
    WINDOW same_time AS (PARTITION BY v, e, key % ${spd} ORDER BY key)`);
  await connection.run("DROP TABLE expected");
}

/** `hist`: levels of each entity, and of the city, read at the newest step known at an origin. */
export async function buildHistory(connection: Connection, view: FeatureView): Promise<void> {
  const spd = view.slotsPerDay;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE cells AS
    SELECT d.v, d.e, d.t, d.key, d.y, h.holiday,
      ln((d.y + ${view.offset}) / (k.s1 + ${view.offset})) AS r
    FROM dense d LEFT JOIN keyed k USING (v, e, key) LEFT JOIN days h ON h.day = d.day`);
  await connection.run("DROP TABLE dense");
  const level = (value: string, steps: number, partition: string) =>
    `CASE WHEN count(${value}) OVER (${partition} ROWS ${steps - 1} PRECEDING) >= ${Math.max(1, Math.ceil(0.3 * steps))}
      THEN avg(${value}) OVER (${partition} ROWS ${steps - 1} PRECEDING) END`;
  const entity = "PARTITION BY v, e ORDER BY t";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE hist AS
    SELECT * FROM (
      SELECT v, e, t,
        ${view.levels.map(({ name, steps }) => `${level("r", steps, entity)} AS "level_${name}"`).join(",\n        ")},
        ${level("plain", 7 * spd, entity)} AS level_plain_7d,
        ${level("plain", 28 * spd, entity)} AS level_plain_28d,
        ${level("size", 28 * spd, entity)} AS volatility_28d,
        count(y) OVER (${entity} ROWS ${7 * spd - 1} PRECEDING) / ${7 * spd} AS observed_share_7d,
        max(CASE WHEN y IS NOT NULL THEN t END) OVER (${entity}) AS newest_t
      FROM (SELECT *, CASE WHEN holiday THEN NULL ELSE r END AS plain, abs(r) AS size FROM cells)
    ) WHERE t IN (SELECT anchor FROM origins)`);
  // The city's mean departure: where some entities saw other values, theirs take the place of the current ones.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE city_r AS
    SELECT v, t, any_value(key) AS key, avg(r) AS r FROM (
      SELECT v, t, key, r FROM cells WHERE v = 0
      UNION ALL
      SELECT p.v, c.t, c.key, c.r
      FROM (SELECT DISTINCT v, o FROM variants) p JOIN origins g USING (o)
        JOIN cells c ON c.v = 0 AND c.t BETWEEN g.anchor - ${8 * spd} AND g.anchor
        ANTI JOIN variants x ON x.v = p.v AND x.e = c.e
      UNION ALL
      SELECT c.v, c.t, c.key, c.r FROM cells c JOIN origins g ON g.o = c.v - 1
      WHERE c.v > 0 AND c.t BETWEEN g.anchor - ${8 * spd} AND g.anchor
    ) GROUP BY v, t`);
  const city = "PARTITION BY v ORDER BY t";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE city AS
    SELECT v, t, key, r, ${view.cityLevels.map(({ name, steps }) => `${level("r", steps, city)} AS "city_${name}"`).join(", ")}
    FROM city_r`);
  await connection.run("DROP TABLE city_r");
}
