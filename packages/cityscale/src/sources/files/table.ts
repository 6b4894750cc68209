import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { CityScaleError, messageOf } from "../../core/index.ts";
import { parseCsv } from "../csv.ts";
import { type FieldTypes, requireFields } from "../schema-changes.ts";

/** How a file is written. */
export interface FileFormat {
  readonly format?: "csv" | "parquet" | undefined;
  readonly delimiter: string;
}

/** Some columns of a file. Text comes as indexes into its distinct texts: a million rows have few ids and times. */
export interface Table {
  readonly rows: number;
  readonly texts: readonly { readonly distinct: readonly string[]; readonly index: Int32Array }[];
  /** NaN where empty. */
  readonly numbers: readonly Float64Array[];
  /** Cells that are no finite number, as written: column and row. */
  readonly badNumbers: readonly { readonly column: number; readonly row: number; readonly text: string }[];
  /** Lines that are no rows of this file. */
  readonly badLines: readonly { readonly line: number; readonly problem: string; readonly text: string }[];
  /** All columns of the file with their types. */
  readonly columns: FieldTypes;
}

/**
 * Reads columns of a delimited or Parquet file, in the order of its rows.
 * Throws SOURCE_SCHEMA_CHANGED when a column is not there, SOURCE_MALFORMED when the file cannot be read.
 */
export async function readTable(
  path: string,
  format: FileFormat,
  textColumns: readonly string[],
  numberColumns: readonly string[],
): Promise<Table> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
  const connection = await instance.connect();
  try {
    // A timestamp with a zone is written as text in the session's zone, which is the machine's by default.
    await connection.run("SET TimeZone = 'UTC'");
    const parquet = (format.format ?? (/\.(parquet|pq)$/i.test(path) ? "parquet" : "csv")) === "parquet";
    const columns = parquet
      ? await parquetColumns(connection, path)
      : await csvColumns(path, format.delimiter);
    requireFields(path, [...textColumns, ...numberColumns], columns);
    const from = parquet ? `read_parquet(${quoted(path)})` : csvReader(path, format.delimiter, columns);
    const texts = textColumns.map((name, i) => `coalesce(trim(${named(name)}::VARCHAR), '') AS t${i}`);
    const numbers = numberColumns.map((name, i) => `${named(name)}::VARCHAR AS n${i}`);
    await connection.run(
      `CREATE TEMP TABLE input AS SELECT (row_number() OVER () - 1)::INTEGER AS row, ${[...texts, ...numbers].join(", ")} FROM ${from}`,
    );
    return await tableOf(connection, textColumns.length, numberColumns.length, columns, !parquet);
  } catch (error) {
    if (error instanceof CityScaleError) throw error;
    throw new CityScaleError("SOURCE_MALFORMED", `${path}: ${messageOf(error)}`, {
      cause: error,
      details: { path },
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function tableOf(
  connection: DuckDBConnection,
  textCount: number,
  numberCount: number,
  columns: FieldTypes,
  csv: boolean,
): Promise<Table> {
  const distinct: string[][] = [];
  for (let i = 0; i < textCount; i++) {
    await connection.run(
      `CREATE TEMP TABLE d${i} AS SELECT (row_number() OVER () - 1)::INTEGER AS k, t${i} AS t FROM (SELECT DISTINCT t${i} FROM input)`,
    );
    const result = await connection.runAndReadAll(`SELECT t FROM d${i} ORDER BY k`);
    distinct.push(result.getColumns()[0]?.map(String) ?? []);
  }
  const number = (i: number) => `TRY_CAST(n${i} AS DOUBLE)`;
  const select = [
    ...distinct.map((_, i) => `d${i}.k`),
    ...Array.from({ length: numberCount }, (_, i) => `coalesce(${number(i)}, 'nan'::DOUBLE)`),
  ];
  const joins = distinct.map((_, i) => `JOIN d${i} ON d${i}.t = input.t${i}`).join(" ");
  const [count] = (await connection.runAndReadAll("SELECT count(*)::INTEGER FROM input")).getRows();
  const rows = Number(count?.[0]);
  const indexes = distinct.map(() => new Int32Array(rows));
  const numbers = Array.from({ length: numberCount }, () => new Float64Array(rows));
  const result = await connection.stream(`SELECT ${select.join(", ")} FROM input ${joins} ORDER BY row`);
  for (let at = 0; ; ) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) break;
    for (let i = 0; i < select.length; i++) {
      // Vectors of numbers keep them in a typed array, which their common type does not tell.
      const { items } = chunk.getColumnVector(i) as unknown as { items: Int32Array | Float64Array };
      (i < textCount ? indexes[i]! : numbers[i - textCount]!).set(items.subarray(0, chunk.rowCount), at);
    }
    at += chunk.rowCount;
  }
  const badNumbers: { column: number; row: number; text: string }[] = [];
  for (let i = 0; i < numberCount; i++) {
    const bad = await connection.runAndReadAll(
      `SELECT row, n${i} FROM input WHERE trim(n${i}) <> '' AND NOT coalesce(isfinite(${number(i)}), false) ORDER BY row`,
    );
    for (const [row, text] of bad.getRows())
      badNumbers.push({ column: i, row: Number(row), text: String(text) });
  }
  return {
    rows,
    texts: distinct.map((texts, i) => ({ distinct: texts, index: indexes[i]! })),
    numbers,
    badNumbers,
    badLines: csv ? await badLinesOf(connection) : [],
    columns,
  };
}

async function badLinesOf(connection: DuckDBConnection) {
  const result = await connection.runAndReadAll(
    "SELECT line, any_value(error_message), any_value(csv_line) FROM reject_errors GROUP BY line ORDER BY line",
  );
  return result.getRows().map(([line, problem, text]) => ({
    line: Number(line),
    problem: String(problem).split("\n")[0]!,
    text: String(text ?? ""),
  }));
}

function csvReader(path: string, delimiter: string, columns: FieldTypes): string {
  const types = Object.keys(columns).map((name) => `${quoted(name)}: 'VARCHAR'`);
  // Nothing is guessed: a guess would depend on the first rows and change with them.
  return `read_csv(${quoted(path)}, auto_detect = false, header = true, delim = ${quoted(delimiter)}, quote = '"', escape = '"', columns = {${types.join(", ")}}, store_rejects = true)`;
}

async function parquetColumns(connection: DuckDBConnection, path: string): Promise<FieldTypes> {
  const result = await connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet(${quoted(path)})`);
  return Object.fromEntries(result.getRows().map(([name, type]) => [String(name), String(type)]));
}

/** Names in the first line of a plain or gzip file. */
async function csvColumns(path: string, delimiter: string): Promise<FieldTypes> {
  const file = createReadStream(path);
  const input = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  file.on("error", (error) => input.destroy(error));
  let text = "";
  try {
    for await (const chunk of input) {
      text += (chunk as Buffer).toString("utf8");
      if (text.includes("\n") || text.length > 1_000_000) break;
    }
  } finally {
    file.destroy();
  }
  const [header] = parseCsv(text.split(/\r?\n/, 1)[0] ?? "", delimiter);
  if (!header) {
    throw new CityScaleError("SOURCE_MALFORMED", `${path}: expected a header line, the file is empty`, {
      details: { path },
    });
  }
  return Object.fromEntries(header.fields.map((name) => [name.trim(), "text"]));
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function named(column: string): string {
  return `"${column.replaceAll('"', '""')}"`;
}
