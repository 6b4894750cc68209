import { Cron } from "croner";
import { CityScaleError, messageOf } from "../core/index.ts";
import { fromWallClock, offsetMs } from "../domain/index.ts";

const minuteMs = 60_000;
/** No zone has ever changed its clock by more in one go, but for crossing the date line. */
const largestShiftMs = 3 * 3_600_000;

/**
 * Local-time cron. croner reads the expression and walks the WALL clock (as if it were UTC); from there the
 * rules at clock changes are ours, because croner alone runs a repeated time at its second occurrence in zones
 * that shift by half an hour:
 * - a time of day that does not exist runs at the next valid instant, a repeated one once, at its first;
 * - an expression for EVERY hour (`5 * * * *`) follows the hours that really pass: 25 runs on a day of 25
 *   hours, 23 on one of 23. Run once, an hourly forecast would leave out an hour that has its own data.
 */
interface Parsed {
  readonly cron: Cron;
  readonly everyHour: boolean;
}

const parsed = new Map<string, Parsed>();

function parse(expression: string): Parsed {
  const known = parsed.get(expression);
  if (known) return known;
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5) {
    throw new CityScaleError("CONFIG_INVALID", `cron "${expression}": write five fields, e.g. 10 4 * * *`);
  }
  let cron: Cron;
  try {
    cron = new Cron(fields.join(" "), { timezone: "UTC", paused: true });
  } catch (error) {
    throw new CityScaleError("CONFIG_INVALID", `cron "${expression}": ${messageOf(error)}`, { cause: error });
  }
  const result = { cron, everyHour: /^(\*|0-23)(\/1)?$/.test(fields[1]!) };
  if (parsed.size > 1_000) parsed.clear();
  parsed.set(expression, result);
  return result;
}

/** The first instant after `after` (exclusive) at which the expression is due. Throws CONFIG_INVALID when never. */
export function nextTime(cron: string, timeZone: string, after: number): number {
  const { cron: walk, everyHour } = parse(cron);
  let best = Number.POSITIVE_INFINITY;
  // Where the clock is set back, earlier wall times come once more.
  const lookBack = everyHour && changesNear(timeZone, after) ? largestShiftMs : minuteMs;
  let wall = Math.floor(after) + offsetMs(timeZone, after) - lookBack;
  for (;;) {
    const next = walk.nextRun(new Date(wall));
    if (!next) break;
    wall = next.getTime();
    // Times further on cannot be earlier instants than what is found, but for the width of a clock change.
    if (best < Number.POSITIVE_INFINITY && wall > best + offsetMs(timeZone, best) + largestShiftMs) break;
    for (const at of instantsOf(timeZone, wall, everyHour)) {
      if (at > after && at < best) best = at;
    }
    if (!everyHour && best < Number.POSITIVE_INFINITY) break;
    if (best < Number.POSITIVE_INFINITY && !changesNear(timeZone, best)) break;
  }
  if (best === Number.POSITIVE_INFINITY) {
    throw new CityScaleError("CONFIG_INVALID", `cron "${cron}" is never due`);
  }
  return best;
}

/** Every instant in (`from`, `to`] at which the expression is due, in order. */
export function timesBetween(cron: string, timeZone: string, from: number, to: number): number[] {
  const { cron: walk, everyHour } = parse(cron);
  const times = new Set<number>();
  let wall = Math.floor(from) + offsetMs(timeZone, from) - largestShiftMs;
  const last = to + offsetMs(timeZone, to) + largestShiftMs;
  for (;;) {
    const next = walk.nextRun(new Date(wall));
    if (!next || next.getTime() > last) break;
    wall = next.getTime();
    for (const at of instantsOf(timeZone, wall, everyHour)) {
      if (at > from && at <= to) times.add(at);
    }
  }
  return [...times].sort((a, b) => a - b);
}

/** The newest instant in (`from`, `to`] at which the expression is due; null when there is none. */
export function latestTime(cron: string, timeZone: string, from: number, to: number): number | null {
  // Looks back in growing strides: a minute's schedule after a year's pause is found at once.
  for (let stride = 2 * 3_600_000; ; stride *= 4) {
    const start = Math.max(from, to - stride);
    const found = timesBetween(cron, timeZone, start, to).at(-1);
    if (found !== undefined) return found;
    if (start <= from) return null;
  }
}

/** The instants that a wall time stands for: one, or (every hour) as many as the clock shows it, 0 to 2. */
function instantsOf(timeZone: string, wall: number, everyHour: boolean): number[] {
  if (!everyHour) return [fromWallClock(timeZone, wall)];
  const before = wall - offsetMs(timeZone, wall - 86_400_000);
  const after = wall - offsetMs(timeZone, wall + 86_400_000);
  const candidates = before === after ? [before] : [before, after];
  return candidates.filter((at) => at + offsetMs(timeZone, at) === wall);
}

function changesNear(timeZone: string, at: number): boolean {
  return offsetMs(timeZone, at - largestShiftMs) !== offsetMs(timeZone, at + largestShiftMs);
}
