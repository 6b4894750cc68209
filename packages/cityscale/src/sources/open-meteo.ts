import { z } from "zod";
import { CityScaleError, isAbort, messageOf } from "../core/index.ts";
import {
  type Page,
  parseDuration,
  type ReadRequest,
  type RejectedRow,
  type WeatherPage,
  type WeatherVariable,
} from "../domain/index.ts";
import { addressOf, commonOptions, duration, type SourceContext, type SourceKind } from "./kind.ts";
import { numberOf, rejectedRow } from "./rows.ts";

const options = z.strictObject({
  ...commonOptions("openMeteo", "0h"),
  archiveHost: z.url().default("https://archive-api.open-meteo.com"),
  forecastHost: z.url().default("https://api.open-meteo.com"),
  /** Days of forecast to keep. */
  forecastDays: z.int().min(1).max(16).default(7),
  /** Age from which the archive is asked; younger days come from the forecast's own past. */
  archiveAfter: z.int().min(1).max(90).default(5),
  /**
   * Forecasts of the past as they were issued, for training: one archived model run a day, from the first read back.
   * Without them the past has observed weather only.
   */
  runs: z
    .strictObject({
      /** First day wanted; the archive of most models begins in September 2025. */
      from: z.iso.date(),
      /** Hour of the run's initialisation, UTC. */
      hour: z.int().min(0).max(23).default(0),
      /** From a run's initialisation until its forecast can be read. */
      availableAfter: duration.default("6h"),
      host: z.url().default("https://single-runs-api.open-meteo.com"),
    })
    .optional(),
});
type OpenMeteoOptions = z.output<typeof options>;

/** Observed weather and forecasts as issued, for the city's location. */
export function openMeteo(declaration: Omit<z.input<typeof options>, "kind"> = {}) {
  return { kind: "openMeteo" as const, ...declaration };
}

/** Open-Meteo's names; units are those of `weatherVariables` with wind asked for in m/s. */
const names: Readonly<Record<WeatherVariable, string>> = {
  temperature: "temperature_2m",
  dewPoint: "dew_point_2m",
  humidity: "relative_humidity_2m",
  rain: "precipitation",
  wind: "wind_speed_10m",
  cloud: "cloud_cover",
  pressure: "pressure_msl",
  radiation: "shortwave_radiation",
};
const variables = Object.keys(names) as WeatherVariable[];

interface Cursor {
  /** Start of the newest observed hour that was delivered. */
  readonly observedThrough: number | null;
  /** Archived runs still to be read, by their initialisation, ms UTC; absent before the first of them. */
  readonly runs?: { readonly next: number; readonly until: number };
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;

export const openMeteoKind: SourceKind<OpenMeteoOptions> = {
  kind: "openMeteo",
  description: "Hourly weather from Open-Meteo: the archive, the last days, and forecasts as issued.",
  options,
  create(declared, context) {
    const archive = addressOf(declared.archiveHost, "/v1/archive", context.baseAddress);
    const forecast = addressOf(declared.forecastHost, "/v1/forecast", context.baseAddress);
    return {
      kind: "openMeteo",
      address: forecast,
      read: async function* (request) {
        let cursor: Cursor | null = null;
        for await (const page of read(declared, context, archive, forecast, request)) {
          cursor = page.cursor as Cursor;
          yield page;
        }
        // After the present: what is being forecast now does not wait for the past.
        if (request.mode === "incremental") yield* readRuns(declared, context, request, cursor);
      },
    };
  },
};

/**
 * The archive a year at a time, then the last days with the forecast. When one of the two fails, the other is
 * delivered first and the failure is thrown at the end.
 */
async function* read(
  declared: OpenMeteoOptions,
  context: SourceContext,
  archive: string,
  forecast: string,
  request: ReadRequest,
): AsyncGenerator<Page> {
  const { signal } = request;
  const incremental = request.mode === "incremental";
  const cursor = (incremental ? request.cursor : null) as Cursor | null;
  const now = context.clock.now();
  const thisHour = Math.floor(now / hourMs) * hourMs;
  const today = Math.floor(now / dayMs) * dayMs;
  const through = cursor?.observedThrough ?? null;
  const from =
    through === null ? request.from : Math.max(request.from, through - parseDuration(declared.overlap));
  const observedEnd = Math.min(request.to, thisHour);
  const archiveEnd = Math.min(observedEnd, today - declared.archiveAfter * dayMs);
  let observed = through;
  let failure: unknown;

  const cursorNow = () =>
    incremental
      ? { observedThrough: observed, ...(cursor?.runs ? { runs: cursor.runs } : {}) }
      : request.cursor;
  for (let start = Math.floor(from / dayMs) * dayMs; start < archiveEnd; ) {
    const year = new Date(start).getUTCFullYear();
    const end = Math.min(Date.UTC(year + 1, 0, 1), Math.ceil(archiveEnd / dayMs) * dayMs);
    let hours: Hours | null;
    try {
      hours = await archiveHours(archive, context, start, end - dayMs, signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      // The archive stays behind the cursor and is asked again at the next read.
      failure = error;
      context.log.warn(
        { address: archive, error: messageOf(error) },
        "the weather archive could not be read",
      );
      break;
    }
    if (hours === null) {
      start = end;
      continue;
    }
    const page = pageOf(hours, null, Math.max(start, from), Math.min(end, archiveEnd));
    if (page.validAt.length > 0) observed = Math.max(observed ?? 0, page.validAt.at(-1)!);
    yield {
      parts: page.validAt.length > 0 ? [page] : [],
      rejected: hours.rejected,
      cursor: cursorNow(),
      schemaChanges: [],
      progress: (end - from) / Math.max(1, observedEnd - from),
    };
    start = end;
  }

  if (incremental || request.to > archiveEnd) {
    const recentFrom = Math.max(from, Math.min(archiveEnd, observedEnd));
    const pastDays = Math.min(92, Math.max(0, Math.ceil((today - recentFrom) / dayMs)));
    const url = addressWith(forecast, context, { past_days: pastDays, forecast_days: declared.forecastDays });
    try {
      const hours = hoursOf(await context.http.json(url, { signal, errorIn }), url, context.location);
      const past = pageOf(hours, null, recentFrom, observedEnd);
      const coming = pageOf(hours, thisHour, thisHour, Number.POSITIVE_INFINITY);
      const parts = incremental ? [past, coming] : [past];
      if (failure === undefined && past.validAt.length > 0)
        observed = Math.max(observed ?? 0, past.validAt.at(-1)!);
      yield {
        parts: parts.filter((part) => part.validAt.length > 0),
        rejected: hours.rejected,
        cursor: cursorNow(),
        schemaChanges: [],
        progress: 1,
      };
    } catch (error) {
      if (isAbort(error) || failure === undefined) throw error;
      throw new CityScaleError(
        "SOURCE_UNREACHABLE",
        `archive and forecast failed: ${messageOf(failure)}; ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
  if (failure !== undefined) throw failure;
}

/** Archived runs on one page: each is a request of its own, and a page is a transaction. */
const runsPerPage = 30;

/** The runs that were published before the first read. A run that the archive lacks is left out. */
async function* readRuns(
  declared: OpenMeteoOptions,
  context: SourceContext,
  request: ReadRequest,
  cursor: Cursor | null,
): AsyncGenerator<Page> {
  const { runs } = declared;
  if (!runs || !cursor) return;
  const available = parseDuration(runs.availableAfter);
  const first = Math.ceil(Math.max(Date.parse(runs.from), request.from) / dayMs) * dayMs + runs.hour * hourMs;
  let { next, until } = cursor.runs ?? { next: first, until: context.clock.now() - available };
  const address = addressOf(runs.host, "/v1/forecast", context.baseAddress);
  const length = until - next;
  while (next <= until) {
    const parts: WeatherPage[] = [];
    const rejected: RejectedRow[] = [];
    for (let n = 0; n < runsPerPage && next <= until; n++, next += dayMs) {
      const run = new Date(next).toISOString().slice(0, 16);
      const url = addressWith(address, context, { run, forecast_days: declared.forecastDays });
      try {
        const body = await context.http.json(url, { signal: request.signal, errorIn });
        const hours = hoursOf(body, url, context.location);
        const page = pageOf(hours, next, next, Number.POSITIVE_INFINITY);
        rejected.push(...hours.rejected);
        if (page.validAt.length > 0) parts.push({ ...page, publishedAt: next + available });
      } catch (error) {
        if (!/no data is available for this run/i.test(messageOf(error))) throw error;
      }
    }
    yield {
      parts,
      rejected,
      cursor: { ...cursor, runs: { next, until } },
      schemaChanges: [],
      progress: length > 0 ? 1 - Math.max(0, until - next) / length : 1,
    };
  }
}

/** The hours of some days, first to last; null when the archive does not reach so far. */
async function archiveHours(
  archive: string,
  context: SourceContext,
  firstDay: number,
  lastDay: number,
  signal: AbortSignal,
): Promise<Hours | null> {
  const ask = async (first: string, last: string) => {
    const url = addressWith(archive, context, { start_date: first, end_date: last });
    return hoursOf(await context.http.json(url, { signal, errorIn }), url, context.location);
  };
  const [first, last] = [dateOf(firstDay), dateOf(lastDay)];
  try {
    return await ask(first, last);
  } catch (error) {
    // The archive refuses a whole range that is partly outside of its own, and names its own.
    const range = /out of allowed range from (\d{4}-\d{2}-\d{2}) to (\d{4}-\d{2}-\d{2})/.exec(
      messageOf(error),
    );
    if (!range) throw error;
    const [low, high] = [range[1]!, range[2]!];
    const [clippedFirst, clippedLast] = [first > low ? first : low, last < high ? last : high];
    if (clippedFirst > clippedLast) return null;
    if (clippedFirst === first && clippedLast === last) throw error;
    return ask(clippedFirst, clippedLast);
  }
}

/** Errors come with a status of their own; where something between has lost it, the words are still there. */
function errorIn(body: unknown): { status: number; message: string } | null {
  const { error, reason } = (body ?? {}) as { error?: unknown; reason?: unknown };
  return error === true ? { status: 500, message: typeof reason === "string" ? reason : "an error" } : null;
}

interface Hours {
  readonly validAt: Float64Array;
  readonly values: Readonly<Record<WeatherVariable, Float64Array>>;
  readonly rejected: readonly RejectedRow[];
}

function hoursOf(body: unknown, url: string, location: SourceContext["location"]): Hours {
  const hourly = (body as { hourly?: unknown } | null)?.hourly as Record<string, unknown> | undefined;
  const time = hourly?.["time"];
  if (!hourly || !Array.isArray(time)) {
    throw new CityScaleError("SOURCE_MALFORMED", `${url}: expected an object with hourly.time`, {
      details: { url },
    });
  }
  // It answers for the nearest point of its grid, some kilometres away at most; elsewhere is another place's weather.
  const { latitude } = body as { latitude?: unknown };
  if (typeof latitude === "number" && Math.abs(latitude - location.lat) > 2) {
    throw new CityScaleError("SOURCE_MALFORMED", `${url}: received the weather at latitude ${latitude}`, {
      details: { url },
    });
  }
  const rejected: RejectedRow[] = [];
  const validAt = Float64Array.from(time, (value: unknown) => {
    if (typeof value === "number" && Number.isFinite(value)) return value * 1000;
    rejected.push(rejectedRow("weather", "bad-date", "hourly.time: expected seconds", value));
    return Number.NaN;
  });
  const columns = variables.map((variable): [WeatherVariable, Float64Array] => {
    const column = hourly[names[variable]];
    const values = new Float64Array(time.length).fill(Number.NaN);
    if (column === undefined) return [variable, values];
    if (!Array.isArray(column) || column.length !== time.length) {
      throw new CityScaleError(
        "SOURCE_MALFORMED",
        `${url}: expected ${time.length} values of ${names[variable]}, received ${Array.isArray(column) ? column.length : "none"}`,
        { details: { url } },
      );
    }
    for (let i = 0; i < values.length; i++) {
      const value = numberOf(column[i]);
      if (value !== undefined) values[i] = value;
      else {
        const received = { time: time[i], [names[variable]]: column[i] };
        rejected.push(
          rejectedRow("weather", "bad-number", `${names[variable]}: expected a number or null`, received),
        );
      }
    }
    return [variable, values];
  });
  if (columns.every(([variable]) => hourly[names[variable]] === undefined)) {
    throw new CityScaleError("SOURCE_SCHEMA_CHANGED", `${url}: none of the variables asked for came`, {
      details: { url },
    });
  }
  return { validAt, values: Object.fromEntries(columns) as Record<WeatherVariable, Float64Array>, rejected };
}

/** The hours of [from, to) that have at least one value, in order. */
function pageOf(hours: Hours, issuedAt: number | null, from: number, to: number): WeatherPage {
  const kept: number[] = [];
  for (let i = 0; i < hours.validAt.length; i++) {
    const at = hours.validAt[i]!;
    if (at >= from && at < to && variables.some((variable) => !Number.isNaN(hours.values[variable][i])))
      kept.push(i);
  }
  const pick = (column: Float64Array) => Float64Array.from(kept, (i) => column[i]!);
  const values: Partial<Record<WeatherVariable, Float64Array>> = {};
  for (const variable of variables) values[variable] = pick(hours.values[variable]);
  return { stream: "weather", issuedAt, validAt: pick(hours.validAt), values };
}

function addressWith(
  address: string,
  context: SourceContext,
  range: Record<string, string | number>,
): string {
  const { lat, lon } = context.location;
  const query = {
    latitude: String(lat),
    longitude: String(lon),
    hourly: variables.map((variable) => names[variable]).join(","),
    // Local times would carry one offset for the whole answer, wrong on the other side of a clock change.
    timezone: "GMT",
    timeformat: "unixtime",
    wind_speed_unit: "ms",
  };
  const parts = Object.entries({ ...query, ...range }).map(([name, value]) => `${name}=${value}`);
  return `${address}?${parts.join("&")}`;
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
