import { glob, stat } from "node:fs/promises";
import { isAbsolute, relative, resolve } from "node:path";
import { CityScaleError } from "../../core/index.ts";
import {
  type Entity,
  type Page,
  parseDuration,
  type ReadRequest,
  type RejectedRow,
  type StreamPage,
  type WeatherPage,
  type WeatherVariable,
} from "../../domain/index.ts";
import type { SourceContext } from "../kind.ts";
import { instantOf, ObservationColumns, rejectedRow } from "../rows.ts";
import { type FieldTypes, schemaChanges } from "../schema-changes.ts";
import type { FilesOptions } from "./options.ts";
import { readSeries, type Series, type SeriesColumns } from "./series.ts";
import { readTable } from "./table.ts";

export interface FilesSource {
  readonly declared: FilesOptions;
  readonly context: SourceContext;
  readonly measures: readonly { readonly measure: string; readonly field: string }[];
  readonly folder: string;
  /** Files that hold rows of the clock's future, so that a replay does not parse them at each of its hours. */
  readonly held: Map<string, { readonly version: string; readonly series: Series }>;
}

/** How far a file has been read. */
interface FileState {
  /** Size and time of change. */
  readonly version: string;
  /** Newest time read, ms; null = none. */
  readonly through: number | null;
  /** Every row has been read. */
  readonly complete: boolean;
}

interface Cursor {
  readonly files: Record<string, FileState>;
  readonly columns: Record<string, FieldTypes>;
}

/** A kind of rows and the files they are in. */
interface Group {
  readonly name: "counts" | "weather";
  readonly columns: SeriesColumns;
  readonly format: Parameters<typeof readSeries>[1];
  readonly glob: string;
  pageOf(series: Series, from: number, to: number): StreamPage[];
}

const pageRows = 50_000;
const hourMs = 3_600_000;

/**
 * New files are read whole; changed ones from the overlap before what was read (whole when nothing newer is in
 * them, since then older rows were corrected); unchanged ones only for rows that the clock has reached meanwhile.
 */
export async function* readFiles(source: FilesSource, request: ReadRequest): AsyncGenerator<Page> {
  const { declared, context } = source;
  const incremental = request.mode === "incremental";
  const given = (incremental ? request.cursor : null) as Cursor | null;
  const cursor: Cursor = { files: { ...given?.files }, columns: { ...given?.columns } };
  const overlap = parseDuration(declared.overlap);
  const lag = parseDuration(declared.publicationLag);
  const now = context.clock.now();
  const cursorNow = () => (incremental ? structuredClone(cursor) : request.cursor);

  if (declared.entities) {
    for (const file of await filesOf(source, declared.entities.glob)) {
      if (cursor.files[file.name]?.version === file.version) continue;
      const { rows, rejected, columns } = await readEntities(source, file.path);
      cursor.files[file.name] = { version: file.version, through: null, complete: true };
      const changes = schemaChanges(cursor.columns["entities"], columns);
      cursor.columns["entities"] = columns;
      yield page(rows.length > 0 ? [{ stream: "entities", rows }] : [], rejected, cursorNow(), changes, null);
    }
  }

  for (const group of groupsOf(source)) {
    const files = await filesOf(source, group.glob);
    for (const [done, file] of files.entries()) {
      request.signal.throwIfAborted();
      const before = cursor.files[file.name];
      const same = before?.version === file.version;
      if (same && before.complete) continue;
      const held = source.held.get(file.path);
      const series =
        held?.version === file.version
          ? held.series
          : await readSeries(file.path, group.format, group.columns, context.timeZone);
      const changes = schemaChanges(cursor.columns[group.name], series.columns);
      cursor.columns[group.name] = series.columns;

      const available = (at: number) =>
        (group.name === "counts" ? context.grid.endOf(context.grid.stepAt(at)) : at + hourMs) + lag <= now;
      const end = firstWhere(series.at, (at) => at >= request.to || !available(at));
      const newest = series.at.at(-1) ?? null;
      let from = request.from;
      if (same) from = Math.max(from, (before.through ?? Number.NEGATIVE_INFINITY) + 1);
      else if (before?.through != null && newest !== null && newest > before.through) {
        from = Math.max(from, before.through - overlap);
      }
      // Rows without a readable time are told once for each version of a file.
      let untimed = same ? [] : series.rejected.filter(({ at }) => Number.isNaN(at));
      const timed = series.rejected.filter(({ at }) => !Number.isNaN(at));
      let start = Math.min(lowerBound(series.at, from), end);
      let reached = from;
      let through = same ? before.through : null;
      for (;;) {
        const stop = cut(series.at, start, end);
        const last = stop >= end;
        if (stop > start) through = Math.max(through ?? Number.NEGATIVE_INFINITY, series.at[stop - 1]!);
        const complete = last && end === series.at.length;
        cursor.files[file.name] = { version: file.version, through, complete };
        const until = last ? request.to : series.at[stop - 1]! + 1;
        const rejected = timed.filter(({ at }) => at >= reached && at < until && available(at));
        yield page(
          group.pageOf(series, start, stop),
          [...untimed, ...rejected].map(({ row }) => row),
          cursorNow(),
          changes.splice(0),
          (done + (end > 0 ? stop / end : 1)) / files.length,
        );
        untimed = [];
        reached = until;
        start = stop;
        if (!last) continue;
        if (complete) source.held.delete(file.path);
        else source.held.set(file.path, { version: file.version, series });
        break;
      }
    }
  }
  yield page([], [], cursorNow(), [], 1);
}

function page(
  parts: StreamPage[],
  rejected: RejectedRow[],
  cursor: unknown,
  changes: string[],
  progress: number | null,
): Page {
  return { parts, rejected, cursor, schemaChanges: changes, progress };
}

function groupsOf({ declared, measures }: FilesSource): Group[] {
  const groups: Group[] = [];
  if (declared.columns && declared.glob !== undefined) {
    const { entity, time } = declared.columns;
    groups.push({
      name: "counts",
      glob: declared.glob,
      format: declared,
      columns: { stream: "observations", entity, time, values: measures.map(({ field }) => field) },
      pageOf: (series, from, to) =>
        measures.flatMap(({ measure }, m) => {
          const columns = new ObservationColumns(measure, to - from);
          for (let i = from; i < to; i++) {
            if (series.bad[m]![i] === 0)
              columns.add(series.entities[series.entity[i]!]!, series.at[i]!, series.values[m]![i]!);
          }
          return columns.length > 0 ? [columns.page()] : [];
        }),
    });
  }
  if (declared.weather) {
    const { time, ...columns } = declared.weather.columns;
    const variables = (Object.keys(columns) as WeatherVariable[]).flatMap((variable) => {
      const column = columns[variable];
      if (column === undefined) return [];
      return [{ variable, ...(typeof column === "string" ? { column, scale: 1, offset: 0 } : column) }];
    });
    groups.push({
      name: "weather",
      glob: declared.weather.glob,
      format: declared.weather,
      columns: { stream: "weather", entity: null, time, values: variables.map(({ column }) => column) },
      pageOf: (series, from, to): WeatherPage[] => {
        if (to <= from) return [];
        const values: Partial<Record<WeatherVariable, Float64Array>> = {};
        for (const [v, { variable, scale, offset }] of variables.entries()) {
          const bad = series.bad[v]!.subarray(from, to);
          const read = series.values[v]!.subarray(from, to);
          values[variable] = read.map((value, i) => (bad[i] === 1 ? Number.NaN : value * scale + offset));
        }
        return [{ stream: "weather", issuedAt: null, validAt: series.at.slice(from, to), values }];
      },
    });
  }
  return groups;
}

/** End of a page: about `pageRows` rows, never between rows of one time, since a cursor is a time. */
function cut(at: Float64Array, start: number, end: number): number {
  if (end - start <= pageRows) return end;
  const stop = lowerBound(at, at[start + pageRows]!);
  return stop > start ? stop : Math.min(end, lowerBound(at, at[start]! + 1));
}

/** First position whose time is not before `limit`. */
function lowerBound(at: Float64Array, limit: number): number {
  return firstWhere(at, (value) => value >= limit);
}

/** First position from which `test` holds on; it holds for no earlier time. */
function firstWhere(at: Float64Array, test: (value: number) => boolean): number {
  let low = 0;
  let high = at.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(at[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

async function filesOf({ folder }: FilesSource, pattern: string) {
  const found: { path: string; name: string; version: string }[] = [];
  for await (const match of glob(pattern, { cwd: folder })) {
    const path = isAbsolute(match) ? match : resolve(folder, match);
    const info = await stat(path);
    if (!info.isFile()) continue;
    const name = relative(folder, path);
    found.push({ path, name, version: `${info.size} ${Math.round(info.mtimeMs)}` });
  }
  if (found.length === 0) {
    throw new CityScaleError("SOURCE_UNREACHABLE", `no file matches ${pattern} in ${folder}`, {
      details: { folder, pattern },
    });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readEntities({ declared, context }: FilesSource, path: string) {
  const entities = declared.entities!;
  const { entity, name, lat, lon, opened, retired } = entities.columns;
  const texts = [entity, name, opened, retired].filter((column) => column !== undefined);
  const numbers = [lat, lon].filter((column) => column !== undefined);
  const table = await readTable(path, entities, texts, numbers);
  const textAt = (column: string | undefined, row: number) => {
    if (column === undefined) return "";
    const { distinct, index } = table.texts[texts.indexOf(column)]!;
    return distinct[index[row]!]!;
  };
  const numberAt = (column: string | undefined, row: number) => {
    const value = column === undefined ? Number.NaN : table.numbers[numbers.indexOf(column)]![row]!;
    return Number.isFinite(value) ? value : null;
  };
  const rows: Entity[] = [];
  const rejected = table.badLines.map(({ line, problem, text }) =>
    rejectedRow("entities", "bad-row", `${path} line ${line}: ${problem}`, text),
  );
  for (let row = 0; row < table.rows; row++) {
    const id = textAt(entity, row);
    if (id === "") {
      rejected.push(rejectedRow("entities", "missing-field", `${entity}: expected an id`, textAt(name, row)));
      continue;
    }
    rows.push({
      entity: id,
      name: textAt(name, row) || null,
      lat: numberAt(lat, row),
      lon: numberAt(lon, row),
      openedAt: instantOf(textAt(opened, row), context.timeZone) ?? null,
      retiredAt: instantOf(textAt(retired, row), context.timeZone) ?? null,
      attributes: {},
    });
  }
  return { rows, rejected, columns: table.columns };
}
