import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createSources } from "../../app/index.ts";
import { atomicWrite, CityScaleError, type Config, createManualClock, silentLog } from "../../core/index.ts";
import {
  type City,
  type CityDeclaration,
  CityError,
  dateOfDay,
  defineCity,
  isTimeZone,
  localDay,
} from "../../domain/index.ts";
import { timeReader } from "../../sources/index.ts";
import { UsageError } from "../exit-codes.ts";
import { type ColumnFlags, type ColumnGuess, guessColumns } from "./column-guess.ts";
import { readSample, type Sample } from "./sample.ts";

export interface CityNewFlags extends ColumnFlags {
  readonly csv: string;
  readonly timeZone: string;
  readonly name?: string;
  readonly lat?: number;
  readonly lon?: number;
  readonly delimiter?: string;
  readonly timeIs?: string;
  readonly step?: string;
  readonly country?: string;
  readonly region?: string;
  readonly places?: string;
  readonly measure: string;
  readonly weather: boolean;
}

/** What a trial read of the counts found. */
export interface TrialRead {
  readonly rows: number;
  readonly entities: number;
  /** ISO 8601, start of the first step and end of the last; null without rows. */
  readonly from: string | null;
  readonly to: string | null;
  readonly rejected: readonly { readonly reason: string; readonly rows: number; readonly example: string }[];
}

export interface CityNewReport {
  readonly city: string;
  /** The declaration that was written. */
  readonly file: string;
  readonly found: {
    readonly delimiter: string;
    readonly time: string;
    readonly timeFormat: string;
    readonly timeIs: "with offset" | "local" | "utc";
    readonly entity: string;
    readonly value: string;
    readonly step: string;
  };
  readonly read: TrialRead;
  readonly notes: readonly string[];
  /** The virtual clock at which historical data are forecast; null when they reach the present. */
  readonly clock: string | null;
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;
/** Counts that end longer ago than this are history. */
const historicalMs = 3 * dayMs;

/**
 * Looks at a CSV of counts, declares a city for it in `HOME/cities/ID.json` and reads it once for trial.
 * Throws UsageError for what cannot be told from the file or the flags; nothing is written then.
 */
export async function cityNew(
  id: string,
  flags: CityNewFlags,
  config: Config,
  now: number,
): Promise<CityNewReport> {
  const file = join(config.home, "cities", `${id}.json`);
  if (existsSync(file))
    throw new CityScaleError(
      "CONFLICT",
      `${file} exists already: change it by hand, delete it, or choose another id`,
    );
  if (!isTimeZone(flags.timeZone))
    throw new UsageError(`--time-zone ${flags.timeZone}: write an IANA zone such as Europe/Berlin`);
  const csv = existing("--csv", flags.csv);
  const sample = await readSample(csv, flags.delimiter);
  const columns = guessColumns(sample, flags);
  const timeIs = timeIsOf(flags, columns);
  const places =
    flags.places === undefined ? null : await readPlaces(existing("--places", flags.places), sample, columns);
  const step = flags.step ?? stepOf(sample, columns);
  const declare = (history?: string): CityDeclaration => ({
    id,
    name: flags.name ?? id,
    timeZone: flags.timeZone,
    location: locationOf(flags, places),
    step,
    entity: "counter",
    ...(history === undefined ? {} : { history }),
    sources: {
      counts: {
        kind: "files",
        glob: literalGlob(csv),
        ...(sample.delimiter === "," ? {} : { delimiter: sample.delimiter }),
        timeIs: timeIs === "utc" ? "utc" : "local",
        ...(columns.timeIs.format === undefined ? {} : { timeFormat: columns.timeIs.format }),
        columns: { entity: columns.entity, time: columns.time, value: columns.value },
        ...(places === null ? {} : { entities: places.declaration }),
      },
      ...(flags.weather ? { weather: { kind: "openMeteo" } } : {}),
      ...(flags.country === undefined
        ? {}
        : {
            holidays: {
              kind: "publicHolidays",
              country: flags.country,
              ...(flags.region === undefined ? {} : { region: flags.region }),
            },
          }),
    },
    measures: {
      [flags.measure]: {
        kind: "flow",
        from: "counts",
        absence: "missing",
        ...(columns.integer ? {} : { contract: { integer: false } }),
      },
    },
    targets: { [flags.measure]: {} },
  });
  const read = await trialRead(checked(declare()), now);
  if (read.rows === 0) {
    throw new UsageError(
      `${csv}: not one row could be read${read.rejected[0] ? `: ${read.rejected[0].example}` : ""}`,
      "Compare --time-format, --entity-column and --value-column with the file.",
    );
  }
  // The whole file counts as history, however old it is.
  const declaration = declare(dateOfDay(localDay(flags.timeZone, Date.parse(read.from!))));
  await atomicWrite(file, `${JSON.stringify(checked(declaration).declaration, null, 2)}\n`);
  const end = Date.parse(read.to!);
  return {
    city: id,
    file,
    found: {
      delimiter: sample.delimiter === "\t" ? "tab" : sample.delimiter,
      time: columns.time,
      timeFormat: columns.timeIs.format ?? "ISO 8601",
      timeIs,
      entity: columns.entity,
      value: columns.value,
      step,
    },
    read,
    notes: notesOf(flags, columns),
    clock: now - end > historicalMs ? new Date(end).toISOString().replace(".000Z", "Z") : null,
  };
}

function notesOf(flags: CityNewFlags, columns: ColumnGuess): string[] {
  const notes: string[] = [];
  if (!flags.weather) notes.push("no weather: declare openMeteo() later for better forecasts");
  if (flags.country === undefined) notes.push("no public holidays: --country adds them");
  if (!columns.integer) notes.push("values have decimals: the contract allows them");
  return notes;
}

function existing(flag: string, path: string): string {
  if (!existsSync(path)) throw new UsageError(`${flag} ${path}: there is no such file`);
  return resolve(path);
}

/** A path as a glob that matches only itself. */
const literalGlob = (path: string) => path.replace(/[*?[\]{}]/g, "[$&]");

function timeIsOf(flags: CityNewFlags, columns: ColumnGuess): "with offset" | "local" | "utc" {
  if (columns.timeIs.hasOffset) return "with offset";
  if (flags.timeIs !== undefined) {
    if (flags.timeIs !== "local" && flags.timeIs !== "utc")
      throw new UsageError(`--time-is ${flags.timeIs}: write local or utc`);
    return flags.timeIs;
  }
  return /utc|gmt/i.test(columns.time) ? "utc" : "local";
}

function wallTimes(sample: Sample, columns: ColumnGuess): number[] {
  const read = timeReader(columns.timeIs.format);
  const at = sample.columns.indexOf(columns.time);
  return sample.rows.flatMap((row) => read(row[at]!)?.wallMs ?? []);
}

/** The commonest distance between neighbouring distinct times. */
function stepOf(sample: Sample, columns: ColumnGuess): string {
  const times = [...new Set(wallTimes(sample, columns))].sort((a, b) => a - b);
  const counts = new Map<number, number>();
  for (let i = 1; i < times.length; i++) {
    const distance = times[i]! - times[i - 1]!;
    counts.set(distance, (counts.get(distance) ?? 0) + 1);
  }
  const [step] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [];
  if (step === undefined)
    throw new UsageError(
      `column ${columns.time}: all rows have the same time`,
      "Say how far apart rows are with --step, e.g. 1h.",
    );
  if (step % dayMs === 0 && step === dayMs) return "1d";
  if (step % hourMs === 0) return `${step / hourMs}h`;
  if (step % 60_000 === 0) return `${step / 60_000}m`;
  throw new UsageError(
    `column ${columns.time}: rows are ${step / 1000} s apart, which is no step of a calendar`,
    "Say the step with --step, e.g. 10m or 1h.",
  );
}

interface Places {
  readonly declaration: Record<string, unknown>;
  readonly mean: { readonly lat: number; readonly lon: number } | null;
}

/** A list of places by its column names and by the ids that it shares with the counts. */
async function readPlaces(path: string, counts: Sample, columns: ColumnGuess): Promise<Places> {
  const sample = await readSample(path);
  const at = counts.columns.indexOf(columns.entity);
  const ids = new Set(counts.rows.map((row) => row[at]!));
  const shared = sample.columns.map((column, i) => ({
    column,
    count: sample.rows.filter((row) => ids.has(row[i]!)).length,
  }));
  const best = shared.sort((a, b) => b.count - a.count)[0]!;
  if (best.count === 0)
    throw new UsageError(
      `--places ${path}: no column holds the ids of column ${columns.entity}, such as ${[...ids][0]}`,
    );
  const named = (pattern: RegExp) =>
    sample.columns.find((column) => column !== best.column && pattern.test(column));
  const [name, lat, lon] = [
    named(/name|label|bezeichnung|title|nom\b/i),
    named(/^(lat|latitude|breite)/i),
    named(/^(lon|lng|long|longitude|länge|laenge)/i),
  ];
  const meanOf = (column: string | undefined) => {
    const numbers =
      column === undefined
        ? []
        : sample.rows
            .map((row) => Number(row[sample.columns.indexOf(column)]))
            .filter((value) => Number.isFinite(value) && value !== 0);
    return numbers.length === 0
      ? null
      : Number((numbers.reduce((sum, value) => sum + value, 0) / numbers.length).toFixed(4));
  };
  const [meanLat, meanLon] = [meanOf(lat), meanOf(lon)];
  return {
    declaration: {
      glob: literalGlob(path),
      ...(sample.delimiter === "," ? {} : { delimiter: sample.delimiter }),
      columns: { entity: best.column, ...(name ? { name } : {}), ...(lat && lon ? { lat, lon } : {}) },
    },
    mean: meanLat === null || meanLon === null ? null : { lat: meanLat, lon: meanLon },
  };
}

function locationOf(flags: CityNewFlags, places: Places | null): { lat: number; lon: number } {
  if (flags.lat !== undefined && flags.lon !== undefined) return { lat: flags.lat, lon: flags.lon };
  if (places?.mean) return places.mean;
  throw new UsageError(
    "where the city lies is not known: give --lat and --lon, or --places with such columns",
  );
}

function checked(declaration: CityDeclaration): City {
  try {
    return defineCity(declaration);
  } catch (error) {
    if (error instanceof CityError) throw new UsageError(error.message, undefined, error);
    throw error;
  }
}

/** Reads all counts as the loop will, and keeps none. */
async function trialRead(city: City, now: number): Promise<TrialRead> {
  const { sources } = createSources(city, { clock: createManualClock(now), log: silentLog, addresses: {} });
  const entities = new Set<string>();
  const rejected = new Map<string, { rows: number; example: string }>();
  let rows = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  const signal = new AbortController().signal;
  for await (const page of sources
    .get("counts")!
    .read({ cursor: null, from: Number.NEGATIVE_INFINITY, to: now, mode: "incremental", signal })) {
    for (const part of page.parts) {
      if (part.stream !== "observations") continue;
      rows += part.validAt.length;
      for (const at of part.validAt) {
        first = Math.min(first, at);
        last = Math.max(last, at);
      }
      for (const entity of part.entity) entities.add(entity);
    }
    for (const row of page.rejected) {
      const seen = rejected.get(row.reason) ?? { rows: 0, example: row.detail };
      seen.rows++;
      rejected.set(row.reason, seen);
    }
  }
  return {
    rows,
    entities: entities.size,
    from: rows === 0 ? null : new Date(first).toISOString(),
    to: rows === 0 ? null : new Date(city.grid.endOf(city.grid.stepAt(last))).toISOString(),
    rejected: [...rejected].map(([reason, seen]) => ({ reason, ...seen })),
  };
}
