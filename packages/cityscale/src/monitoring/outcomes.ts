import type { City, Target } from "../domain/index.ts";
import { stuckSteps } from "../domain/index.ts";
import { deadZerosSql } from "../features/index.ts";
import { type Connection, type Lake, literal } from "../lake/index.ts";

/** Live scores of one local day: forecasts that came true, beside the naive forecast on the same rows. */
export interface LiveScore {
  readonly target: string;
  /** YYYY-MM-DD of the forecast steps. */
  readonly date: string;
  readonly version: number;
  readonly rows: number;
  readonly wape: number | null;
  readonly naiveWape: number | null;
  readonly coverage80: number | null;
  /** Forecasts of entities too new for the model, which the scores above leave out; null where there were none. */
  readonly coldStart: {
    readonly rows: number;
    readonly wape: number | null;
    readonly naiveWape: number | null;
    readonly coverage80: number | null;
  } | null;
  /** True while corrections may still come. */
  readonly provisional: boolean;
}

export const outcomeTables = `
  CREATE TABLE IF NOT EXISTS live_scores (
    target VARCHAR, day INTEGER, version INTEGER, "rows" INTEGER, sum_y DOUBLE, sum_error DOUBLE, sum_naive_error DOUBLE,
    covered INTEGER, intervals INTEGER, scored_at BIGINT, settled BOOLEAN
  );
  ALTER TABLE live_scores ADD COLUMN IF NOT EXISTS cold_start BOOLEAN DEFAULT false;`;

/** Corrections this long after a step are no longer waited for: its score is settled. */
export const settleAfterMs = 3 * 86_400_000;

/** A forecast made later than this after its origin was made in hindsight (a backfill): no live score. */
export const liveWithinMs = 6 * 3_600_000;

/**
 * Joins forecasts to what came true on the given local days and writes their live scores anew; repeatable.
 * Every forecast counts, at every lead, those of cold starts apart. A dead counter's zeros are no outcome, nor is what an annotation hides.
 */
export async function scoreDays(
  lake: Lake,
  city: City,
  target: Target,
  days: readonly number[],
  now: number,
): Promise<number> {
  if (days.length === 0) return 0;
  const stuck = stuckSteps(city, target.measure);
  // A run that reaches this far beyond the days is long enough on either side.
  const beyond = Math.ceil(stuck / city.grid.slotsPerDay) + 1;
  const near = `s.day BETWEEN ${Math.min(...days) - beyond} AND ${Math.max(...days) + beyond}`;
  const values = `
    SELECT o.e, o.t, o.value AS y FROM observations o JOIN steps s USING (t)
    WHERE o.measure = ${literal(target.measure)} AND o.value IS NOT NULL AND ${near}`;
  return lake.write(async (connection) => {
    const list = `(${days.join(", ")})`;
    await connection.run(`DELETE FROM live_scores WHERE target = ? AND day IN ${list}`, [target.name]);
    return connection.run(
      `INSERT INTO live_scores
       WITH came AS (
         SELECT v.e, v.t, v.y AS value, v.dead, s.day FROM (${deadZerosSql(values, stuck)}) v JOIN steps s USING (t)
         WHERE s.day IN ${list}
       )
       SELECT f.target, a.day, f.version, count(*), sum(a.value), sum(abs(f.point - a.value)), sum(abs(f.naive - a.value)),
         count(*) FILTER (a.value BETWEEN f.low AND f.high), count(*) FILTER (f.low IS NOT NULL AND f.high IS NOT NULL), ${Math.round(now)},
         (SELECT max(end_at) FROM steps s WHERE s.day = a.day) + ${settleAfterMs} <= ${Math.round(now)}, f.cold_start
       FROM forecasts f JOIN came a USING (e, t) JOIN batches b USING (batch)
       WHERE b.issued_at - b.origin_at <= ${liveWithinMs} AND f.target = ? AND NOT a.dead AND f.naive IS NOT NULL
       GROUP BY f.target, a.day, f.version, f.cold_start`,
      [target.name],
    );
  });
}

/** Live scores day by day, newest first. */
export async function liveScores(
  connection: Connection,
  target: string,
  limit: number,
): Promise<LiveScore[]> {
  const sums = ["rows", "sum_y", "sum_error", "sum_naive_error", "covered", "intervals"];
  const rows = await connection.rows<Record<string, number> & { date: string; settled: boolean }>(
    `SELECT CAST(DATE '1970-01-01' + day AS VARCHAR) AS date, version, bool_and(settled) AS settled,
       ${[false, true]
         .flatMap((cold) =>
           sums.map(
             (name) =>
               `COALESCE(sum("${name}") FILTER (cold_start = ${cold}), 0)::DOUBLE AS ${cold ? "cold_" : ""}${name}`,
           ),
         )
         .join(", ")}
     FROM live_scores WHERE target = ? GROUP BY day, version
     ORDER BY day DESC, version DESC LIMIT ${Math.floor(limit)}`,
    [target],
  );
  const scoresOf = (row: Readonly<Record<string, number>>, prefix: "" | "cold_") => {
    const ratio = (a: string, b: string) =>
      row[`${prefix}${b}`]! > 0 ? row[`${prefix}${a}`]! / row[`${prefix}${b}`]! : null;
    return {
      rows: row[`${prefix}rows`]!,
      wape: ratio("sum_error", "sum_y"),
      naiveWape: ratio("sum_naive_error", "sum_y"),
      coverage80: ratio("covered", "intervals"),
    };
  };
  return rows.map((row) => ({
    target,
    date: row.date,
    version: row["version"]!,
    ...scoresOf(row, ""),
    coldStart: row["cold_rows"]! > 0 ? scoresOf(row, "cold_") : null,
    provisional: !row.settled,
  }));
}
