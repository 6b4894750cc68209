import { hash4, normal, poisson, uniform } from "../random.ts";
import type { BikeShareParameters } from "./bike-share-parameters.ts";
import { type Dock, within } from "./bike-share-stations.ts";

/** A tick is ten minutes. */
export const ticksPerDay = 144;

/** What every place has after each tick, place by place: `tick * stations + s`. */
export interface History {
  bikes: Uint8Array;
  ebikes: Uint8Array;
  bikesDisabled: Uint8Array;
  docksDisabled: Uint8Array;
  /** Ticks since something last happened there, at most 255. */
  quiet: Uint8Array;
}

/** The local clock at a tick: hour of the day with its fraction, 0 = Monday. */
export interface LocalTime {
  hour: number;
  weekday: number;
  /** Number of the local day. */
  day: number;
}

const bump = (hour: number, peak: number, width: number) => Math.exp(-(((hour - peak) / width) ** 2) / 2);

/** Relative rates of the three purposes of a trip at an hour: to work, home, and anywhere. */
function purposes({ hour, weekday }: LocalTime): [work: number, home: number, other: number] {
  const night = hour < 5 || hour > 23 ? 0.15 : 1;
  if (weekday >= 5)
    return [0.1 * bump(hour, 10, 2), 0.6 * bump(hour, 19, 4), night * (0.25 + 1.7 * bump(hour, 15, 3.5))];
  return [
    3.2 * bump(hour, 8.4, 0.9) + 0.15 * bump(hour, 12, 4),
    2.9 * bump(hour, 17.8, 1.3) + 0.3 * bump(hour, 21, 2),
    night * (0.2 + 0.7 * bump(hour, 13.5, 3) + 0.5 * bump(hour, 20, 2)),
  ];
}

/**
 * Bikes taken and brought, tick after tick: trips to work, home and anywhere, each ten to thirty minutes long; a rider
 * who finds no dock looks next door; trucks carry bikes from full places to empty ones; some bikes break and are mended
 * at night. Every number is drawn by its key, so a history goes on the same however far it is asked at a time.
 */
export class Trips {
  readonly history: History = {
    bikes: new Uint8Array(0),
    ebikes: new Uint8Array(0),
    bikesDisabled: new Uint8Array(0),
    docksDisabled: new Uint8Array(0),
    quiet: new Uint8Array(0),
  };
  /** Ticks that are made. */
  made = 0;
  readonly #seed: number;
  readonly #city: BikeShareParameters;
  readonly #places: readonly Dock[];
  readonly #near: readonly Int32Array[];
  readonly #bikes: Int32Array;
  readonly #ebikes: Int32Array;
  readonly #broken: Int32Array;
  readonly #deadDocks: Int32Array;
  readonly #quiet: Int32Array;
  /** Bikes on their way by ticks until they arrive, classic then electric. */
  readonly #ahead: Int32Array[];
  /** Running sums of how much the places draw trips of each purpose. */
  readonly #draw: readonly Float64Array[];
  readonly #timeOf: (tick: number) => LocalTime;
  readonly #rain: (tick: number) => number;

  constructor(
    seed: number,
    city: BikeShareParameters,
    places: readonly Dock[],
    timeOf: (tick: number) => LocalTime,
    rain: (tick: number) => number,
  ) {
    this.#seed = seed;
    this.#city = city;
    this.#places = places;
    this.#timeOf = timeOf;
    this.#rain = rain;
    const n = places.length;
    this.#near = places.map((place) => nearest(places, place));
    this.#bikes = Int32Array.from(places, ({ capacity }, s) =>
      Math.round(capacity * (0.3 + 0.35 * uniform(seed, 330, s, 0))),
    );
    this.#ebikes = this.#bikes.map((bikes) => Math.round(bikes * 0.25));
    this.#broken = new Int32Array(n);
    this.#deadDocks = Int32Array.from(places, (_, s) => (uniform(seed, 331, s, 0) < 0.1 ? 1 : 0));
    this.#quiet = new Int32Array(n);
    this.#ahead = Array.from({ length: 4 }, () => new Int32Array(2 * n));
    this.#draw = (["offices", "homes", "leisure"] as const).map((what) => {
      const sums = new Float64Array(n);
      let sum = 0;
      for (const [s, place] of places.entries()) {
        sum += place.popularity * (place[what] + 0.05);
        sums[s] = sum;
      }
      return sums;
    });
  }

  /** Makes the history up to a tick, that one included. */
  ensure(tick: number): void {
    if (tick < this.made) return;
    const n = this.#places.length;
    const wanted = (tick + 1) * n;
    const { history } = this;
    if (history.bikes.length < wanted) {
      for (const name of Object.keys(history) as (keyof History)[]) {
        const longer = new Uint8Array(Math.max(wanted, Math.ceil(history[name].length * 1.25)));
        longer.set(history[name].subarray(0, this.made * n));
        history[name] = longer;
      }
    }
    for (; this.made <= tick; this.made++) this.#step(this.made);
  }

  #capacity(s: number, tick: number): number {
    const place = this.#places[s]!;
    return tick >= place.changedAt ? place.newCapacity : place.capacity;
  }

  #free(s: number, tick: number): number {
    return this.#capacity(s, tick) - this.#bikes[s]! - this.#broken[s]! - this.#deadDocks[s]!;
  }

  #step(tick: number): void {
    const n = this.#places.length;
    const seed = this.#seed;
    const closed = Uint8Array.from(this.#places, (place) => Number(within(place.outages, tick)));
    this.#arrive(tick, closed);
    const time = this.#timeOf(tick);
    const rates = purposes(time);
    const mood = Math.exp(0.2 * normal(seed, 332, time.day, 0)) / (1 + 0.6 * this.#rain(tick));
    const level = (this.#city.tripsPerHour / 6) * mood;
    for (let s = 0; s < n; s++) {
      if (closed[s] === 1 || this.#bikes[s] === 0) continue;
      const place = this.#places[s]!;
      const parts = [
        place.homes * rates[0],
        place.offices * rates[1],
        place.leisure * rates[2] + 0.3 * rates[2],
      ];
      const rate = parts[0]! + parts[1]! + parts[2]!;
      const wanted = poisson(level * place.popularity * rate * 1.6, uniform(seed, 333, tick, s));
      for (let k = 0; k < wanted && this.#bikes[s]! > 0; k++) this.#depart(tick, s, k, parts, rate);
    }
    this.#maintain(tick, time);
    this.#record(tick);
  }

  #depart(tick: number, s: number, k: number, parts: readonly number[], rate: number): void {
    const seed = this.#seed;
    const bits = hash4(seed, 334 + k, tick, s);
    const pick = ((bits & 0xfff) / 4096) * rate;
    const purpose = pick < parts[0]! ? 0 : pick < parts[0]! + parts[1]! ? 1 : 2;
    const isElectric =
      this.#ebikes[s]! > 0 && (this.#ebikes[s] === this.#bikes[s] || ((bits >>> 12) & 0xff) / 256 < 0.5);
    const sums = this.#draw[purpose]!;
    const to = firstAbove(sums, uniform(seed, 360 + k, tick, s) * sums.at(-1)!);
    const ticks = 1 + ((bits >>> 20) % 3);
    this.#bikes[s]!--;
    if (isElectric) this.#ebikes[s]!--;
    this.#quiet[s] = 0;
    this.#ahead[(tick + ticks) % 4]![2 * to + Number(isElectric)]!++;
  }

  #arrive(tick: number, closed: Uint8Array): void {
    const arriving = this.#ahead[tick % 4]!;
    const later = this.#ahead[(tick + 1) % 4]!;
    for (let i = 0; i < arriving.length; i++) {
      const to = i >> 1;
      for (let left = arriving[i]!; left > 0; left--) {
        const place = [to, ...this.#near[to]!].find((s) => closed[s] === 0 && this.#free(s, tick) > 0);
        // Nothing is free nearby: the rider looks on, and comes back.
        if (place === undefined) {
          later[i]!++;
          continue;
        }
        this.#bikes[place]!++;
        if ((i & 1) === 1) this.#ebikes[place]!++;
        this.#quiet[place] = 0;
      }
    }
    arriving.fill(0);
  }

  /** Trucks, broken bikes, docks that come and go. */
  #maintain(tick: number, time: LocalTime): void {
    const n = this.#places.length;
    const seed = this.#seed;
    for (let s = 0; s < n; s++) {
      const over = -this.#free(s, tick);
      // Fewer docks than bikes: the crew takes some along.
      if (over > 0) {
        this.#bikes[s] = Math.max(0, this.#bikes[s]! - over);
        this.#ebikes[s] = Math.min(this.#ebikes[s]!, this.#bikes[s]!);
      }
    }
    const broken = Math.floor(uniform(seed, 390, tick, 0) * n);
    if (uniform(seed, 391, tick, 0) < 0.5 && this.#bikes[broken]! > this.#ebikes[broken]!) {
      this.#bikes[broken]!--;
      this.#broken[broken]!++;
    }
    if (time.hour >= 3 && time.hour < 3.2) {
      for (let s = 0; s < n; s++) {
        if (uniform(seed, 392, tick, s) > 0.4) continue;
        this.#bikes[s]! += this.#broken[s]!;
        this.#broken[s] = 0;
      }
    }
    const loads = poisson(this.#city.truckLoadsPerHour / 6, uniform(seed, 393, tick, 0));
    for (let load = 0; load < loads; load++) this.#truck(tick, load);
  }

  /** One load from the fullest of some places to the emptiest of others. */
  #truck(tick: number, load: number): void {
    const n = this.#places.length;
    let [full, empty] = [-1, -1];
    const fill = (s: number) =>
      this.#bikes[s]! / Math.max(1, this.#bikes[s]! + Math.max(0, this.#free(s, tick)));
    for (let k = 0; k < 12; k++) {
      const s = Math.floor(uniform(this.#seed, 394, tick, load * 32 + k) * n);
      if (within(this.#places[s]!.outages, tick)) continue;
      if (full < 0 || fill(s) > fill(full)) full = s;
      if (empty < 0 || fill(s) < fill(empty)) empty = s;
    }
    if (full < 0 || fill(full) < 0.7 || fill(empty) > 0.3) return;
    const room = Math.min(this.#free(empty, tick), Math.floor(this.#bikes[full]! / 2), 15);
    if (room <= 0) return;
    const electric = Math.min(
      this.#ebikes[full]!,
      Math.round((room * this.#ebikes[full]!) / this.#bikes[full]!),
    );
    for (const [s, sign] of [
      [full, -1],
      [empty, 1],
    ] as const) {
      this.#bikes[s]! += sign * room;
      this.#ebikes[s]! += sign * electric;
      this.#quiet[s] = 0;
    }
  }

  #record(tick: number): void {
    const n = this.#places.length;
    const { history } = this;
    const at = tick * n;
    for (let s = 0; s < n; s++) {
      history.bikes[at + s] = this.#bikes[s]!;
      history.ebikes[at + s] = this.#ebikes[s]!;
      history.bikesDisabled[at + s] = this.#broken[s]!;
      history.docksDisabled[at + s] = this.#deadDocks[s]!;
      history.quiet[at + s] = Math.min(255, this.#quiet[s]!);
      this.#quiet[s]!++;
    }
  }
}

function firstAbove(sums: Float64Array, value: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The eight nearest other places. */
function nearest(places: readonly Dock[], from: Dock): Int32Array {
  const squares = places.map((place, s) => ({
    s,
    square:
      place === from ? Number.POSITIVE_INFINITY : (place.lat - from.lat) ** 2 + (place.lon - from.lon) ** 2,
  }));
  return Int32Array.from(squares.sort((a, b) => a.square - b.square).slice(0, 8), ({ s }) => s);
}
