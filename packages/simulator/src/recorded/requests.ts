import { hash4, uniform } from "../random.ts";
import { Zone } from "../zone.ts";
import { filesLike, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;

/** A day of which only a part was loaded at first. */
export interface HalfLoadedDay {
  /** YYYY-MM-DD, local. */
  date: string;
  /** Share of its records that came with the first load. */
  share: number;
  /** When the rest came. */
  wholeAtMs: number;
}

/** The name under which the recordings keep the sum of fourteen types; nine of them are recorded nowhere else. */
const TOTAL = "TOTAL of the 14 listed types";
/** What those nine are called here; the recordings do not name them, so a ninth each is as good as anything. */
const UNRECORDED = [
  "Abandoned Vehicle",
  "Blocked Driveway",
  "Noise - Commercial",
  "Noise - Vehicle",
  "PAINT/PLASTER",
  "PLUMBING",
  "Street Condition",
  "UNSANITARY CONDITION",
  "Water System",
];
/** All other records of a day. */
const OTHER = "Other";

/** A single record as recorded; every value as text or null. */
export type RawRequest = Readonly<Record<string, string | null>>;

/**
 * Some records that share their day, their type and their load: a recorded number of them, or one that was recorded
 * itself. A number below zero makes up for a day whose total was recorded when it was half loaded, and its types later.
 */
export interface RequestUnit {
  /** Days since 1970-01-01, local. */
  day: number;
  type: string;
  count: number;
  /** When it was loaded, ms. */
  publishedMs: number;
  /** Id of its first record. */
  key: number;
  raw: RawRequest | null;
  /** When a recorded one was touched again (closed), ms; NaN if it never was. */
  touchedMs: number;
}

export interface RecordedRequests {
  /** By day. */
  units: readonly RequestUnit[];
  /** All instants at which something was loaded, ascending. */
  loadsMs: Float64Array;
}

/** New York's local days from the first to the last of the recordings, as instants. */
export async function requestsPeriod(root: string): Promise<{ fromMs: number; toMs: number }> {
  const folder = await recordingFolder(root, "nyc-311");
  const zone = new Zone("America/New_York");
  return withDuck(async (connection) => {
    const [row] = await textRows(
      connection,
      `SELECT min("date") AS first, max("date") AS last FROM ${await filesLike(folder, "daily_total")}`,
    );
    if (row?.["first"] == null || row["last"] == null)
      throw new RangeError(`the totals in ${folder} are empty`);
    return {
      fromMs: zone.toUtcMs(Date.parse(row["first"])),
      toMs: zone.toUtcMs(Date.parse(row["last"]) + DAY),
    };
  });
}

/**
 * Reads New York's daily totals, daily counts of some types and raw rows, and makes records of them that add up to
 * what was recorded. Each night at 02:30 the day before is loaded, a few of its records a night later; a raw record
 * is touched once more after it was closed.
 * @param delayMs from the end of a day to its load; the night's without it
 */
export async function readRequests(
  root: string,
  seed: number,
  halfLoaded: readonly HalfLoadedDay[],
  delayMs?: number,
): Promise<RecordedRequests> {
  const folder = await recordingFolder(root, "nyc-311");
  const zone = new Zone("America/New_York");
  const [totals, types, raw] = await withDuck(async (connection) => [
    await textRows(connection, `SELECT * FROM ${await filesLike(folder, "daily_total")} ORDER BY "date"`),
    await textRows(connection, `SELECT * FROM ${await filesLike(folder, "daily_by_type")} ORDER BY ALL`),
    await textRows(
      connection,
      `SELECT * FROM ${await filesLike(folder, "raw_rows")} ORDER BY created_date, unique_key`,
    ),
  ]);
  const days = new Map<number, { total: number | null; types: Map<string, number>; raw: RawRequest[] }>();
  const dayAt = (text: string | null | undefined) => {
    const ms = Date.parse(`${text?.slice(0, 10)}T00:00:00Z`);
    if (Number.isNaN(ms)) throw new RangeError(`'${text}' in ${folder} is not a date`);
    const day = ms / DAY;
    let found = days.get(day);
    if (found === undefined) {
      found = { total: null, types: new Map(), raw: [] };
      days.set(day, found);
    }
    return found;
  };
  for (const row of totals) dayAt(row["date"]).total = Number(row["count"]);
  for (const row of types) dayAt(row["date"]).types.set(row["complaint_type"]!, Number(row["count"]));
  for (const row of raw) dayAt(row["created_date"]).raw.push(row);

  const loadOf = (day: number) =>
    delayMs === undefined
      ? zone.toUtcMs((day + 1) * DAY + 2.5 * HOUR)
      : zone.toUtcMs((day + 1) * DAY) + delayMs;
  const lastDay = Math.max(...days.keys());
  // Nothing is loaded after the last day was: a later load without rows of its own day would say that it had none.
  const within = (ms: number) => Math.min(ms, loadOf(lastDay));
  const units: RequestUnit[] = [];
  let key = 10_000_000;
  for (const [day, recorded] of [...days].sort(([a], [b]) => a - b)) {
    const half = halfLoaded.find(({ date }) => Date.parse(date) === day * DAY);
    const add = (type: string, count: number, draw: number) => {
      const late = Math.floor(0.03 * count * uniform(seed, 500, day, draw));
      const first = half === undefined ? count - late : Math.round(half.share * count);
      const rest = half === undefined ? within(loadOf(day + 1)) : half.wholeAtMs;
      for (const [part, publishedMs] of [
        [count > 0 ? first : count, loadOf(day)],
        [count > 0 ? count - first : 0, rest],
      ] as const) {
        if (part === 0) continue;
        units.push({ day, type, count: part, publishedMs, key, raw: null, touchedMs: Number.NaN });
        key += Math.abs(part);
      }
    };
    for (const row of recorded.raw) {
      const closed = Date.parse(`${row["closed_date"]?.slice(0, 10)}T00:00:00Z`) / DAY;
      const touchedMs = closed > day ? within(loadOf(closed)) : Number.NaN;
      const publishedMs =
        half === undefined || uniform(seed, 501, day, Number(row["unique_key"])) < half.share
          ? loadOf(day)
          : half.wholeAtMs;
      const type = row["complaint_type"] ?? OTHER;
      units.push({ day, type, count: 1, publishedMs, key: Number(row["unique_key"]), raw: row, touchedMs });
    }
    let [draw, named, all] = [0, 0, recorded.raw.length];
    for (const [type, count] of recorded.types) {
      if (type === TOTAL) continue;
      add(type, count, draw++);
      named += count;
    }
    const listed = recorded.types.get(TOTAL);
    if (listed !== undefined) {
      const rest = listed - named;
      for (const [i, type] of UNRECORDED.entries())
        add(type, Math.floor((rest + i) / UNRECORDED.length), draw++);
    }
    all += listed ?? named;
    if (recorded.total !== null) add(OTHER, recorded.total - all, draw++);
  }
  const loads = new Set<number>();
  for (const { publishedMs, touchedMs } of units) {
    loads.add(publishedMs);
    if (!Number.isNaN(touchedMs)) loads.add(touchedMs);
  }
  return { units, loadsMs: Float64Array.from(loads).sort() };
}

/** Whether the borough of a recorded record is found out only when it is closed. */
export function isPlacedLate(unit: RequestUnit): boolean {
  return !Number.isNaN(unit.touchedMs) && hash4(unit.key, 502, 0, 0) % 10 === 0;
}
