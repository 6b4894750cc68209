import type { City, LevelName } from "../../domain/index.ts";
import type { Connection } from "../../lake/index.ts";
import { fillOrigin, levelColumnsOf, originColumns, sideMemoryMs } from "./columns.ts";
import { type FallProfiles, fallDepths, fallProfiles, profileDays } from "./fall-profile.ts";
import { type Levels, rowAt } from "./levels.ts";
import { neighboursOf } from "./neighbours.ts";
import { type Outcomes, outcomesOf, type RowOutcome } from "./outcomes.ts";
import { profileInstant } from "./profile-instant.ts";
import { type Side, sideOf } from "./side.ts";
import { LocalWeek } from "./slots.ts";
import { hasWeather, type LevelWeather, type LevelWeatherMode, readLevelWeather } from "./weather.ts";

/** What a binary target asks of a level: will it be below a number at any moment of a horizon? */
export interface LevelTarget {
  readonly measure: LevelName;
  readonly horizonMs: number;
  /** A count under it is short. */
  readonly below: number;
}

/** Rows of (origin, station) with their features; all arrays have `rows` places. */
export interface LevelRows {
  readonly rows: number;
  /** Places in the origins asked for and in `Levels.stations`. */
  readonly origin: Int32Array;
  readonly station: Int32Array;
  /** The newest count at the origin; NaN where missing. */
  readonly count: Float32Array;
  readonly names: readonly string[];
  /** One per name; NaN is missing. */
  readonly columns: readonly Float32Array[];
}

/** The public holidays that the lake knows, as local day numbers. */
export async function publicHolidays(connection: Connection): Promise<Set<number>> {
  const { day } = await connection.numbers("SELECT DISTINCT day FROM holidays WHERE kind = 'public'");
  return new Set(day);
}

/**
 * A city's snapshots with all that their features want beside them.
 *
 * @param asked features are asked for at origins between these, ms UTC, with such weather if there is any
 */
export async function levelHistory(
  connection: Connection,
  city: Pick<City, "timeZone" | "sources">,
  levels: Levels,
  asked: { readonly from: number; readonly until: number; readonly weather: LevelWeatherMode },
  profilesAt?: ProfilesAt,
): Promise<LevelHistory> {
  const isWanted = asked.weather !== "none" && hasWeather(city);
  const weather = isWanted ? await readLevelWeather(connection, asked, asked.weather) : null;
  const parts = { weather, ...(profilesAt ? { profilesAt } : {}) };
  return new LevelHistory(levels, city.timeZone, await publicHolidays(connection), parts);
}

type ProfilesAt = (target: LevelTarget, asOf: number) => FallProfiles;

/** Each origin asks for the outcomes of two rows. */
const fewOrigins = 50;

const dayMs = 86_400_000;

/**
 * The instant of the profiles in force lies up to so long before an origin, ms: a week, hours until the next are in
 * force, and an hour where a clock was set back. Rounded up to a whole day, which leaves room for gaps.
 */
const oldestProfilesMs = 8 * dayMs;

/**
 * How far back features look from an origin where profiles are kept elsewhere, ms: neighbours are stations seen in
 * the week before the instant of the profiles.
 */
export const featureMemoryMs = oldestProfilesMs + 7 * dayMs;

/** How far back features look from an origin whose profiles are made from the same snapshots, ms. */
export const profileMemoryMs = oldestProfilesMs + profileDays[2] * dayMs;

/**
 * Features and outcomes of stations at origins, for training, backtests and forecasts alike. Only what was known at
 * an origin goes into its features: its newest snapshot, those before it, and the profiles in force.
 */
export class LevelHistory {
  readonly levels: Levels;
  /** Names of the features, in order. */
  readonly columns: readonly string[];
  /** Null for a city without any. */
  readonly weather: LevelWeather | null;
  readonly #week: LocalWeek;
  readonly #profilesAt: ProfilesAt | undefined;
  readonly #sides = new Map<LevelName, Side>();
  readonly #outcomes = new Map<string, Outcomes>();
  readonly #profiles = new Map<string, FallProfiles>();
  #slots: Uint8Array | undefined;
  #neighbours: { readonly asOf: number; readonly near: readonly Int32Array[] } | undefined;

  /**
   * @param holidays local day numbers
   * @param parts.profilesAt where profiles come from that are kept elsewhere; computed from `levels` when left out.
   *   Their places must be those of the stations of `levels`.
   * @param parts.weather without it there are no columns of weather
   */
  constructor(
    levels: Levels,
    timeZone: string,
    holidays: ReadonlySet<number>,
    { profilesAt, weather = null }: { profilesAt?: ProfilesAt; weather?: LevelWeather | null } = {},
  ) {
    this.levels = levels;
    this.weather = weather;
    this.columns = levelColumnsOf(weather !== null);
    this.#week = new LocalWeek(timeZone, holidays);
    this.#profilesAt = profilesAt;
  }

  /** The newest row known at each origin; -1 without one. */
  newestAt(origins: Float64Array): Int32Array {
    return Int32Array.from(origins, (origin) => rowAt(this.levels.knownAt, origin));
  }

  /** See `profileInstant`. */
  profileInstant(origin: number): number {
    return profileInstant(this.#week.timeZone, origin);
  }

  /** Profiles as known at an instant. The newest of each target are kept. */
  profiles(target: LevelTarget, asOf: number): FallProfiles {
    const key = keyOf(target);
    const kept = this.#profiles.get(key);
    if (kept?.asOf === asOf) return kept;
    const profiles = this.#profilesAt?.(target, asOf) ?? this.#computeProfiles(target, asOf);
    this.#profiles.set(key, profiles);
    return profiles;
  }

  /**
   * Probability that each station's count falls by at least k = 0 .. 15 within the horizon of an origin, stations x
   * 16: the main profile in the origin's slot.
   */
  falls(target: LevelTarget, origin: number): Float32Array {
    const { windows, places } = this.profiles(target, this.profileInstant(origin));
    const { fall, turnover } = windows[1];
    const first = this.#week.placeOf(origin).slot * turnover.length;
    const falls = new Float32Array(places.length * fallDepths);
    for (const [s, place] of places.entries()) {
      const from = (first + place) * fallDepths;
      falls.set(fall.subarray(from, from + fallDepths), s * fallDepths);
    }
    return falls;
  }

  /**
   * The lowest count within the horizon of each origin, origins x stations, and when it is known: see `outcomesOf`.
   */
  outcomes(target: LevelTarget, origins: Float64Array): Outcomes {
    const count = this.#counts(target.measure);
    return outcomesOf(this.levels, count, origins, this.newestAt(origins), target.horizonMs);
  }

  /** The counts in the newest snapshot known at each origin, origins x stations; -1 where missing. */
  counts(measure: LevelName, origins: Float64Array): Int16Array {
    const count = this.#counts(measure);
    const width = this.levels.stations.length;
    const counts = new Int16Array(origins.length * width).fill(-1);
    for (const [i, row] of this.newestAt(origins).entries()) {
      if (row >= 0) counts.set(count.subarray(row * width, (row + 1) * width), i * width);
    }
    return counts;
  }

  /**
   * Features of every station at every origin, or of those with a 1 in `wanted` (origins x stations), in that order.
   * Origins in time order are quickest.
   */
  features(
    target: LevelTarget,
    origins: Float64Array,
    wanted?: Uint8Array,
    onProgress?: (share: number) => void,
  ): LevelRows {
    const { levels } = this;
    const width = levels.stations.length;
    let rows = origins.length * width;
    if (wanted) rows = wanted.reduce((sum, flag) => sum + flag, 0);
    const origin = new Int32Array(rows);
    const station = new Int32Array(rows);
    const columns = this.columns.map(() => new Float32Array(rows));
    const scratch = originColumns(this.columns, width);
    const from = this.columns.map((name) => scratch[name]!);
    const newest = this.newestAt(origins);
    const first = origins.length < fewOrigins ? this.#sideFrom(newest) : 0;
    const side = this.#side(target.measure, first);
    const other = this.#side(target.measure === "bikes" ? "docks" : "bikes", first);
    const outcomeOf = this.#outcomeOfRow(target, origins.length);
    let out = 0;
    for (let i = 0; i < origins.length; i++) {
      if (i % 100 === 0) onProgress?.(i / origins.length);
      const at = origins[i]!;
      const asOf = this.profileInstant(at);
      fillOrigin(
        {
          ...{ levels, side, other, outcomeOf },
          profiles: this.profiles(target, asOf),
          neighbours: this.#neighboursAt(asOf),
          weather: this.weather,
          origin: at,
          row: newest[i]!,
          place: this.#week.placeOf(at),
          below: target.below,
          horizonMs: target.horizonMs,
        },
        scratch,
      );
      const begin = out;
      for (let s = 0; s < width; s++) {
        if (wanted && wanted[i * width + s] === 0) continue;
        origin[out] = i;
        station[out++] = s;
      }
      for (let c = 0; c < columns.length; c++) {
        const column = columns[c]!;
        const values = from[c]!;
        for (let k = begin; k < out; k++) column[k] = values[station[k]!]!;
      }
    }
    const count = columns[this.columns.indexOf("count")]!;
    return { rows, origin, station, count, names: this.columns, columns };
  }

  /** A measure with all that it did from a row on, or from an earlier one. */
  #side(measure: LevelName, from: number): Side {
    let side = this.#sides.get(measure);
    if (!side || side.from > from) {
      side = sideOf(this.levels, measure, from);
      this.#sides.set(measure, side);
    }
    return side;
  }

  /** A measure of which the counts alone are wanted. */
  #counts(measure: LevelName): Int16Array {
    return this.#side(measure, this.levels.at.length).count;
  }

  /** The first row that features look at, of all but counts, from the earliest of some newest rows. */
  #sideFrom(newest: Int32Array): number {
    const { at } = this.levels;
    const first = newest.reduce((least, row) => (row >= 0 && row < least ? row : least), at.length - 1);
    return first < 0 ? 0 : Math.max(0, rowAt(at, at[first]! - sideMemoryMs));
  }

  #outcomesOfRows(target: LevelTarget): Outcomes {
    const key = keyOf(target);
    let outcomes = this.#outcomes.get(key);
    if (!outcomes) {
      const { at } = this.levels;
      const self = Int32Array.from(at, (_, row) => row);
      outcomes = outcomesOf(this.levels, this.#counts(target.measure), at, self, target.horizonMs);
      this.#outcomes.set(key, outcomes);
    }
    return outcomes;
  }

  /** Where few are asked for they are computed one by one, and all of them at once where many are. */
  #outcomeOfRow(target: LevelTarget, origins: number): (row: number) => RowOutcome {
    const { at, stations } = this.levels;
    const width = stations.length;
    if (origins < fewOrigins && !this.#outcomes.has(keyOf(target))) {
      const count = this.#counts(target.measure);
      return (row) => {
        const origin = Float64Array.of(at[row]!);
        const { lowest, endRow } = outcomesOf(
          this.levels,
          count,
          origin,
          Int32Array.of(row),
          target.horizonMs,
        );
        return { lowest, endRow: endRow[0]! };
      };
    }
    const { lowest, endRow } = this.#outcomesOfRows(target);
    return (row) => ({ lowest: lowest.subarray(row * width, (row + 1) * width), endRow: endRow[row]! });
  }

  #computeProfiles(target: LevelTarget, asOf: number): FallProfiles {
    const { at, knownAt, stations } = this.levels;
    this.#slots ??= Uint8Array.from(at, (instant) => this.#week.placeOf(instant).slot);
    return fallProfiles(
      {
        ...{ at, knownAt, slots: this.#slots, below: target.below },
        stations: stations.length,
        side: this.#side(target.measure, 0),
        outcomes: this.#outcomesOfRows(target),
      },
      asOf,
    );
  }

  #neighboursAt(asOf: number): readonly Int32Array[] {
    if (this.#neighbours?.asOf !== asOf) this.#neighbours = { asOf, near: neighboursOf(this.levels, asOf) };
    return this.#neighbours.near;
  }
}

const keyOf = ({ measure, horizonMs, below }: LevelTarget) => `${measure} ${horizonMs} ${below}`;
