const HOUR = 3_600_000;

/** A value published again later, under the same row. */
export interface Correction {
  atMs: number;
  count: number;
}

/**
 * Published counts by column. Rows are added hour by hour, within an hour in the order of their publication, so
 * positions are ordered by (hour, row id). Row ids count publications from 1: a row is visible when its id is at
 * most the number of rows published by now.
 */
export class CountTable {
  readonly entities: number;
  readonly fromHour: number;
  length = 0;
  entity = new Uint16Array(1024);
  hour = new Int32Array(1024);
  count = new Int32Array(1024);
  published = new Float64Array(1024);
  /** 0 until the row has its place in the order of publication. */
  rowId = new Int32Array(1024);
  readonly corrections = new Map<number, Correction>();
  #correctionTimes: Float64Array | null = null;
  /** Positions in the order of publication. */
  #order = new Int32Array(1024);
  #ordered = 0;
  #pending: number[] = [];
  /** First position of each hour since `fromHour`. */
  #starts = new Int32Array(1024);
  #hours = 0;
  /** Position of the newest row of (hour, entity), plus 1; 0 where there is none. */
  #grid: Int32Array;

  constructor(entities: number, fromHour: number) {
    this.entities = entities;
    this.fromHour = fromHour;
    this.#grid = new Int32Array(1024 * entities);
  }

  /** The hour after the last one that was begun. */
  get toHour(): number {
    return this.fromHour + this.#hours;
  }

  /** Begins the next hour; the rows added from here on belong to it. */
  beginHour(): void {
    if (this.#hours === this.#starts.length) {
      this.#starts = grown(this.#starts, Int32Array);
      const grid = new Int32Array(this.#grid.length * 2);
      grid.set(this.#grid);
      this.#grid = grid;
    }
    this.#starts[this.#hours++] = this.length;
  }

  /** Adds a row to the hour begun last, keeping the hour in the order of publication. */
  add(entity: number, count: number, publishedMs: number, correction: Correction | null): void {
    if (this.length === this.entity.length) {
      this.entity = grown(this.entity, Uint16Array);
      this.hour = grown(this.hour, Int32Array);
      this.count = grown(this.count, Int32Array);
      this.published = grown(this.published, Float64Array);
      this.rowId = grown(this.rowId, Int32Array);
    }
    const index = this.#hours - 1;
    const start = this.#starts[index]!;
    let at = this.length++;
    while (at > start && this.published[at - 1]! > publishedMs) {
      this.entity[at] = this.entity[at - 1]!;
      this.count[at] = this.count[at - 1]!;
      this.published[at] = this.published[at - 1]!;
      const moved = this.corrections.get(at - 1);
      if (moved !== undefined) {
        this.corrections.delete(at - 1);
        this.corrections.set(at, moved);
      }
      at--;
    }
    this.entity[at] = entity;
    this.hour[this.length - 1] = this.fromHour + index;
    this.count[at] = count;
    this.published[at] = publishedMs;
    if (correction !== null) {
      this.corrections.set(at, correction);
      this.#correctionTimes = null;
    }
  }

  /**
   * Gives row ids to the rows added since the last call that were published by `untilMs`. No row added later may
   * have been published before it. Instants of publication are whole seconds.
   * @throws RangeError beyond 2^20 rows in one call
   */
  finish(fromPosition: number, untilMs: number): void {
    for (let p = fromPosition; p < this.length; p++) this.#pending.push(p);
    const ready: number[] = [];
    const rest: number[] = [];
    for (const p of this.#pending) (this.published[p]! <= untilMs ? ready : rest).push(p);
    this.#pending = rest;
    if (ready.length > 2 ** 20)
      throw new RangeError(`${ready.length} rows finished at once, at most 2^20 can be`);
    // Sorting numbers that carry (time, place in `ready`) needs no comparison function.
    let base = Number.POSITIVE_INFINITY;
    for (const p of ready) base = Math.min(base, this.published[p]!);
    const keys = new Float64Array(ready.length);
    for (let i = 0; i < ready.length; i++)
      keys[i] = ((this.published[ready[i]!]! - base) / 1000) * 2 ** 20 + i;
    keys.sort();
    while (this.#ordered + ready.length > this.#order.length) this.#order = grown(this.#order, Int32Array);
    for (const key of keys) {
      const p = ready[key % 2 ** 20]!;
      this.#order[this.#ordered++] = p;
      this.rowId[p] = this.#ordered;
    }
    // Within an hour the newest visible row of an entity is the one with the highest id.
    for (let i = this.#ordered - ready.length; i < this.#ordered; i++) {
      const p = this.#order[i]!;
      this.#grid[(this.hour[p]! - this.fromHour) * this.entities + this.entity[p]!] = p + 1;
    }
  }

  /** How many rows were published by `nowMs`. */
  visibleRows(nowMs: number): number {
    let low = 0;
    let high = this.#ordered;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.published[this.#order[middle]!]! <= nowMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How many corrections were published by `nowMs`. */
  visibleCorrections(nowMs: number): number {
    this.#correctionTimes ??= Float64Array.from([...this.corrections.values()], (c) => c.atMs).sort();
    const times = this.#correctionTimes;
    let low = 0;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle]! <= nowMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Position of the row with an id. */
  positionOf(rowId: number): number {
    return this.#order[rowId - 1]!;
  }

  /** First position whose hour is at least `hour`. */
  firstOf(hour: number): number {
    const index = Math.ceil(hour) - this.fromHour;
    if (index <= 0) return 0;
    return index >= this.#hours ? this.length : this.#starts[index]!;
  }

  /** The count of a row as it stood at an instant. */
  valueAt(position: number, nowMs: number): number {
    const correction = this.corrections.get(position);
    return correction !== undefined && correction.atMs <= nowMs ? correction.count : this.count[position]!;
  }

  /** The count of an entity in an hour as it stood, or NaN where no row was visible. */
  look(entity: number, hour: number, visible: number, nowMs: number): number {
    const index = hour - this.fromHour;
    if (index < 0 || index >= this.#hours) return Number.NaN;
    const p = this.#grid[index * this.entities + entity]! - 1;
    return p < 0 || this.rowId[p]! > visible ? Number.NaN : this.valueAt(p, nowMs);
  }

  /** When the newest visible row or correction was published; NaN if none was. */
  lastPublishedMs(nowMs: number): number {
    const rows = this.visibleRows(nowMs);
    const corrections = this.visibleCorrections(nowMs);
    if (rows === 0) return Number.NaN;
    const row = this.published[this.#order[rows - 1]!]!;
    return corrections === 0 ? row : Math.max(row, this.#correctionTimes![corrections - 1]!);
  }
}

/** Makes the rows of a table as far as `nowMs` needs. */
export interface CountFeed {
  readonly table: CountTable;
  readonly entityIds: readonly string[];
  readonly entityNames: readonly string[];
  ensure(nowMs: number): void;
}

type Column = Uint16Array | Int32Array | Float64Array;
function grown<T extends Column>(column: T, make: new (length: number) => T): T {
  const larger = new make(column.length * 2);
  larger.set(column);
  return larger;
}

export const HOUR_MS = HOUR;
