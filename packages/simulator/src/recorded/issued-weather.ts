import { type Reading, round1, type Variable, type Weather } from "../weather.ts";
import { epochMs, filesLike, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";

const HOUR = 3_600_000;

/** A forecast as it was issued: hour after hour from `fromHour` on. */
interface Issue {
  issuedHour: number;
  /** When it could be read, ms. */
  committedMs: number;
  fromHour: number;
  readings: (Reading | null)[];
}

const celsius = (fahrenheit: number) => ((fahrenheit - 32) * 5) / 9;
const kmh = (mph: number) => mph * 1.609344;

/** New York's weather: recorded hours, and each day's forecast as it was issued and committed. */
export class IssuedWeather implements Weather {
  readonly latitude = 40.71;
  readonly longitude = -73.99;
  readonly elevation = 7;
  readonly fromHour: number;
  readonly toHour: number;
  readonly variables: ReadonlySet<Variable>;
  readonly #observed: ReadonlyMap<number, Reading>;
  readonly #lastObserved: number;
  /** By hour of issue. */
  readonly #issues: readonly Issue[];

  constructor(observed: ReadonlyMap<number, Reading>, issues: readonly Issue[]) {
    this.#observed = observed;
    this.#issues = issues;
    let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const hour of observed.keys()) {
      first = Math.min(first, hour);
      last = Math.max(last, hour);
    }
    this.#lastObserved = last;
    for (const { fromHour, readings } of issues) {
      first = Math.min(first, fromHour);
      last = Math.max(last, fromHour + readings.length - 1);
    }
    this.fromHour = first;
    this.toHour = last + 1;
    this.variables = new Set(Object.keys(observed.values().next().value ?? {}) as Variable[]);
  }

  /** After the last recorded hour nothing is observed, ever. */
  knownFrom(hour: number): number {
    return hour > this.#lastObserved ? Number.POSITIVE_INFINITY : hour + 1;
  }

  observed(hour: number): Reading | null {
    return this.#observed.get(hour) ?? null;
  }

  /** What the newest forecast committed by the beginning of `issueHour` says. */
  forecast(issueHour: number, hour: number): Reading | null {
    for (let i = this.#issues.length - 1; i >= 0; i--) {
      const issue = this.#issues[i]!;
      if (issue.committedMs > issueHour * HOUR || issue.issuedHour > hour) continue;
      return issue.readings[hour - issue.fromHour] ?? null;
    }
    return null;
  }

  /**
   * A model run as archived: the forecast issued within six hours of it. One that was committed more than twelve hours
   * after the run is none that anybody could have used.
   */
  run(runHour: number, nowMs: number): ((hour: number) => Reading | null) | null {
    const issue = this.#issues.find(({ issuedHour }) => issuedHour >= runHour && issuedHour < runHour + 6);
    if (issue === undefined || issue.committedMs > Math.min(nowMs, (runHour + 12) * HOUR)) return null;
    return (hour) => issue.readings[hour - issue.fromHour] ?? null;
  }
}

/**
 * Reads hourly weather and daily forecasts recorded in US units.
 * @throws RangeError for missing files
 */
export async function readIssuedWeather(root: string, city: string): Promise<IssuedWeather> {
  const folder = await recordingFolder(root, city, "weather");
  return withDuck(async (connection) => {
    const columns =
      "temperature_2m, relativehumidity_2m, dewpoint_2m, apparent_temperature, precipitation_probability, rain, showers, snowfall, cloudcover, windspeed_10m, winddirection_10m, windgusts_10m";
    const observed = new Map<number, Reading>();
    for (const row of await textRows(
      connection,
      `SELECT (${epochMs("time_utc")} // ${HOUR})::VARCHAR AS hour, ${columns} FROM ${await filesLike(folder, "weather")} ORDER BY 1`,
    )) {
      observed.set(Number(row["hour"]), readingOf(row));
    }
    const issues = new Map<number, Issue>();
    for (const row of await textRows(
      connection,
      `SELECT (${epochMs("issued_at_utc")} // ${HOUR})::VARCHAR AS issued, ${epochMs("committed_at_utc")}::VARCHAR AS committed,
         (${epochMs("valid_at_utc")} // ${HOUR})::VARCHAR AS hour, ${columns}
       FROM ${await filesLike(folder, "forecasts")} ORDER BY issued_at_utc, valid_at_utc`,
    )) {
      const issuedHour = Number(row["issued"]);
      const hour = Number(row["hour"]);
      let issue = issues.get(issuedHour);
      if (issue === undefined) {
        issue = { issuedHour, committedMs: Number(row["committed"]), fromHour: hour, readings: [] };
        issues.set(issuedHour, issue);
      }
      while (issue.readings.length < hour - issue.fromHour) issue.readings.push(null);
      issue.readings.push(readingOf(row));
    }
    if (observed.size === 0) throw new RangeError(`the weather in ${folder} is empty`);
    return new IssuedWeather(observed, [...issues.values()]);
  });
}

function readingOf(row: Readonly<Record<string, string | null>>): Reading {
  const value = (name: string) => {
    const text = row[name];
    return text === null || text === undefined || text === "" ? Number.NaN : Number(text);
  };
  const inches = value("rain") + value("showers");
  return {
    temperature_2m: round1(celsius(value("temperature_2m"))),
    relative_humidity_2m: value("relativehumidity_2m"),
    dew_point_2m: round1(celsius(value("dewpoint_2m"))),
    apparent_temperature: round1(celsius(value("apparent_temperature"))),
    precipitation_probability: value("precipitation_probability"),
    rain: Math.round(inches * 254) / 10,
    // Seven centimetres of snow are ten millimetres of water, as the service has it.
    precipitation: Math.round((inches * 25.4 + (value("snowfall") * 25.4) / 7) * 10) / 10,
    cloud_cover: value("cloudcover"),
    wind_speed_10m: round1(kmh(value("windspeed_10m"))),
    wind_direction_10m: value("winddirection_10m"),
    wind_gusts_10m: round1(kmh(value("windgusts_10m"))),
  };
}
