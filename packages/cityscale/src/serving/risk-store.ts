import { type Lake, literal } from "../lake/index.ts";
import type { StockOutForecasts } from "../models/index.ts";
import { type Batch, insertBatch } from "./store.ts";

export const riskTables = `
  CREATE TABLE IF NOT EXISTS risk_forecasts (
    batch VARCHAR, target VARCHAR, measure VARCHAR, horizon_minutes INTEGER, origin_at BIGINT, version INTEGER, e INTEGER,
    count SMALLINT, probability FLOAT, naive FLOAT, shortfall FLOAT
  );
  CREATE OR REPLACE VIEW v_station_information AS
    SELECT entity AS station_id, name, lat, lon, CAST(attributes ->> '$.capacity' AS DOUBLE) AS capacity
    FROM entities WHERE e IN (SELECT e FROM snapshots);
  CREATE OR REPLACE VIEW v_predictions AS
    SELECT n.entity AS station_id, make_timestamptz(f.origin_at * 1000) AS origin_at, f.horizon_minutes,
      any_value(f.count) FILTER (f.measure = 'bikes') AS bikes, any_value(f.probability) FILTER (f.measure = 'bikes') AS p_bikeout,
      any_value(f.shortfall) FILTER (f.measure = 'bikes') AS bike_shortfall,
      any_value(f.count) FILTER (f.measure = 'docks') AS docks, any_value(f.probability) FILTER (f.measure = 'docks') AS p_dockout,
      any_value(f.shortfall) FILTER (f.measure = 'docks') AS dock_shortfall
    FROM risk_forecasts f JOIN entities n USING (e)
    GROUP BY n.entity, f.origin_at, f.horizon_minutes;`;

/** Forecasts of one target at one origin. */
export interface RiskRows {
  readonly batch: Batch;
  readonly forecasts: StockOutForecasts;
  /** By station: what persistence gives, and what is expected to be missing; NaN where there is no probability. */
  readonly naive: Float32Array;
  readonly shortfall: Float32Array;
}

const columns = ["e", "count", "probability", "naive", "shortfall"] as const;

/**
 * Writes the batches of one origin with their forecasts in one transaction: all of them are there, or none. Those that
 * are there already stay as they are; returns how many were new.
 */
export async function storeRisks(lake: Lake, targets: readonly RiskRows[]): Promise<number> {
  return lake.write(async (connection) => {
    let stored = 0;
    for (const { batch, forecasts, naive, shortfall } of targets) {
      if (await connection.first("SELECT 1 FROM batches WHERE batch = ?", [batch.batch])) continue;
      const { history, target, count, probability } = forecasts;
      const { stations } = history.levels;
      const rows = Array.from(probability.keys()).filter((s) => !Number.isNaN(probability[s]!));
      await connection.run(
        `CREATE OR REPLACE TEMP TABLE risk_page (${columns.map((name) => `${name} DOUBLE`).join(", ")})`,
      );
      const of = (value: (s: number) => number) => Float64Array.from(rows, value);
      await connection.append("risk_page", [
        of((s) => stations[s]!.e),
        of((s) => count[s]!),
        of((s) => probability[s]!),
        of((s) => naive[s]!),
        of((s) => shortfall[s]!),
      ]);
      await connection.run(
        `INSERT INTO risk_forecasts
         SELECT ${literal(batch.batch)}, ${literal(batch.target)}, ${literal(target.measure)}, ${target.horizonMs / 60_000},
           ${Math.round(batch.originAt)}, ${batch.version}, ${columns.join(", ")} FROM risk_page`,
      );
      await insertBatch(connection, batch);
      stored++;
    }
    return stored;
  });
}
