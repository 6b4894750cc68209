import { join } from "node:path";
import { inScratch, runChild } from "../../core/index.ts";
import { localDay } from "../../domain/index.ts";
import { type Connection, literal } from "../../lake/index.ts";
import { type FallProfiles, type ProfileWindows, profileDays } from "./fall-profile.ts";
import { type LevelTarget, publicHolidays } from "./history.ts";
import type { Station } from "./levels.ts";

/** Which profiles are meant. */
export interface ProfileOptions {
  readonly timeZone: string;
  readonly targets: readonly LevelTarget[];
  /** What was known then counts, ms UTC. */
  readonly asOf: number;
}

/**
 * Profiles of the stations that the snapshots hold, whatever other stations there are: one of which there is no
 * snapshot has the very profile of any other such station.
 */
export interface StationProfiles {
  readonly asOf: number;
  /** Numbers of the stations in the order of their places in the arrays; the last place is that of all others. */
  readonly entities: readonly number[];
  /** Of each target. */
  readonly targets: readonly ProfileWindows[];
}

/** Where profiles are made to, and with what. */
export interface ProfileFile {
  readonly path: string;
  /** What they are stored under. */
  readonly key: string;
  /** Folder for what is gone afterwards. */
  readonly temporary: string;
  /** Whether a batch waits. */
  readonly urgent: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What the process is told that makes profiles. */
export interface ProfileOrder extends ProfileOptions, Pick<ProfileFile, "path" | "key"> {
  /** Parquet file of the snapshots. */
  readonly snapshots: string;
  readonly holidays: readonly number[];
}

const dayMs = 86_400_000;

/** An hour more, so that the first rows have a row before them. */
const fromOf = (asOf: number) => asOf - profileDays[2] * dayMs - dayMs / 24;

/** Which snapshots profiles are made from, as an SQL condition. */
export const profileRange = (asOf: number): string =>
  `"at" >= ${Math.ceil(fromOf(asOf))} AND known_at <= ${Math.floor(asOf)}`;

/** The public holidays that profiles look at, as local day numbers in order: those of next year, say, change none. */
export async function profileHolidays(
  connection: Connection,
  { timeZone, asOf }: ProfileOptions,
): Promise<number[]> {
  const [first, last] = [localDay(timeZone, fromOf(asOf)), localDay(timeZone, asOf)];
  const days = await publicHolidays(connection);
  return [...days].filter((day) => day >= first && day <= last).sort((a, b) => a - b);
}

/**
 * Makes the profiles of each target as known at an instant, from the lake's snapshots of the longest window, and stores
 * them in a file. A process of its own reads sixteen weeks of snapshots and computes: this one copies them out of the
 * lake, which one process holds, and goes on with its batches.
 */
export async function makeProfiles(
  connection: Connection,
  options: ProfileOptions,
  { path, key, temporary, urgent, signal }: ProfileFile,
): Promise<void> {
  await inScratch(temporary, "profiles", async (scratch) => {
    const snapshots = join(scratch, "snapshots.parquet");
    await connection.run(
      `COPY (SELECT * EXCLUDE (docks_disabled, ingested_at, source) FROM snapshots WHERE ${profileRange(options.asOf)})
       TO ${literal(snapshots)} (FORMAT parquet)`,
    );
    const holidays = await profileHolidays(connection, options);
    const order: ProfileOrder = { ...options, snapshots, holidays, path, key };
    await runChild(new URL("./profile-process.ts", import.meta.url), order, { urgent, signal });
  });
}

/** Of each target the profiles of these stations, which share the arrays. */
export function profilesOf(
  { asOf, entities, targets }: StationProfiles,
  stations: readonly Station[],
): FallProfiles[] {
  const places = new Map(entities.map((e, place) => [e, place]));
  const of = Int32Array.from(stations, ({ e }) => places.get(e) ?? entities.length);
  return targets.map((windows) => ({ asOf, windows, places: of }));
}
