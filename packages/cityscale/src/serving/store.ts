import { type Connection, type Lake, literal } from "../lake/index.ts";

/** One scoring of all entities at one origin: the heartbeat of a target. Instants in ms UTC. */
export interface Batch {
  readonly batch: string;
  readonly target: string;
  readonly originAt: number;
  /** Instant of the city's clock at which it was made. */
  readonly issuedAt: number;
  readonly version: number;
  readonly rows: number;
  readonly entities: number;
  readonly weather: "issued" | "none";
  readonly weatherIssuedAt: number | null;
  /** Age of the newest count behind it, ms. */
  readonly countsAgeMs: number;
  /** True when the champion could not be used and a naive forecast stood in. */
  readonly fellBack: boolean;
  readonly notes: readonly string[];
  readonly tookMs: number;
}

export const forecastTables = `
  CREATE TABLE IF NOT EXISTS batches (
    batch VARCHAR, target VARCHAR, origin_at BIGINT, issued_at BIGINT, version INTEGER, "rows" INTEGER, entities INTEGER,
    weather VARCHAR, weather_issued_at BIGINT, counts_age_ms BIGINT, fell_back BOOLEAN, notes VARCHAR, took_ms DOUBLE
  );
  CREATE TABLE IF NOT EXISTS forecasts (
    batch VARCHAR, target VARCHAR, origin_at BIGINT, version INTEGER, e INTEGER, t INTEGER, lead INTEGER,
    point DOUBLE, low DOUBLE, median DOUBLE, high DOUBLE, naive DOUBLE
  );
  ALTER TABLE forecasts ADD COLUMN IF NOT EXISTS cold_start BOOLEAN DEFAULT false;
  CREATE OR REPLACE VIEW v_forecasts AS
    SELECT f.target, n.entity, make_timestamptz(f.origin_at * 1000) AS origin_at, make_timestamptz(s.start_at * 1000) AS valid_at,
           f.lead, f.point, f.low AS p10, f.median AS p50, f.high AS p90, f.naive, f.version, f.batch, f.cold_start
    FROM forecasts f JOIN entities n USING (e) JOIN steps s USING (t);`;

/** Columns of forecasts to be stored; one entry per row. */
export interface ForecastRows {
  readonly entity: Int32Array;
  readonly step: Int32Array;
  readonly lead: Int32Array;
  readonly point: Float64Array;
  readonly low: Float64Array;
  readonly median: Float64Array;
  readonly high: Float64Array;
  readonly naive: Float64Array;
  /** 1 where the entity is too new for the model and its forecast is a cold start. */
  readonly coldStart: Uint8Array;
}

/** Writes a batch and its forecasts in one transaction; a batch that is there already stays as it is. */
export async function storeBatch(lake: Lake, batch: Batch, rows: ForecastRows): Promise<boolean> {
  return lake.write(async (connection) => {
    const there = await connection.first("SELECT 1 FROM batches WHERE batch = ?", [batch.batch]);
    if (there) return false;
    await connection.run(
      "CREATE OR REPLACE TEMP TABLE forecast_page (e DOUBLE, t DOUBLE, lead DOUBLE, point DOUBLE, low DOUBLE, median DOUBLE, high DOUBLE, naive DOUBLE, cold_start DOUBLE)",
    );
    await connection.append("forecast_page", [
      Float64Array.from(rows.entity),
      Float64Array.from(rows.step),
      Float64Array.from(rows.lead),
      rows.point,
      rows.low,
      rows.median,
      rows.high,
      rows.naive,
      Float64Array.from(rows.coldStart),
    ]);
    const number = (name: string) => `CASE WHEN isfinite(${name}) THEN ${name} END`;
    await connection.run(
      `INSERT INTO forecasts SELECT ${literal(batch.batch)}, ${literal(batch.target)}, ${Math.round(batch.originAt)}, ${batch.version},
         e, t, lead, ${["point", "low", "median", "high", "naive"].map(number).join(", ")}, cold_start = 1
       FROM forecast_page WHERE isfinite(point)`,
    );
    await insertBatch(connection, batch);
    return true;
  });
}

/** Writes the heartbeat; call within a transaction that writes the forecasts. */
export async function insertBatch(connection: Connection, batch: Batch): Promise<void> {
  await connection.run("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [
    batch.batch,
    batch.target,
    BigInt(Math.round(batch.originAt)),
    BigInt(Math.round(batch.issuedAt)),
    batch.version,
    batch.rows,
    batch.entities,
    batch.weather,
    batch.weatherIssuedAt === null ? null : BigInt(Math.round(batch.weatherIssuedAt)),
    BigInt(Math.round(batch.countsAgeMs)),
    batch.fellBack,
    JSON.stringify(batch.notes),
    batch.tookMs,
  ]);
}

/** Newest batches first. */
export async function listBatches(connection: Connection, target: string, limit: number): Promise<Batch[]> {
  const rows = await connection.rows<{
    batch: string;
    target: string;
    origin_at: number;
    issued_at: number;
    version: number;
    rows: number;
    entities: number;
    weather: "issued" | "none";
    weather_issued_at: number | null;
    counts_age_ms: number;
    fell_back: boolean;
    notes: string;
    took_ms: number;
  }>(
    `SELECT * FROM batches WHERE target = ? ORDER BY origin_at DESC, issued_at DESC LIMIT ${Math.floor(limit)}`,
    [target],
  );
  return rows.map((row) => ({
    batch: row.batch,
    target: row.target,
    originAt: row.origin_at,
    issuedAt: row.issued_at,
    version: row.version,
    rows: row.rows,
    entities: row.entities,
    weather: row.weather,
    weatherIssuedAt: row.weather_issued_at,
    countsAgeMs: row.counts_age_ms,
    fellBack: row.fell_back,
    notes: JSON.parse(row.notes) as string[],
    tookMs: row.took_ms,
  }));
}
