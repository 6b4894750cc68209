import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../core/index.ts";
import { parseDuration } from "../domain/index.ts";
import type { Job, Jobs } from "../jobs/index.ts";
import { type Expired, expired, retain } from "../pipeline/index.ts";
import type { App } from "./app.ts";
import type { CityRuntime } from "./city-runtime.ts";

/** What of a city, and of finished jobs, is older than it is kept. */
export interface RetentionReport {
  readonly city: string;
  readonly kinds: readonly Expired[];
  /** Finished jobs, of every city. */
  readonly jobs: { readonly keep: string; readonly before: number; readonly rows: number };
}

interface RetentionParts {
  readonly jobs: Jobs;
  readonly home: string;
  readonly keepJobs: string;
}

/** What the next run would remove; nothing is. Throws CITY_UNKNOWN. */
export async function retentionPlan(app: App, city: string): Promise<RetentionReport> {
  const { parts } = app.city(city);
  const { home, keepJobs } = app.config;
  const before = jobsExpireBefore(app.clock, keepJobs);
  const rows = await app.jobs.finishedBefore(before);
  return { city, kinds: await expired(parts, busyWith(home)), jobs: { keep: keepJobs, before, rows } };
}

/** Enqueues a run, or returns the one that waits or runs. Throws CITY_UNKNOWN. */
export async function enqueueRetention(app: App, city: string, actor: string): Promise<Job> {
  const { id } = app.city(city).city;
  return await app.jobs.enqueue("retention", { city: id }, { key: `retention/${id}`, actor });
}

/**
 * The job: once a night, or when asked for. It shares the lane of training, which cuts dataset versions: no version is
 * removed that is about to be trained on.
 */
export function defineRetention(
  cities: ReadonlyMap<string, CityRuntime>,
  { jobs, home, keepJobs }: RetentionParts,
): void {
  jobs.define<{ city: string }>(
    "retention",
    async (context): Promise<RetentionReport> => {
      const { city, parts } = cities.get(context.payload.city)!;
      const kinds = await retain(parts, context, context.job.actor, busyWith(home));
      const before = jobsExpireBefore(parts.clock, keepJobs);
      const rows = await jobs.prune(before);
      return { city: city.id, kinds, jobs: { keep: keepJobs, before, rows } };
    },
    { lane: "train", retries: 3, timeoutMs: 6 * 3_600_000 },
  );
}

const jobsExpireBefore = (clock: Clock, keep: string) => Math.floor(clock.now() - parseDuration(keep));

/** Why dataset versions must stay as they are for the moment. */
function busyWith(home: string): string | null {
  const backups = join(home, "backups");
  const isCopying = existsSync(backups) && readdirSync(backups).some((name) => name.startsWith("."));
  return isCopying ? "a backup is being made" : null;
}
