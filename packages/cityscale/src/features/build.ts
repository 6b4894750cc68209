import type { City } from "../domain/index.ts";
import type { Connection } from "../lake/index.ts";
import { buildCells } from "./cells.ts";
import { byWeeks, columnsOf } from "./columns.ts";
import { runCustom } from "./custom.ts";
import { buildDailyWeather } from "./daily.ts";
import { buildDays, buildEvents, buildWeather } from "./inputs.ts";
import type { FeatureRequest } from "./request.ts";
import { buildOthers, buildTargets, buildValues, buildVariants } from "./tables.ts";
import type { FeatureView } from "./view.ts";

/** Rows of features as columns; every array has one entry per row. Missing numbers are NaN. */
export interface FeatureSet {
  readonly view: FeatureView;
  readonly rows: number;
  /** Columns in the order of `view.columns`. */
  readonly columns: readonly Float32Array[];
  /** Entity number, index of the origin, lead in steps, step of the target. */
  readonly entity: Int32Array;
  readonly origin: Int32Array;
  readonly lead: Int32Array;
  readonly step: Int32Array;
  /** Clean value of the target as it stands now; NaN where unknown. */
  readonly target: Float64Array;
  /** 1 where the target lies in a dead counter's run of zeros, seen afterwards. */
  readonly dead: Uint8Array;
  /** Seasonal expectation of the target from what was known at the origin. */
  readonly expectation: Float64Array;
  /** Naive forecasts by name, and the 10 % and 90 % quantiles of the eight weeks. */
  readonly naive: Readonly<Record<string, Float64Array>>;
  readonly naiveLow: Float64Array;
  readonly naiveHigh: Float64Array;
  /** 1 where the weather was issued before the origin, 0 where later observations stand in, NaN where there is none. */
  readonly weatherIssued: Float32Array;
  /** Instant of the weather forecast used, ms UTC; NaN where none. */
  readonly weatherIssuedAt: Float64Array;
}

/** Variants of the past computed in one pass; more are split over several passes to bound memory. */
const variantsPerPass = 240;

/** Rows read at a time: bounds the memory that the join of all blocks takes. */
const rowsPerRead = 120_000;

/**
 * Features of every entity x origin x lead of the request, by one set of SQL for training and forecasting.
 * Throws FEATURE_SQL_INVALID naming the custom feature whose SQL does not run, RangeError on a request without origins.
 */
export async function buildFeatures(
  connection: Connection,
  city: City,
  view: FeatureView,
  request: FeatureRequest,
): Promise<FeatureSet> {
  if (request.origins.length === 0) throw new RangeError("no origins were asked for");
  if (request.path === "exact" && request.origins.length !== 1)
    throw new RangeError("the exact path takes one origin");
  await buildOrigins(connection, city, view, request);
  await buildDays(connection, request);
  await buildVariants(connection, view, request);
  const variants = await connection.first<{ count: number }>("SELECT count(*) AS count FROM variants");
  if (variants!.count > variantsPerPass && request.origins.length > 1) {
    const middle = request.origins.length >> 1;
    const part = (from: number, to: number) =>
      buildFeatures(connection, city, view, {
        ...request,
        origins: request.origins.slice(from, to),
        leads: request.leads.slice(from, to),
      });
    const first = await part(0, middle);
    const second = await part(middle, request.origins.length);
    return concatenate(first, second, middle);
  }
  await buildValues(connection, view, request);
  await buildCells(connection, view);
  await buildOthers(connection, view);
  await buildWeather(connection, view, request);
  await buildEvents(connection, request);
  await buildTargets(connection, view, request);
  await buildRowKeys(connection, view, request);
  if (view.slotsPerDay === 1) await buildDailyWeather(connection, view);
  return readRows(connection, view, await featuresSql(connection, view));
}

/** `origins`: the anchor (newest step usable), the steps forecast, and the wall-clock place of both. */
async function buildOrigins(
  connection: Connection,
  city: City,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const { grid } = city;
  const count = request.origins.length;
  const columns = Array.from({ length: 8 }, () => new Float64Array(count));
  const [o, at, anchor, anchorKey, first, last, firstKey, lastKey] = columns as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < count; i++) {
    const origin = request.origins[i]!;
    const anchorT = grid.stepAt(origin - request.lagMs) - 1;
    const firstT = grid.stepAt(origin);
    o[i] = i;
    at[i] = origin;
    anchor[i] = anchorT;
    // The repeated hour of autumn has the place of its first occurrence, which is known when the second is.
    anchorKey[i] = grid.keyOf(anchorT);
    first[i] = firstT;
    last[i] = firstT + request.leads[i]! - 1;
    let highest = 0;
    for (let t = firstT; t <= last[i]!; t++) highest = Math.max(highest, grid.keyOf(t));
    firstKey[i] = grid.keyOf(firstT);
    lastKey[i] = highest;
    // Beyond the view's reach its "newest" values would be newer than the origin.
    if (Math.ceil((highest - anchorKey[i]!) / (7 * grid.slotsPerDay)) > view.maxWeeksAhead) {
      throw new RangeError(`${request.leads[i]} leads are more than the view ${view.name} was made for`);
    }
  }
  await connection.run(`CREATE OR REPLACE TEMP TABLE origins (
    o DOUBLE, origin_at DOUBLE, anchor DOUBLE, anchor_key DOUBLE, first_t DOUBLE, last_t DOUBLE, first_key DOUBLE, last_key DOUBLE)`);
  await connection.append("origins", columns);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE origins AS
    SELECT o::INTEGER AS o, origin_at::BIGINT AS origin_at, anchor::INTEGER AS anchor, anchor_key::INTEGER AS anchor_key,
      first_t::INTEGER AS first_t, last_t::INTEGER AS last_t, first_key::INTEGER AS first_key, last_key::INTEGER AS last_key FROM origins`);
}

/** `row_keys`: a row for every entity, origin and lead, with the plain equality keys that everything joins on. */
async function buildRowKeys(
  connection: Connection,
  view: FeatureView,
  request: FeatureRequest,
): Promise<void> {
  const spd = view.slotsPerDay;
  const only = request.entities ? `AND h.e IN (${[-1, ...request.entities].join(", ")})` : "";
  const observedStandIn = request.weather === "observed" || request.weather === "issued-or-observed";
  // Entities that have been silent for 60 days are not forecast.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE row_keys AS
    WITH wanted AS (
      SELECT g.o, g.origin_at, g.anchor, g.anchor_key, g.first_t, h.e, n.v
      FROM origins g JOIN hist h ON h.v = 0 AND h.t = g.anchor ${only}
        LEFT JOIN variants n ON n.o = g.o AND n.e = h.e
        LEFT JOIN hist hv ON hv.v = n.v AND hv.e = h.e AND hv.t = g.anchor
      WHERE CASE WHEN n.v IS NULL THEN h.newest_t ELSE hv.newest_t END >= g.anchor - ${60 * spd}
    )
    SELECT row_number() OVER (ORDER BY r.o, r.e, s.t) - 1 AS "row", r.o, r.origin_at, r.anchor, r.anchor_key, r.e,
      s.t - r.first_t + 1 AS h, s.t, s.start_at, s.key, s.day, s.slot,
      COALESCE(r.v, 0) AS v, CASE WHEN r.o IN (SELECT o FROM variants) THEN r.o + 1 ELSE 0 END AS cv,
      COALESCE(oi.issue, ${observedStandIn ? -1 : "NULL"}) AS issue,
      greatest(1, CAST(ceil((s.key - r.anchor_key) / ${7 * spd}.0) AS INTEGER)) AS weeks,
      ob.y, ob.dead
    FROM wanted r JOIN origins g USING (o) JOIN steps s ON s.t BETWEEN g.first_t AND g.last_t
      LEFT JOIN origin_issue oi ON oi.o = r.o
      LEFT JOIN targets ob ON ob.e = r.e AND ob.t = s.t
    WHERE ${request.onlyWithTarget ? "ob.y IS NOT NULL AND NOT ob.dead" : "true"}
      ${request.share === undefined || request.share >= 1 ? "" : `AND hash(r.origin_at, r.e, s.t) % 100000 < ${Math.round(request.share * 100_000)}`}`);
}

/** The statement that puts a view's columns together; runs the custom features on the way. */
async function featuresSql(connection: Connection, view: FeatureView): Promise<string> {
  const spd = view.slotsPerDay;
  const weeks = (name: (w: number) => string) => byWeeks(view, name);
  const columns = columnsOf(view);
  const customJoins = await runCustom(connection, view);
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE holiday_cells AS
    SELECT v, e, key, r FROM cells
    WHERE fold = 0 AND key // ${spd} IN (SELECT last_same_holiday FROM days SEMI JOIN row_keys USING (day))`);
  // What is not read any more makes room for the joins below.
  await connection.run("DROP TABLE cells; DROP TABLE targets");
  return `
    WITH rows_keyed AS (
      SELECT w.*, k.* EXCLUDE (v, e, key), ${weeks((i) => `k.s${i}`)} AS s
      FROM row_slice w JOIN keyed k USING (v, e, key)
    ), events_seen AS (
      SELECT w."row", sum(x.attendance * x.nearness) FILTER (x.during) AS near, max(x.attendance) FILTER (x.during) AS everywhere,
        sum(x.attendance * x.nearness) FILTER (x.before_start) AS starting, sum(x.attendance * x.nearness) FILTER (x.after_end) AS ending,
        arg_max(x.starts_in, (x.attendance * x.nearness, x.starts_in)) FILTER (x.before_start) AS starts_in,
        arg_max(x.ended_ago, (x.attendance * x.nearness, x.ended_ago)) FILTER (x.after_end) AS ended_ago
      FROM row_slice w JOIN events_at x ON x.e = w.e AND x.t = w.t AND x.known_at <= w.origin_at AND x.known_to > w.origin_at
      GROUP BY w."row"
    )
    SELECT w."row", w.e AS row_e, w.o AS row_o, w.h AS row_h, w.t AS row_t, w.y AS row_y, w.dead::INTEGER AS row_dead, w.s AS row_s,
      ${weeks((k) => `w.yw${k}`)} AS naive_week, ${weeks((k) => `w.m${k}`)} AS naive_mean,
      ${weeks((k) => `w.median${k}`)} AS naive_median,
      ${weeks((k) => `w.nlo${k}`)} AS naive_low, ${weeks((k) => `w.nhi${k}`)} AS naive_high,
      CASE WHEN wx.t IS NULL THEN NULL WHEN w.issue = -1 THEN 0 ELSE 1 END AS wx_issued, CASE WHEN wx.t IS NOT NULL THEN xi.issued_at END AS wx_issued_at,
      ${columns.map(({ name, sql }) => `${sql} AS "${name}"`).join(",\n      ")}
    FROM rows_keyed w
      JOIN days d ON d.day = w.day
      ${spd === 1 ? "LEFT JOIN days od ON od.day = w.anchor_key" : ""}
      JOIN (SELECT o, anchor_key % ${spd} AS anchor_slot FROM origins) g ON g.o = w.o
      LEFT JOIN entities n ON n.e = w.e
      LEFT JOIN hist hi ON hi.v = w.v AND hi.e = w.e AND hi.t = w.anchor
      LEFT JOIN city ci ON ci.v = w.cv AND ci.t = w.anchor
      LEFT JOIN (SELECT v, key, r FROM city WHERE fold = 0) cd ON cd.v = w.cv AND cd.key = w.key - ${spd}
      ${
        view.neighboursWithinKm === null
          ? ""
          : `LEFT JOIN neighbours ne ON ne.v = w.cv AND ne.e = w.e AND ne.t = w.anchor
      LEFT JOIN (SELECT v, e, key, r FROM neighbours WHERE fold = 0) nd ON nd.v = w.cv AND nd.e = w.e AND nd.key = w.key - ${spd}`
      }
      LEFT JOIN holiday_cells lh ON lh.v = w.v AND lh.e = w.e AND lh.key = d.last_same_holiday * ${spd} + w.slot
      LEFT JOIN wx ON wx.issue = w.issue AND wx.t = w.t
      ${spd === 1 ? "LEFT JOIN wx_behind wb ON wb.o = w.o AND wb.t = w.t" : ""}
      LEFT JOIN events_seen ev ON ev."row" = w."row"
      LEFT JOIN issues xi ON xi.issue = w.issue
      ${customJoins}`;
}

async function readRows(connection: Connection, view: FeatureView, sql: string): Promise<FeatureSet> {
  const { rows } = (await connection.first<{ rows: number }>("SELECT count(*) AS rows FROM row_keys"))!;
  const features = Object.fromEntries(view.columns.map((name) => [name, new Float32Array(rows)]));
  const names = [
    "row_e",
    "row_o",
    "row_h",
    "row_t",
    "row_y",
    "row_dead",
    "row_s",
    "naive_week",
    "naive_mean",
    "naive_median",
    "naive_low",
    "naive_high",
    "wx_issued",
    "wx_issued_at",
  ];
  const facts = Object.fromEntries(names.map((name) => [name, new Float64Array(rows)]));
  const all = { ...facts, ...features };
  for (let from = 0; from < rows; from += rowsPerRead) {
    const to = Math.min(rows, from + rowsPerRead);
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE row_slice AS FROM row_keys WHERE "row" >= ${from} AND "row" < ${to}`,
    );
    await connection.fill(
      `SELECT * REPLACE ("row" - ${from} AS "row") FROM (${sql})`,
      "row",
      Object.fromEntries(Object.entries(all).map(([name, column]) => [name, column.subarray(from, to)])),
    );
  }
  const get = (name: string) => facts[name]!;
  return {
    view,
    rows,
    columns: view.columns.map((name) => features[name]!),
    entity: Int32Array.from(get("row_e")),
    origin: Int32Array.from(get("row_o")),
    lead: Int32Array.from(get("row_h")),
    step: Int32Array.from(get("row_t")),
    target: get("row_y"),
    dead: Uint8Array.from(get("row_dead"), (flag) => (flag === 1 ? 1 : 0)),
    expectation: get("row_s"),
    naive: {
      "last-week": get("naive_week"),
      "mean-4-weeks": get("naive_mean"),
      "median-8-weeks": get("naive_median"),
    },
    naiveLow: get("naive_low"),
    naiveHigh: get("naive_high"),
    weatherIssued: Float32Array.from(get("wx_issued")),
    weatherIssuedAt: get("wx_issued_at"),
  };
}

function concatenate(a: FeatureSet, b: FeatureSet, originsInA: number): FeatureSet {
  const join = <T extends Float32Array | Float64Array | Int32Array | Uint8Array>(left: T, right: T): T => {
    const out = new (left.constructor as new (length: number) => T)(left.length + right.length);
    out.set(left);
    out.set(right, left.length);
    return out;
  };
  return {
    view: a.view,
    rows: a.rows + b.rows,
    columns: a.columns.map((column, i) => join(column, b.columns[i]!)),
    entity: join(a.entity, b.entity),
    origin: join(
      a.origin,
      b.origin.map((o) => o + originsInA),
    ),
    lead: join(a.lead, b.lead),
    step: join(a.step, b.step),
    target: join(a.target, b.target),
    dead: join(a.dead, b.dead),
    expectation: join(a.expectation, b.expectation),
    naive: Object.fromEntries(
      Object.entries(a.naive).map(([name, values]) => [name, join(values, b.naive[name]!)]),
    ),
    naiveLow: join(a.naiveLow, b.naiveLow),
    naiveHigh: join(a.naiveHigh, b.naiveHigh),
    weatherIssued: join(a.weatherIssued, b.weatherIssued),
    weatherIssuedAt: join(a.weatherIssuedAt, b.weatherIssuedAt),
  };
}
