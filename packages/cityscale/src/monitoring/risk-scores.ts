import type { AlarmThresholds } from "@cityscale/forecast";
import {
  binaryTargets,
  type City,
  localDay,
  parseDuration,
  startOfLocalDay,
  type Target,
} from "../domain/index.ts";
import { LevelHistory, readLevels } from "../features/index.ts";
import { type Connection, type Lake, literal } from "../lake/index.ts";
import {
  type BinaryReport,
  type BinaryScores,
  judgeModel,
  judgePersistence,
  levelTargetOf,
} from "../models/index.ts";
import { lateAfterMs } from "../serving/index.ts";

const dayMs = 86_400_000;

/** Live scores of a local day are settled so long after its end: outcomes of two hours, over gaps, are in by then. */
export const riskSettleMs = 6 * 3_600_000;

/** What is scored: origins of a local day, or of the newest 24 hours. */
export const riskPeriods = ["day", "24h"] as const;
export type RiskPeriod = (typeof riskPeriods)[number];

const scoreNames = [
  "rows",
  "baseRate",
  "averagePrecision",
  "f1",
  "brier",
  "brierSkill",
  "calibrationError",
  "recall",
] as const satisfies readonly (keyof BinaryScores)[];

export const riskScoreTables = `
  CREATE TABLE IF NOT EXISTS risk_scores (
    target VARCHAR, period VARCHAR, day INTEGER, version INTEGER, judged VARCHAR, "on" VARCHAR,
    ${scoreNames.map((name) => `"${name}" DOUBLE`).join(", ")}, scored_at BIGINT, settled BOOLEAN
  );
  CREATE OR REPLACE VIEW v_quality AS
    SELECT target, period, DATE '1970-01-01' + day AS date, version, judged AS forecaster, "on" AS rows_judged,
      CAST("rows" AS BIGINT) AS "rows", "baseRate" AS base_rate, "averagePrecision" AS average_precision, f1, brier,
      "brierSkill" AS brier_skill, "calibrationError" AS calibration_error, recall AS recall_at_1_percent,
      make_timestamptz(scored_at * 1000) AS scored_at, settled
    FROM risk_scores;`;

/** Scores of forecasts that came true, on all rows and on those not short at the origin. */
export interface RiskScore {
  readonly target: string;
  readonly period: RiskPeriod;
  /** YYYY-MM-DD of the origins; of 24 hours the day on which they end. */
  readonly date: string;
  readonly version: number;
  readonly judged: "forecast" | "persistence";
  readonly on: "all" | "onset";
  readonly scores: Pick<BinaryScores, (typeof scoreNames)[number]>;
  /** True while outcomes may still come. */
  readonly provisional: boolean;
}

/** Alarm thresholds of a model version by the instant, for those in [from, until); null where there were none. */
export type VersionThresholds = (
  target: Target,
  version: number,
  from: number,
  until: number,
) => Promise<(at: number) => AlarmThresholds | null>;

export interface RiskJudgement {
  readonly version: number;
  readonly forecast: BinaryReport;
  readonly persistence: BinaryReport;
}

/** Outcomes of a period, from the raw snapshots, by the code that backtests label with. */
export class RiskOutcomes {
  readonly #connection: Connection;
  readonly #history: LevelHistory;

  private constructor(connection: Connection, history: LevelHistory) {
    this.#connection = connection;
    this.#history = history;
  }

  /** Outcomes of origins in [from, until), ms UTC, as known by `now`. */
  static async read(
    connection: Connection,
    city: City,
    period: { readonly from: number; readonly until: number; readonly now: number },
  ): Promise<RiskOutcomes> {
    const longest = Math.max(...binaryTargets(city).map(({ horizon }) => parseDuration(horizon)));
    const levels = await readLevels(connection, {
      // The newest snapshot at an origin may be old.
      from: period.from - dayMs,
      knownBy: Math.min(period.now, period.until + longest + riskSettleMs),
    });
    return new RiskOutcomes(connection, new LevelHistory(levels, city.timeZone, new Set()));
  }

  /**
   * Joins the forecasts of a target from origins in [from, until) to what came, and scores each version beside
   * persistence on the same rows. Batches that came late, and those of a backfill, are left out.
   */
  async judge(
    target: Target,
    from: number,
    until: number,
    versionThresholds: VersionThresholds,
  ): Promise<RiskJudgement[]> {
    const level = levelTargetOf(target);
    const rows = await this.#connection.numbers(
      `SELECT f.version, f.origin_at, f.e, f.count, f.probability, f.naive
       FROM risk_forecasts f JOIN batches b USING (batch)
       WHERE f.target = ${literal(target.name)} AND f.origin_at >= ${Math.ceil(from)} AND f.origin_at < ${Math.ceil(until)}
         AND b.issued_at - b.origin_at <= ${lateAfterMs}
       ORDER BY f.version, f.origin_at, f.e`,
    );
    const [version, origin, e] = [rows["version"]!, rows["origin_at"]!, rows["e"]!];
    const origins = Float64Array.from(new Set(origin)).sort();
    const placeOf = new Map(Array.from(origins, (at, i) => [at, i]));
    const { stations } = this.#history.levels;
    const columnOf = new Map(stations.map((station, s) => [station.e, s]));
    const { lowest } = this.#history.outcomes(level, origins);
    const came = Int16Array.from(origin, (at, i) => {
      const column = columnOf.get(e[i]!);
      return column === undefined ? -1 : lowest[placeOf.get(at)! * stations.length + column]!;
    });
    const judged: RiskJudgement[] = [];
    for (const number of new Set(version)) {
      const keep = Int32Array.from(came.keys()).filter((i) => version[i] === number && came[i]! >= 0);
      const of = (name: string) => Float32Array.from(keep, (i) => rows[name]![i]!);
      const count = of("count");
      const known = {
        count,
        label: Uint8Array.from(keep, (i) => (came[i]! < level.below ? 1 : 0)),
        onset: Uint8Array.from(count, (now) => (now >= level.below ? 1 : 0)),
      };
      const thresholdsAt = await versionThresholds(target, number, from, until);
      judged.push({
        version: number,
        persistence: judgePersistence(known, of("naive"), level.below),
        forecast: judgeModel(known, of("probability"), {
          name: `version ${number}`,
          thresholdsOf: (row) => thresholdsAt(origin[keep[row]!]!),
        }),
      });
    }
    return judged;
  }
}

/**
 * Scores the given local days, and the newest 24 hours, of every binary target anew; repeatable. Returns the rows
 * scored.
 */
export async function scoreRisks(
  lake: Lake,
  city: City,
  options: { readonly days: readonly number[]; readonly now: number; readonly thresholds: VersionThresholds },
): Promise<number> {
  const { days, now, thresholds } = options;
  const { timeZone } = city;
  const today = localDay(timeZone, now);
  const periods = days.map((day) => ({
    ...{ period: "day" as RiskPeriod, day },
    from: startOfLocalDay(timeZone, day),
    until: startOfLocalDay(timeZone, day + 1),
  }));
  periods.push({ period: "24h", day: today, from: now - dayMs, until: now });
  let scored = 0;
  for (const { period, day, from, until } of periods) {
    const found = await lake.read(async (connection) => {
      const outcomes = await RiskOutcomes.read(connection, city, { from, until, now });
      const judged: (RiskJudgement & { readonly target: string })[] = [];
      for (const target of binaryTargets(city)) {
        for (const of of await outcomes.judge(target, from, until, thresholds))
          judged.push({ ...of, target: target.name });
      }
      return judged;
    });
    const settled = period === "day" && until + riskSettleMs <= now;
    await lake.write(async (connection) => {
      const which = period === "24h" ? "" : ` AND day = ${day}`;
      await connection.run(`DELETE FROM risk_scores WHERE period = ${literal(period)}${which}`);
      for (const { target, version, ...of } of found) {
        for (const judged of ["forecast", "persistence"] as const) {
          for (const on of ["all", "onset"] as const) {
            const scores = of[judged][on];
            await connection.run(
              `INSERT INTO risk_scores VALUES (${Array.from({ length: 8 + scoreNames.length }, () => "?").join(", ")})`,
              [
                ...[target, period, day, version, judged, on],
                ...scoreNames.map((name) => scores[name]),
                ...[BigInt(Math.round(now)), settled],
              ],
            );
          }
        }
        if (period === "day") scored += of.forecast.all.rows;
      }
    });
  }
  return scored;
}

/** When scores were last written, ms UTC; null when none are. */
export async function risksScoredAt(connection: Connection): Promise<number | null> {
  const row = await connection.first<{ at: number | null }>('SELECT max(scored_at) AS "at" FROM risk_scores');
  return row?.at ?? null;
}

/** Stored scores of a target, newest first: 24 hours before days. */
export async function riskScores(
  connection: Connection,
  target: string,
  limit: number,
): Promise<RiskScore[]> {
  const rows = await connection.rows<
    Omit<RiskScore, "scores" | "provisional"> & { settled: boolean } & RiskScore["scores"]
  >(
    `SELECT target, period, CAST(DATE '1970-01-01' + day AS VARCHAR) AS date, version, judged, "on", settled,
       ${scoreNames.map((name) => `"${name}"`).join(", ")}
     FROM risk_scores WHERE target = ? ORDER BY period, day DESC, version DESC, judged, "on" LIMIT ${Math.floor(limit)}`,
    [target],
  );
  return rows.map(({ settled, ...row }) => ({
    ...{ target: row.target, period: row.period, date: row.date, version: row.version },
    ...{ judged: row.judged, on: row.on, provisional: !settled },
    scores: Object.fromEntries(scoreNames.map((name) => [name, row[name]])) as unknown as RiskScore["scores"],
  }));
}
