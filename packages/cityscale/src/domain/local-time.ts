/**
 * Local wall-clock time of an IANA zone, without the machine's own zone ever being asked.
 * A "local day" is a whole number: days since 1970-01-01 on the local calendar.
 */
const dayMs = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formats.set(timeZone, format);
  }
  return format;
}

/** True when the runtime knows the zone. */
export function isTimeZone(timeZone: string): boolean {
  try {
    formatOf(timeZone);
    return true;
  } catch {
    return false;
  }
}

const offsetCache = new Map<string, Map<number, number>>();

/** Offset of local time from UTC at an instant, in milliseconds (local = UTC + offset). */
export function offsetMs(timeZone: string, at: number): number {
  // Offsets only change on quarter hours, so one look-up serves each quarter hour.
  const quarter = Math.floor(at / 900_000);
  let cache = offsetCache.get(timeZone);
  if (!cache) {
    cache = new Map();
    offsetCache.set(timeZone, cache);
  }
  const known = cache.get(quarter);
  if (known !== undefined) return known;
  const instant = quarter * 900_000;
  const parts: Record<string, number> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(instant)) parts[type] = Number(value);
  const wall = Date.UTC(
    parts["year"]!,
    parts["month"]! - 1,
    parts["day"],
    parts["hour"],
    parts["minute"],
    parts["second"],
  );
  const offset = wall - instant;
  if (cache.size > 400_000) cache.clear();
  cache.set(quarter, offset);
  return offset;
}

/** Local day number of an instant. */
export function localDay(timeZone: string, at: number): number {
  return Math.floor((at + offsetMs(timeZone, at)) / dayMs);
}

/** Milliseconds since local midnight on the wall clock (0..86,399,999). */
export function localTimeOfDay(timeZone: string, at: number): number {
  const wall = at + offsetMs(timeZone, at);
  return wall - Math.floor(wall / dayMs) * dayMs;
}

/**
 * The instant at which a wall clock shows `wallMs` (milliseconds of the wall time read as if it were UTC).
 * A time that does not exist (spring) gives the first valid instant after it; a repeated one (autumn) the first.
 */
export function fromWallClock(timeZone: string, wallMs: number): number {
  const before = wallMs - offsetMs(timeZone, wallMs - dayMs);
  const after = wallMs - offsetMs(timeZone, wallMs + dayMs);
  const early = Math.min(before, after);
  const late = Math.max(before, after);
  if (early + offsetMs(timeZone, early) === wallMs) return early;
  if (late + offsetMs(timeZone, late) === wallMs) return late;
  // The wall time falls into a gap: find the instant of the change between the two candidates.
  let low = early;
  let high = late;
  const offsetLow = offsetMs(timeZone, low);
  while (high - low > 900_000) {
    const middle = Math.floor((low + high) / 1_800_000) * 900_000;
    if (middle <= low) break;
    if (offsetMs(timeZone, middle) === offsetLow) low = middle;
    else high = middle;
  }
  return Math.floor(high / 900_000) * 900_000;
}

/** The instant at which a local day begins. */
export function startOfLocalDay(timeZone: string, day: number): number {
  return fromWallClock(timeZone, day * dayMs);
}

/** Day number of `YYYY-MM-DD`. Throws RangeError when it is not a date. */
export function dayOfDate(date: string): number {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date);
  const ms = match ? Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3])) : Number.NaN;
  if (!match || new Date(ms).toISOString().slice(0, 10) !== date) {
    throw new RangeError(`"${date}" is not a date; write YYYY-MM-DD`);
  }
  return ms / dayMs;
}

/** `YYYY-MM-DD` of a day number. */
export function dateOfDay(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10);
}

/** An instant as local wall time with its offset, e.g. `2021-08-10T01:00:00+02:00`. */
export function formatLocal(timeZone: string, at: number): string {
  const offset = offsetMs(timeZone, at);
  const minutes = Math.round(Math.abs(offset) / 60_000);
  const pad = (value: number) => String(value).padStart(2, "0");
  const zone = `${offset < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
  return new Date(at + offset).toISOString().slice(0, 19) + zone;
}
