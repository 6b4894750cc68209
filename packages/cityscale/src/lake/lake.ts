import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { CityScaleError, type Clock, type Log } from "../core/index.ts";
import { type City, masksOf, type Page } from "../domain/index.ts";
import {
  type Arrival,
  appendObservations,
  appendRejected,
  type EntityNumbers,
  mergeEntities,
  mergeEvents,
  mergeHolidays,
  mergeWeather,
} from "./append.ts";
import { type Connection, type Engine, openEngine } from "./duckdb.ts";
import { appendLevels } from "./levels.ts";
import { appendComplete, appendLog } from "./log.ts";
import { type MergeReport, mergeObservations } from "./merge.ts";
import { migrations } from "./schema.ts";
import { extendSteps } from "./steps.ts";

export interface LakeOptions {
  readonly city: City;
  /** File of the city's lake, or `:memory:` for a scratch lake. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly memoryMb: number;
  readonly threads: number;
  /** Publication lag of each source by name, ms. */
  readonly lagMs: ReadonlyMap<string, number>;
}

/** Where a source stands; instants on the city's clock. */
export interface SourceState {
  readonly source: string;
  readonly cursor: unknown;
  readonly firstReadAt: number | null;
  readonly lastReadAt: number | null;
  readonly lastSuccessAt: number | null;
  readonly lastError: string | null;
  readonly lastErrorAt: number | null;
}

/** Rows stored of one page, and those put into quarantine at once. */
export interface AppendReport {
  readonly rows: number;
  readonly rejected: number;
}

const big = (ms: number) => BigInt(Math.round(ms));

/** Raw, clean, quarantine and revisions of one city, in one DuckDB file that one process holds. */
export class Lake {
  readonly city: City;
  readonly #engine: Engine;
  readonly #writer: Connection;
  readonly #options: LakeOptions;
  readonly #numbers: EntityNumbers;
  #seq: number;
  #poll: number;
  #writes = 0;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(
    options: LakeOptions,
    engine: Engine,
    writer: Connection,
    state: { numbers: EntityNumbers; seq: number; poll: number },
  ) {
    this.city = options.city;
    this.#options = options;
    this.#engine = engine;
    this.#writer = writer;
    this.#numbers = state.numbers;
    this.#seq = state.seq;
    this.#poll = state.poll;
  }

  /**
   * Opens the lake, creating or upgrading it.
   * Throws DATA_FOLDER_NEWER when a newer CityScale wrote it, OWNER_BUSY when another process holds the file.
   */
  static async open(options: LakeOptions): Promise<Lake> {
    const inMemory = options.path === ":memory:";
    if (!inMemory) mkdirSync(dirname(options.path), { recursive: true });
    let engine: Engine;
    try {
      engine = await openEngine({
        path: options.path,
        memoryMb: options.memoryMb,
        threads: options.threads,
        ...(inMemory ? {} : { temporary: join(dirname(options.path), "tmp") }),
      });
    } catch (error) {
      const busy = /lock/i.test(String(error));
      throw new CityScaleError(
        busy ? "OWNER_BUSY" : "DATA_FOLDER_DAMAGED",
        busy ? `another process holds ${options.path}` : `${options.path} cannot be opened`,
        { cause: error },
      );
    }
    const writer = await engine.connect();
    try {
      await upgrade(writer, options.path);
      await writer.transaction(() => declareMasks(writer, options.city));
      const numbers: EntityNumbers = new Map();
      for (const row of await writer.rows<{ entity: string; e: number }>(
        "SELECT entity, e FROM entities ORDER BY e",
      )) {
        numbers.set(row.entity, row.e);
      }
      const state = await writer.first<{ seq: number; poll: number }>(
        `SELECT COALESCE(max(seq), 0) AS seq, COALESCE(max(poll), 0) AS poll FROM (
           SELECT seq, poll FROM raw_observations UNION ALL SELECT seq, poll FROM raw_log UNION ALL SELECT seq, 0 FROM merged)`,
      );
      return new Lake(options, engine, writer, { numbers, seq: state!.seq, poll: state!.poll });
    } catch (error) {
      writer[Symbol.dispose]();
      engine.close();
      throw error;
    }
  }

  /** A connection for reading, with temporary tables of its own; the caller disposes it. */
  connect(): Promise<Connection> {
    return this.#engine.connect();
  }

  /** Reads with a connection that is closed afterwards. */
  async read<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    using connection = await this.connect();
    return await work(connection);
  }

  /** Reads in one transaction: what is written meanwhile is not seen. */
  snapshot<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.read((connection) => connection.transaction(() => work(connection)));
  }

  /** Writes in one transaction; writers queue up. */
  write<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#alone((writer) => writer.transaction(() => work(writer)));
  }

  /** Grows when a write is asked for and when it ends: nothing was written while it stays the same. */
  get writes(): number {
    return this.#writes;
  }

  #alone<T>(work: (writer: Connection) => Promise<T>): Promise<T> {
    this.#writes++;
    const result = this.#tail
      .then(() => work(this.#writer))
      .finally(() => {
        this.#writes++;
      });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Tables that a room to the right keeps here; statements must be repeatable (`IF NOT EXISTS`). */
  define(sql: string): Promise<void> {
    return this.write(async (connection) => void (await connection.run(sql)));
  }

  async sourceState(source: string): Promise<SourceState> {
    return (
      (await this.sourceStates()).find((state) => state.source === source) ?? {
        source,
        cursor: null,
        firstReadAt: null,
        lastReadAt: null,
        lastSuccessAt: null,
        lastError: null,
        lastErrorAt: null,
      }
    );
  }

  async sourceStates(): Promise<SourceState[]> {
    const rows = await this.read((connection) =>
      connection.rows<{
        source: string;
        cursor: string | null;
        first_read_at: number | null;
        last_read_at: number | null;
        last_success_at: number | null;
        last_error: string | null;
        last_error_at: number | null;
      }>("SELECT * FROM cursors ORDER BY source"),
    );
    return rows.map((row) => ({
      source: row.source,
      cursor: row.cursor === null ? null : (JSON.parse(row.cursor) as unknown),
      firstReadAt: row.first_read_at,
      lastReadAt: row.last_read_at,
      lastSuccessAt: row.last_success_at,
      lastError: row.last_error,
      lastErrorAt: row.last_error_at,
    }));
  }

  /** Notes that a read of a source begins; returns the number that its rows will carry. */
  async beginPoll(source: string): Promise<number> {
    const now = big(this.#options.clock.now());
    await this.write(async (connection) => {
      await connection.run(
        `INSERT INTO cursors (source, first_read_at, last_read_at) VALUES (?, ?, ?)
         ON CONFLICT (source) DO UPDATE SET last_read_at = excluded.last_read_at`,
        [source, now, now],
      );
    });
    return ++this.#poll;
  }

  /** Notes how a read ended: the message of what went wrong, or null when all is well. */
  async endPoll(source: string, error: string | null): Promise<void> {
    const now = big(this.#options.clock.now());
    await this.write(async (connection) => {
      if (error === null) {
        await connection.run(
          `UPDATE cursors SET last_success_at = $1, first_success_at = COALESCE(first_success_at, $1),
             last_error = NULL, last_error_at = NULL WHERE source = $2`,
          [now, source],
        );
      } else {
        await connection.run("UPDATE cursors SET last_error = ?, last_error_at = ? WHERE source = ?", [
          error.slice(0, 1000),
          now,
          source,
        ]);
      }
    });
  }

  /**
   * Stores a page as received and the cursor behind it in one transaction: after a kill at any moment either
   * both are there or neither is. `keepCursor` is for reading a range again.
   */
  append(source: string, poll: number, page: Page, keepCursor = false): Promise<AppendReport> {
    return this.#alone(async (connection) => {
      const before = this.#seq;
      const known = this.#numbers.size;
      try {
        return await connection.transaction(() =>
          this.#appendPage(connection, source, poll, page, keepCursor),
        );
      } catch (error) {
        this.#seq = before;
        for (const [entity, e] of this.#numbers) if (e >= known) this.#numbers.delete(entity);
        throw error;
      }
    });
  }

  async #appendPage(
    connection: Connection,
    source: string,
    poll: number,
    page: Page,
    keepCursor: boolean,
  ): Promise<AppendReport> {
    const now = this.#options.clock.now();
    const first = await connection.first<{ first: number | null; success: number | null }>(
      "SELECT first_read_at AS first, first_success_at AS success FROM cursors WHERE source = ?",
      [source],
    );
    const arrival: Arrival = {
      source,
      poll,
      arrivedAt: now,
      ingestedAt: Date.now(),
      firstReadAt: first?.first ?? now,
      firstRead: (first?.success ?? null) === null,
      lagMs: this.#options.lagMs.get(source) ?? 0,
    };
    let rows = 0;
    let quarantined = 0;
    const pageSeq = this.#seq;
    for (const part of page.parts) {
      switch (part.stream) {
        case "observations":
          rows += await appendObservations(connection, this.#numbers, part, arrival, this.#seq + 1);
          this.#seq += part.validAt.length;
          break;
        case "log":
          rows += await appendLog(connection, this.city, this.#numbers, part, arrival, this.#seq + 1);
          this.#seq += part.at.length;
          break;
        case "complete":
          this.#seq += await appendComplete(connection, this.city, part, arrival, pageSeq, this.#seq);
          break;
        case "levels": {
          const stored = await appendLevels(connection, this.city, this.#numbers, part, arrival);
          rows += stored.rows;
          quarantined += stored.quarantined;
          break;
        }
        case "weather":
          rows += await mergeWeather(connection, part, arrival);
          break;
        case "entities":
          await mergeEntities(connection, this.#numbers, part, arrival);
          rows += part.rows.length;
          break;
        case "holidays":
          await mergeHolidays(connection, part, arrival);
          rows += part.rows.length;
          break;
        case "events":
          await mergeEvents(connection, part, arrival);
          rows += part.rows.length;
          break;
      }
    }
    const rejected = await appendRejected(connection, page.rejected, arrival);
    for (const change of page.schemaChanges) {
      await connection.run("INSERT INTO schema_changes VALUES (?, ?, ?)", [source, big(now), change]);
    }
    if (!keepCursor) {
      await connection.run("UPDATE cursors SET cursor = ? WHERE source = ?", [
        JSON.stringify(page.cursor),
        source,
      ]);
    }
    return { rows, rejected: rejected + quarantined };
  }

  /** Brings what was appended into the clean tables; repeatable, and safe to kill. */
  merge(): Promise<MergeReport> {
    return this.#alone((connection) => mergeObservations(connection, this.city, this.#options.lagMs));
  }

  /** Makes sure that the grid of steps reaches at least from the oldest data to `until`. */
  extendSteps(from: number, until: number): Promise<void> {
    return this.write((connection) => extendSteps(connection, this.city.grid, from, until));
  }

  /** Flushes and closes; later calls fail. */
  async close(): Promise<void> {
    await this.#tail;
    this.#writer[Symbol.dispose]();
    this.#engine.close();
  }
}

/** The author of the annotations that come from the city's file. */
const cityFile = "city file";

/** Brings the masks of the city's file into the annotations, in place of those it had before. */
async function declareMasks(connection: Connection, city: City): Promise<void> {
  await connection.run("DELETE FROM annotations WHERE author = ?", [cityFile]);
  for (const mask of masksOf(city)) {
    await connection.run(
      `INSERT INTO annotations (kind, measure, entity, from_at, until_at, known_at, reason, author)
       VALUES ('mask', ?, ?, ?, ?, ?, ?, ?)`,
      [mask.measure, mask.entity, big(mask.from), big(mask.until), big(mask.knownAt), mask.reason, cityFile],
    );
  }
}

async function upgrade(connection: Connection, path: string): Promise<void> {
  await connection.run("CREATE TABLE IF NOT EXISTS lake_format (version INTEGER, written_at BIGINT)");
  const row = await connection.first<{ version: number }>(
    "SELECT COALESCE(max(version), 0) AS version FROM lake_format",
  );
  const version = row!.version;
  if (version > migrations.length) {
    throw new CityScaleError(
      "DATA_FOLDER_NEWER",
      `${path} has format ${version}; this program knows formats up to ${migrations.length}`,
    );
  }
  for (let next = version; next < migrations.length; next++) {
    await connection.transaction(async () => {
      await connection.run(migrations[next]!);
      await connection.run("INSERT INTO lake_format VALUES (?, ?)", [next + 1, big(Date.now())]);
    });
  }
}
