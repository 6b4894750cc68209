import { createHash } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { inScratch, type Log, messageOf } from "../../core/index.ts";
import type { Connection } from "../../lake/index.ts";
import { type FallProfiles, profileDays } from "./fall-profile.ts";
import type { Station } from "./levels.ts";
import { readProfiles } from "./profile-file.ts";
import {
  makeProfiles,
  type ProfileFile,
  type ProfileOptions,
  profileHolidays,
  profileRange,
  profilesOf,
  type StationProfiles,
} from "./profiles.ts";

/** Counts up when the same snapshots give other profiles: what an older program stored is then of no use. */
const definition = 1;

const fileName = /^(\d+)\.bin$/;

/** For whom profiles are read. */
export interface ProfileReader {
  readonly stations: readonly Station[];
  /** A batch of the present leaves a file for the next process, in place of older ones; one of a past week does not. */
  readonly current: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The profiles in force, held in memory, and in a folder with a file for each instant: those in force for the next
 * process, and those that come into force next. All are caches: they are used only for the very snapshots that they
 * were made from, and made anew otherwise.
 */
export class KeptProfiles {
  readonly #folder: string;
  readonly #temporary: string;
  readonly #log: Log;
  #held: { readonly asked: string; readonly of: StationProfiles } | undefined;
  /** By instant: what this process asked for when it saw that the file is right, and under which key it is. */
  readonly #seen = new Map<number, { readonly asked: string; readonly key: string }>();
  /** The instant that the newest batch of the present wanted: files of earlier ones are removed. */
  #inForce: number | undefined;
  /** By instant: a batch that wants what a job is making waits for that, and finds the file. */
  readonly #tails = new Map<number, Promise<void>>();

  /** @param parts.temporary folder for what is gone afterwards; both are made when they are missing */
  constructor({ folder, temporary, log }: { folder: string; temporary: string; log: Log }) {
    this.#folder = folder;
    this.#temporary = temporary;
    this.#log = log;
  }

  /** Profiles of each target and station; made, in seconds, where no file holds them. */
  async get(connection: Connection, options: ProfileOptions, reader: ProfileReader): Promise<FallProfiles[]> {
    const asked = await askedFor(connection, options);
    if (this.#held?.asked !== asked) {
      // Two weeks' profiles at once are more memory than it takes time to read them.
      this.#held = undefined;
      const of = await this.#alone(options.asOf, () => this.#load(connection, options, asked, reader));
      this.#held = { asked, of };
    }
    if (reader.current) await this.#removeBefore(options.asOf);
    return profilesOf(this.#held.of, reader.stations);
  }

  /**
   * Reads profiles that come into force next into memory, in place of those that are held, so that the first batch
   * which wants them need not. Where no file holds them, that batch makes them.
   */
  async readAhead(connection: Connection, options: ProfileOptions): Promise<void> {
    const asked = await askedFor(connection, options);
    if (this.#held?.asked === asked) return;
    const key = await this.#keyOf(connection, options, asked);
    this.#held = undefined;
    const of = await this.#alone(options.asOf, () => this.#read(this.#pathOf(options.asOf), key));
    if (!of) return;
    this.#held = { asked, of };
    this.#seen.set(options.asOf, { asked, key });
  }

  /**
   * Whether `keep` has something to do: this process has not yet seen a file of these snapshots. They are only counted:
   * rows are added to a lake, never changed, so that as many as before are the same.
   */
  async isDue(connection: Connection, options: ProfileOptions): Promise<boolean> {
    return this.#seen.get(options.asOf)?.asked !== (await askedFor(connection, options));
  }

  /** Sees to it that a file holds the profiles, for batches that will read them. */
  keep(connection: Connection, options: ProfileOptions, signal?: AbortSignal): Promise<void> {
    return this.#alone(options.asOf, async () => {
      const asked = await askedFor(connection, options);
      const key = await this.#keyOf(connection, options, asked);
      const path = this.#pathOf(options.asOf);
      if (!(await this.#read(path, key)))
        await this.#make(connection, options, { path, key, urgent: false, signal });
      this.#seen.set(options.asOf, { asked, key });
    });
  }

  #alone<T>(asOf: number, work: () => Promise<T>): Promise<T> {
    const result = (this.#tails.get(asOf) ?? Promise.resolve()).then(work);
    // Without what it gives, which would stay in memory.
    const ended = () => undefined;
    this.#tails.set(asOf, result.then(ended, ended));
    return result;
  }

  async #load(
    connection: Connection,
    options: ProfileOptions,
    asked: string,
    { current, signal }: ProfileReader,
  ): Promise<StationProfiles> {
    const { asOf } = options;
    const key = await this.#keyOf(connection, options, asked);
    const path = this.#pathOf(asOf);
    const made = async (at: string) => {
      await this.#make(connection, options, { path: at, key, urgent: true, signal });
      const of = await readProfiles(at, key);
      if (!of) throw new Error(`${at} does not hold what was just written to it`);
      return of;
    };
    const kept = await this.#read(path, key);
    if (!current)
      return (
        kept ??
        (await inScratch(this.#temporary, "profiles", (scratch) => made(join(scratch, "profiles.bin"))))
      );
    const of = kept ?? (await made(path));
    this.#seen.set(asOf, { asked, key });
    return of;
  }

  /** Hashes the snapshots only where this process has not done so: in a batch that takes as long as all the rest. */
  async #keyOf(connection: Connection, options: ProfileOptions, asked: string): Promise<string> {
    const seen = this.#seen.get(options.asOf);
    return seen?.asked === asked ? seen.key : hashOf([asked, await contentOf(connection, options)]);
  }

  #pathOf(asOf: number): string {
    return join(this.#folder, `${asOf}.bin`);
  }

  async #read(path: string, key: string): Promise<StationProfiles | null> {
    try {
      return await readProfiles(path, key);
    } catch (error) {
      this.#log.warn({ path, error: messageOf(error) }, "kept profiles cannot be read");
      return null;
    }
  }

  async #make(
    connection: Connection,
    options: ProfileOptions,
    file: Omit<ProfileFile, "temporary">,
  ): Promise<void> {
    const began = performance.now();
    await makeProfiles(connection, options, { ...file, temporary: this.#temporary });
    const ms = Math.round(performance.now() - began);
    this.#log.info({ asOf: new Date(options.asOf).toISOString(), ms }, "profiles made");
  }

  async #removeBefore(asOf: number): Promise<void> {
    if (asOf === this.#inForce) return;
    await mkdir(this.#folder, { recursive: true });
    for (const name of await readdir(this.#folder)) {
      const of = Number(fileName.exec(name)?.[1] ?? Number.NaN);
      if (of < asOf) await rm(join(this.#folder, name), { force: true });
    }
    for (const of of this.#seen.keys()) if (of < asOf) this.#seen.delete(of);
    this.#inForce = asOf;
  }
}

const hashOf = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** What is asked for and how many snapshots there are for it. */
async function askedFor(connection: Connection, options: ProfileOptions): Promise<string> {
  const { timeZone, targets, asOf } = options;
  const rows = await connection.first<{ n: number }>(
    `SELECT count(*) AS n FROM snapshots WHERE ${profileRange(asOf)}`,
  );
  const holidays = await profileHolidays(connection, options);
  return hashOf([definition, profileDays, asOf, timeZone, targets, holidays, rows!.n]);
}

/** The snapshots themselves, in no order. */
async function contentOf(connection: Connection, { asOf }: ProfileOptions): Promise<string> {
  const columns = `"at", known_at, e, bikes, docks, renting, "returning"`;
  const row = await connection.first<{ content: string }>(
    `SELECT CAST(bit_xor(hash(${columns})) AS VARCHAR) || ' ' || CAST(sum(hash(${columns})) AS VARCHAR) AS content
     FROM snapshots WHERE ${profileRange(asOf)}`,
  );
  return row!.content;
}
