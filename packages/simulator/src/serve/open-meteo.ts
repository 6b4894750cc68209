import { type Reading, VARIABLES, type Variable, type Weather } from "../weather.ts";
import { Zone } from "../zone.ts";
import { json, type Reply, type Request, type Service } from "./reply.ts";

const HOUR = 3_600_000;
const DAY = 86_400_000;

const ALIASES: Record<string, Variable> = {
  windspeed_10m: "wind_speed_10m",
  winddirection_10m: "wind_direction_10m",
  windgusts_10m: "wind_gusts_10m",
  relativehumidity_2m: "relative_humidity_2m",
  dewpoint_2m: "dew_point_2m",
  cloudcover: "cloud_cover",
  weathercode: "weather_code",
};

type Unit = { text: string; convert: (value: number) => number };
const SAME: Unit["convert"] = (value) => value;
const TEMPERATURE: Record<string, Unit> = {
  celsius: { text: "°C", convert: SAME },
  fahrenheit: { text: "°F", convert: (value) => (value * 9) / 5 + 32 },
};
const WIND: Record<string, Unit> = {
  kmh: { text: "km/h", convert: SAME },
  ms: { text: "m/s", convert: (value) => value / 3.6 },
  mph: { text: "mp/h", convert: (value) => value / 1.609344 },
  kn: { text: "kn", convert: (value) => value / 1.852 },
};
const RAIN: Record<string, Unit> = {
  mm: { text: "mm", convert: SAME },
  inch: { text: "inch", convert: (value) => value / 25.4 },
};

class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/**
 * Open-Meteo's forecast, archive and single runs (a forecast with `run=`), hourly. Forecasts are those issued in the
 * virtual hour of the request.
 */
export class OpenMeteo implements Service {
  readonly api = "open-meteo";
  readonly #weather: Weather;
  readonly #ownZone: string;

  /** @param ownZone what `timezone=auto` means */
  constructor(weather: Weather, ownZone: string) {
    this.#weather = weather;
    this.#ownZone = ownZone;
  }

  source(path: string): string | null {
    return path.startsWith("/v1/") ? "weather" : null;
  }

  answer(request: Request, nowMs: number): Reply {
    const { path, params } = request;
    if (path !== "/v1/forecast" && path !== "/v1/archive")
      return json(404, { error: true, reason: "Not Found" });
    try {
      const places = coordinates(params);
      const answers = places.map((place, i) => this.#place(place, i, params, path === "/v1/archive", nowMs));
      return json(200, answers.length === 1 ? answers[0] : answers);
    } catch (error) {
      if (error instanceof BadRequest) return json(400, { error: true, reason: error.message });
      throw error;
    }
  }

  #place(
    place: { latitude: number; longitude: number },
    index: number,
    params: URLSearchParams,
    archive: boolean,
    nowMs: number,
  ): Record<string, unknown> {
    const started = performance.now();
    const weather = this.#weather;
    const { zone, name } = timeZone(params.get("timezone"), this.#ownZone);
    // One offset for the whole response, that of the moment of the request: the real service's trap, kept on purpose.
    const offsetMs = zone.offsetMs(nowMs);
    const issueHour = Math.floor(nowMs / HOUR);
    const run = archive ? null : singleRun(params, weather, nowMs);
    const [fromHour, toHour] = period(params, archive, weather, run?.atMs ?? nowMs, offsetMs);
    const format = choice(params, "timeformat", ["iso8601", "unixtime"]);
    const hours = Array.from({ length: toHour - fromHour }, (_, i) => fromHour + i);
    const answer: Record<string, unknown> = {
      latitude: grid(place.latitude),
      longitude: grid(place.longitude),
      generationtime_ms: 0,
      utc_offset_seconds: offsetMs / 1000,
      timezone: name,
      timezone_abbreviation: name === "GMT" ? "GMT" : zone.abbreviation(nowMs),
      elevation: weather.elevation,
      ...(index === 0 ? {} : { location_id: index }),
    };
    const asked = (params.get("hourly") ?? "")
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    if (asked.length === 0) return { ...answer, generationtime_ms: performance.now() - started };
    const units: Record<string, string> = { time: format };
    const time = hours.map((hour) =>
      format === "unixtime" ? hour * 3600 : new Date(hour * HOUR + offsetMs).toISOString().slice(0, 16),
    );
    const columns: Record<string, unknown> = { time };
    // One reading per hour serves all plain variables; variables of earlier runs need their own.
    const seen = new Map<number, (Reading | null)[]>();
    const readings = (daysBefore: number): (Reading | null)[] => {
      let known = seen.get(daysBefore);
      if (known === undefined) {
        known = hours.map((hour) => {
          if (hour < weather.fromHour || hour >= weather.toHour) return null;
          if (run !== null) return run.reading(hour);
          if (daysBefore > 0) {
            const issued = hour - 24 * daysBefore;
            return issued <= issueHour ? weather.forecast(issued, hour) : weather.forecast(issueHour, hour);
          }
          if (weather.knownFrom(hour) <= issueHour) return weather.observed(hour);
          return archive ? null : weather.forecast(issueHour, hour);
        });
        seen.set(daysBefore, known);
      }
      return known;
    };
    for (const variable of asked) {
      const { base, daysBefore } = resolveVariable(variable, archive);
      const unit = unitOf(base, params);
      units[variable] = unit.text;
      columns[variable] = readings(daysBefore).map((reading) => {
        const value = reading?.[base];
        if (value === undefined || Number.isNaN(value)) return null;
        const converted = unit.convert(value);
        return unit.convert === SAME ? converted : Math.round(converted * 1000) / 1000;
      });
    }
    answer["generationtime_ms"] = performance.now() - started;
    return { ...answer, hourly_units: units, hourly: columns };
  }
}

/** Variables may name an earlier run, as the service's previous-runs addition does: temperature_2m_previous_day2. */
function resolveVariable(text: string, archive: boolean): { base: Variable; daysBefore: number } {
  const match = /^(.*?)(?:_previous_day([0-7]))?$/.exec(text)!;
  const name = match[1]!;
  const base = ALIASES[name] ?? (name in VARIABLES ? (name as Variable) : null);
  if (base === null || (archive && (match[2] !== undefined || base === "precipitation_probability"))) {
    throw new BadRequest(
      `Data corrupted at path ''. Cannot initialize ${archive ? "ArchiveVariable" : "ForecastVariable"} from invalid String value ${text}.`,
    );
  }
  return { base, daysBefore: Number(match[2] ?? 0) };
}

function unitOf(variable: Variable, params: URLSearchParams): Unit {
  const own = VARIABLES[variable];
  if (own === "°C") return TEMPERATURE[choice(params, "temperature_unit", Object.keys(TEMPERATURE))]!;
  if (own === "km/h") return WIND[choice(params, "wind_speed_unit", Object.keys(WIND))]!;
  if (own === "mm") return RAIN[choice(params, "precipitation_unit", Object.keys(RAIN))]!;
  return { text: own, convert: SAME };
}

/** The run asked for by its UTC time of initialisation, e.g. run=2025-09-01T06:00; null when none is. */
function singleRun(
  params: URLSearchParams,
  weather: Weather,
  nowMs: number,
): { atMs: number; reading: (hour: number) => Reading | null } | null {
  const text = params.get("run");
  if (text === null) return null;
  const ms = /^\d{4}-\d{2}-\d{2}T\d{2}:00$/.test(text) ? Date.parse(`${text}Z`) : Number.NaN;
  if (Number.isNaN(ms)) throw new BadRequest(`Invalid run: ${text}`);
  const reading = weather.run?.(ms / HOUR, nowMs) ?? null;
  if (reading === null) throw new BadRequest(`No data is available for this run: ${text}`);
  return { atMs: ms, reading };
}

/** A parameter that is one of a few words; the first is the default. */
function choice(params: URLSearchParams, name: string, words: readonly string[]): string {
  const value = params.get(name);
  if (value === null || value === "") return words[0]!;
  if (!words.includes(value)) {
    throw new BadRequest(
      `Data corrupted at path ''. Cannot initialize ${name} from invalid String value ${value}.`,
    );
  }
  return value;
}

function coordinates(params: URLSearchParams): { latitude: number; longitude: number }[] {
  const list = (name: string) =>
    (params.get(name) ?? "")
      .split(",")
      .filter((part) => part.trim() !== "")
      .map(Number);
  const [latitudes, longitudes] = [list("latitude"), list("longitude")];
  if (latitudes.length === 0 || longitudes.length === 0) {
    throw new BadRequest(
      `Parameter '${latitudes.length === 0 ? "latitude" : "longitude"}' and coordinates are required`,
    );
  }
  if (latitudes.length !== longitudes.length) {
    throw new BadRequest("Parameter 'latitude' and 'longitude' must have the same number of elements");
  }
  return latitudes.map((latitude, i) => {
    const longitude = longitudes[i]!;
    if (!(Math.abs(latitude) <= 90)) {
      throw new BadRequest(`Latitude must be in range of -90 to 90°. Given: ${decimal(latitude)}.`);
    }
    if (!(Math.abs(longitude) <= 180)) {
      throw new BadRequest(`Longitude must be in range of -180 to 180°. Given: ${decimal(longitude)}.`);
    }
    return { latitude, longitude };
  });
}

/** The hours `[from, to)` asked for. Days are the zone's at the moment of the request. */
function period(
  params: URLSearchParams,
  archive: boolean,
  weather: Weather,
  nowMs: number,
  offsetMs: number,
): [number, number] {
  const today = Math.floor((nowMs + offsetMs) / DAY);
  const [start, end] = [params.get("start_date"), params.get("end_date")];
  const hourOf = (day: number) => Math.floor((day * DAY - offsetMs) / HOUR);
  const first = Math.floor((weather.fromHour * HOUR) / DAY);
  const allowed: [number, number] = archive ? [first, today] : [first, today + 16];
  if (archive || start !== null || end !== null) {
    if (start === null || end === null) {
      throw new BadRequest(`Parameter '${start === null ? "start_date" : "end_date"}' is required`);
    }
    if (params.has("past_days") || params.has("forecast_days")) {
      throw new BadRequest(
        "Parameter 'past_days' and 'forecast_days' are mutually exclusive with 'start_date' and 'end_date'",
      );
    }
    const [from, to] = [parseDay(start), parseDay(end)];
    if (to < from) throw new BadRequest("End-date must be larger or equals than start-date");
    for (const [name, day] of [
      ["start_date", from],
      ["end_date", to],
    ] as const) {
      if (day < allowed[0] || day > allowed[1]) {
        throw new BadRequest(
          `Parameter '${name}' is out of allowed range from ${dayText(allowed[0])} to ${dayText(allowed[1])}`,
        );
      }
    }
    return [hourOf(from), hourOf(to + 1)];
  }
  const pastDays = dayCount(params, "past_days", 0, 92);
  const forecastDays = dayCount(params, "forecast_days", 7, 16);
  return [hourOf(today - pastDays), hourOf(today + forecastDays)];
}

function dayCount(params: URLSearchParams, name: string, otherwise: number, most: number): number {
  const value = params.get(name);
  if (value === null || value === "") return otherwise;
  const days = Number(value);
  if (!Number.isInteger(days) || days < 0 || days > most) {
    throw new BadRequest(`Parameter '${name}' is invalid. Allowed range 0 to ${most}. Given ${value}.`);
  }
  return days;
}

function parseDay(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(ms) || dayText(ms / DAY) !== text) {
    throw new BadRequest("Invalid date format. Make sure to use 'YYYY-MM-DD'");
  }
  return ms / DAY;
}

const zones = new Map<string, Zone>();

function timeZone(asked: string | null, own: string): { zone: Zone; name: string } {
  const name = asked === null || asked === "" || asked === "UTC" ? "GMT" : asked === "auto" ? own : asked;
  let zone = zones.get(name);
  if (zone === undefined) {
    try {
      zone = new Zone(name);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new BadRequest("Invalid timezone");
    }
    zones.set(name, zone);
  }
  return { zone, name };
}

/** The grid cell a place falls in: the service never echoes your own coordinates. */
function grid(value: number): number {
  return Math.round(value * 8) / 8;
}

function dayText(day: number): string {
  return new Date(day * DAY).toISOString().slice(0, 10);
}

/** A number as the service's language prints it: 91.0. */
function decimal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
