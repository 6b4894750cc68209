import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ApiKeys,
  type AuditLog,
  CityScaleError,
  type Clock,
  type Config,
  claimFolder,
  createApiKeys,
  createAuditLog,
  createLog,
  createMetrics,
  type Log,
  type MetadataDatabase,
  type Metrics,
  messageOf,
  type Owner,
  openDatabase,
} from "../core/index.ts";
import { batchTargetOf, batchTargets, binaryTargets, type City, type Target } from "../domain/index.ts";
import { createJobs, createSchedules, type Job, type Jobs, type Schedules } from "../jobs/index.ts";
import { createPartitions, type Partitions } from "../pipeline/index.ts";
import { createArtifactFolder, createRegistry, type Registry } from "../registry/index.ts";
import type { HttpClient } from "../sources/index.ts";
import { loadCity } from "./cities.ts";
import { type CityRuntime, openCity } from "./city-runtime.ts";
import { defineJobs, enqueueAsset, enqueueRecalibration } from "./job-kinds.ts";
import { removeLeftovers } from "./leftovers.ts";
import { defineRetention } from "./retention.ts";
import { isGenerated, simulate } from "./simulate.ts";
import { clockOf, keepWorld, readWorld, type World } from "./world.ts";

export interface AppOptions {
  readonly config: Config;
  readonly log?: Log;
  /** Folder of recordings served in place of the publishers. */
  readonly recordings?: string;
  readonly seed?: number;
  /** Nothing will be read from sources: no simulator is started. */
  readonly reading?: boolean;
  /** Replaces the clock of the configuration; for tests and replays. */
  readonly clock?: Clock;
  /** Client of the sources; one with the usual patience when left out. */
  readonly http?: HttpClient;
}

/** What came of a loop. */
export interface LoopReport {
  /** The last state of each stage's job, in order. */
  readonly jobs: readonly Job[];
  /** Those that did not succeed, or will be tried again. */
  readonly failures: readonly Job[];
}

/** The default city when none is configured. */
export const defaultCity = "sydney-pedestrians";

/** When what is no longer kept is removed, by the city's clock: before the day's reviews. */
const retentionCron = "40 1 * * *";

/** When champions of binary targets are calibrated on the newest outcomes: after the day's reviews. */
const recalibrationCron = "20 5 * * *";

export const codeVersion = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;

/** Everything open and wired: the one place that knows which adapter is used. */
export class App {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly database: MetadataDatabase;
  readonly keys: ApiKeys;
  readonly audit: AuditLog;
  readonly jobs: Jobs;
  readonly schedules: Schedules;
  readonly registry: Registry;
  readonly partitions: Partitions;
  readonly owner: Owner;
  readonly cities: ReadonlyMap<string, CityRuntime>;
  readonly #closers: (() => Promise<void>)[];
  #stopping: Promise<void> | null = null;

  private constructor(
    parts: Omit<App, "start" | "stop" | "city" | "target" | "ready" | "runFirstLoop" | "scheduleAll"> & {
      closers: (() => Promise<void>)[];
    },
  ) {
    this.config = parts.config;
    this.clock = parts.clock;
    this.log = parts.log;
    this.metrics = parts.metrics;
    this.database = parts.database;
    this.keys = parts.keys;
    this.audit = parts.audit;
    this.jobs = parts.jobs;
    this.schedules = parts.schedules;
    this.registry = parts.registry;
    this.partitions = parts.partitions;
    this.owner = parts.owner;
    this.cities = parts.cities;
    this.#closers = parts.closers;
  }

  /**
   * Claims the data folder and opens everything in it; nothing runs yet. Throws OWNER_BUSY, DATA_FOLDER_NEWER,
   * CITY_UNKNOWN, CITY_INVALID, CONFIG_INVALID.
   */
  static async open(options: AppOptions): Promise<App> {
    const { config } = options;
    const log = options.log ?? createLog(config.logLevel);
    // What was opened is closed again, newest first, when something after it fails.
    const closers: (() => Promise<void>)[] = [];
    const closeAll = async () => {
      for (const close of closers.splice(0).reverse()) await close();
    };
    try {
      const cities = await Promise.all(
        (config.cities.length > 0 ? config.cities : [defaultCity]).map((name) => loadCity(name, config.home)),
      );
      const owner = await claimFolder(config.home);
      closers.push(() => owner.release());
      removeLeftovers(config.home);
      mkdirSync(join(config.home, "lakes"), { recursive: true });
      const database = await openDatabase(join(config.home, "metadata.sqlite"));
      closers.push(async () => database.close());
      const before = await readWorld(database);
      const world: World = {
        ...before,
        ...(options.recordings === undefined ? {} : { recordings: options.recordings }),
        ...(options.seed === undefined ? {} : { seed: options.seed }),
      };
      const clock = options.clock ?? (await clockOf(config, world, cities));
      const keep = () => keepWorld(database, world, clock);
      await keep();
      const metrics = createMetrics({ processMetrics: true });
      const audit = createAuditLog({ db: database.db, clock });
      const registry = createRegistry({
        database,
        artifacts: createArtifactFolder(join(config.home, "artifacts")),
        clock,
        log,
      });
      await registry.runs.failInterrupted();
      const partitions = createPartitions({ database, clock });
      const jobs = createJobs({ database, clock, log, metrics });
      const schedules = createSchedules({ database, jobs, clock, log });
      const runtimes = new Map<string, CityRuntime>();
      for (const city of cities) {
        const addresses = options.reading ? {} : await addressesOf(city, config, world, clock, closers);
        const runtime = await openCity({
          city,
          config,
          clock,
          log,
          metrics,
          audit,
          registry,
          partitions,
          codeVersion,
          addresses,
          http: options.http,
        });
        closers.push(() => runtime.close());
        runtimes.set(city.id, runtime);
      }
      closers.push(keep);
      // A killed process goes on about where its clock stood, not where it began.
      jobs.on(
        "finished",
        () =>
          void keep().catch((error: unknown) =>
            log.warn({ error: messageOf(error) }, "the clock could not be kept"),
          ),
      );
      defineJobs(jobs, runtimes);
      defineRetention(runtimes, { jobs, home: config.home, keepJobs: config.keepJobs });
      return new App({
        config,
        clock,
        log,
        metrics,
        database,
        audit,
        registry,
        partitions,
        jobs,
        schedules,
        owner,
        keys: createApiKeys({ db: database.db, clock }),
        cities: runtimes,
        closers,
      });
    } catch (error) {
      await closeAll();
      throw error;
    }
  }

  /** Throws CITY_UNKNOWN. */
  city(id: string): CityRuntime {
    const runtime = this.cities.get(id);
    if (!runtime)
      throw new CityScaleError(
        "CITY_UNKNOWN",
        `this process does not run a city "${id.slice(0, 80)}"; it runs ${[...this.cities.keys()].join(", ")}`,
      );
    return runtime;
  }

  /** A city's target; its first one when no name is given. Throws CITY_UNKNOWN, TARGET_UNKNOWN. */
  target(cityId: string, name?: string): { runtime: CityRuntime; target: Target } {
    const runtime = this.city(cityId);
    return { runtime, target: runtime.server.target(name ?? Object.keys(runtime.city.targets)[0]!) };
  }

  /** Begins to work on jobs: what an earlier process left behind first. */
  async start(): Promise<void> {
    await this.jobs.start();
  }

  /** From now on the schedules of every city fire. */
  async scheduleAll(): Promise<void> {
    for (const { city } of this.cities.values()) {
      const batched = new Set(batchTargets(city));
      for (const target of Object.values(city.targets)) {
        const at = (what: string, cron: string, kind: string) =>
          this.schedules.register({
            name: `${city.id}/${target.name}/${what}`,
            cron,
            timeZone: city.timeZone,
            kind,
            payload: { city: city.id, target: target.name },
          });
        // Binary targets are read for and forecast together, when the first of them says.
        if (batched.has(target)) {
          await at("ingest", target.schedule.ingest, "observations");
          await at("forecast", target.schedule.forecast, "forecasts");
        }
        await at("review", target.schedule.review, "model");
      }
      const daily = (kind: string, cron: string) =>
        this.schedules.register({
          ...{ name: `${city.id}/${kind}`, kind, cron },
          timeZone: city.timeZone,
          payload: { city: city.id },
        });
      await daily("retention", retentionCron);
      if (binaryTargets(city).length > 0) await daily("recalibration", recalibrationCron);
    }
    this.schedules.start();
  }

  /**
   * One whole loop for every city and target: ingest, train (when there is no champion yet, or `train` is true),
   * calibrate what is binary, forecast, outcomes. A stage that fails is told in `failures`; what does not need it goes
   * on, so that a city whose counts cannot be read is still forecast from those it has. `patient` waits until a stage
   * has succeeded or failed for good; without it a stage that will be tried again is left to the job engine where a
   * champion can serve meanwhile.
   */
  async runFirstLoop(options: {
    train: boolean;
    patient: boolean;
    signal?: AbortSignal;
  }): Promise<LoopReport> {
    const jobs: Job[] = [];
    const failures: Job[] = [];
    const run = async (enqueue: () => Promise<Job>, patient: boolean): Promise<boolean> => {
      const job = await this.#run(enqueue, patient, options.signal);
      jobs.push(job);
      if (job.state !== "succeeded") failures.push(job);
      return job.state === "succeeded";
    };
    for (const { city } of this.cities.values()) {
      const make = (asset: string, of: { target?: string }, patient: boolean) =>
        run(() => enqueueAsset(this, asset, { city: city.id, ...of, actor: "system" }), patient);
      const targets = Object.values(city.targets);
      const champions = await Promise.all(
        targets.map((target) => this.registry.promotions.aliases(city.id, target.name)),
      );
      const served = champions.every(({ champion }) => champion !== null);
      const ingested = await make("observations", {}, options.patient || !served);
      const ready = new Set<Target>();
      let trains = false;
      for (const [i, target] of targets.entries()) {
        const { champion } = champions[i]!;
        if (!ingested && champion === null) continue;
        if (ingested && (options.train || champion === null || champion === 0)) {
          const trained = await make("model", { target: target.name }, true);
          trains ||= trained && target.kind === "binary";
          const now = await this.registry.promotions.aliases(city.id, target.name);
          if (!trained && now.champion === null) continue;
        }
        ready.add(target);
      }
      if (trains) await run(() => enqueueRecalibration(this, city.id), options.patient);
      for (const target of batchTargets(city)) {
        const together = targets.filter((other) => batchTargetOf(city, other) === target);
        if (!together.every((other) => ready.has(other))) continue;
        if (await make("forecasts", { target: target.name }, options.patient))
          await make("outcomes", { target: target.name }, options.patient);
      }
    }
    return { jobs, failures };
  }

  /** The job once it has finished; without patience also one that waits to be tried again. */
  async #run(enqueue: () => Promise<Job>, patient: boolean, signal: AbortSignal | undefined): Promise<Job> {
    const retrying = Promise.withResolvers<Job>();
    let id: string | null = null;
    const waiting = new Map<string, Job>();
    const unlisten = this.jobs.on("retrying", (job) => {
      waiting.set(job.id, job);
      if (!patient && job.id === id) retrying.resolve(job);
    });
    try {
      let job = await enqueue();
      // One that an earlier process left waiting for its next attempt would be done minutes from now.
      if (job.state === "queued" && job.runAt > this.clock.now()) {
        await this.jobs.cancel(job.id);
        job = await enqueue();
      }
      id = job.id;
      const before = waiting.get(id);
      if (!patient && before) return before;
      return await Promise.race([this.jobs.finished(job.id, signal), retrying.promise]);
    } finally {
      unlisten();
    }
  }

  /** Why it is not ready to serve; null when every target has a forecast. */
  async ready(): Promise<string | null> {
    for (const { city, server } of this.cities.values()) {
      for (const { name } of batchTargets(city)) {
        if ((await server.batches(name, 1)).length === 0) return `${city.id}/${name} has no forecasts yet`;
      }
    }
    return null;
  }

  /** Stops schedules and jobs, and closes everything; calling it again waits for the same end. */
  stop(graceMs = 10_000): Promise<void> {
    this.#stopping ??= (async () => {
      await this.schedules.stop();
      await this.jobs.stop({ graceMs });
      for (const close of this.#closers.splice(0).reverse()) await close();
    })();
    return this.#stopping;
  }
}

async function addressesOf(
  city: City,
  config: Config,
  world: World,
  clock: Clock,
  closers: (() => Promise<void>)[],
): Promise<Record<string, string>> {
  const { recordings, seed } = world;
  const counts = Object.values(city.measures).map((measure) => measure.from);
  const addressed = counts.every((source) => source in config.sources);
  if (recordings === undefined && (!isGenerated(city) || addressed)) return {};
  const { close, addresses } = await simulate({
    city,
    clock,
    ...(recordings === undefined ? {} : { recordings }),
    ...(seed === undefined ? {} : { seed }),
  });
  closers.push(close);
  return addresses;
}
