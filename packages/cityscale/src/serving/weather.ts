import { formatLocal } from "../domain/index.ts";
import type { FeatureSet } from "../features/index.ts";

/** The weather that a set of features was made with. */
export interface WeatherState {
  readonly basis: "issued" | "none";
  readonly issuedAt: number | null;
  readonly missing: number;
  readonly rows: number;
}

export function weatherOf(set: FeatureSet): WeatherState {
  let issuedAt: number | null = null;
  let missing = 0;
  for (let i = 0; i < set.rows; i++) {
    if (set.weatherIssued[i] !== 1) missing++;
    else if (Number.isFinite(set.weatherIssuedAt[i]!))
      issuedAt = Math.max(issuedAt ?? 0, set.weatherIssuedAt[i]!);
  }
  return { basis: missing < set.rows ? "issued" : "none", issuedAt, missing, rows: set.rows };
}

/** Weather older than this is told on every forecast it touches. */
const oldWeatherMs = 12 * 3_600_000;

/** What a forecast must say of its weather. */
export function weatherNotes(weather: WeatherState, originAt: number, timeZone: string): string[] {
  if (weather.basis === "none") return ["made without weather: no forecast of it was known at the origin"];
  const notes: string[] = [];
  if (weather.missing > 0)
    notes.push(`the weather forecast does not reach ${weather.missing} of ${weather.rows} rows`);
  if (weather.issuedAt !== null && originAt - weather.issuedAt > oldWeatherMs) {
    notes.push(`made with old weather, issued ${formatLocal(timeZone, weather.issuedAt)}`);
  }
  return notes;
}
