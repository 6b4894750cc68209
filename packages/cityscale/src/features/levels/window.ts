import type { Connection } from "../../lake/index.ts";
import { type Levels, readLevels, readStations, type Station } from "./levels.ts";

/** Matrices of `Levels` with one element for each snapshot and station. */
const matrices = ["bikes", "ebikes", "docks", "bikesDisabled", "reportAge", "service"] as const;

/** Rows that memory is asked for at once, beyond those that are there. */
const slackRows = 512;

interface Buffers extends Pick<Levels, "at" | "knownAt" | (typeof matrices)[number]> {}

/**
 * The newest snapshots of all stations, held in memory between batches and extended by what has become known since;
 * those that nothing looks at any more are dropped. Equal to `readLevels` of the same range.
 */
export class LevelWindow {
  readonly #memoryMs: number;
  #stations: readonly Station[] = [];
  #buffers: Buffers = buffersOf(0, 0);
  #from = 0;
  #until = 0;
  #openedAt = Number.POSITIVE_INFINITY;

  /** @param memoryMs how far back snapshots are kept at least, ms */
  constructor(memoryMs: number) {
    this.#memoryMs = memoryMs;
  }

  /** Reads what has become known since the last time, up to an instant (ms UTC). */
  async extend(connection: Connection, knownBy: number): Promise<void> {
    const stations = await readStations(connection);
    const from = knownBy - this.#memoryMs;
    const isKnown = this.#stations.every(({ entity }, s) => entity === stations[s]?.entity);
    // A past origin wants older snapshots than are held.
    if (!isKnown || from < this.#openedAt || (await this.#hasMissed(connection, stations)))
      return await this.#open(connection, stations, from, knownBy);
    if (stations.length > this.#stations.length) this.#enlarge(0, stations);
    this.#stations = stations;
    const { at, knownAt } = this.levels;
    const last = at.at(-1);
    const more = await readLevels(
      connection,
      { from: last === undefined ? from : last + 1, knownBy },
      stations,
    );
    // What was known before an older snapshot puts that one out.
    const lastKnown = knownAt.at(-1);
    if (lastKnown !== undefined && more.knownAt.length > 0 && more.knownAt[0]! < lastKnown)
      return await this.#open(connection, stations, from, knownBy);
    this.#append(more, from);
  }

  /** What is held; not to be kept beyond the next `extend`. */
  get levels(): Levels {
    const [from, until, width] = [this.#from, this.#until, this.#stations.length];
    const { at, knownAt } = this.#buffers;
    const matrix = <Name extends (typeof matrices)[number]>(name: Name) =>
      this.#buffers[name].subarray(from * width, until * width) as Levels[Name];
    return {
      stations: this.#stations,
      at: at.subarray(from, until),
      knownAt: knownAt.subarray(from, until),
      bikes: matrix("bikes"),
      ebikes: matrix("ebikes"),
      docks: matrix("docks"),
      bikesDisabled: matrix("bikesDisabled"),
      reportAge: matrix("reportAge"),
      service: matrix("service"),
      late: 0,
    };
  }

  /** Whether a snapshot that is held has a station that was not there yet when it was read. */
  async #hasMissed(connection: Connection, stations: readonly Station[]): Promise<boolean> {
    const { at } = this.levels;
    const newer = stations.slice(this.#stations.length);
    if (newer.length === 0 || at.length === 0) return false;
    const row = await connection.first(
      `SELECT 1 AS found FROM snapshots WHERE "at" BETWEEN ${at[0]!} AND ${at.at(-1)!} AND e IN (${newer.map(({ e }) => e).join(", ")}) LIMIT 1`,
    );
    return row !== undefined;
  }

  /**
   * Room for more rows, or for stations beside those that are held: to read everything again takes longer than a batch
   * may.
   */
  #enlarge(rows: number, stations: readonly Station[]): void {
    const held = this.levels;
    this.#buffers = buffersOf(held.at.length + rows + slackRows, stations.length);
    this.#stations = stations;
    [this.#from, this.#until] = [0, 0];
    this.#put(held);
  }

  async #open(connection: Connection, stations: readonly Station[], from: number, knownBy: number) {
    const levels = await readLevels(connection, { from, knownBy }, stations);
    this.#stations = stations;
    this.#buffers = levels;
    this.#openedAt = from;
    [this.#from, this.#until] = [0, levels.at.length];
  }

  #append(more: Levels, keepFrom: number): void {
    const rows = more.at.length;
    this.#openedAt = keepFrom;
    while (this.#from < this.#until && this.#buffers.at[this.#from]! < keepFrom) this.#from++;
    if (rows === 0) return;
    if (this.#until + rows > this.#buffers.at.length) this.#enlarge(rows, this.#stations);
    this.#put(more);
  }

  /** Stations that the rows do not have are the last, and missing in them. */
  #put(levels: Levels): void {
    const [own, width] = [levels.stations.length, this.#stations.length];
    this.#buffers.at.set(levels.at, this.#until);
    this.#buffers.knownAt.set(levels.knownAt, this.#until);
    for (const name of matrices) {
      for (let row = 0; row < levels.at.length; row++) {
        const cells = levels[name].subarray(row * own, (row + 1) * own);
        this.#buffers[name].set(cells, (this.#until + row) * width);
      }
    }
    this.#until += levels.at.length;
  }
}

function buffersOf(rows: number, width: number): Buffers {
  const matrix = () => new Int16Array(rows * width).fill(-1);
  return {
    ...{ at: new Float64Array(rows), knownAt: new Float64Array(rows) },
    ...{ bikes: matrix(), ebikes: matrix(), docks: matrix(), bikesDisabled: matrix(), reportAge: matrix() },
    service: new Uint8Array(rows * width),
  };
}
