import { fromWallClock, offsetMs, type RejectedRow } from "../../domain/index.ts";
import { rejectedRow } from "../rows.ts";
import type { FieldTypes } from "../schema-changes.ts";
import { type FileFormat, readTable } from "./table.ts";
import { timeReader } from "./time-format.ts";

/** The rows of one file in the order of their time. */
export interface Series {
  /** Start of the step, ms UTC; ascending. */
  readonly at: Float64Array;
  /** Index into `entities` of each row; all zero where the file has no entities. */
  readonly entity: Int32Array;
  readonly entities: readonly string[];
  readonly values: readonly Float64Array[];
  /** 1 where that value of the row was rejected. */
  readonly bad: readonly Uint8Array[];
  /** What could not be read, with its time where that was readable (else NaN). */
  readonly rejected: readonly { readonly at: number; readonly row: RejectedRow }[];
  readonly columns: FieldTypes;
}

export interface SeriesColumns {
  readonly stream: "observations" | "weather";
  readonly entity: string | null;
  readonly time: string;
  readonly values: readonly string[];
}

/** Reads one file. Times are parsed once for each distinct text, which is what makes a million rows cheap. */
export async function readSeries(
  path: string,
  format: FileFormat & { readonly timeIs: "utc" | "local"; readonly timeFormat?: string | undefined },
  columns: SeriesColumns,
  timeZone: string,
): Promise<Series> {
  const { stream } = columns;
  const texts = columns.entity === null ? [columns.time] : [columns.time, columns.entity];
  const table = await readTable(path, format, texts, columns.values);
  const time = table.texts[0]!;
  const entities = table.texts[1]?.distinct ?? [""];
  const entityIndex = table.texts[1]?.index ?? new Int32Array(table.rows);
  const rejected: { at: number; row: RejectedRow }[] = [];
  const receivedOf = (row: number) => ({
    ...(columns.entity === null ? {} : { [columns.entity]: entities[entityIndex[row]!] }),
    [columns.time]: time.distinct[time.index[row]!],
    ...Object.fromEntries(columns.values.map((name, i) => [name, table.numbers[i]![row]])),
  });

  // Instants of the distinct times; behind them the second instants of repeated autumn hours, by time.
  const read = timeReader(format.timeFormat);
  const instants: number[] = [];
  const second = new Map<number, number>();
  for (const text of time.distinct) instants.push(instantOf(read(text), format.timeIs, timeZone));
  for (const [i, text] of time.distinct.entries()) {
    const wall = format.timeIs === "local" ? read(text) : undefined;
    if (!wall || wall.offsetMs !== null) continue;
    const later = wall.wallMs - offsetMs(timeZone, instants[i]! + 7_200_000);
    if (later > instants[i]! && later + offsetMs(timeZone, later) === wall.wallMs) {
      second.set(i, instants.length);
      instants.push(later);
    }
  }

  const place = new Int32Array(table.rows);
  const seen = new Set<number>();
  for (let row = 0; row < table.rows; row++) {
    let index = time.index[row]!;
    const later = second.size > 0 ? second.get(index) : undefined;
    if (later !== undefined) {
      const key = index * entities.length + entityIndex[row]!;
      if (seen.has(key)) index = later;
      else seen.add(key);
    }
    place[row] = index;
    const at = instants[index]!;
    if (Number.isNaN(at)) {
      const text = time.distinct[time.index[row]!]!;
      const reason = text === "" ? "missing-field" : "bad-date";
      const detail = `${columns.time}: expected ${format.timeFormat ?? "an ISO time"}, received "${text}"`;
      rejected.push({ at, row: rejectedRow(stream, reason, detail, receivedOf(row)) });
      place[row] = -1;
    } else if (columns.entity !== null && entities[entityIndex[row]!] === "") {
      const detail = `${columns.entity}: expected an id`;
      rejected.push({ at, row: rejectedRow(stream, "missing-field", detail, receivedOf(row)) });
      place[row] = -1;
    }
  }

  const order = orderOf(place, instants);
  const inOrder = <Column extends Float64Array | Int32Array | Uint8Array>(
    column: Column,
    into: Column,
  ): Column => {
    for (let i = 0; i < order.length; i++) into[i] = column[order[i]!]!;
    return into;
  };
  const bad = columns.values.map(() => new Uint8Array(table.rows));
  for (const { column, row, text } of table.badNumbers) {
    bad[column]![row] = 1;
    const name = columns.values[column]!;
    const detail = `${name}: expected a number, received "${text}"`;
    const at = place[row] === -1 ? Number.NaN : instants[place[row]!]!;
    rejected.push({
      at,
      row: rejectedRow(stream, "bad-number", detail, { ...receivedOf(row), [name]: text }),
    });
  }
  for (const { line, problem, text } of table.badLines) {
    rejected.push({
      at: Number.NaN,
      row: rejectedRow(stream, "bad-row", `${path} line ${line}: ${problem}`, text),
    });
  }
  const at = new Float64Array(order.length);
  for (let i = 0; i < order.length; i++) at[i] = instants[place[order[i]!]!]!;
  return {
    at,
    entity: inOrder(entityIndex, new Int32Array(order.length)),
    entities,
    values: table.numbers.map((column) => inOrder(column, new Float64Array(order.length))),
    bad: bad.map((column) => inOrder(column, new Uint8Array(order.length))),
    rejected,
    columns: table.columns,
  };
}

function instantOf(
  wall: { wallMs: number; offsetMs: number | null } | undefined,
  timeIs: "utc" | "local",
  timeZone: string,
): number {
  if (!wall) return Number.NaN;
  if (wall.offsetMs !== null) return wall.wallMs - wall.offsetMs;
  return timeIs === "local" ? fromWallClock(timeZone, wall.wallMs) : wall.wallMs;
}

/** Rows by time, and in their own order where times are equal (a counting sort); rows placed at -1 are left out. */
function orderOf(place: Int32Array, instants: readonly number[]): Int32Array {
  const ranked = instants.map((_, i) => i).sort((a, b) => instants[a]! - instants[b]!);
  const counts = new Int32Array(instants.length);
  let kept = 0;
  for (const index of place) {
    if (index < 0) continue;
    counts[index]! += 1;
    kept += 1;
  }
  const next = new Int32Array(instants.length);
  let start = 0;
  for (const index of ranked) {
    next[index] = start;
    start += counts[index]!;
  }
  const order = new Int32Array(kept);
  for (let row = 0; row < place.length; row++) {
    const index = place[row]!;
    if (index >= 0) order[next[index]!++] = row;
  }
  return order;
}
