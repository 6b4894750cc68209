import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type DuckDBConnection, DuckDBInstance, DuckDBIntegerVector } from "@duckdb/node-api";

/** Runs a function with a DuckDB connection in memory, and closes it. */
export async function withDuck<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
  try {
    const connection = await instance.connect();
    try {
      // Timestamps without an offset are UTC, whatever the machine's zone.
      await connection.run("SET TimeZone = 'UTC'");
      return await work(connection);
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

/**
 * A table function over all files of a folder whose names begin with `stem`: CSV, gzipped CSV or Parquet. CSV comes
 * as text throughout, so that no file's types depend on what its first rows look like.
 * @throws RangeError if there is none
 */
export async function filesLike(folder: string, stem: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(stem)).sort();
  const list = (kept: readonly string[]) =>
    `[${kept.map((name) => `'${join(folder, name).replaceAll("'", "''")}'`).join(", ")}]`;
  const csv = names.filter((name) => /\.csv(\.gz)?$/.test(name));
  const parquet = names.filter((name) => name.endsWith(".parquet"));
  const parts: string[] = [];
  if (csv.length > 0)
    parts.push(`SELECT * FROM read_csv(${list(csv)}, all_varchar = true, union_by_name = true)`);
  if (parquet.length > 0) parts.push(`SELECT * FROM read_parquet(${list(parquet)}, union_by_name = true)`);
  if (parts.length === 0) throw new RangeError(`no ${stem}*.csv, .csv.gz or .parquet in ${folder}`);
  return `(${parts.join(" UNION ALL BY NAME ")})`;
}

/** Milliseconds since the epoch of a column of times, text with or without seconds, or timestamps. */
export function epochMs(column: string): string {
  const text = `replace(CAST(${column} AS VARCHAR), 'Z', '')`;
  return `epoch_ms(COALESCE(TRY_CAST(${text} AS TIMESTAMP), TRY_CAST(${text} || ':00' AS TIMESTAMP)))`;
}

/**
 * Integer columns of a result, chunk by chunk: row objects for a million rows would cost seconds.
 * @throws TypeError if a column is no INTEGER
 */
export async function* integerChunks(
  connection: DuckDBConnection,
  sql: string,
): AsyncGenerator<Int32Array[]> {
  const result = await connection.stream(sql);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield Array.from({ length: chunk.columnCount }, (_, c) => {
      const vector = chunk.getColumnVector(c);
      if (!(vector instanceof DuckDBIntegerVector)) throw new TypeError(`column ${c} is no INTEGER`);
      // Private by its type only; asking for cells one by one takes ten times as long.
      return vector["items"].subarray(0, chunk.rowCount);
    });
  }
}

/** Rows of a small result, every value as text or null. */
export async function textRows(
  connection: DuckDBConnection,
  sql: string,
): Promise<Record<string, string | null>[]> {
  const reader = await connection.runAndReadAll(sql);
  return reader.getRowObjectsJson() as Record<string, string | null>[];
}
