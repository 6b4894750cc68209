import {
  CityScaleError,
  type Clock,
  createEvents,
  type ErrorCode,
  type Log,
  type MetadataDatabase,
  type Metrics,
  messageOf,
  newId,
} from "../core/index.ts";
import { type Attempt, backoffMs, type Definition, isWorthRetrying, runHandler } from "./attempt.ts";
import { createJobStore, type JobStore } from "./store.ts";
import {
  type EnqueueOptions,
  type Job,
  type JobEvents,
  type JobFilter,
  type JobHandler,
  type JobOptions,
  type Jobs,
  type Lane,
  lanes,
} from "./types.ts";

/** Progress is written to the database this often at most; listeners hear of every beat. */
const heartbeatMs = 500;

export interface JobsParts {
  readonly database: MetadataDatabase;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Jobs at a time per lane; 1 where left out. */
  readonly concurrency?: Partial<Record<Lane, number>>;
  /** For the jitter of retries: 0 to 1. */
  readonly random?: () => number;
}

/** The job engine in this process, with its state in the metadata database. One per data folder. */
export function createJobs(parts: JobsParts): Jobs {
  return new InProcessJobs(parts);
}

class InProcessJobs implements Jobs {
  readonly #store: JobStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #concurrency: Record<Lane, number>;
  readonly #random: () => number;
  readonly #owner = newId("engine");
  readonly #definitions = new Map<string, Definition>();
  readonly #running = new Map<string, Attempt>();
  readonly #events;
  #started = false;
  #stopping = false;
  #pumping: Promise<void> | null = null;
  #again = false;
  #timer: AbortController | null = null;
  #idlers: (() => void)[] = [];

  constructor({ database, clock, log, metrics, concurrency = {}, random = Math.random }: JobsParts) {
    this.#store = createJobStore(database.db);
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    this.#concurrency = { forecast: 1, ingest: 1, train: 1, ...concurrency };
    this.#random = random;
    this.#events = createEvents<JobEvents>(log);
  }

  on<Name extends keyof JobEvents>(name: Name, listener: (job: JobEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  define<Payload>(kind: string, handler: JobHandler<Payload>, options: JobOptions): void {
    if (this.#definitions.has(kind)) throw new Error(`jobs of kind "${kind}" are defined twice`);
    this.#definitions.set(kind, {
      // What is enqueued under a kind is what its handler takes: both are the caller's.
      handler: handler as JobHandler<unknown>,
      lane: options.lane,
      retries: options.retries ?? 3,
      backoff: options.backoff ?? { firstMs: 5_000, maxMs: 600_000 },
      timeoutMs: options.timeoutMs ?? 3_600_000,
    });
  }

  async start(): Promise<void> {
    if (this.#started) throw new Error("the job engine has been started before");
    for (const job of await this.#store.orphans(this.#owner)) {
      const error = { code: "ABORTED", message: "the process ended while this job ran" } as const;
      if (job.attempt >= job.maxAttempts) await this.#end(job, "failed", { error });
      else {
        // With its old `run_at` it is the first again of those that wait.
        const next = { state: "queued", owner: null, message: error.message } as const;
        const queued = await this.#store.change(job.id, "running", { ...next, error: JSON.stringify(error) });
        if (queued) this.#events.emit("retrying", queued);
      }
      this.#log.warn({ job: job.id, kind: job.kind, attempt: job.attempt }, error.message);
    }
    this.#started = true;
    this.#wake();
  }

  async enqueue(kind: string, payload: unknown, options: EnqueueOptions = {}): Promise<Job> {
    const definition = this.#definitions.get(kind);
    if (!definition) throw new Error(`nothing handles jobs of kind "${kind}"`);
    const now = this.#now();
    const row = { lane: definition.lane, maxAttempts: definition.retries + 1, now };
    const { job, isNew } = await this.#store.insert(kind, payload, row, options);
    if (!isNew) return job;
    if (options.schedule !== undefined) {
      for (const earlier of await this.#store.queuedOf(options.schedule, job.id, options.within)) {
        const values = { state: "cancelled", finished_at: now, message: `${job.id} took its place` } as const;
        const cancelled = await this.#store.change(earlier.id, "queued", values, options.within);
        if (cancelled) this.#events.emit("finished", cancelled);
      }
    }
    this.#events.emit("queued", job);
    this.#wake();
    return job;
  }

  async cancel(id: string): Promise<Job> {
    const job = await this.#store.find(id);
    const cancelled = await this.#store.change(id, "queued", {
      state: "cancelled",
      finished_at: this.#now(),
    });
    if (cancelled) {
      this.#events.emit("finished", cancelled);
      this.#wake();
      return cancelled;
    }
    const running = this.#running.get(id);
    if (!running) {
      throw new CityScaleError(
        "CONFLICT",
        `job ${id} has ${job.state === "running" ? "just ended" : job.state}`,
        {
          details: { id, state: job.state },
        },
      );
    }
    this.#abort(running, "cancel", "the job was cancelled");
    await running.done;
    const ended = await this.#store.find(id);
    // It failed at the same moment and waits for its next attempt.
    return ended.state === "queued" ? await this.cancel(id) : ended;
  }

  async get(id: string): Promise<Job> {
    return this.#fresh(await this.#store.find(id));
  }

  async list(filter: JobFilter = {}): Promise<Job[]> {
    return (await this.#store.list(filter)).map((job) => this.#fresh(job));
  }

  async finished(id: string, signal?: AbortSignal): Promise<Job> {
    let off = () => {};
    let abort = () => {};
    try {
      return await new Promise<Job>((resolve, reject) => {
        abort = () => reject(signal?.reason);
        if (signal?.aborted) return abort();
        signal?.addEventListener("abort", abort, { once: true });
        // Listen first: it may end while the database is asked.
        off = this.on("finished", (job) => job.id === id && resolve(job));
        this.#store.find(id).then((job) => {
          if (job.state !== "queued" && job.state !== "running") resolve(job);
        }, reject);
      });
    } finally {
      off();
      signal?.removeEventListener("abort", abort);
    }
  }

  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idlers.push(resolve);
      this.#wake();
    });
  }

  nextDueAt(): Promise<number | null> {
    return this.#store.nextRunAt();
  }

  finishedBefore(before: number): Promise<number> {
    return this.#store.finishedBefore(before);
  }

  prune(before: number): Promise<number> {
    return this.#store.prune(before);
  }

  async stop({ graceMs = 10_000 }: { graceMs?: number } = {}): Promise<void> {
    this.#stopping = true;
    this.#timer?.abort();
    await this.#pumping;
    const timer = setTimeout(() => {
      for (const running of this.#running.values()) this.#abort(running, "stop", "the program stops");
    }, graceMs);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    clearTimeout(timer);
    this.#settleIdlers();
  }

  #now(): number {
    return Math.floor(this.#clock.now());
  }

  /** The database's copy may lag behind by one heartbeat. */
  #fresh(job: Job): Job {
    const running = this.#running.get(job.id);
    return running && job.state === "running" ? running.job : job;
  }

  #abort(running: Attempt, ending: "cancel" | "stop" | "timeout", message: string): void {
    // A wish to cancel holds whatever else has already ended the attempt.
    if (running.ending === null || ending === "cancel") running.ending = ending;
    running.controller.abort(new CityScaleError(ending === "timeout" ? "JOB_TIMEOUT" : "ABORTED", message));
  }

  /** Looks for work now, and once more if something came up while looking. */
  #wake(): void {
    this.#again = true;
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = null;
    });
  }

  async #pump(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        if (this.#started && !this.#stopping) await this.#dispatch();
      }
    } catch (error) {
      // The database refuses (disk full, say): what waits is safe in it and is looked for again.
      this.#log.error({ error: messageOf(error) }, "the job queue cannot be read");
      this.#sleepUntil(this.#clock.now() + 1_000);
    }
  }

  async #dispatch(): Promise<void> {
    this.#timer?.abort();
    const now = this.#now();
    for (const lane of lanes) {
      while (!this.#stopping && this.#count(lane) < this.#concurrency[lane]) {
        const job = await this.#store.claim(lane, now, this.#owner);
        if (!job) break;
        this.#launch(job);
      }
    }
    const waiting = await this.#store.queuedByLane();
    for (const lane of lanes) {
      this.#metrics.jobsQueued.set({ lane }, waiting.get(lane) ?? 0);
      this.#metrics.jobsRunning.set({ lane }, this.#count(lane));
    }
    const next = await this.#store.nextRunAt(now);
    if (next !== null) this.#sleepUntil(next);
    if (this.#idlers.length > 0 && this.#running.size === 0) {
      const earliest = await this.#store.nextRunAt();
      if (!this.#again && this.#running.size === 0 && (earliest === null || earliest > this.#clock.now())) {
        this.#settleIdlers();
      }
    }
  }

  #settleIdlers(): void {
    for (const resolve of this.#idlers.splice(0)) resolve();
  }

  #sleepUntil(at: number): void {
    this.#timer?.abort();
    const timer = new AbortController();
    this.#timer = timer;
    if (this.#stopping) return;
    this.#clock.until(at, timer.signal).then(
      () => this.#wake(),
      () => undefined, // Only ever aborted by this class, which then looks by itself.
    );
  }

  #count(lane: Lane): number {
    let count = 0;
    for (const { job } of this.#running.values()) if (job.lane === lane) count++;
    return count;
  }

  #launch(job: Job): void {
    const controller = new AbortController();
    const done = Promise.resolve();
    const running: Attempt = { job, controller, ending: null, done, written: done, writtenAt: -heartbeatMs };
    this.#running.set(job.id, running);
    running.done = this.#run(running)
      .catch((error) => {
        // Its row stays "running" and is taken up at the next start.
        this.#log.error(
          { job: job.id, kind: job.kind, error: messageOf(error) },
          "a job's end cannot be stored",
        );
      })
      .finally(() => {
        this.#running.delete(job.id);
        this.#wake();
      });
  }

  async #run(running: Attempt): Promise<void> {
    const { job, controller } = running;
    const definition = this.#definitions.get(job.kind);
    const startedAt = performance.now();
    this.#events.emit("started", job);
    let state: "succeeded" | "failed" | "cancelled" | "queued" = "succeeded";
    let timer: NodeJS.Timeout | undefined;
    try {
      if (!definition) {
        throw new CityScaleError(
          "REQUEST_INVALID",
          `this version has nothing that handles jobs of kind "${job.kind}"`,
        );
      }
      timer = setTimeout(
        () => this.#abort(running, "timeout", `the job took longer than ${definition.timeoutMs} ms`),
        definition.timeoutMs,
      );
      const log = this.#log.child({ job: job.id, kind: job.kind });
      const heartbeat = (progress: number, message?: string) => this.#heartbeat(running, progress, message);
      const result = await runHandler(running, definition.handler, heartbeat, log);
      await this.#end(running.job, "succeeded", { result });
    } catch (error) {
      state = await this.#failed(
        running,
        definition,
        controller.signal.aborted ? controller.signal.reason : error,
      );
    } finally {
      clearTimeout(timer);
      await running.written;
    }
    const seconds = (performance.now() - startedAt) / 1000;
    this.#metrics.jobDuration.observe(
      { kind: job.kind, state: state === "queued" ? "retried" : state },
      seconds,
    );
  }

  #heartbeat(running: Attempt, progress: number, message?: string): void {
    if (this.#running.get(running.job.id) !== running) return;
    running.job = {
      ...running.job,
      progress: Math.min(1, Math.max(0, progress)),
      message: message ?? running.job.message,
      heartbeatAt: this.#now(),
    };
    this.#events.emit("progress", running.job);
    const now = performance.now();
    if (now - running.writtenAt < heartbeatMs) return;
    running.writtenAt = now;
    const { id, progress: share, message: text, heartbeatAt } = running.job;
    running.written = this.#store
      .change(id, "running", { progress: share, message: text, heartbeat_at: heartbeatAt })
      .then(
        () => undefined,
        (error) => this.#log.warn({ job: id, error: messageOf(error) }, "a heartbeat cannot be stored"),
      );
  }

  /** Stores what becomes of an attempt that failed, and says it. */
  async #failed(
    running: Attempt,
    definition: Definition | undefined,
    thrown: unknown,
  ): Promise<"failed" | "cancelled" | "queued"> {
    const { job, ending } = running;
    const code: ErrorCode = thrown instanceof CityScaleError ? thrown.code : "INTERNAL";
    const error = { code, message: messageOf(thrown) };
    if (ending === "cancel") {
      await this.#end(job, "cancelled", {});
      return "cancelled";
    }
    const now = this.#now();
    if (ending === "stop") {
      await this.#requeue(job, { attempt: job.attempt - 1, message: error.message });
      return "queued";
    }
    this.#log.warn({ job: job.id, kind: job.kind, attempt: job.attempt, ...error }, "a job failed");
    if (!definition || job.attempt >= job.maxAttempts || !isWorthRetrying(thrown)) {
      await this.#end(job, "failed", { error });
      return "failed";
    }
    const wait = backoffMs(definition, job.attempt, this.#random);
    await this.#requeue(job, { run_at: now + wait, error: JSON.stringify(error) });
    return "queued";
  }

  async #requeue(
    job: Job,
    values: { run_at?: number; attempt?: number; message?: string; error?: string },
  ): Promise<void> {
    const queued = await this.#store.change(job.id, "running", { ...values, state: "queued", owner: null });
    if (queued) this.#events.emit("retrying", queued);
  }

  async #end(
    job: Job,
    state: "succeeded" | "failed" | "cancelled",
    { result, error }: { result?: unknown; error?: Job["error"] },
  ): Promise<void> {
    const ended = await this.#store.change(job.id, "running", {
      state,
      finished_at: this.#now(),
      progress: state === "succeeded" ? 1 : job.progress,
      message: job.message,
      result: result === undefined ? null : JSON.stringify(result),
      error: state === "succeeded" || !error ? null : JSON.stringify(error),
    });
    if (ended) this.#events.emit("finished", ended);
  }
}
