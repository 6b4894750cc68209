import {
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBValue,
  FLOAT,
} from "@duckdb/node-api";

/** Columns of numbers by name, in row order; NULL reads as NaN. */
export type NumberColumns = Record<string, Float64Array>;

export interface EngineOptions {
  /** File, or `:memory:`. */
  readonly path: string;
  /** DuckDB's own limit, in megabytes; past it the engine spills to `temporary`. */
  readonly memoryMb: number;
  readonly threads: number;
  readonly temporary?: string;
}

/** Opens an engine; the file is held by this process alone until `close`. */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const instance = await DuckDBInstance.create(options.path, {
    memory_limit: `${options.memoryMb}MB`,
    threads: String(options.threads),
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    ...(options.temporary ? { temp_directory: options.temporary } : {}),
  });
  return new Engine(instance);
}

export class Engine {
  readonly #instance: DuckDBInstance;
  constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }
  /** A connection of its own: temporary tables and transactions belong to it. */
  async connect(): Promise<Connection> {
    const connection = await this.#instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    return new Connection(connection);
  }
  close(): void {
    this.#instance.closeSync();
  }
}

interface RawVector {
  readonly items: Float64Array | Float32Array;
  flush(): void;
}

/** Small wrapper that moves numbers as columns; rows as objects only where there are few. */
export class Connection implements Disposable {
  readonly #connection: DuckDBConnection;
  constructor(connection: DuckDBConnection) {
    this.#connection = connection;
  }

  async run(sql: string, values?: DuckDBValue[]): Promise<number> {
    const result = await this.#connection.run(sql, values);
    return result.rowsChanged;
  }

  /** Rows as objects: for small answers only. BIGINT becomes number. */
  async rows<Row>(sql: string, values?: DuckDBValue[]): Promise<Row[]> {
    const reader = await this.#connection.runAndReadAll(sql, values);
    return reader.getRowObjects().map((row) => {
      for (const name in row) if (typeof row[name] === "bigint") row[name] = Number(row[name]);
      return row as Row;
    });
  }

  /** The first row, or undefined. */
  async first<Row>(sql: string, values?: DuckDBValue[]): Promise<Row | undefined> {
    return (await this.rows<Row>(sql, values))[0];
  }

  /** All columns as Float64Array; every column is cast to DOUBLE, NULL to NaN. */
  async numbers(sql: string, values?: DuckDBValue[]): Promise<NumberColumns & { readonly rows?: never }> {
    const { names, columns } = await this.#collect(sql, "DOUBLE", values, (n) => new Float64Array(n));
    return Object.fromEntries(names.map((name, i) => [name, columns[i]!]));
  }

  /** A matrix as Float32Array columns in the statement's order; NULL becomes NaN. */
  async matrix(
    sql: string,
    values?: DuckDBValue[],
  ): Promise<{ names: string[]; columns: Float32Array[]; rows: number }> {
    return this.#collect(sql, "FLOAT", values, (n) => new Float32Array(n));
  }

  async #collect<T extends Float64Array | Float32Array>(
    sql: string,
    type: "DOUBLE" | "FLOAT",
    values: DuckDBValue[] | undefined,
    make: (length: number) => T,
  ): Promise<{ names: string[]; columns: T[]; rows: number }> {
    // Not streamed: a stream that fails half-way just ends, and half an answer would pass for a whole one.
    const result = await this.#connection.run(
      `SELECT COALESCE(CAST(COLUMNS(*) AS ${type}), 'NaN'::${type}) FROM (${sql})`,
      values,
    );
    const names = result.columnNames();
    const chunks = await result.fetchAllChunks();
    const rows = chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
    const columns = names.map(() => make(rows));
    let at = 0;
    for (const chunk of chunks) {
      const count = chunk.rowCount;
      if (count === 0) continue;
      for (let c = 0; c < names.length; c++) {
        const { items } = chunk.getColumnVector(c) as unknown as RawVector;
        columns[c]!.set(items.length === count ? items : items.subarray(0, count), at);
      }
      at += count;
    }
    return { names, columns, rows };
  }

  /**
   * Writes each row of a statement into the columns given by name, at the place that its `position` column tells:
   * no sort in the engine, and one chunk in memory at a time. NULL becomes NaN.
   * Throws when not exactly every place was filled: a stream that fails half-way (out of memory) just ends.
   */
  async fill(
    sql: string,
    position: string,
    columns: Readonly<Record<string, Float64Array | Float32Array>>,
  ): Promise<void> {
    const targets = Object.values(columns);
    const cast = Object.entries(columns).map(([name, column]) => {
      const type = column instanceof Float32Array ? "FLOAT" : "DOUBLE";
      return `COALESCE(CAST("${name}" AS ${type}), 'NaN'::${type})`;
    });
    let filled = 0;
    const result = await this.#connection.stream(
      `SELECT CAST("${position}" AS DOUBLE), ${cast.join(", ")} FROM (${sql})`,
    );
    for (
      let chunk = await result.fetchChunk();
      chunk && chunk.rowCount > 0;
      chunk = await result.fetchChunk()
    ) {
      const count = chunk.rowCount;
      filled += count;
      const { items: places } = chunk.getColumnVector(0) as unknown as RawVector;
      for (let c = 0; c < targets.length; c++) {
        const { items } = chunk.getColumnVector(c + 1) as unknown as RawVector;
        const target = targets[c]!;
        for (let i = 0; i < count; i++) target[places[i]!] = items[i]!;
      }
    }
    const wanted = targets[0]?.length ?? 0;
    if (filled !== wanted) {
      throw new Error(`a query gave ${filled} of ${wanted} rows; the engine's memory limit may be too small`);
    }
  }

  /**
   * Appends columns of numbers to a table whose columns are all DOUBLE (or all FLOAT), NaN kept as NaN.
   * Throws RangeError when the columns differ in length.
   */
  async append(
    table: string,
    columns: readonly (Float64Array | Float32Array)[],
    type: "DOUBLE" | "FLOAT" = "DOUBLE",
  ): Promise<void> {
    const rows = columns[0]?.length ?? 0;
    if (columns.some((column) => column.length !== rows))
      throw new RangeError(`columns for ${table} differ in length`);
    const appender = await this.#connection.createAppender(table);
    try {
      const types = columns.map(() => (type === "DOUBLE" ? DOUBLE : FLOAT));
      for (let at = 0; at < rows; at += 2048) {
        const count = Math.min(2048, rows - at);
        const chunk = DuckDBDataChunk.create(types, count);
        for (let c = 0; c < columns.length; c++) {
          const vector = chunk.getColumnVector(c) as unknown as RawVector;
          vector.items.set(columns[c]!.subarray(at, at + count));
          vector.flush();
        }
        appender.appendDataChunk(chunk);
      }
      appender.flushSync();
    } finally {
      appender.closeSync();
    }
  }

  /**
   * Gives back memory that the engine keeps in case it is wanted again: before something else needs it, or for the
   * months until the next million rows.
   */
  async trim(): Promise<void> {
    const limit = await this.first<{ limit: string }>("SELECT current_setting('memory_limit') AS \"limit\"");
    try {
      await this.run("SET memory_limit = '48MB'");
    } finally {
      await this.run(`SET memory_limit = ${literal(limit!.limit)}`);
    }
  }

  /** Runs `work` in one transaction; anything thrown rolls it back. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.run("BEGIN TRANSACTION");
    try {
      const value = await work();
      await this.run("COMMIT");
      return value;
    } catch (error) {
      // The engine may have ended the transaction itself (a full disk, for one): the first error is the one to tell.
      await this.run("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#connection.closeSync();
  }
}

/** A SQL string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
