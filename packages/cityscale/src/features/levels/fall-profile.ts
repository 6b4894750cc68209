import type { Outcomes } from "./outcomes.ts";
import type { Side } from "./side.ts";
import { nextSlot, slotCount, slotsPerDay } from "./slots.ts";

/** Falls are told from 0 to 15; deeper ones count as 15. */
export const fallDepths = 16;

/** Days of history behind the short, the main and the long profile. */
export const profileDays = [21, 56, 110] as const;

/** What a station usually does in each slot of the week within the horizon, over a window of the past. */
export interface FallProfile {
  /** Slots x stations x 16: probability that the count falls by at least k within the horizon. */
  readonly fall: Float32Array;
  /** Slots x stations: falls, rises, share of rows short, mean count. */
  readonly falls: Float32Array;
  readonly rises: Float32Array;
  readonly short: Float32Array;
  readonly count: Float32Array;
  /** Stations, over all slots: share of rows short, probability of a fall by 3, falls and rises. */
  readonly shortShare: Float32Array;
  readonly fallBy3: Float32Array;
  readonly turnover: Float32Array;
}

/** Over the short, the main and the long window. */
export type ProfileWindows = readonly [short: FallProfile, main: FallProfile, long: FallProfile];

/** Profiles over each of `profileDays`, of what was known at `asOf` (ms UTC). */
export interface FallProfiles {
  readonly asOf: number;
  readonly windows: ProfileWindows;
  /** Of each station its place in the arrays; stations may share one. */
  readonly places: Int32Array;
}

export interface ProfileInput {
  readonly at: Float64Array;
  readonly knownAt: Float64Array;
  readonly stations: number;
  /** Slot of each row. */
  readonly slots: Uint8Array;
  readonly side: Side;
  /** Of the rows themselves as origins. */
  readonly outcomes: Outcomes;
  /** A count under it is short. */
  readonly below: number;
}

/** Sums over rows: slots x stations (x 16). */
class Sums {
  readonly depth: Float32Array;
  readonly rows: Float32Array;
  readonly falls: Float32Array;
  readonly rises: Float32Array;
  readonly short: Float32Array;
  readonly count: Float32Array;
  /** How often each count, at most 15, was there to fall from. */
  readonly from: Float32Array;

  constructor(stations: number) {
    const cells = slotCount * stations;
    this.depth = new Float32Array(cells * fallDepths);
    this.from = new Float32Array(cells * fallDepths);
    this.rows = new Float32Array(cells);
    this.falls = new Float32Array(cells);
    this.rises = new Float32Array(cells);
    this.short = new Float32Array(cells);
    this.count = new Float32Array(cells);
  }
}

/**
 * Fall profiles as known at an instant: from rows whose outcome was known by then. P(fall >= k | count >= k) =
 * (hits + 10 prior) / (n + 10), the two half-hours beside a slot counting half; the prior is station rate x slot rate
 * / overall rate, the first two shrunk towards the last by 50 rows.
 */
export function fallProfiles(input: ProfileInput, asOf: number): FallProfiles {
  const sums = new Sums(input.stations);
  let row = newestKnownOutcome(input, asOf);
  // Each window holds the shorter ones.
  const over = (days: number): FallProfile => {
    for (; row >= 0 && input.at[row]! >= asOf - days * 86_400_000; row--) add(sums, input, row);
    return profileOf(sums, input.stations);
  };
  const [short, main, long] = profileDays;
  const places = Int32Array.from({ length: input.stations }, (_, s) => s);
  return { asOf, windows: [over(short), over(main), over(long)], places };
}

/** Outcomes become known in the order of their rows. */
function newestKnownOutcome({ knownAt, outcomes: { endRow } }: ProfileInput, asOf: number): number {
  let row = endRow.length - 1;
  while (row >= 0 && !(endRow[row]! < knownAt.length && knownAt[endRow[row]!]! <= asOf)) row--;
  return row;
}

function add(sums: Sums, input: ProfileInput, row: number): void {
  const { stations, side, below } = input;
  const { lowest, lastRow } = input.outcomes;
  const base = input.slots[row]! * stations;
  for (let s = 0, cell = row * stations, then = lastRow[row]! * stations; s < stations; s++, cell++, then++) {
    if (lowest[cell]! < 0) continue;
    const count = side.count[cell]!;
    const place = base + s;
    sums.depth[place * fallDepths + Math.min(fallDepths - 1, Math.max(0, count - lowest[cell]!))]!++;
    sums.from[place * fallDepths + Math.min(fallDepths - 1, count)]!++;
    sums.rows[place]!++;
    sums.falls[place]! += side.fallen[then]! - side.fallen[cell]!;
    sums.rises[place]! += side.risen[then]! - side.risen[cell]!;
    sums.count[place]! += count;
    if (count < below) sums.short[place]!++;
  }
}

/** Each slot with half of the one before and half of the one after it, on days of the same sort. */
function blurred(sums: Float32Array, width: number): Float32Array {
  const out = new Float32Array(sums.length);
  for (let slot = 0; slot < slotCount; slot++) {
    const day = slot - (slot % slotsPerDay);
    const before = (day + ((slot + slotsPerDay - 1) % slotsPerDay)) * width;
    const after = nextSlot(slot) * width;
    const here = slot * width;
    for (let i = 0; i < width; i++) {
      out[here + i] = sums[here + i]! + 0.5 * sums[before + i]! + 0.5 * sums[after + i]!;
    }
  }
  return out;
}

/** Rows that reach each depth, from rows at each depth. */
function reaching(depths: Float32Array): Float32Array {
  for (let i = 0; i < depths.length; i += fallDepths) {
    for (let k = fallDepths - 2; k >= 0; k--) depths[i + k]! += depths[i + k + 1]!;
  }
  return depths;
}

function profileOf(sums: Sums, stations: number): FallProfile {
  const cells = slotCount * stations;
  const fall = reaching(blurred(sums.depth, stations * fallDepths));
  const from = reaching(blurred(sums.from, stations * fallDepths));
  const rows = blurred(sums.rows, stations);
  const byStation = {
    hits: new Float64Array(stations * fallDepths),
    n: new Float64Array(stations * fallDepths),
  };
  const bySlot = {
    hits: new Float64Array(slotCount * fallDepths),
    n: new Float64Array(slotCount * fallDepths),
  };
  for (let slot = 0, i = 0; slot < slotCount; slot++) {
    for (let s = 0; s < stations; s++) {
      for (let k = 0; k < fallDepths; k++, i++) {
        byStation.hits[s * fallDepths + k]! += fall[i]!;
        byStation.n[s * fallDepths + k]! += from[i]!;
        bySlot.hits[slot * fallDepths + k]! += fall[i]!;
        bySlot.n[slot * fallDepths + k]! += from[i]!;
      }
    }
  }
  const overall = new Float64Array(fallDepths);
  for (let k = 0; k < fallDepths; k++) {
    let [hits, n] = [0, 0];
    for (let slot = 0; slot < slotCount; slot++) {
      hits += bySlot.hits[slot * fallDepths + k]!;
      n += bySlot.n[slot * fallDepths + k]!;
    }
    overall[k] = hits / Math.max(n, 1);
  }
  const shrunk = ({ hits, n }: { hits: Float64Array; n: Float64Array }) =>
    hits.map((hit, i) => (hit + 50 * overall[i % fallDepths]!) / (n[i]! + 50));
  const stationRate = shrunk(byStation);
  const slotRate = shrunk(bySlot);
  for (let slot = 0, i = 0; slot < slotCount; slot++) {
    for (let s = 0; s < stations; s++) {
      for (let k = 0; k < fallDepths; k++, i++) {
        const both = stationRate[s * fallDepths + k]! * slotRate[slot * fallDepths + k]!;
        const prior = Math.min(1, both / Math.max(overall[k]!, 1e-9));
        fall[i] = (fall[i]! + 10 * prior) / (from[i]! + 10);
      }
    }
  }
  const station = (values: Float32Array) => {
    const sum = new Float64Array(stations);
    for (let cell = 0; cell < cells; cell++) sum[cell % stations]! += values[cell]!;
    return sum;
  };
  const total = station(rows);
  /** Means by slot, shrunk towards the station's own by 3 rows. */
  const usual = (values: Float32Array) => {
    const soft = blurred(values, stations);
    const mean = station(soft).map((sum, s) => sum / Math.max(total[s]!, 1));
    return { mean, slots: soft.map((sum, cell) => (sum + 3 * mean[cell % stations]!) / (rows[cell]! + 3)) };
  };
  const falls = usual(sums.falls);
  const rises = usual(sums.rises);
  const short = usual(sums.short);
  return {
    fall,
    falls: falls.slots,
    rises: rises.slots,
    short: short.slots,
    count: blurred(sums.count, stations).map((sum, cell) => sum / rows[cell]!),
    shortShare: Float32Array.from(short.mean),
    fallBy3: Float32Array.from({ length: stations }, (_, s) => stationRate[s * fallDepths + 3]!),
    turnover: Float32Array.from(falls.mean, (mean, s) => mean + rises.mean[s]!),
  };
}
