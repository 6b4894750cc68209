import type { Connection } from "../lake/index.ts";
import { dailyHistoryDays, dailyLevelsSql, dailyYear, yearLevelSql } from "./daily.ts";
import { fewest } from "./tables.ts";
import type { FeatureView } from "./view.ts";

/** Places on the wall clock computed at a time: bounds the memory that window functions take. */
const placesPerPass = ({ maxWeeksAhead }: FeatureView) => Math.ceil(130_000 / maxWeeksAhead);

/** Days before an origin that the longest level looks at (28 and one for clock changes). */
const historyDays = 29;

const weeksOf = (view: FeatureView) => Array.from({ length: view.maxWeeksAhead }, (_, i) => i + 1);

/** Weekly lags that any number of weeks ahead can ask for. */
const weeklyReach = (view: FeatureView) =>
  Array.from({ length: view.weeklyLags.length + view.maxWeeksAhead - 1 }, (_, i) => i + 1);

/** Weekly lags of which eight make an expectation, for any number of weeks ahead. */
const expectationReach = (view: FeatureView) => 7 + view.maxWeeksAhead;

/** Weekly lags that the columns of a target itself look at: its longest median, and the fading mean. */
const targetReach = (view: FeatureView) =>
  Math.max(expectationReach(view), Math.max(fadingWeeks, ...view.medianWeeks) + view.maxWeeksAhead - 1);

/** The fading mean of logarithms: each week back weighs this much of the one after it. */
const fading = 0.8;
const fadingWeeks = 10;

/**
 * Builds, entity by entity in passes of bounded size:
 * `cells` (v, e, t, key, fold, holiday, y, r): each step with its departure r = ln((y+c)/(S+c)) from its own expectation;
 * `keyed`: for the wall-clock places of targets, the expectation S and everything aligned with it;
 * `hist`: levels of each entity, read at the newest step known at an origin.
 * Only days that some origin looks at are computed: few for one origin, all for a training set.
 */
export async function buildCells(connection: Connection, view: FeatureView): Promise<void> {
  await buildDomain(connection, view);
  const passes = await connection.first<{ count: number }>(
    "SELECT COALESCE(max(pass), 0) + 1 AS count FROM spans",
  );
  for (let pass = 0; pass < passes!.count; pass++) {
    const make = (table: string, sql: string) =>
      connection.run(
        pass === 0 ? `CREATE OR REPLACE TEMP TABLE ${table} AS ${sql}` : `INSERT INTO ${table} ${sql}`,
      );
    await buildLive(connection, view, pass);
    await buildExpected(connection, view, pass);
    await make("keyed", keyedSql(view));
    await connection.run(`CREATE OR REPLACE TEMP TABLE pass_cells AS ${cellsSql(view, pass)}`);
    await make("hist", historySql(view));
    await make("cells", "FROM pass_cells");
  }
  await connection.run(
    "DROP TABLE values_known; DROP TABLE live; DROP TABLE expected; DROP TABLE pass_cells",
  );
}

/**
 * What has to be computed. `asked`: origins under each variant; `wanted_keys`: places of targets;
 * `place_days`: local days that anything is read from, those `wanted` with their expectation,
 * those that are a `target`'s with all that it is compared with, the others as input;
 * `spans`: the life of each entity under each variant, cut into passes.
 */
async function buildDomain(connection: Connection, view: FeatureView): Promise<void> {
  const spd = view.slotsPerDay;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE asked AS
    SELECT 0 AS v, *, anchor_key // ${spd} AS anchor_day, first_key // ${spd} AS first_day, last_key // ${spd} AS last_day
    FROM origins
    UNION ALL
    SELECT o + 1, *, anchor_key // ${spd}, first_key // ${spd}, last_key // ${spd}
    FROM origins WHERE o IN (SELECT o FROM variants)`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE wanted_keys AS
    SELECT DISTINCT a.v, s.key FROM asked a JOIN steps s ON s.t BETWEEN a.first_t AND a.last_t`);
  const series = (from: string, to: string, target = false) =>
    `SELECT v, unnest(generate_series(${from}, ${to})) AS day, ${target} AS target FROM asked`;
  // A custom feature of these blocks may look at any day of `cells`.
  const anyDay = view.custom.some(({ block }) => block === "history" || block === "lookup");
  const everything = "(SELECT min(s.day) FROM life l JOIN steps s ON s.t = l.first_t)";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE place_days AS
    WITH wanted AS (
      SELECT v, CAST(day AS INTEGER) AS day, bool_or(target) AS target FROM (
        ${series(anyDay ? everything : `anchor_day - ${spd === 1 ? dailyHistoryDays : historyDays}`, "last_day")}
        ${spd === 1 ? `UNION ALL ${series(...dailyYear)}` : ""}
        UNION ALL ${series("first_day - 368", "last_day - 360")}
        UNION ALL ${series("first_day", "last_day", true)}
        UNION ALL
        SELECT a.v, d.last_same_holiday, false FROM asked a JOIN days d ON d.day BETWEEN a.first_day AND a.last_day
      ) WHERE day IS NOT NULL GROUP BY ALL
    )
    SELECT p.v, p.day, p.wanted, p.target, COALESCE(d.holiday, false) AS holiday
    FROM (
      SELECT v, day - 7 * back AS day, bool_or(back = 0) AS wanted, bool_or(back = 0 AND target) AS target
      FROM wanted CROSS JOIN (SELECT CAST(unnest(range(${targetReach(view) + 1})) AS INTEGER) AS back)
      WHERE target OR back <= ${expectationReach(view)} GROUP BY ALL
    ) p LEFT JOIN days d USING (day)`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE spans AS
    WITH lives AS (
      SELECT x.*, s.day AS first_day FROM (
        SELECT 0 AS v, e, first_t, (SELECT max(anchor) FROM origins) AS last_t, (SELECT max(last_key) FROM origins) // ${spd} AS last_day
        FROM life
        UNION ALL
        SELECT n.v, n.e, l.first_t, g.anchor, g.last_key // ${spd} FROM variants n JOIN life l USING (e) JOIN origins g USING (o)
      ) x JOIN steps s ON s.t = x.first_t
      WHERE x.last_t >= x.first_t AND (x.v = 0 OR EXISTS (FROM values_known k WHERE k.v = x.v AND k.e = x.e))
    ), sizes AS (
      SELECT l.v, l.e, count(*) * ${spd} AS places
      FROM lives l JOIN place_days p ON p.v = l.v AND p.day BETWEEN l.first_day AND l.last_day GROUP BY ALL
    )
    SELECT CAST((sum(z.places) OVER (ORDER BY l.v, l.e) - z.places) // ${placesPerPass(view)} AS INTEGER) AS pass, l.*
    FROM lives l JOIN sizes z USING (v, e)`);
}

/**
 * Values known, without the zeros of dead counters: from the step on where the zeros in a row became too many they
 * are as unknown, as they would have been read then.
 * @param source rows (v, e, t, y), for each step also those of the steps before it that make zeros too many
 */
const aliveSql = (view: FeatureView, source: string) => `
    WITH mine AS (${source}), alive AS (
      SELECT v, e, t FROM mine WHERE y > 0
      UNION ALL SELECT v, e, first_t - 1 FROM first_known
    ), dead AS (
      SELECT v, e, t + ${view.stuckSteps} AS from_t, next AS to_t
      FROM (SELECT v, e, t, lead(t, 1, 2147483647) OVER (PARTITION BY v, e ORDER BY t) AS next FROM alive)
      WHERE next - t > ${view.stuckSteps}
    ), kept AS (
      SELECT v, e, t, y FROM mine WHERE y <> 0
      UNION ALL
      SELECT z.v, z.e, z.t, z.y
      FROM (FROM mine WHERE y = 0) z ASOF LEFT JOIN dead d ON d.v = z.v AND d.e = z.e AND z.t >= d.from_t
      WHERE d.to_t IS NULL OR z.t >= d.to_t
    )
    SELECT k.v, k.e, k.t, s.key, s.fold, k.y FROM kept k JOIN steps s USING (t)`;

/** `live`: the values of the pass that are alive, on the days that anything is read from. */
async function buildLive(connection: Connection, view: FeatureView, pass: number): Promise<void> {
  const before = Math.ceil(view.stuckSteps / view.slotsPerDay) + 1;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE first_known AS
    SELECT v, e, min(k.t) AS first_t FROM values_known k JOIN spans p USING (v, e)
    WHERE p.pass = ${pass} AND k.t >= p.first_t GROUP BY v, e`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE live AS
    ${aliveSql(
      view,
      `SELECT k.* FROM values_known k JOIN spans p USING (v, e) JOIN steps s USING (t)
       SEMI JOIN (SELECT DISTINCT v, day - back AS day FROM place_days
         CROSS JOIN (SELECT CAST(unnest(range(${before + 1})) AS INTEGER) AS back)) near ON near.v = k.v AND near.day = s.day
       WHERE p.pass = ${pass} AND k.t >= p.first_t`,
    )}`);
}

/**
 * `expected`: a row for every wanted place, with s1..sW, the expectation from values at least 1..W weeks older: the
 * median of eight weeks (or the mean of their logarithms); where those are empty the mean of the weeks 9 to 39
 * behind, then of the last 400 days. Places of targets also have other medians and the fading mean.
 */
async function buildExpected(connection: Connection, view: FeatureView, pass: number): Promise<void> {
  const spd = view.slotsPerDay;
  const week = 7 * spd;
  const weeks = weeksOf(view);
  const c = view.offset;
  const lags = Array.from({ length: targetReach(view) }, (_, i) => i + 1);
  const span = (from: number, count: number) => lags.slice(from - 1, from - 1 + count);
  const list = (from: number, count: number) => `[${span(from, count).map((j) => `ym${j}`)}]`;
  // Of logarithms where the expectation is their mean.
  const logs = view.expectation === "geometric-mean-8";
  const scaled = (y: string) => (logs ? `ln(${y} + ${c})` : y);
  const unscaled = (value: string) => (logs ? `exp(${value}) - ${c}` : value);
  const ownMean = (w: number) =>
    logs
      ? `exp(list_aggregate([${span(w, 8).map((j) => `ln(ym${j} + ${c})`)}], 'avg')) - ${c}`
      : view.expectation === "mean-4"
        ? `COALESCE(m${w}, q${w}[3])`
        : `q${w}[3]`;
  const fadingMean = (w: number) => {
    const terms = span(w, fadingWeeks).map((j, k) => [j, fading ** k] as const);
    const total = terms.map(([j, weight]) => `COALESCE(${weight} * ln(ym${j} + ${c}), 0)`).join(" + ");
    return `(${total}) / nullif(${terms.map(([j, weight]) => `CASE WHEN ym${j} IS NULL THEN 0 ELSE ${weight} END`).join(" + ")}, 0)`;
  };
  const comparisons = weeks.flatMap((w) => [
    ...view.medianWeeks.map((n) => [`med${n}_${w}`, `list_aggregate(${list(w, n)}, 'median')`] as const),
    [`fade${w}`, fadingMean(w)] as const,
  ]);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE ranked AS
    WITH places AS (
      SELECT p.v, p.e, i.day * ${spd} + c.slot AS key, i.wanted, i.target, i.holiday
      FROM spans p JOIN place_days i ON i.v = p.v AND i.day BETWEEN p.first_day AND p.last_day
        CROSS JOIN (SELECT CAST(unnest(range(${spd})) AS INTEGER) AS slot) c
      WHERE p.pass = ${pass}
    ), valued AS (
      SELECT p.v, p.e, p.key, p.wanted, p.target, l.y, CASE WHEN NOT p.holiday THEN l.y END AS ym
      FROM places p LEFT JOIN (FROM live WHERE fold = 0) l USING (v, e, key)
    ), lagged AS (
      SELECT v, e, key, wanted, target, y,
        ${lags.map((j) => `lag(ym, ${j}) OVER same_place AS ym${j}`).join(", ")},
        ${weeklyReach(view)
          .map((j) => `lag(y, ${j}) OVER same_place AS yw${j}`)
          .join(", ")}
      FROM valued WINDOW same_place AS (PARTITION BY v, e, key % ${week} ORDER BY key)
    )
    SELECT v, e, key, y, ${weeklyReach(view)
      .map((j) => `yw${j}`)
      .join(", ")},
      ${weeks.map((w) => `list_aggregate(${list(w, 8)}, 'quantile_cont', [0.1, 0.2, 0.5, 0.8, 0.9]) AS q${w}, list_aggregate(${list(w, 4)}, 'avg') AS m${w}, ${ownMean(w)} AS mean${w}`).join(", ")},
      ${comparisons.map(([name, sql]) => `CASE WHEN target THEN ${sql} END AS ${name}`).join(",\n      ")}
    FROM lagged WHERE wanted`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE empty AS
    ${weeks.map((w) => `SELECT v, e, key, ${w} AS w FROM ranked WHERE q${w}[3] IS NULL`).join(" UNION ALL ")}`);
  // Only where eight weeks are empty is the whole life looked at.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE whole_life AS
    ${aliveSql(view, "SELECT k.* FROM values_known k JOIN spans p USING (v, e) SEMI JOIN empty USING (v, e) WHERE k.t >= p.first_t")}`);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE expected AS
    WITH older AS (
      SELECT m.v, m.e, m.key, m.w, avg(${scaled("l.y")}) AS mean
      FROM (SELECT *, unnest(range(w + 8, w + 39)) AS back FROM empty) m
        JOIN whole_life l ON l.v = m.v AND l.e = m.e AND l.key = m.key - m.back * ${week} AND l.fold = 0
        JOIN days d ON d.day = l.key // ${spd} AND NOT d.holiday
      GROUP BY ALL
    ), so_far AS (
      SELECT v, e, key, sum(${scaled("y")}) OVER life AS total, count(*) OVER life AS n
      FROM whole_life WHERE fold = 0
      WINDOW life AS (PARTITION BY v, e ORDER BY key ROWS UNBOUNDED PRECEDING)
    ), fallback AS (
      SELECT m.v, m.e, m.key, m.w, ${unscaled("COALESCE(o.mean, (n.total - COALESCE(f.total, 0)) / nullif(n.n - COALESCE(f.n, 0), 0))")} AS s
      FROM (SELECT *, key - w * ${week} AS newest, key - ${400 * spd + 1} AS before FROM empty) m
        LEFT JOIN older o USING (v, e, key, w)
        ASOF LEFT JOIN so_far n ON n.v = m.v AND n.e = m.e AND n.key <= m.newest
        ASOF LEFT JOIN so_far f ON f.v = m.v AND f.e = m.e AND f.key <= m.before
    )
    SELECT r.v, r.e, r.key, r.y, ${weeklyReach(view)
      .map((j) => `yw${j}`)
      .join(", ")},
      ${weeks.map((w) => `COALESCE(mean${w}, f${w}.s) AS s${w}, COALESCE(q${w}[3], f${w}.s) AS median${w}, q${w}[2] AS lo${w}, q${w}[4] AS hi${w}, m${w}, q${w}[1] AS nlo${w}, q${w}[5] AS nhi${w}`).join(", ")},
      ${comparisons.map(([name]) => name).join(", ")},
      ln((r.y + ${c}) / (COALESCE(mean1, f1.s) + ${c})) AS r
    FROM ranked r
      ${weeks.map((w) => `LEFT JOIN (FROM fallback WHERE w = ${w}) f${w} ON f${w}.v = r.v AND f${w}.e = r.e AND f${w}.key = r.key`).join("\n      ")}`);
  await connection.run("DROP TABLE ranked; DROP TABLE whole_life");
}

function keyedSql(view: FeatureView): string {
  const spd = view.slotsPerDay;
  const half = Math.floor(3.5 * spd);
  return `
    SELECT k.*, p.r_year, p.r_year_week${spd === 1 ? ", y.year_level" : ""}
    FROM (
      SELECT v, e, key, ${weeklyReach(view)
        .map((j) => `yw${j}`)
        .join(", ")},
        ${weeksOf(view)
          .map(
            (w) =>
              `s${w}, median${w}, lo${w}, hi${w}, m${w}, nlo${w}, nhi${w}, ${view.medianWeeks.map((n) => `med${n}_${w}, `).join("")}fade${w}, lag(s${w}, CAST(1 + (key // ${spd} + 3) % 7 AS INTEGER)) OVER same_time AS sunday${w}`,
          )
          .join(", ")},
        ${view.dailyLags.map((j) => `lag(r, ${j}) OVER same_time AS r_day_${j}`).join(", ")},
        lag(y, 1) OVER same_time AS y_day_1
      FROM expected
      WINDOW same_time AS (PARTITION BY v, e, key % ${spd} ORDER BY key)
    ) k SEMI JOIN wanted_keys USING (v, key)
    LEFT JOIN (
      SELECT v, e, key + ${364 * spd} AS key, r AS r_year,
        avg(r) OVER (PARTITION BY v, e ORDER BY key ROWS BETWEEN ${half} PRECEDING AND ${half} FOLLOWING) AS r_year_week
      FROM expected
    ) p USING (v, e, key)
    ${spd === 1 ? `LEFT JOIN (${yearLevelSql(view)}) y USING (v, e, key)` : ""}`;
}

const cellsSql = (view: FeatureView, pass: number) => `
  SELECT p.v, p.e, s.t, s.key, s.fold, i.holiday, l.y, ln((l.y + ${view.offset}) / (x.s1 + ${view.offset})) AS r
  FROM spans p JOIN place_days i ON i.v = p.v AND i.wanted AND i.day BETWEEN p.first_day AND p.last_day
    JOIN steps s ON s.day = i.day AND s.t BETWEEN p.first_t AND p.last_t
    LEFT JOIN live l ON l.v = p.v AND l.e = p.e AND l.t = s.t
    JOIN expected x ON x.v = p.v AND x.e = p.e AND x.key = s.key
  WHERE p.pass = ${pass}`;

/** Means over the last steps, as differences of running sums at an origin's newest step and `steps` before it. */
function historySql(view: FeatureView): string {
  const spd = view.slotsPerDay;
  const means: [column: string, sum: string, count: string, steps: number][] = [
    ...view.levels.map(({ name, steps }): [string, string, string, number] => [
      `level_${name}`,
      "r",
      "n",
      steps,
    ]),
    ["level_plain_7d", "plain", "n_plain", 7 * spd],
    ["level_plain_28d", "plain", "n_plain", 28 * spd],
    ["volatility_28d", "size", "n", 28 * spd],
  ];
  const week = 7 * spd;
  const lengths = [...new Set([...means.map(([, , , steps]) => steps), week])];
  const at = (name: string, steps: number) =>
    `(b.${name} - COALESCE(max(a.${name}) FILTER (a.steps = ${steps}), 0))`;
  return `
    WITH running AS (
      SELECT v, e, t, sum(COALESCE(r, 0)) OVER life AS r, count(r) OVER life AS n,
        sum(CASE WHEN NOT holiday THEN COALESCE(r, 0) ELSE 0 END) OVER life AS plain,
        count(CASE WHEN NOT holiday THEN r END) OVER life AS n_plain,
        sum(abs(COALESCE(r, 0))) OVER life AS size, count(y) OVER life AS known
      FROM pass_cells WINDOW life AS (PARTITION BY v, e ORDER BY t ROWS UNBOUNDED PRECEDING)
    ), newest AS (
      SELECT b.v, b.e, b.t, b.r, b.n, b.plain, b.n_plain, b.size, b.known
      FROM running b SEMI JOIN (SELECT v, anchor AS t FROM asked) USING (v, t)
    ), earlier AS (
      SELECT m.v, m.e, m.t, m.steps, x.r, x.n, x.plain, x.n_plain, x.size, x.known
      FROM (SELECT v, e, t, unnest([${lengths.join(", ")}]) AS steps FROM newest) m
        JOIN running x ON x.v = m.v AND x.e = m.e AND x.t = m.t - m.steps
    ), levels AS (
      SELECT b.v, b.e, b.t,
        ${means.map(([column, sum, count, steps]) => `CASE WHEN ${at(count, steps)} >= ${fewest(steps)} THEN ${at(sum, steps)} / ${at(count, steps)} END AS "${column}"`).join(",\n        ")},
        ${at("known", week)} / ${week} AS observed_share_7d
      FROM newest b LEFT JOIN earlier a ON a.v = b.v AND a.e = b.e AND a.t = b.t
      GROUP BY b.v, b.e, b.t, b.r, b.n, b.plain, b.n_plain, b.size, b.known
    )
    SELECT h.*, ${spd === 1 ? "d.* EXCLUDE (v, e, t), " : ""}l.t AS newest_t
    FROM levels h ${spd === 1 ? `LEFT JOIN (${dailyLevelsSql(view)}) d ON d.v = h.v AND d.e = h.e AND d.t = h.t` : ""}
      ASOF LEFT JOIN live l ON l.v = h.v AND l.e = h.e AND l.t <= h.t`;
}
