import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { CityScaleError, messageOf } from "../../core/index.ts";
import type { LevelPage } from "../../domain/index.ts";
import type { HttpClient, Validators } from "../http.ts";
import { requireFields } from "../schema-changes.ts";

const dayMs = 86_400_000;
/** Snapshots of some days make a page: a month at once would be sorted and held whole. */
const pageMs = 5 * dayMs;

const numbers = {
  bikes: "bikes",
  ebikes: "ebikes",
  docks: "docks",
  bikesDisabled: "bikes_disabled",
  docksDisabled: "docks_disabled",
} as const;
const flags = ["is_installed", "is_renting", "is_returning"] as const;

/** Months from one to another, both included, as `2023-04`. */
export function monthsBetween(first: string, last: string): string[] {
  const months: string[] = [];
  let [year, month] = first.split("-").map(Number) as [number, number];
  for (;;) {
    const name = `${year}-${String(month).padStart(2, "0")}`;
    if (name > last) return months;
    months.push(name);
    if (++month > 12) [year, month] = [year + 1, 1];
  }
}

/** The month of an instant, in UTC. */
export const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7);

/** First instant after a month. */
export function endOfMonth(month: string): number {
  const [year, number] = month.split("-").map(Number) as [number, number];
  return Date.UTC(year, number, 1);
}

/** A file of an archive on this machine until it is disposed. */
export interface ArchiveFile extends AsyncDisposable {
  readonly path: string;
  readonly validators: Validators;
}

/**
 * Downloads a month of the archive to a temporary file: null when it has not changed since `validators` were given,
 * undefined when there is no such file. Throws SOURCE_UNREACHABLE, SOURCE_REFUSED, SOURCE_MALFORMED or ABORTED.
 */
export async function download(
  http: HttpClient,
  url: string,
  validators: Validators | null,
  signal: AbortSignal,
): Promise<ArchiveFile | null | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "cityscale-archive-"));
  const path = join(folder, "month.parquet");
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const answer = await http.newer(url, validators, { signal }, (chunks) =>
      pipeline(chunks, createWriteStream(path)),
    );
    if (answer !== null) return { path, validators: answer.validators, [Symbol.asyncDispose]: remove };
    await remove();
    return null;
  } catch (error) {
    await remove();
    const status = error instanceof CityScaleError ? error.details?.["status"] : undefined;
    if (status === 404 || status === 410) return undefined;
    throw error;
  }
}

/**
 * Snapshots of a Parquet file with [from, to) as pages in the order of time, each with the instant up to which the file
 * was read. Rows without a time come in the first page.
 * Throws SOURCE_SCHEMA_CHANGED when a column is not there or of another type, SOURCE_MALFORMED when it is no Parquet.
 * @param url where the file came from, for messages
 */
export async function* readArchive(
  path: string,
  url: string,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<{ readonly page: LevelPage; readonly through: number; readonly share: number }> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "2", memory_limit: "400MB" });
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    const source = await describe(connection, path, url);
    await connection.run(
      `CREATE TEMP TABLE ids AS SELECT CAST(row_number() OVER (ORDER BY id) - 1 AS DOUBLE) AS k, id
       FROM (SELECT DISTINCT ${source.id} AS id FROM ${source.table})`,
    );
    const ids = (await connection.runAndReadAll("SELECT id FROM ids ORDER BY k"))
      .getRows()
      .map(([id]) => String(id));
    const [row] = (
      await connection.runAndReadAll(
        `SELECT CAST(min(at_ms) AS DOUBLE), CAST(max(at_ms) AS DOUBLE), count(*) FILTER (at_ms IS NULL)
         FROM (SELECT ${source.at} AS at_ms FROM ${source.table}) WHERE at_ms IS NULL OR (at_ms >= ${from} AND at_ms < ${to})`,
      )
    ).getRows();
    const [low, high, timeless] = (row ?? []) as [number | null, number | null, bigint];
    if (timeless > 0n) {
      const page = await pageOf(connection, source, ids, `${source.at} IS NULL`);
      yield { page, through: from, share: 0 };
    }
    if (low === null || high === null) return;
    for (let start = low; start <= high; start += pageMs) {
      const end = Math.min(start + pageMs, high + 1);
      const page = await pageOf(
        connection,
        source,
        ids,
        `${source.at} >= ${start} AND ${source.at} < ${end}`,
      );
      if (page.at.length > 0) yield { page, through: end, share: (end - low) / (high + 1 - low) };
    }
  } catch (error) {
    if (error instanceof CityScaleError) throw error;
    const words = messageOf(error).split("\n")[0]!.replaceAll(path, "the file");
    throw new CityScaleError("SOURCE_MALFORMED", `${url}: expected a Parquet file of snapshots: ${words}`, {
      cause: error,
      details: { url },
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** SQL of a file's columns. */
interface Columns {
  readonly table: string;
  readonly id: string;
  /** Milliseconds UTC, NULL where there is no time. */
  readonly at: string;
  readonly select: readonly string[];
}

async function describe(connection: DuckDBConnection, path: string, url: string): Promise<Columns> {
  const table = `read_parquet('${path.replaceAll("'", "''")}')`;
  const listed = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${table}`);
  const types = Object.fromEntries(listed.getRows().map(([name, type]) => [String(name), String(type)]));
  requireFields(url, ["ts", "station_id", "bikes", "docks"], types);
  const wrong = [...Object.values(numbers), ...flags].filter(
    (name) => types[name] !== undefined && !/INT|FLOAT|DOUBLE|DECIMAL|BOOLEAN/.test(types[name]),
  );
  const times = ["ts", "last_reported"].filter(
    (name) => types[name] !== undefined && !/INT|TIMESTAMP/.test(types[name]),
  );
  const [bad] = [...wrong, ...times];
  if (bad !== undefined) {
    throw new CityScaleError(
      "SOURCE_SCHEMA_CHANGED",
      `${url}: ${bad} is ${types[bad]}; expected ${times.includes(bad) ? "a timestamp or POSIX seconds" : "a number"}`,
      { details: { url, column: bad } },
    );
  }
  const instant = (name: string) =>
    /TIMESTAMP/.test(types[name]!) ? `epoch_ms(${name})` : `CAST(${name} AS BIGINT) * 1000`;
  const number = (name: string) => (types[name] === undefined ? "NULL" : `CAST(${name} AS DOUBLE)`);
  const flag = (name: string) => (types[name] === undefined ? "1" : `COALESCE(CAST(${name} AS INTEGER), 1)`);
  const installed = flag("is_installed");
  // Stations that have never reported say so with the first days of 1970.
  const reported =
    types["last_reported"] === undefined
      ? "NULL"
      : `CASE WHEN ${instant("last_reported")} >= ${Date.UTC(2000, 0, 1)} THEN ${instant("last_reported")} END`;
  return {
    table,
    id: "COALESCE(trim(CAST(station_id AS VARCHAR)), '')",
    at: instant("ts"),
    select: [
      instant("ts"),
      ...Object.values(numbers).map(number),
      `CASE WHEN ${installed} = 1 AND ${flag("is_renting")} = 1 THEN 1 ELSE 0 END`,
      `CASE WHEN ${installed} = 1 AND ${flag("is_returning")} = 1 THEN 1 ELSE 0 END`,
      reported,
    ],
  };
}

async function pageOf(
  connection: DuckDBConnection,
  source: Columns,
  ids: readonly string[],
  where: string,
): Promise<LevelPage> {
  const columns = source.select.map((sql, i) => `${sql} AS c${i}`).join(", ");
  const given = source.select.map((_, i) => `COALESCE(CAST(c${i} AS DOUBLE), 'NaN'::DOUBLE)`).join(", ");
  // Not streamed: a stream that fails half-way just ends, and half an answer would pass for a whole one.
  const result = await connection.run(
    `SELECT k, ${given} FROM (SELECT ${source.id} AS id, ${columns} FROM ${source.table} WHERE ${where}) JOIN ids USING (id)
     ORDER BY c0, k`,
  );
  const chunks = await result.fetchAllChunks();
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
  const entity: string[] = new Array<string>(rows);
  const found = source.select.map(() => new Float64Array(rows));
  let first = 0;
  for (const chunk of chunks) {
    const count = chunk.rowCount;
    // Vectors of numbers keep them in a typed array, which their common type does not tell.
    const items = (c: number) =>
      (chunk.getColumnVector(c) as unknown as { items: Float64Array }).items.subarray(0, count);
    const keys = items(0);
    for (let i = 0; i < count; i++) entity[first + i] = ids[keys[i]!]!;
    for (let c = 0; c < found.length; c++) found[c]!.set(items(c + 1), first);
    first += count;
  }
  const [at, bikes, ebikes, docks, bikesDisabled, docksDisabled, renting, returning, reportedAt] =
    found as Float64Array[] as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  return {
    stream: "levels",
    entity,
    at,
    bikes,
    ebikes,
    docks,
    bikesDisabled,
    docksDisabled,
    renting: Uint8Array.from(renting),
    returning: Uint8Array.from(returning),
    reportedAt,
    archived: true,
  };
}
