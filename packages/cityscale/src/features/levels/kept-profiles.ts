import { createHash } from "node:crypto";
import { type Log, messageOf } from "../../core/index.ts";
import type { Connection } from "../../lake/index.ts";
import { type FallProfiles, profileDays } from "./fall-profile.ts";
import { publicHolidays } from "./history.ts";
import { readProfiles, writeProfiles } from "./profile-file.ts";
import { type ProfileOptions, profileRange, profilesOfLake } from "./profiles.ts";

/** Counts up when the same snapshots give other profiles: what an older program stored is then of no use. */
const definition = 1;

/**
 * The profiles of the week that is forecast, held in memory and kept in a file for the next process. Both are caches:
 * they are used only for the very snapshots that they were made from, and made anew otherwise.
 */
export class KeptProfiles {
  readonly #path: string;
  readonly #log: Log;
  #held: { readonly asked: string; readonly of: readonly FallProfiles[] } | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param path of the file; its folder is made when it is missing */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /**
   * Equal to `profilesOfLake`.
   * @param keep whether the file is to hold them too: not so for past weeks
   */
  async get(
    connection: Connection,
    options: ProfileOptions,
    keep: boolean,
  ): Promise<readonly FallProfiles[]> {
    const asked = await askedFor(connection, options);
    if (this.#held?.asked === asked) return this.#held.of;
    // Two weeks' profiles at once are more memory than the longest of them takes time.
    this.#held = undefined;
    const key = hashOf([asked, await contentOf(connection, options)]);
    let of = await this.#read(key);
    if (!of) {
      of = await profilesOfLake(connection, options);
      if (keep) this.#write(key, of);
    }
    this.#held = { asked, of };
    return of;
  }

  /** Waits until the file is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #read(key: string): Promise<readonly FallProfiles[] | null> {
    try {
      await this.#writing;
      return await readProfiles(this.#path, key);
    } catch (error) {
      this.#log.warn({ path: this.#path, error: messageOf(error) }, "kept profiles cannot be read");
      return null;
    }
  }

  /** Beside what goes on: a batch does not wait for the disk. */
  #write(key: string, of: readonly FallProfiles[]): void {
    this.#writing = this.#writing
      .then(() => writeProfiles(this.#path, key, of))
      .catch((error: unknown) =>
        this.#log.warn(
          { path: this.#path, error: messageOf(error) },
          "profiles could not be kept; the next process makes them anew",
        ),
      );
  }
}

const hashOf = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** What is asked for and how many snapshots there are for it: rows are added to a lake, never changed. */
async function askedFor(connection: Connection, options: ProfileOptions): Promise<string> {
  const { stations, timeZone, targets, asOf } = options;
  const rows = await connection.first<{ n: number }>(
    `SELECT count(*) AS n FROM snapshots WHERE ${profileRange(asOf)}`,
  );
  const holidays = [...(await publicHolidays(connection))].sort((a, b) => a - b);
  const names = stations.map(({ entity, e }) => [entity, e]);
  return hashOf([definition, profileDays, asOf, timeZone, targets, names, holidays, rows!.n]);
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
