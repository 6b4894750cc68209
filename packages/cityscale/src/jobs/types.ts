import type { Db, ErrorCode, Log } from "../core/index.ts";

/** Lanes run side by side; each runs one job at a time unless told otherwise. In order of priority. */
export const lanes = ["forecast", "ingest", "train"] as const;
export type Lane = (typeof lanes)[number];

export type JobState = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** One execution of anything. Instants are the clock's (virtual in a simulation). */
export interface Job {
  readonly id: string;
  readonly kind: string;
  readonly lane: Lane;
  readonly key: string | null;
  readonly schedule: string | null;
  readonly payload: unknown;
  readonly priority: number;
  readonly state: JobState;
  /** Times it was started. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly actor: string;
  /** 0 to 1. */
  readonly progress: number;
  /** The handler's last word on its progress, or why the job waits or was cancelled. */
  readonly message: string | null;
  readonly result: unknown;
  /** Of the last attempt that failed. */
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly runAt: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly heartbeatAt: number | null;
  readonly finishedAt: number | null;
}

export interface JobContext<Payload> {
  readonly job: Job;
  readonly payload: Payload;
  /** Aborts on cancel, timeout and stop. A handler that waits or loops must follow it. */
  readonly signal: AbortSignal;
  /** How far it is, 0 to 1; cheap enough for inner loops. */
  heartbeat(progress: number, message?: string): void;
  readonly log: Log;
}

/** What it returns (JSON) is kept as the job's result. */
export type JobHandler<Payload> = (context: JobContext<Payload>) => Promise<unknown>;

export interface JobOptions {
  readonly lane: Lane;
  /** Further attempts after the first fails. 3 when left out. */
  readonly retries?: number;
  /** Wait before the first retry and at most; it doubles in between. 5 s and 10 min when left out. */
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number };
  /** Real time for one attempt. One hour when left out. */
  readonly timeoutMs?: number;
}

export interface EnqueueOptions {
  /** Unique among queued and running jobs: while one lives, it is returned instead of a new one. */
  readonly key?: string;
  /** Larger first within the lane. */
  readonly priority?: number;
  /** Not before this instant of the clock. */
  readonly runAt?: number;
  /** Who wants it. `system` when left out. */
  readonly actor?: string;
  /** The schedule that fires it. An earlier job of this schedule that still waits is cancelled for this one. */
  readonly schedule?: string;
  /** A transaction that the job stands or falls with. */
  readonly within?: Db;
}

export interface JobFilter {
  readonly state?: JobState;
  readonly kind?: string;
  readonly lane?: Lane;
  readonly key?: string;
  readonly schedule?: string;
  readonly limit?: number;
  /** Jobs that came before this one; for the next page. */
  readonly before?: string;
}

export interface JobEvents {
  queued: Job;
  started: Job;
  progress: Job;
  /** An attempt failed and another will be made at the job's `runAt`. */
  retrying: Job;
  /** Succeeded, failed for good, or cancelled. */
  finished: Job;
}

/** The job engine. */
export interface Jobs {
  /** Says how jobs of a kind are done. Before `start`; once per kind. */
  define<Payload>(kind: string, handler: JobHandler<Payload>, options: JobOptions): void;
  /** Takes up what an earlier process left behind and begins to work. */
  start(): Promise<void>;
  enqueue(kind: string, payload: unknown, options?: EnqueueOptions): Promise<Job>;
  /** A queued job never runs; a running one is aborted. Throws JOB_UNKNOWN; CONFLICT when it has finished. */
  cancel(id: string): Promise<Job>;
  /** Throws JOB_UNKNOWN. */
  get(id: string): Promise<Job>;
  /** Newest first. */
  list(filter?: JobFilter): Promise<Job[]>;
  /** Resolves with the job once it has finished. Throws JOB_UNKNOWN; rejects when the signal aborts. */
  finished(id: string, signal?: AbortSignal): Promise<Job>;
  /** Resolves when nothing runs and nothing is due. */
  idle(): Promise<void>;
  /** The earliest instant at which a queued job is due (or was); null when none is queued. */
  nextDueAt(): Promise<number | null>;
  /** How many finished jobs ended before the instant. */
  finishedBefore(before: number): Promise<number>;
  /** Deletes finished jobs that ended before the instant; returns how many. */
  prune(before: number): Promise<number>;
  on<Name extends keyof JobEvents>(name: Name, listener: (job: JobEvents[Name]) => void): () => void;
  /**
   * Starts nothing more, waits `graceMs` (real time; 10 s when left out) for what runs, then aborts it.
   * What was aborted runs again at the next start, without having used up an attempt.
   */
  stop(options?: { graceMs?: number }): Promise<void>;
}
