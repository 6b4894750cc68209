import { type Connection, literal } from "../lake/index.ts";
import { deadZerosSql } from "./dead-zeros.ts";
import { metresSql } from "./metres.ts";
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

/** Mean of a value over the last steps; NULL where fewer than this share of them are known. */
const leastKnown = 0.3;

/** `life` of each entity and `variants` of the past: the origins and entities that saw other values than today's. */
export async function buildVariants(
  connection: Connection,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const measure = literal(view.measure);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE life AS
    SELECT o.e, greatest(min(o.t), (SELECT min(anchor) - ${lookbackDays * view.slotsPerDay} FROM origins)) AS first_t
    FROM observations o WHERE o.measure = ${measure} AND o.t <= (SELECT max(anchor) FROM origins)
      ${request.alone && request.entities ? `AND o.e IN (${[-1, ...request.entities].join(", ")})` : ""} GROUP BY o.e`);
  if (request.path === "exact") {
    await connection.run("CREATE OR REPLACE TEMP TABLE variants (v INTEGER, e INTEGER, o INTEGER)");
    return;
  }
  // A value that came, or was corrected, after its regular time differs for the origins in between.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE variants AS
    SELECT DISTINCT g.o + 1 AS v, x.e, g.o
    FROM origins g JOIN (
      -- Late rows that came together differ together: one span for all of them.
      SELECT d.e, min(s.end_at) + ${request.lagMs} AS due_at, d.known_at
      FROM observations d JOIN steps s USING (t)
      WHERE d.measure = ${measure} AND d.known_at > s.end_at + ${request.lagMs} GROUP BY d.e, d.known_at
    ) x ON g.origin_at >= x.due_at AND g.origin_at < x.known_at
    SEMI JOIN life l ON l.e = x.e`);
}

/** A value as features read it: of a half-loaded day what had been forecast of it, where it was. */
const readAs = (from: string) => `COALESCE(${from}.value, ${from}.stand_in)`;

/** `values_known` under each variant, out of current values and revisions. */
export async function buildValues(
  connection: Connection,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const measure = literal(view.measure);
  if (request.path === "exact") {
    await connection.run(`
      CREATE OR REPLACE TEMP TABLE values_known AS
      SELECT 0 AS v, e, t, ${readAs("o")} AS y FROM observations o, origins
      WHERE measure = ${measure} AND known_at <= origin_at AND t <= anchor
      UNION ALL
      SELECT 0, e, t, ${readAs("r")} FROM revisions r, origins
      WHERE measure = ${measure} AND known_from <= origin_at AND known_to > origin_at AND t <= anchor`);
    return;
  }
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE values_known AS
    SELECT 0 AS v, e, t, ${readAs("o")} AS y FROM observations o
    WHERE measure = ${measure} AND t <= (SELECT max(anchor) FROM origins)
    UNION ALL
    SELECT n.v, d.e, d.t, ${readAs("d")} FROM variants n JOIN origins g USING (o) JOIN observations d ON d.e = n.e
    WHERE d.measure = ${measure} AND d.known_at <= g.origin_at AND d.t <= g.anchor
    UNION ALL
    SELECT n.v, d.e, d.t, ${readAs("d")} FROM variants n JOIN origins g USING (o) JOIN revisions d ON d.e = n.e
    WHERE d.measure = ${measure} AND d.known_from <= g.origin_at AND d.known_to > g.origin_at AND d.t <= g.anchor`);
}

/** `targets`: values that came true, and whether a dead counter's. */
export async function buildTargets(
  connection: Connection,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const by =
    request.targetsKnownBy === undefined ? "" : `AND known_at <= ${Math.floor(request.targetsKnownBy)}`;
  // A run that reaches this far beyond the steps asked for is long enough on either side.
  const near = `t BETWEEN (SELECT min(first_t) FROM origins) - ${view.stuckSteps} AND (SELECT max(last_t) FROM origins) + ${view.stuckSteps}`;
  const values = `SELECT e, t, value AS y FROM observations WHERE measure = ${literal(view.measure)} AND ${near} ${by}`;
  await connection.run(`CREATE OR REPLACE TEMP TABLE targets AS ${deadZerosSql(values, view.stuckSteps)}`);
}

/** Departures of all entities; where some saw other values, theirs take the place of the current ones. */
const departuresSql = (view: FeatureView) => {
  const reach = 8 * view.slotsPerDay;
  return `
    SELECT v, e, t, key, fold, r FROM cells WHERE v = 0
    UNION ALL
    SELECT p.v, c.e, c.t, c.key, c.fold, c.r
    FROM (SELECT DISTINCT v, o FROM variants) p JOIN origins g USING (o)
      JOIN cells c ON c.v = 0 AND c.t BETWEEN g.anchor - ${reach} AND g.anchor
      ANTI JOIN variants x ON x.v = p.v AND x.e = c.e
    UNION ALL
    SELECT c.v, c.e, c.t, c.key, c.fold, c.r FROM cells c JOIN origins g ON g.o = c.v - 1
    WHERE c.v > 0 AND c.t BETWEEN g.anchor - ${reach} AND g.anchor`;
};

/**
 * `city`: the mean departure of all entities (v, t), and `neighbours`: of those around each (v, e, t), with their
 * levels.
 */
export async function buildOthers(connection: Connection, view: FeatureView): Promise<void> {
  const levels = (by: string) =>
    view.cityLevels.map(({ name, steps }) => `${level(steps, by)} AS "level_${name}"`).join(", ");
  const mean = "any_value(key) AS key, any_value(fold) AS fold, avg(r) AS r";
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE city AS
    SELECT v, t, key, fold, r, ${levels("v")}
    FROM (SELECT v, t, ${mean} FROM (${departuresSql(view)}) GROUP BY v, t)`);
  if (view.neighboursWithinKm === null) return;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE neighbours AS
    WITH pairs AS (
      SELECT n.e, x.e AS other FROM entities n JOIN entities x ON x.e <> n.e
      WHERE ${metresSql("n", "x")} <= ${1000 * view.neighboursWithinKm}
    )
    SELECT v, e, t, key, fold, r, ${levels("v, e")}
    FROM (
      SELECT c.v, p.e, c.t, ${mean} FROM (${departuresSql(view)}) c JOIN pairs p ON p.other = c.e GROUP BY c.v, p.e, c.t
    )`);
}

const level = (steps: number, by: string) => {
  const frame = `(PARTITION BY ${by} ORDER BY t ROWS ${steps - 1} PRECEDING)`;
  return `CASE WHEN count(r) OVER ${frame} >= ${fewest(steps)} THEN avg(r) OVER ${frame} END`;
};

/** Known steps that a mean over `steps` wants at least. */
export const fewest = (steps: number): number => Math.max(1, Math.ceil(leastKnown * steps));
