import type { Selectable } from "kysely";
import { CityScaleError, type Clock, type Db, type ModelVersionsTable } from "../core/index.ts";
import type { NaiveName } from "../domain/index.ts";

/** A registered model: immutable, and everything that is needed to predict with it again. */
export interface ModelVersion {
  readonly city: string;
  readonly target: string;
  /** From 1; 0 is the best naive forecast. */
  readonly version: number;
  /** The model kind; for version 0 the naive forecast's name. */
  readonly kind: string;
  readonly viewId: string | null;
  /** The view's columns in the order in which the model takes them, with their types. */
  readonly columns: readonly string[];
  readonly types: readonly string[];
  /** Category codes of each categorical column: a value's index is its code. */
  readonly categories: Readonly<Record<string, readonly string[]>>;
  readonly datasetVersion: string | null;
  readonly runId: string | null;
  readonly artifactId: string | null;
  readonly scores: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
}

export type NewModelVersion = Omit<ModelVersion, "version" | "createdAt" | "runId" | "artifactId"> & {
  readonly runId: string;
  readonly artifactId: string;
};

export interface Versions {
  /** The new version; the one there is when the same artifact of the same run was registered before. */
  register(model: NewModelVersion): Promise<ModelVersion>;
  /** Version 0. It is immutable too: once registered, the first answer stands. */
  registerNaive(model: {
    city: string;
    target: string;
    kind: NaiveName | "persistence";
    scores?: Record<string, unknown>;
  }): Promise<ModelVersion>;
  /** Throws MODEL_UNKNOWN. */
  get(city: string, target: string, version: number): Promise<ModelVersion>;
  /** Newest first. */
  list(filter?: { city?: string; target?: string; limit?: number }): Promise<ModelVersion[]>;
}

export function createVersions({ db, clock }: { db: Db; clock: Clock }): Versions {
  const rowOf = (model: Omit<ModelVersion, "createdAt">): Selectable<ModelVersionsTable> => ({
    city: model.city,
    target: model.target,
    version: model.version,
    kind: model.kind,
    view_id: model.viewId,
    columns: JSON.stringify(model.columns),
    types: JSON.stringify(model.types),
    categories: JSON.stringify(model.categories),
    dataset_version: model.datasetVersion,
    run_id: model.runId,
    artifact_id: model.artifactId,
    scores: JSON.stringify(model.scores),
    created_at: Math.floor(clock.now()),
  });

  return {
    register: async (model) => {
      if (model.types.length !== model.columns.length) {
        throw new RangeError(`${model.columns.length} columns but ${model.types.length} types`);
      }
      return await db.transaction().execute(async (trx) => {
        const same = trx
          .selectFrom("model_versions")
          .where("city", "=", model.city)
          .where("target", "=", model.target);
        const known = await same
          .selectAll()
          .where("run_id", "=", model.runId)
          .where("artifact_id", "=", model.artifactId)
          .executeTakeFirst();
        if (known) return versionOf(known);
        const newest = await same.select((e) => e.fn.max("version").as("version")).executeTakeFirst();
        const row = rowOf({ ...model, version: Math.max(0, newest?.version ?? 0) + 1 });
        await trx.insertInto("model_versions").values(row).execute();
        return versionOf(row);
      });
    },

    registerNaive: async ({ city, target, kind, scores = {} }) => {
      const none = { viewId: null, datasetVersion: null, runId: null, artifactId: null };
      const row = rowOf({
        city,
        target,
        version: 0,
        kind,
        columns: [],
        types: [],
        categories: {},
        scores,
        ...none,
      });
      await db
        .insertInto("model_versions")
        .values(row)
        .onConflict((conflict) => conflict.columns(["city", "target", "version"]).doNothing())
        .execute();
      return await findVersion(db, city, target, 0);
    },

    get: (city, target, version) => findVersion(db, city, target, version),

    list: async ({ city, target, limit = 100 } = {}) => {
      let query = db
        .selectFrom("model_versions")
        .selectAll()
        .orderBy("created_at", "desc")
        .orderBy("version", "desc")
        .limit(limit);
      if (city !== undefined) query = query.where("city", "=", city);
      if (target !== undefined) query = query.where("target", "=", target);
      return (await query.execute()).map(versionOf);
    },
  };
}

/** Throws MODEL_UNKNOWN. */
export async function findVersion(
  db: Db,
  city: string,
  target: string,
  version: number,
): Promise<ModelVersion> {
  const row = await db
    .selectFrom("model_versions")
    .selectAll()
    .where("city", "=", city)
    .where("target", "=", target)
    .where("version", "=", version)
    .executeTakeFirst();
  if (!row) {
    throw new CityScaleError("MODEL_UNKNOWN", `${city} has no version ${version} for ${target}`, {
      details: { city, target, version },
    });
  }
  return versionOf(row);
}

function versionOf(row: Selectable<ModelVersionsTable>): ModelVersion {
  return {
    city: row.city,
    target: row.target,
    version: row.version,
    kind: row.kind,
    viewId: row.view_id,
    columns: JSON.parse(row.columns) as string[],
    types: JSON.parse(row.types) as string[],
    categories: JSON.parse(row.categories) as Record<string, string[]>,
    datasetVersion: row.dataset_version,
    runId: row.run_id,
    artifactId: row.artifact_id,
    scores: JSON.parse(row.scores) as Record<string, unknown>,
    createdAt: row.created_at,
  };
}
