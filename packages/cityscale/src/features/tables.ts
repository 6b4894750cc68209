import { type Connection, literal } from "../lake/index.ts";
import type { FeatureRequest } from "./request.ts";
import type { FeatureView } from "./view.ts";

/**
 * Temporary tables behind a view, on the lake's own tables. `v` is the variant of the past: 0 = as the values
 * stand now, `o + 1` = as they were known at origin number o, for the entities where that differs.
 * `key` is a step's place on the wall clock (local day x slots + slot), so a lag of whole days is a difference
 * of keys and clock changes need no care. Of two steps with one key (autumn) the first stands for it.
 */

/** Dense rows computed at a time: bounds the memory that window functions take. */
const rowsPerPass = 260_000;

/** Frames reach at most this far: 371 days for "a year ago", and 400 behind each of those values. */
const lookbackDays = 800;

/** `life` of each entity, `variants` of the past, and `values_known` under each variant. */
export async function buildValues(connection: Connection, view: FeatureView, request: FeatureRequest): Promise<void> {
  const spd = view.slotsPerDay;
  const measure = literal(view.measure);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE life AS
    SELECT o.e, greatest(min(o.t), (SELECT min(anchor) - ${lookbackDays * spd} FROM origins)) AS first_t
    FROM observations o WHERE o.measure = ${measure} AND o.t <= (SELECT max(anchor) FROM origins)
      ${request.alone && request.entities ? `AND o.e IN (${[-1, ...request.entities].join(", ")})` : ""} GROUP BY o.e`);
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
}

/**
 * `targets`: values that came true, and whether they lie in a run of zeros that, seen as a whole and afterwards,
 * is a dead counter's. Scores leave those out and say so; features never see this.
 */
export async function buildTargets(connection: Connection, view: FeatureView, request: FeatureRequest): Promise<void> {
  const by = request.targetsKnownBy === undefined ? "" : `AND known_at <= ${Math.floor(request.targetsKnownBy)}`;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE targets AS
    SELECT e, t, value AS y, value = 0 AND
        COALESCE(min(CASE WHEN value > 0 THEN t END) OVER after, max(t) OVER whole + 1)
        - COALESCE(max(CASE WHEN value > 0 THEN t END) OVER before, min(t) OVER whole - 1) - 1 >= ${view.stuckSteps} AS dead
    FROM observations WHERE measure = ${literal(view.measure)} ${by}
    WINDOW before AS (PARTITION BY e ORDER BY t ROWS UNBOUNDED PRECEDING),
      after AS (PARTITION BY e ORDER BY t ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
      whole AS (PARTITION BY e)`);
}

/**
 * Builds, entity by entity in passes of bounded size:
 * `cells` (v, e, t, key, fold, y, r): the dense grid with each step's departure r = ln((y+c)/(S+c)) from its own expectation;
 * `keyed`: for the wall-clock places of targets, the expectation S and everything aligned with it;
 * `hist`: levels of each entity, read at the newest step known at an origin.
 */
export async function buildCells(connection: Connection, view: FeatureView): Promise<void> {
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wanted_keys AS
    SELECT DISTINCT 0 AS v, s.key FROM origins g JOIN steps s ON s.t BETWEEN g.first_t AND g.last_t
    UNION ALL
    SELECT DISTINCT g.o + 1, s.key FROM origins g JOIN steps s ON s.t BETWEEN g.first_t AND g.last_t
    WHERE g.o IN (SELECT o FROM variants)`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE spans AS
    SELECT row_number() OVER (ORDER BY v, e) - 1 AS n, sum(last_t - first_t + 1) OVER (ORDER BY v, e) // ${rowsPerPass} AS pass, *
    FROM (
      SELECT 0 AS v, e, first_t, (SELECT max(anchor) FROM origins) AS last_t, (SELECT max(last_key) FROM origins) AS last_key FROM life
      UNION ALL
      SELECT n.v, n.e, l.first_t, g.anchor, g.last_key FROM variants n JOIN life l USING (e) JOIN origins g USING (o)
    ) WHERE last_t >= first_t`);
  const passes = await connection.first<{ count: number }>("SELECT COALESCE(max(pass), 0) + 1 AS count FROM spans");
  for (let pass = 0; pass < passes!.count; pass++) {
    const make = (table: string, sql: string) =>
      connection.run(pass === 0 ? `CREATE OR REPLACE TEMP TABLE ${table} AS ${sql}` : `INSERT INTO ${table} ${sql}`);
    await buildExpected(connection, view, pass);
    await make("keyed", keyedSql(view));
    await make("cells", cellsSql(view));
    await make("hist", historySql(view, pass));
  }
  await connection.run("DROP TABLE values_known; DROP TABLE dense; DROP TABLE expected");
}

const weeksOf = (view: FeatureView) => Array.from({ length: view.maxWeeksAhead }, (_, i) => i + 1);

/**
 * `dense`: a row for every step of an entity's life, with NULL where nothing is known; zeros in a row from which
 * a counter is taken as dead become NULL from that step on, as they would have been read then.
 * `expected`: a row for every wall-clock place, with s1..sW, the expectation from values at least 1..W weeks older.
 */
async function buildExpected(connection: Connection, view: FeatureView, pass: number): Promise<void> {
  const spd = view.slotsPerDay;
  const week = 7 * spd;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE dense AS
    WITH runs AS (
      SELECT p.v, p.e, s.t, s.key, s.day, s.fold, k.y,
        s.t - COALESCE(
          max(CASE WHEN k.y > 0 THEN s.t END) OVER life_so_far,
          min(CASE WHEN k.y IS NOT NULL THEN s.t END) OVER life_so_far - 1) AS quiet
      FROM spans p JOIN steps s ON s.t BETWEEN p.first_t AND p.last_t
        LEFT JOIN values_known k ON k.v = p.v AND k.e = p.e AND k.t = s.t
      WHERE p.pass = ${pass}
      WINDOW life_so_far AS (PARTITION BY p.v, p.e ORDER BY s.t ROWS UNBOUNDED PRECEDING)
    )
    SELECT r.v, r.e, r.t, r.key, r.fold, d.holiday,
      CASE WHEN r.y = 0 AND r.quiet >= ${view.stuckSteps} THEN NULL ELSE r.y END AS y
    FROM runs r JOIN days d USING (day)`);
  const weeks = weeksOf(view);
  const lags = Array.from({ length: 7 + view.maxWeeksAhead }, (_, i) => i + 1);
  const list = (w: number) => `[${lags.slice(w - 1, w + 7).map((j) => `ym${j}`).join(", ")}]`;
  const frame = (from: number, to: number) => `(PARTITION BY v, e, key % ${week} ORDER BY key ROWS BETWEEN ${from} PRECEDING AND ${to} PRECEDING)`;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE expected AS
    WITH places AS (
      SELECT p.v, p.e, unnest(generate_series(d.low, greatest(d.high, p.last_key))) AS key
      FROM spans p JOIN (SELECT v, e, min(key) AS low, max(key) AS high FROM dense GROUP BY v, e) d USING (v, e)
    ), valued AS (
      SELECT p.v, p.e, p.key, d.y, CASE WHEN h.holiday THEN NULL ELSE d.y END AS ym
      FROM places p LEFT JOIN (SELECT v, e, key, y FROM dense WHERE fold = 0) d USING (v, e, key)
        LEFT JOIN days h ON h.day = p.key // ${spd}
    ), lagged AS (
      SELECT v, e, key, y,
        ${lags.map((j) => `lag(ym, ${j}) OVER same_place AS ym${j}`).join(", ")},
        ${weeklyReach(view).map((j) => `lag(y, ${j}) OVER same_place AS yw${j}`).join(", ")},
        ${weeks.map((w) => `avg(ym) OVER ${frame(w + 38, w + 8)} AS older${w}, avg(y) OVER (PARTITION BY v, e ORDER BY key ROWS BETWEEN ${400 * spd} PRECEDING AND ${w * week} PRECEDING) AS all${w}`).join(", ")}
      FROM valued WINDOW same_place AS (PARTITION BY v, e, key % ${week} ORDER BY key)
    ), ranked AS (
      SELECT *, ${weeks.map((w) => `list_aggregate(${list(w)}, 'quantile_cont', [0.1, 0.2, 0.5, 0.8, 0.9]) AS q${w}, list_aggregate([${lags.slice(w - 1, w + 3).map((j) => `ym${j}`).join(", ")}], 'avg') AS m${w}`).join(", ")}
      FROM lagged
    )
    SELECT v, e, key, y, ${weeklyReach(view).map((j) => `yw${j}`).join(", ")},
      ${weeks.map((w) => `COALESCE(q${w}[3], older${w}, all${w}) AS s${w}, q${w}[2] AS lo${w}, q${w}[4] AS hi${w}, m${w}, q${w}[1] AS nlo${w}, q${w}[5] AS nhi${w}`).join(", ")},
      ln((y + ${view.offset}) / (COALESCE(q1[3], older1, all1) + ${view.offset})) AS r
    FROM ranked`);
}

/** Weekly lags that any number of weeks ahead can ask for. */
const weeklyReach = (view: FeatureView) => Array.from({ length: view.weeklyLags.length + view.maxWeeksAhead - 1 }, (_, i) => i + 1);

function keyedSql(view: FeatureView): string {
  const spd = view.slotsPerDay;
  const year = 364 * spd;
  const half = Math.floor(3.5 * spd);
  return `
    SELECT * FROM (
      SELECT v, e, key, ${weeklyReach(view).map((j) => `yw${j}`).join(", ")},
        ${weeksOf(view).map((w) => `s${w}, lo${w}, hi${w}, m${w}, nlo${w}, nhi${w}, lag(s${w}, CAST(1 + (key // ${spd} + 3) % 7 AS INTEGER)) OVER same_time AS sunday${w}`).join(", ")},
        ${view.dailyLags.map((j) => `lag(r, ${j}) OVER same_time AS r_day_${j}`).join(", ")},
        lag(y, 1) OVER same_time AS y_day_1,
        lag(r, 364) OVER same_time AS r_year,
        avg(r) OVER (PARTITION BY v, e ORDER BY key ROWS BETWEEN ${year + half} PRECEDING AND ${year - half} PRECEDING) AS r_year_week
      FROM expected
      WINDOW same_time AS (PARTITION BY v, e, key % ${spd} ORDER BY key)
    ) SEMI JOIN wanted_keys USING (v, key)`;
}

const cellsSql = (view: FeatureView) => `
  SELECT d.v, d.e, d.t, d.key, d.fold, d.holiday, d.y, ln((d.y + ${view.offset}) / (x.s1 + ${view.offset})) AS r
  FROM dense d JOIN expected x USING (v, e, key)`;

/** Mean of a value over the last steps; NULL where fewer than three tenths of them are known. */
const level = (value: string, steps: number, partition: string) =>
  `CASE WHEN count(${value}) OVER (${partition} ROWS ${steps - 1} PRECEDING) >= ${Math.max(1, Math.ceil(0.3 * steps))}
    THEN avg(${value}) OVER (${partition} ROWS ${steps - 1} PRECEDING) END`;

function historySql(view: FeatureView, pass: number): string {
  const spd = view.slotsPerDay;
  const entity = "PARTITION BY v, e ORDER BY t";
  return `
    SELECT * FROM (
      SELECT v, e, t,
        ${view.levels.map(({ name, steps }) => `${level("r", steps, entity)} AS "level_${name}"`).join(",\n        ")},
        ${level("plain", 7 * spd, entity)} AS level_plain_7d,
        ${level("plain", 28 * spd, entity)} AS level_plain_28d,
        ${level("size", 28 * spd, entity)} AS volatility_28d,
        count(y) OVER (${entity} ROWS ${7 * spd - 1} PRECEDING) / ${7 * spd} AS observed_share_7d,
        max(CASE WHEN y IS NOT NULL THEN t END) OVER (${entity}) AS newest_t
      FROM (
        SELECT c.*, CASE WHEN c.holiday THEN NULL ELSE c.r END AS plain, abs(c.r) AS size
        FROM cells c SEMI JOIN (SELECT v, e FROM spans WHERE pass = ${pass}) p USING (v, e)
      )
    ) WHERE t IN (SELECT anchor FROM origins)`;
}

/** `city`: the mean departure of all entities; where some saw other values, theirs take the place of the current ones. */
export async function buildCity(connection: Connection, view: FeatureView): Promise<void> {
  const reach = 8 * view.slotsPerDay;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE city AS
    WITH means AS (
      SELECT v, t, any_value(key) AS key, any_value(fold) AS fold, avg(r) AS r FROM (
        SELECT v, t, key, fold, r FROM cells WHERE v = 0
        UNION ALL
        SELECT p.v, c.t, c.key, c.fold, c.r
        FROM (SELECT DISTINCT v, o FROM variants) p JOIN origins g USING (o)
          JOIN cells c ON c.v = 0 AND c.t BETWEEN g.anchor - ${reach} AND g.anchor
          ANTI JOIN variants x ON x.v = p.v AND x.e = c.e
        UNION ALL
        SELECT c.v, c.t, c.key, c.fold, c.r FROM cells c JOIN origins g ON g.o = c.v - 1
        WHERE c.v > 0 AND c.t BETWEEN g.anchor - ${reach} AND g.anchor
      ) GROUP BY v, t
    )
    SELECT v, t, key, fold, r,
      ${view.cityLevels.map(({ name, steps }) => `${level("r", steps, "PARTITION BY v ORDER BY t")} AS "city_${name}"`).join(", ")}
    FROM means`);
}
