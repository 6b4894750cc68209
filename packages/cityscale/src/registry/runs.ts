import { type Selectable, sql } from "kysely";
import {
  CityScaleError,
  type Clock,
  type Db,
  type ErrorCode,
  messageOf,
  newId,
  type RunsTable,
} from "../core/index.ts";

/** One training, tuning or backtest run. Instants are the clock's. */
export interface Run {
  readonly id: string;
  readonly city: string;
  readonly target: string;
  readonly kind: "train" | "tune" | "backtest";
  readonly state: "running" | "succeeded" | "failed";
  readonly params: unknown;
  readonly scores: unknown;
  readonly datasetVersion: string | null;
  readonly codeVersion: string;
  readonly actor: string;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}

export interface Runs {
  create(run: {
    city: string;
    target: string;
    kind: Run["kind"];
    params: unknown;
    datasetVersion?: string;
    codeVersion: string;
    actor: string;
  }): Promise<Run>;
  /** A run ends once: CONFLICT when it already has, RUN_UNKNOWN when there is none. */
  finish(id: string, outcome: { scores: unknown; datasetVersion?: string }): Promise<Run>;
  fail(id: string, error: unknown): Promise<Run>;
  /** Throws RUN_UNKNOWN. */
  get(id: string): Promise<Run>;
  /** Newest first. `before` is the id of the last run of the previous page. */
  list(filter?: {
    city?: string;
    target?: string;
    kind?: Run["kind"];
    state?: Run["state"];
    limit?: number;
    before?: string;
  }): Promise<Run[]>;
  /** For the start of the program: what still runs then died with an earlier process. Returns how many. */
  failInterrupted(): Promise<number>;
}

export function createRuns({ db, clock }: { db: Db; clock: Clock }): Runs {
  async function get(id: string): Promise<Run> {
    const row = await db.selectFrom("runs").selectAll().where("id", "=", id).executeTakeFirst();
    if (!row) throw new CityScaleError("RUN_UNKNOWN", `there is no run ${id}`, { details: { id } });
    return runOf(row);
  }

  async function end(id: string, values: Partial<Selectable<RunsTable>>): Promise<Run> {
    const { numUpdatedRows } = await db
      .updateTable("runs")
      .set({ ...values, finished_at: Math.floor(clock.now()) })
      .where("id", "=", id)
      .where("state", "=", "running")
      .executeTakeFirst();
    const run = await get(id);
    if (numUpdatedRows === 0n) {
      throw new CityScaleError("CONFLICT", `run ${id} has already ended: ${run.state}`, { details: { id } });
    }
    return run;
  }

  const failure = (code: ErrorCode, message: string) =>
    ({ state: "failed", error: JSON.stringify({ code, message }) }) as const;

  return {
    get,
    create: async ({ city, target, kind, params, datasetVersion, codeVersion, actor }) => {
      const id = newId("run");
      await db
        .insertInto("runs")
        .values({
          id,
          seq: sql<number>`(SELECT COALESCE(MAX(seq), 0) + 1 FROM runs)`,
          city,
          target,
          kind,
          state: "running",
          params: JSON.stringify(params ?? null),
          scores: null,
          dataset_version: datasetVersion ?? null,
          code_version: codeVersion,
          actor,
          started_at: Math.floor(clock.now()),
          finished_at: null,
          error: null,
        })
        .execute();
      return await get(id);
    },
    finish: (id, { scores, datasetVersion }) =>
      end(id, {
        state: "succeeded",
        scores: JSON.stringify(scores ?? null),
        ...(datasetVersion === undefined ? {} : { dataset_version: datasetVersion }),
      }),
    fail: (id, error) =>
      end(id, failure(error instanceof CityScaleError ? error.code : "INTERNAL", messageOf(error))),
    list: async ({ limit = 100, before, ...filter } = {}) => {
      let query = db.selectFrom("runs").selectAll().orderBy("seq", "desc").limit(limit);
      for (const column of ["city", "target", "kind", "state"] as const) {
        const value = filter[column];
        if (value !== undefined) query = query.where(column, "=", value);
      }
      if (before !== undefined) {
        query = query.where("seq", "<", (e) => e.selectFrom("runs").select("seq").where("id", "=", before));
      }
      return (await query.execute()).map(runOf);
    },
    failInterrupted: async () => {
      const { numUpdatedRows } = await db
        .updateTable("runs")
        .set({
          ...failure("ABORTED", "the process ended while this run went on"),
          finished_at: Math.floor(clock.now()),
        })
        .where("state", "=", "running")
        .executeTakeFirst();
      return Number(numUpdatedRows);
    },
  };
}

function runOf(row: Selectable<RunsTable>): Run {
  return {
    id: row.id,
    city: row.city,
    target: row.target,
    kind: row.kind,
    state: row.state,
    params: JSON.parse(row.params),
    scores: row.scores === null ? null : JSON.parse(row.scores),
    datasetVersion: row.dataset_version,
    codeVersion: row.code_version,
    actor: row.actor,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    error: row.error === null ? null : (JSON.parse(row.error) as Run["error"]),
  };
}
