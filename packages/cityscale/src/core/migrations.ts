import { type Kysely, sql } from "kysely";
import { CityScaleError } from "./errors.ts";

/** What migrations need beyond the common SQL; each engine writes it in its own words. */
export interface MigrationTools {
  /** Makes every UPDATE and (unless `deletes` is allowed) DELETE on the table fail. */
  appendOnly(table: string, options?: { deletes?: boolean }): Promise<void>;
}

export interface Migration {
  readonly id: number;
  readonly name: string;
  up(db: Kysely<unknown>, tools: MigrationTools): Promise<void>;
}

/**
 * Numbered and forward-only. What has been released is never edited: add the next number at the end.
 * Instants are `bigint`, which SQLite stores as INTEGER and PostgreSQL in 64 bits.
 */
export const migrations: readonly Migration[] = [
  {
    id: 1,
    name: "the first tables",
    up: async (db, tools) => {
      const { schema } = db;
      await schema
        .createTable("settings")
        .addColumn("name", "text", (column) => column.primaryKey())
        .addColumn("value", "text", (column) => column.notNull())
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .execute();
      await schema
        .createTable("audit_log")
        .addColumn("seq", "bigint", (column) => column.primaryKey())
        .addColumn("at", "bigint", (column) => column.notNull())
        .addColumn("actor", "text", (column) => column.notNull())
        .addColumn("action", "text", (column) => column.notNull())
        .addColumn("subject", "text", (column) => column.notNull())
        .addColumn("details", "text", (column) => column.notNull())
        .execute();
      await tools.appendOnly("audit_log");
      await schema
        .createTable("api_keys")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("role", "text", (column) => column.notNull())
        .addColumn("hash", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("revoked_at", "bigint")
        .addColumn("last_used_at", "bigint")
        .execute();
      await schema
        .createTable("jobs")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("seq", "bigint", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("lane", "text", (column) => column.notNull())
        .addColumn("key", "text")
        .addColumn("schedule", "text")
        .addColumn("payload", "text", (column) => column.notNull())
        .addColumn("priority", "integer", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("attempt", "integer", (column) => column.notNull())
        .addColumn("max_attempts", "integer", (column) => column.notNull())
        .addColumn("actor", "text", (column) => column.notNull())
        .addColumn("owner", "text")
        .addColumn("progress", "double precision", (column) => column.notNull())
        .addColumn("message", "text")
        .addColumn("result", "text")
        .addColumn("error", "text")
        .addColumn("run_at", "bigint", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("started_at", "bigint")
        .addColumn("heartbeat_at", "bigint")
        .addColumn("finished_at", "bigint")
        .execute();
      await schema.createIndex("jobs_seq").on("jobs").column("seq").execute();
      await schema.createIndex("jobs_due").on("jobs").columns(["state", "lane", "run_at"]).execute();
      // The queue's promise of uniqueness is the database's, not only the code's.
      await schema
        .createIndex("jobs_live_key")
        .unique()
        .on("jobs")
        .column("key")
        .where(sql.ref("state"), "in", sql`('queued', 'running')`)
        .execute();
      await schema
        .createTable("schedules")
        .addColumn("name", "text", (column) => column.primaryKey())
        .addColumn("cron", "text", (column) => column.notNull())
        .addColumn("time_zone", "text", (column) => column.notNull())
        .addColumn("settled_to", "bigint", (column) => column.notNull())
        .addColumn("last_fired_at", "bigint")
        .execute();
      await schema
        .createTable("runs")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("seq", "bigint", (column) => column.notNull())
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("target", "text", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("params", "text", (column) => column.notNull())
        .addColumn("scores", "text")
        .addColumn("dataset_version", "text")
        .addColumn("code_version", "text", (column) => column.notNull())
        .addColumn("actor", "text", (column) => column.notNull())
        .addColumn("started_at", "bigint", (column) => column.notNull())
        .addColumn("finished_at", "bigint")
        .addColumn("error", "text")
        .execute();
      await schema.createIndex("runs_of").on("runs").columns(["city", "target", "seq"]).execute();
      await schema
        .createTable("model_versions")
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("target", "text", (column) => column.notNull())
        .addColumn("version", "integer", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("view_id", "text")
        .addColumn("columns", "text", (column) => column.notNull())
        .addColumn("types", "text", (column) => column.notNull())
        .addColumn("categories", "text", (column) => column.notNull())
        .addColumn("dataset_version", "text")
        .addColumn("run_id", "text", (column) => column.references("runs.id"))
        .addColumn("artifact_id", "text")
        .addColumn("scores", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("model_versions_key", ["city", "target", "version"])
        .addUniqueConstraint("model_versions_once", ["city", "target", "run_id", "artifact_id"])
        .execute();
      await tools.appendOnly("model_versions");
      await schema
        .createTable("aliases")
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("target", "text", (column) => column.notNull())
        .addColumn("alias", "text", (column) => column.notNull())
        .addColumn("version", "integer", (column) => column.notNull())
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("aliases_key", ["city", "target", "alias"])
        .addForeignKeyConstraint("aliases_version", ["city", "target", "version"], "model_versions", [
          "city",
          "target",
          "version",
        ])
        .execute();
      await schema
        .createTable("promotions")
        .addColumn("seq", "bigint", (column) => column.primaryKey())
        .addColumn("at", "bigint", (column) => column.notNull())
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("target", "text", (column) => column.notNull())
        .addColumn("alias", "text", (column) => column.notNull())
        .addColumn("action", "text", (column) => column.notNull())
        .addColumn("version", "integer")
        .addColumn("from_version", "integer")
        .addColumn("actor", "text", (column) => column.notNull())
        .addColumn("reason", "text", (column) => column.notNull())
        .addColumn("verdict", "text")
        .execute();
      await schema.createIndex("promotions_of").on("promotions").columns(["city", "target", "seq"]).execute();
      await tools.appendOnly("promotions");
      await schema
        .createTable("asset_partitions")
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("asset", "text", (column) => column.notNull())
        .addColumn("partition_start", "bigint", (column) => column.notNull())
        .addColumn("partition_end", "bigint", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("materialised_at", "bigint")
        .addColumn("details", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("asset_partitions_key", ["city", "asset", "partition_start"])
        .execute();
    },
  },
  {
    id: 2,
    name: "calibrations",
    up: async ({ schema }, tools) => {
      await schema
        .createTable("calibrations")
        .addColumn("city", "text", (column) => column.notNull())
        .addColumn("target", "text", (column) => column.notNull())
        .addColumn("version", "integer", (column) => column.notNull())
        .addColumn("at", "bigint", (column) => column.notNull())
        .addColumn("dataset_version", "text", (column) => column.notNull())
        .addColumn("calibration", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("calibrations_key", ["city", "target", "version", "at"])
        .addForeignKeyConstraint("calibrations_version", ["city", "target", "version"], "model_versions", [
          "city",
          "target",
          "version",
        ])
        .execute();
      await tools.appendOnly("calibrations");
    },
  },
];

/**
 * Brings the database to the newest number, all in one transaction.
 * Throws DATA_FOLDER_NEWER when a newer program has already migrated it further.
 */
export async function migrate(
  db: Kysely<unknown>,
  tools: (db: Kysely<unknown>) => MigrationTools,
  list: readonly Migration[] = migrations,
): Promise<void> {
  const newest = list.at(-1)?.id ?? 0;
  await db.transaction().execute(async (trx) => {
    const history = trx as unknown as Kysely<{ migrations: { id: number; name: string } }>;
    await history.schema
      .createTable("migrations")
      .ifNotExists()
      .addColumn("id", "integer", (column) => column.primaryKey())
      .addColumn("name", "text", (column) => column.notNull())
      .execute();
    const row = await history
      .selectFrom("migrations")
      .select((e) => e.fn.max("id").as("id"))
      .executeTakeFirst();
    const done = Number(row?.id ?? 0);
    if (done > newest) {
      throw new CityScaleError(
        "DATA_FOLDER_NEWER",
        `the metadata database has format ${done}; this program knows formats up to ${newest}`,
        { details: { found: done, known: newest } },
      );
    }
    for (const migration of list) {
      if (migration.id <= done) continue;
      await migration.up(trx, tools(trx));
      await history.insertInto("migrations").values({ id: migration.id, name: migration.name }).execute();
    }
  });
}
