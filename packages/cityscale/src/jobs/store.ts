import { type Selectable, sql } from "kysely";
import { CityScaleError, type Db, type JobsTable, newId } from "../core/index.ts";
import type { EnqueueOptions, Job, JobFilter, Lane } from "./types.ts";

type Row = Selectable<JobsTable>;
const live = ["queued", "running"] as const;

/** Jobs as rows: every question and change that the engine has for the database. */
export type JobStore = ReturnType<typeof createJobStore>;

export function createJobStore(db: Db) {
  async function find(id: string, within: Db = db): Promise<Job> {
    const row = await within.selectFrom("jobs").selectAll().where("id", "=", id).executeTakeFirst();
    if (!row) throw new CityScaleError("JOB_UNKNOWN", `there is no job ${id}`, { details: { id } });
    return jobOf(row);
  }

  /** Changes a job only if it is still in the state that the caller saw it in. */
  async function change(
    id: string,
    state: Row["state"],
    values: Partial<Row>,
    within: Db = db,
  ): Promise<Job | null> {
    const { numUpdatedRows } = await within
      .updateTable("jobs")
      .set(values)
      .where("id", "=", id)
      .where("state", "=", state)
      .executeTakeFirst();
    return numUpdatedRows === 0n ? null : await find(id, within);
  }

  return {
    find,
    change,

    /** The new job, or the living one with the same key. */
    insert: async (
      kind: string,
      payload: unknown,
      { lane, maxAttempts, now }: { lane: Lane; maxAttempts: number; now: number },
      options: EnqueueOptions,
    ): Promise<{ job: Job; isNew: boolean }> => {
      const within = options.within ?? db;
      // The key's owner may finish between the insert and the look: then the insert is tried again.
      for (;;) {
        const row = await within
          .insertInto("jobs")
          .values({
            id: newId("job"),
            seq: sql<number>`(SELECT COALESCE(MAX(seq), 0) + 1 FROM jobs)`,
            kind,
            lane,
            key: options.key ?? null,
            schedule: options.schedule ?? null,
            payload: JSON.stringify(payload ?? null),
            priority: options.priority ?? 0,
            state: "queued",
            attempt: 0,
            max_attempts: maxAttempts,
            actor: options.actor ?? "system",
            owner: null,
            progress: 0,
            message: null,
            result: null,
            error: null,
            run_at: Math.ceil(options.runAt ?? now),
            created_at: now,
            started_at: null,
            heartbeat_at: null,
            finished_at: null,
          })
          .onConflict((conflict) =>
            conflict.column("key").where(sql.ref("state"), "in", sql`('queued', 'running')`).doNothing(),
          )
          .returningAll()
          .executeTakeFirst();
        if (row) return { job: jobOf(row), isNew: true };
        const living = await within
          .selectFrom("jobs")
          .selectAll()
          .where("key", "=", options.key ?? null)
          .where("state", "in", live)
          .executeTakeFirst();
        if (living) return { job: jobOf(living), isNew: false };
      }
    },

    /** Takes the next due job of a lane for an owner; null when there is none. */
    claim: async (lane: Lane, now: number, owner: string): Promise<Job | null> => {
      const next = await db
        .selectFrom("jobs")
        .select(["id", "attempt"])
        .where("state", "=", "queued")
        .where("lane", "=", lane)
        .where("run_at", "<=", now)
        .orderBy("priority", "desc")
        .orderBy("run_at")
        .orderBy("seq")
        .limit(1)
        .executeTakeFirst();
      if (!next) return null;
      return await change(next.id, "queued", {
        state: "running",
        owner,
        attempt: next.attempt + 1,
        started_at: now,
        heartbeat_at: now,
        progress: 0,
        message: null,
      });
    },

    list: async (filter: JobFilter): Promise<Job[]> => {
      let query = db
        .selectFrom("jobs")
        .selectAll()
        .orderBy("seq", "desc")
        .limit(filter.limit ?? 100);
      for (const column of ["state", "kind", "lane", "key", "schedule"] as const) {
        const value = filter[column];
        if (value !== undefined) query = query.where(column, "=", value);
      }
      if (filter.before !== undefined) {
        const before = filter.before;
        query = query.where("seq", "<", (e) => e.selectFrom("jobs").select("seq").where("id", "=", before));
      }
      return (await query.execute()).map(jobOf);
    },

    /** Queued jobs of one schedule, but for one. */
    queuedOf: async (schedule: string, except: string, within: Db = db): Promise<Job[]> => {
      const rows = await within
        .selectFrom("jobs")
        .selectAll()
        .where("schedule", "=", schedule)
        .where("state", "=", "queued")
        .where("id", "!=", except)
        .execute();
      return rows.map(jobOf);
    },

    /** Running jobs that no living engine runs. */
    orphans: async (owner: string): Promise<Job[]> => {
      const rows = await db
        .selectFrom("jobs")
        .selectAll()
        .where("state", "=", "running")
        .where("owner", "!=", owner)
        .orderBy("seq")
        .execute();
      return rows.map(jobOf);
    },

    /** Earliest `run_at` of the queued jobs, of those after an instant when one is given. */
    nextRunAt: async (after?: number): Promise<number | null> => {
      let query = db
        .selectFrom("jobs")
        .select((e) => e.fn.min("run_at").as("at"))
        .where("state", "=", "queued");
      if (after !== undefined) query = query.where("run_at", ">", after);
      return (await query.executeTakeFirst())?.at ?? null;
    },

    queuedByLane: async (): Promise<Map<string, number>> => {
      const rows = await db
        .selectFrom("jobs")
        .select((e) => ["lane", e.fn.countAll().as("count")])
        .where("state", "=", "queued")
        .groupBy("lane")
        .execute();
      return new Map(rows.map((row) => [row.lane, Number(row.count)]));
    },

    finishedBefore: async (before: number): Promise<number> => {
      const row = await db
        .selectFrom("jobs")
        .select((e) => e.fn.countAll().as("count"))
        .where("finished_at", "<", before)
        .where("state", "not in", live)
        .executeTakeFirst();
      return Number(row!.count);
    },

    prune: async (before: number): Promise<number> => {
      const { numDeletedRows } = await db
        .deleteFrom("jobs")
        .where("finished_at", "<", before)
        .where("state", "not in", live)
        .executeTakeFirst();
      return Number(numDeletedRows);
    },
  };
}

function jobOf(row: Row): Job {
  return {
    id: row.id,
    kind: row.kind,
    lane: row.lane as Lane,
    key: row.key,
    schedule: row.schedule,
    payload: JSON.parse(row.payload),
    priority: row.priority,
    state: row.state,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    actor: row.actor,
    progress: row.progress,
    message: row.message,
    result: row.result === null ? null : JSON.parse(row.result),
    error: row.error === null ? null : (JSON.parse(row.error) as Job["error"]),
    runAt: row.run_at,
    createdAt: row.created_at,
    startedAt: row.started_at,
    heartbeatAt: row.heartbeat_at,
    finishedAt: row.finished_at,
  };
}
