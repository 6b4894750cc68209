import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Connection } from "../../lake/index.ts";
import { type FallProfiles, profileDays } from "./fall-profile.ts";
import { type LevelTarget, publicHolidays } from "./history.ts";
import { type Levels, readLevels, type Station } from "./levels.ts";

/** What the thread is told that computes profiles; plain data. */
export interface ProfileTask {
  readonly levels: Levels;
  readonly timeZone: string;
  readonly holidays: ReadonlySet<number>;
  readonly targets: readonly LevelTarget[];
  readonly asOf: number;
}

export interface ProfileOptions {
  readonly stations: readonly Station[];
  readonly timeZone: string;
  readonly targets: readonly LevelTarget[];
  /** What was known then counts, ms UTC. */
  readonly asOf: number;
}

const dayMs = 86_400_000;

/** An hour more, so that the first rows have a row before them. */
const fromOf = (asOf: number) => asOf - profileDays[2] * dayMs - dayMs / 24;

/** Which snapshots profiles are made from, as an SQL condition. */
export const profileRange = (asOf: number): string =>
  `"at" >= ${Math.ceil(fromOf(asOf))} AND known_at <= ${Math.floor(asOf)}`;

/**
 * Profiles of each target as known at an instant, from the lake's snapshots of the longest window. They are computed
 * in a thread of their own, which ends with the memory that sixteen weeks of snapshots take.
 */
export async function profilesOfLake(
  connection: Connection,
  options: ProfileOptions,
): Promise<FallProfiles[]> {
  const { stations, timeZone, targets, asOf } = options;
  const levels = await readLevels(connection, { from: fromOf(asOf), knownBy: asOf }, stations);
  const task: ProfileTask = { levels, timeZone, holidays: await publicHolidays(connection), targets, asOf };
  const worker = new Worker(new URL("./profile-worker.ts", import.meta.url), { execArgv: [] });
  try {
    const answered = once(worker, "message");
    worker.postMessage(task, buffersOf(levels));
    return (await answered)[0] as FallProfiles[];
  } finally {
    await worker.terminate();
  }
}

/** What moves to another thread, instead of being copied. */
export const buffersOf = (values: object): ArrayBuffer[] =>
  Object.values(values).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : []));
