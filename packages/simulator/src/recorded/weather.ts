import { smoothNoise } from "../random.ts";
import type { Reading, Variable, Weather } from "../weather.ts";
import { round1 } from "../weather.ts";
import { epochMs, filesLike, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";

const HOUR = 3_600_000;

/** A recorded column: its name in the file and how it becomes the unit kept. */
interface Column {
  variable: Variable;
  from: string;
  convert: (value: number) => number;
}

interface Site {
  latitude: number;
  longitude: number;
  elevation: number;
  stepHours: number;
  columns: readonly Column[];
  /** Whether the file has rain of the last 1 and 3 hours. */
  rain: boolean;
}

const same = (value: number) => value;
const kmh = (value: number) => value * 3.6;
const hPa = (value: number) => value / 100;
const percent = (value: number) => value * 100;

const SITES: Record<string, Site> = {
  "paris-bikes": {
    latitude: 48.717,
    longitude: 2.384,
    elevation: 89,
    stepHours: 3,
    columns: [
      { variable: "temperature_2m", from: "temp_c", convert: same },
      { variable: "relative_humidity_2m", from: "u", convert: same },
      { variable: "dew_point_2m", from: "dewpoint_c", convert: same },
      { variable: "wind_speed_10m", from: "ff", convert: kmh },
      { variable: "cloud_cover", from: "n", convert: same },
      { variable: "pressure_msl", from: "pmer", convert: hPa },
    ],
    rain: true,
  },
  "melbourne-pedestrians": {
    latitude: -37.814,
    longitude: 144.963,
    elevation: 31,
    stepHours: 1,
    columns: [
      { variable: "temperature_2m", from: "temperature", convert: same },
      { variable: "relative_humidity_2m", from: "relative_humidity", convert: percent },
      { variable: "dew_point_2m", from: "dewpoint_temperature", convert: same },
      { variable: "wind_speed_10m", from: "wind_speed", convert: kmh },
      { variable: "cloud_cover", from: "total_cloud_cover", convert: percent },
      { variable: "pressure_msl", from: "mean_sea_level_pressure", convert: hPa },
      { variable: "shortwave_radiation", from: "surface_solar_radiation", convert: same },
    ],
    rain: false,
  },
};

/** Standard deviation of a forecast's error far ahead, and the lead (h) at which half of it is reached. */
const ERRORS: Partial<Record<Variable, readonly [number, number]>> = {
  temperature_2m: [3.6, 60],
  relative_humidity_2m: [16, 40],
  dew_point_2m: [3.2, 60],
  wind_speed_10m: [8, 48],
  cloud_cover: [38, 30],
  pressure_msl: [7, 72],
  shortwave_radiation: [120, 30],
};
const LIMITS: Partial<Record<Variable, readonly [number, number]>> = {
  relative_humidity_2m: [5, 100],
  wind_speed_10m: [0, 200],
  cloud_cover: [0, 100],
  shortwave_radiation: [0, 1200],
};

/**
 * Recorded observations as hourly weather. Three-hourly ones are interpolated, and are there when the later of
 * their two observations is. Recordings hold no forecasts as they were issued: the forecasts here are a stand-in,
 * the recorded values with errors that grow with the lead, seeded by the hour of issue.
 */
export class RecordedWeather implements Weather {
  readonly latitude: number;
  readonly longitude: number;
  readonly elevation: number;
  readonly fromHour: number;
  readonly toHour: number;
  readonly variables: ReadonlySet<Variable>;
  readonly #seed: number;
  readonly #site: Site;
  readonly #values: ReadonlyMap<Variable, Float64Array>;

  constructor(seed: number, site: Site, fromHour: number, values: ReadonlyMap<Variable, Float64Array>) {
    this.#seed = seed;
    this.#site = site;
    this.#values = values;
    this.latitude = site.latitude;
    this.longitude = site.longitude;
    this.elevation = site.elevation;
    this.fromHour = fromHour;
    this.toHour = fromHour + values.values().next().value!.length;
    this.variables = new Set(values.keys());
  }

  knownFrom(hour: number): number {
    const { stepHours } = this.#site;
    return stepHours === 1 ? hour + 1 : Math.ceil(hour / stepHours) * stepHours;
  }

  observed(hour: number): Reading | null {
    if (hour < this.fromHour || hour >= this.toHour) return null;
    const reading: Reading = {};
    for (const [variable, column] of this.#values) reading[variable] = round1(column[hour - this.fromHour]!);
    if (reading.precipitation !== undefined) reading.rain = reading.precipitation;
    return reading;
  }

  forecast(issueHour: number, hour: number): Reading | null {
    const truth = this.observed(hour);
    if (truth === null) return null;
    // An hour that is not yet observed has some error even when it is over.
    const lead = Math.max(1, hour - issueHour);
    const noise = (stream: number, pace: number) =>
      0.8 * smoothNoise(this.#seed, stream, Math.floor(issueHour / 24), hour / pace) +
      0.6 * smoothNoise(this.#seed, stream + 1, issueHour, hour / pace);
    let stream = 300;
    for (const [variable, [sd, halfLead]] of Object.entries(ERRORS) as [
      Variable,
      readonly [number, number],
    ][]) {
      stream += 2;
      const value = truth[variable];
      if (value === undefined) continue;
      // The sun does not shine at night, however wrong the forecast.
      if (variable === "shortwave_radiation" && value === 0) continue;
      const [low, high] = LIMITS[variable] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
      truth[variable] = round1(
        Math.min(high, Math.max(low, value + ((sd * lead) / (lead + halfLead)) * noise(stream, 9))),
      );
    }
    if (truth.precipitation !== undefined) {
      // Rain comes early or late by hours, and more or less of it: that is how forecasts of it are wrong.
      const error = lead / (lead + 36);
      const shifted =
        this.observed(hour + Math.round(6 * error * noise(340, 24)))?.precipitation ?? truth.precipitation;
      truth.precipitation = round1(Math.max(0, shifted * Math.exp(0.8 * error * noise(342, 6))));
      truth.rain = truth.precipitation;
    }
    return truth;
  }
}

/** @throws RangeError for a city without recorded weather */
export async function readWeather(root: string, city: string, seed: number): Promise<RecordedWeather> {
  const site = SITES[city];
  if (site === undefined) throw new RangeError(`no recorded weather of '${city}' can be read`);
  const folder = await recordingFolder(root, city);
  const rows = await withDuck(async (connection) =>
    textRows(
      connection,
      `SELECT * EXCLUDE (ts_utc), (${epochMs("ts_utc")} // ${HOUR})::VARCHAR AS hour FROM ${await filesLike(folder, "weather")} ORDER BY ${epochMs("ts_utc")}`,
    ),
  );
  const hours = rows.map((row) => Number(row["hour"]));
  const [first, last] = [hours[0], hours[hours.length - 1]];
  if (first === undefined || last === undefined) throw new RangeError(`the weather in ${folder} is empty`);
  const values = new Map<Variable, Float64Array>();
  for (const { variable, from, convert } of site.columns) {
    const known = rows.map((row) => convert(number(row[from])));
    values.set(variable, interpolate(hours, known, first, last, site.stepHours));
  }
  if (site.rain) values.set("precipitation", hourlyRain(hours, rows, first, last));
  return new RecordedWeather(seed, site, first, values);
}

function number(text: string | null | undefined): number {
  return text === null || text === undefined || text === "" ? Number.NaN : Number(text);
}

/** Straight lines between observations at most three steps apart; NaN elsewhere. */
function interpolate(
  hours: readonly number[],
  known: readonly number[],
  first: number,
  last: number,
  stepHours: number,
): Float64Array {
  const column = new Float64Array(last - first + 1).fill(Number.NaN);
  let before = -1;
  for (let i = 0; i < hours.length; i++) {
    if (Number.isNaN(known[i]!)) continue;
    const [hour, value] = [hours[i]!, known[i]!];
    column[hour - first] = value;
    if (before >= 0 && hour - hours[before]! <= 3 * stepHours) {
      const [from, start] = [hours[before]!, known[before]!];
      for (let h = from + 1; h < hour; h++)
        column[h - first] = start + ((value - start) * (h - from)) / (hour - from);
    }
    before = i;
  }
  return column;
}

/** Rain of each hour from sums over the last one (`rr1`) and three (`rr3`) hours; a trace (-0.1) is none. */
function hourlyRain(
  hours: readonly number[],
  rows: readonly Record<string, string | null>[],
  first: number,
  last: number,
): Float64Array {
  const column = new Float64Array(last - first + 1).fill(Number.NaN);
  rows.forEach((row, i) => {
    const at = hours[i]! - first;
    const three = Math.max(0, number(row["rr3"]));
    const measured = Math.max(0, number(row["rr1"]));
    const one = Number.isNaN(measured) ? three / 3 : measured;
    column[at] = one;
    const rest = Number.isNaN(three) ? Number.NaN : Math.max(0, three - one) / 2;
    if (at >= 1) column[at - 1] = rest;
    if (at >= 2) column[at - 2] = rest;
  });
  return column;
}
