import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { Kysely, type SqliteDatabase, SqliteDialect, sql } from "kysely";
import { CityScaleError } from "./errors.ts";
import { type Migration, type MigrationTools, migrate } from "./migrations.ts";
import type { Tables } from "./tables.ts";

/** A handle for queries: the database itself, or a transaction of it. */
export type Db = Kysely<Tables>;

/** The metadata database. Inside `db.transaction()` use only the transaction's handle: `db` would wait for it. */
export interface MetadataDatabase {
  readonly db: Db;
  close(): Promise<void>;
}

/**
 * Opens (and creates, and migrates) the metadata database in a SQLite file; `:memory:` for one that is not kept.
 * Throws DATA_FOLDER_NEWER when a newer program wrote it, DATA_FOLDER_DAMAGED when it is not a database.
 */
export async function openDatabase(
  path: string,
  options: { migrations?: readonly Migration[] } = {},
): Promise<MetadataDatabase> {
  if (path !== ":memory:") await mkdir(dirname(path), { recursive: true });
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: openSqlite(path) }) });
  try {
    await migrate(db as unknown as Kysely<unknown>, sqliteTools, options.migrations);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return { db, close: () => db.destroy() };
}

function openSqlite(path: string): SqliteDatabase {
  let sqlite: DatabaseSync | undefined;
  try {
    sqlite = new DatabaseSync(path, { timeout: 5_000, enableForeignKeyConstraints: true });
    // FULL: a committed promotion or job survives a power cut, not only a killed process.
    sqlite.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    return adapt(sqlite);
  } catch (error) {
    sqlite?.close();
    throw new CityScaleError("DATA_FOLDER_DAMAGED", `the metadata database ${path} cannot be opened`, {
      cause: error,
      details: { path },
    });
  }
}

/** `node:sqlite` in the shape that Kysely's dialect asks for. */
function adapt(sqlite: DatabaseSync): SqliteDatabase {
  return {
    close: () => sqlite.close(),
    prepare: (text) => {
      const statement = sqlite.prepare(text);
      const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...values(parameters)),
        run: (parameters) => statement.run(...values(parameters)),
        iterate: (parameters) => statement.iterate(...values(parameters)),
      };
    },
  };
}

function sqliteTools(db: Kysely<unknown>): MigrationTools {
  const refuse = (table: string, change: "UPDATE" | "DELETE") =>
    sql`CREATE TRIGGER ${sql.id(`${table}_no_${change.toLowerCase()}`)} BEFORE ${sql.raw(change)} ON ${sql.table(table)}
        BEGIN SELECT RAISE(ABORT, ${sql.lit(`${table} is append-only`)}); END`.execute(db);
  return {
    appendOnly: async (table, options = {}) => {
      await refuse(table, "UPDATE");
      if (!options.deletes) await refuse(table, "DELETE");
    },
  };
}
