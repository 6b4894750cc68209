import type { City, WeatherBasis } from "../../domain/index.ts";
import type { Connection } from "../../lake/index.ts";
import type { WeatherMode } from "../request.ts";
import { rowAt } from "./levels.ts";

export const hourMs = 3_600_000;

/** Hours before and after an origin's whose rain features look at. */
export const rainHours = { before: 3, after: 2 } as const;

/** A forecast that reaches further than this is none. */
const longestLeadMs = 72 * hourMs;

/** Whether a source of the city tells its weather. */
export const hasWeather = ({ sources }: Pick<City, "sources">): boolean =>
  Object.values(sources).some((source) => source.kind === "openMeteo" || source["weather"] !== undefined);

/** Where the weather of an origin comes from: see `WeatherMode`. */
export type LevelWeatherMode = Extract<WeatherMode, "issued" | "issued-or-observed" | "none">;

/**
 * The rain of each hour as it was known at an instant: what was observed, and where that was not known yet, what the
 * newest forecast said. With `issued-or-observed`, for training on history of which no forecast was kept, an hour of
 * which nothing was known is as it was later observed.
 *
 * Rain alone, of all weather: over weeks of training temperature and wind tell the season, and cost more than they
 * gain in the next.
 */
export class LevelWeather {
  /** Rows by hour, and within an hour forecasts by their issue, then what was observed. */
  readonly #validAt: Float64Array;
  readonly #issuedAt: Float64Array;
  readonly #knownAt: Float64Array;
  readonly #rain: Float64Array;
  readonly #mode: LevelWeatherMode;

  constructor(rows: Readonly<Record<string, Float64Array>>, mode: LevelWeatherMode) {
    this.#validAt = rows["valid_at"]!;
    this.#issuedAt = rows["issued_at"]!;
    this.#knownAt = rows["known_at"]!;
    this.#rain = rows["rain"]!;
    this.#mode = mode;
  }

  /** Of the hour that begins at `hour` (ms UTC), mm; NaN where nothing is known of it. */
  rain(hour: number, knownBy: number): number {
    const row = this.#knownRow(hour, knownBy);
    return row >= 0 ? this.#rain[row]! : this.#standIn(hour);
  }

  /** What the rain around some origins is: as known or forecast then, as later observed around some of them, or none. */
  basisOf(origins: Float64Array): WeatherBasis {
    let basis: WeatherBasis = "none";
    for (const origin of origins) {
      for (let k = 0; k <= rainHours.after; k++) {
        const hour = (Math.floor(origin / hourMs) + k) * hourMs;
        if (this.#knownRow(hour, origin) >= 0) basis = "issued";
        else if (!Number.isNaN(this.#standIn(hour))) return "observed";
      }
    }
    return basis;
  }

  /** When the newest forecast known at an instant was issued, ms UTC; null without one. */
  issuedAt(knownBy: number): number | null {
    let newest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.#issuedAt.length; i++)
      if (this.#knownAt[i]! <= knownBy && this.#issuedAt[i]! > newest) newest = this.#issuedAt[i]!;
    return Number.isFinite(newest) ? newest : null;
  }

  #knownRow(hour: number, knownBy: number): number {
    for (let i = rowAt(this.#validAt, hour); i >= 0 && this.#validAt[i] === hour; i--)
      if (this.#knownAt[i]! <= knownBy && !Number.isNaN(this.#rain[i]!)) return i;
    return -1;
  }

  /** As later observed: observations come last within an hour. */
  #standIn(hour: number): number {
    const last = rowAt(this.#validAt, hour);
    const isObserved = last >= 0 && this.#validAt[last] === hour && Number.isNaN(this.#issuedAt[last]!);
    return isObserved && this.#mode === "issued-or-observed" ? this.#rain[last]! : Number.NaN;
  }
}

/** The weather that features of origins in [from, until] look at, ms UTC. */
export async function readLevelWeather(
  connection: Connection,
  { from, until }: { readonly from: number; readonly until: number },
  mode: LevelWeatherMode,
): Promise<LevelWeather> {
  const [first, last] = [from - (rainHours.before + 1) * hourMs, until + rainHours.after * hourMs];
  return new LevelWeather(
    await connection.numbers(`
      SELECT valid_at, issued_at, known_at, rain FROM weather
      WHERE valid_at BETWEEN ${Math.floor(first)} AND ${Math.ceil(last)} AND known_at <= ${Math.floor(until)}
        AND (issued_at IS NULL OR valid_at - issued_at <= ${longestLeadMs})
      ORDER BY valid_at, issued_at NULLS LAST, known_at`),
    mode,
  );
}
