import { type FallProfiles, fallDepths } from "./fall-profile.ts";
import { capacityAt, type Levels, rowAt } from "./levels.ts";
import type { RowOutcome } from "./outcomes.ts";
import type { Side } from "./side.ts";
import { type LocalPlace, nextSlot } from "./slots.ts";
import { hourMs, type LevelWeather, rainHours } from "./weather.ts";

const minuteMs = 60_000;
const dayMs = 24 * hourMs;

/** A snapshot a minute late still counts as one taken that long ago. */
const toleranceMs = minuteMs;
const changeMinutes = [10, 20, 30, 60, 120] as const;
const flowMinutes = [20, 30, 60, 120] as const;
const longestMinutes = 720;

/** How far back from the newest snapshot all but counts are looked at, ms, and an hour more for gaps. */
export const sideMemoryMs = (longestMinutes + 60) * minuteMs;

/** Everything that the columns of one origin are made of. Arrays of stations; NaN is missing. */
export interface OriginInputs {
  readonly levels: Levels;
  readonly side: Side;
  readonly other: Side;
  /** Of a row as an origin, for what happened yesterday and a week ago: see `outcomesOf`. */
  readonly outcomeOf: (row: number) => RowOutcome;
  readonly profiles: FallProfiles;
  readonly neighbours: readonly Int32Array[];
  /** Null for a city without any. */
  readonly weather: LevelWeather | null;
  readonly origin: number;
  /** The newest row known at the origin. */
  readonly row: number;
  readonly place: LocalPlace;
  /** Counts under it are short. */
  readonly below: number;
  readonly horizonMs: number;
}

/** Columns of one origin by name: a number per station. */
export type OriginColumns = Readonly<Record<string, Float32Array>>;

type Fill = (inputs: OriginInputs, columns: OriginColumns) => void;

/** Columns computed together; a block may read those of the blocks before it. */
interface Block {
  readonly names: readonly string[];
  readonly fill: Fill;
}

const missing = (value: number) => (value < 0 ? Number.NaN : value);

/** What the newest snapshot says. */
const inventory: Block = {
  names: [
    "count",
    "capacity",
    "filled",
    "other_side",
    "ebikes",
    "ebike_share",
    "disabled",
    "report_age",
    "since_change",
    "spare",
    "spare_share",
  ],
  fill: ({ levels, side, other, origin, row, below }, c) => {
    const width = levels.stations.length;
    for (let s = 0, cell = row * width; s < width; s++, cell++) {
      const count = missing(side.count[cell]!);
      const capacity = capacityAt(levels.stations[s]!, origin);
      const ebikes = missing(levels.ebikes[cell]!);
      const bikes = missing(levels.bikes[cell]!);
      const changed = side.changed[cell]!;
      const since = changed < 0 ? longestMinutes : (levels.at[row]! - levels.at[changed]!) / minuteMs;
      c["count"]![s] = count;
      c["capacity"]![s] = capacity;
      c["filled"]![s] = count / Math.max(capacity, 1);
      c["other_side"]![s] = missing(other.count[cell]!);
      c["ebikes"]![s] = ebikes;
      c["ebike_share"]![s] = ebikes / Math.max(bikes, 1);
      c["disabled"]![s] = missing(levels.bikesDisabled[cell]!);
      c["report_age"]![s] = missing(levels.reportAge[cell]!);
      c["since_change"]![s] = Number.isNaN(count) ? Number.NaN : Math.min(longestMinutes, since);
      c["spare"]![s] = count - (below - 1);
      c["spare_share"]![s] = (count - (below - 1)) / Math.max(capacity, 1);
    }
  },
};

/** What happened in the last two hours; missing where the station was not watched throughout. */
const recent: Block = {
  names: [
    ...changeMinutes.map((minutes) => `change_${minutes}`),
    ...flowMinutes.flatMap((minutes) => [`fell_${minutes}`, `rose_${minutes}`]),
    "lowest_60",
    ...[1, 2, 3].map((k) => `count_before_${k}`),
    "snapshot_gap",
  ],
  fill: ({ levels: { at, stations }, side, row }, c) => {
    const width = stations.length;
    const now = row * width;
    const taken = at[row]!;
    for (const minutes of changeMinutes) {
      const before = rowAt(at, taken - minutes * minuteMs + toleranceMs);
      const then = before * width;
      const change = c[`change_${minutes}`]!;
      const fell = c[`fell_${minutes}`];
      const rose = c[`rose_${minutes}`];
      for (let s = 0; s < width; s++) {
        const watched = before >= 0 && side.count[now + s]! >= 0 && side.unbroken[now + s]! <= before;
        change[s] =
          watched && side.count[then + s]! >= 0 ? side.count[now + s]! - side.count[then + s]! : Number.NaN;
        if (!fell || !rose) continue;
        fell[s] = watched ? side.fallen[now + s]! - side.fallen[then + s]! : Number.NaN;
        rose[s] = watched ? side.risen[now + s]! - side.risen[then + s]! : Number.NaN;
      }
    }
    const hourAgo = rowAt(at, taken - hourMs - toleranceMs - 1) + 1;
    for (let s = 0; s < width; s++) {
      let lowest = Number.NaN;
      for (let r = hourAgo; r <= row; r++) {
        const count = side.count[r * width + s]!;
        if (count >= 0 && !(count >= lowest)) lowest = count;
      }
      c["lowest_60"]![s] = lowest;
      for (let k = 1; k <= 3; k++) {
        c[`count_before_${k}`]![s] = row < k ? Number.NaN : missing(side.count[(row - k) * width + s]!);
      }
    }
    c["snapshot_gap"]!.fill(row < 1 ? Number.NaN : (taken - at[row - 1]!) / minuteMs);
  },
};

/** The same time yesterday and a week ago: the count, how deep it fell, and whether such a fall would do now. */
const before: Block = {
  names: ["1d", "7d"].flatMap((ago) => [`count_${ago}`, `fall_${ago}`, `fall_beyond_${ago}`]),
  fill: ({ levels: { at, stations }, side, outcomeOf, row, below }, c) => {
    const width = stations.length;
    for (const days of [1, 7]) {
      const wanted = at[row]! - days * dayMs;
      const found = rowAt(at, wanted + toleranceMs);
      const then = found >= 0 && wanted - at[found]! < hourMs / 2 ? found : -1;
      const came = then >= 0 ? outcomeOf(then) : null;
      const isKnown = came !== null && came.endRow <= row;
      for (let s = 0; s < width; s++) {
        const count = then < 0 ? Number.NaN : missing(side.count[then * width + s]!);
        const lowest = isKnown ? missing(came.lowest[s]!) : Number.NaN;
        c[`count_${days}d`]![s] = count;
        c[`fall_${days}d`]![s] = count - lowest;
        c[`fall_beyond_${days}d`]![s] =
          count - lowest - (missing(side.count[row * width + s]!) - (below - 1));
      }
    }
  },
};

const calendar: Block = {
  names: ["hour_sin", "hour_cos", "hour", "weekday", "day_type"],
  fill: ({ place }, c) => {
    c["hour_sin"]!.fill(Math.sin((2 * Math.PI * place.hour) / 24));
    c["hour_cos"]!.fill(Math.cos((2 * Math.PI * place.hour) / 24));
    c["hour"]!.fill(place.hour);
    c["weekday"]!.fill(place.weekday);
    c["day_type"]!.fill(place.dayType);
  },
};

/** What the station usually does in this slot, from its own past; the first of these is what serves best. */
const profile: Block = {
  names: [
    "fall_probability",
    "fall_probability_next",
    "fall_probability_2_more",
    "fall_probability_short",
    "fall_probability_long",
    "usual_falls",
    "usual_rises",
    "usual_net",
    "usual_net_next",
    "usual_net_short",
    "usual_net_long",
    "usual_short",
    "usual_short_next",
    "usual_count",
    "above_usual_count",
    "short_share",
    "turnover",
    "fall_by_3",
    "spare_after_usual",
    "fell_60_beyond_usual",
    "rose_60_beyond_usual",
    "city_activity",
    "spare_after_activity",
  ],
  fill: ({ levels: { stations }, profiles: { windows, places }, place, horizonMs }, c) => {
    const [short, main, long] = windows;
    const width = main.turnover.length;
    const here = place.slot * width;
    const next = nextSlot(place.slot) * width;
    const perHour = hourMs / horizonMs;
    let [activity, expected] = [0, 0];
    for (let s = 0; s < stations.length; s++) {
      const moved = c["fell_60"]![s]! + c["rose_60"]![s]!;
      if (Number.isNaN(moved)) continue;
      const p = here + places[s]!;
      activity += moved;
      expected += (main.falls[p]! + main.rises[p]!) * perHour;
    }
    const cityActivity = expected > 0 ? activity / expected : Number.NaN;
    const factor = Number.isNaN(cityActivity) ? 1 : Math.min(3, Math.max(0.3, cityActivity));
    c["city_activity"]!.fill(cityActivity);
    for (let s = 0; s < stations.length; s++) {
      const p = places[s]!;
      const spare = c["spare"]![s]!;
      const known = !Number.isNaN(spare);
      const depth = known ? Math.min(fallDepths - 1, Math.max(0, spare)) : Number.NaN;
      const at = (window: typeof main, slot: number, k: number) =>
        known ? window.fall[(slot + p) * fallDepths + k]! : Number.NaN;
      const falls = main.falls[here + p]!;
      const rises = main.rises[here + p]!;
      const net = rises - falls;
      c["fall_probability"]![s] = at(main, here, depth);
      c["fall_probability_next"]![s] = at(main, next, depth);
      c["fall_probability_2_more"]![s] = at(main, here, Math.min(fallDepths - 1, depth + 2));
      c["fall_probability_short"]![s] = at(short, here, depth);
      c["fall_probability_long"]![s] = at(long, here, depth);
      c["usual_falls"]![s] = falls;
      c["usual_rises"]![s] = rises;
      c["usual_net"]![s] = net;
      c["usual_net_next"]![s] = main.rises[next + p]! - main.falls[next + p]!;
      c["usual_net_short"]![s] = short.rises[here + p]! - short.falls[here + p]!;
      c["usual_net_long"]![s] = long.rises[here + p]! - long.falls[here + p]!;
      c["usual_short"]![s] = main.short[here + p]!;
      c["usual_short_next"]![s] = main.short[next + p]!;
      c["usual_count"]![s] = main.count[here + p]!;
      c["above_usual_count"]![s] = c["count"]![s]! - main.count[here + p]!;
      c["short_share"]![s] = main.shortShare[p]!;
      c["turnover"]![s] = main.turnover[p]!;
      c["fall_by_3"]![s] = main.fallBy3[p]!;
      c["spare_after_usual"]![s] = (spare + net) / Math.sqrt(falls + rises + 0.3);
      c["fell_60_beyond_usual"]![s] = c["fell_60"]![s]! - falls * perHour;
      c["rose_60_beyond_usual"]![s] = c["rose_60"]![s]! - rises * perHour;
      c["spare_after_activity"]![s] = (spare + net * factor) / Math.sqrt((falls + rises) * factor + 0.3);
    }
  },
};

/** Columns whose mean over the neighbours is a column of its own. */
const nearby = {
  near_count: "count",
  near_filled: "filled",
  near_change_30: "change_30",
  near_fell_60: "fell_60",
  near_rose_60: "rose_60",
  near_usual_net: "usual_net",
  near_fall_probability: "fall_probability",
} as const;

/** Means over the neighbours that are known; missing without one. */
const neighbourhood: Block = {
  names: [...Object.keys(nearby), "near_short", "near_stations"],
  fill: ({ neighbours, below }, c) => {
    const count = c["count"]!;
    const pairs = Object.entries(nearby).map(([name, of]) => [c[name]!, c[of]!] as const);
    for (let s = 0; s < count.length; s++) {
      const near = neighbours[s]!;
      for (const [mean, values] of pairs) {
        let [sum, n] = [0, 0];
        for (let k = 0; k < near.length; k++) {
          const value = values[near[k]!]!;
          if (Number.isNaN(value)) continue;
          sum += value;
          n++;
        }
        mean[s] = sum / n;
      }
      let [short, known] = [0, 0];
      for (let k = 0; k < near.length; k++) {
        const value = count[near[k]!]!;
        if (value < below) short++;
        if (!Number.isNaN(value)) known++;
      }
      c["near_short"]![s] = short / known;
      c["near_stations"]![s] = near.length;
    }
  },
};

/** Rain of the origin's hour and of the hours before and after, as known at it. */
const rain: Block = {
  names: ["rain", "rain_before", "rain_ahead"],
  fill: ({ weather, origin }, c) => {
    const here = Math.floor(origin / hourMs) * hourMs;
    const mean = (from: number, to: number) => {
      let [sum, n] = [0, 0];
      for (let k = from; k <= to; k++) {
        const value = weather!.rain(here + k * hourMs, origin);
        if (Number.isNaN(value)) continue;
        sum += value;
        n++;
      }
      return sum / n;
    };
    c["rain"]!.fill(mean(0, 0));
    c["rain_before"]!.fill(mean(-rainHours.before, -1));
    c["rain_ahead"]!.fill(mean(1, rainHours.after));
  },
};

const blocks: readonly Block[] = [inventory, recent, before, calendar, profile, neighbourhood];
const blocksWithWeather: readonly Block[] = [...blocks, rain];
const blocksOf = (withWeather: boolean) => (withWeather ? blocksWithWeather : blocks);

/** The columns of every row, in order. Windows of the profiles: short, main and long, see `profileDays`. */
export const levelColumnsOf = (withWeather: boolean): readonly string[] =>
  blocksOf(withWeather).flatMap(({ names }) => names);

/** Room for the columns of one origin. */
export function originColumns(names: readonly string[], stations: number): OriginColumns {
  return Object.fromEntries(names.map((name) => [name, new Float32Array(stations)]));
}

/** Computes the columns of one origin for all stations. */
export function fillOrigin(inputs: OriginInputs, columns: OriginColumns): void {
  if (inputs.row < 0) for (const column of Object.values(columns)) column.fill(Number.NaN);
  else for (const block of blocksOf(inputs.weather !== null)) block.fill(inputs, columns);
}
