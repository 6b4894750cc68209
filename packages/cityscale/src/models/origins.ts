import {
  type City,
  fromWallClock,
  localDay,
  offsetMs,
  parseDuration,
  startOfLocalDay,
  type Target,
} from "../domain/index.ts";
import { type FeatureView, isFar } from "../features/index.ts";
import { timesBetween } from "../jobs/index.ts";

const dayMs = 86_400_000;

/** Origins in time order with the number of leads of each. */
export interface Origins {
  readonly at: Float64Array;
  readonly leads: Int32Array;
}

/** The instant one horizon after an origin; whole days are local days (23, 24 or 25 hours). */
function endOfHorizon(city: City, origin: number, horizonMs: number): number {
  if (horizonMs % dayMs !== 0) return origin + horizonMs;
  return fromWallClock(city.timeZone, origin + offsetMs(city.timeZone, origin) + horizonMs);
}

/** Leads 1..n that a horizon covers: lead 1 is the step that contains, or begins at, the origin. */
export function leadsOf(city: City, origin: number, horizon: string): number {
  const end = endOfHorizon(city, origin, parseDuration(horizon));
  return Math.max(1, city.grid.stepAt(end - 1) - city.grid.stepAt(origin) + 1);
}

function withLeads(city: City, at: readonly number[], horizon: string): Origins {
  return {
    at: Float64Array.from(at),
    leads: Int32Array.from(at, (origin) => leadsOf(city, origin, horizon)),
  };
}

/** Origins every so often from a local date on: whole days at local midnight, anything else by the clock. */
export function regularOrigins(
  city: City,
  fromDay: number,
  toDay: number,
  every: string,
  horizon: string,
): Origins {
  const everyMs = parseDuration(every);
  const at: number[] = [];
  if (everyMs % dayMs === 0) {
    for (let day = fromDay; day <= toDay; day += everyMs / dayMs)
      at.push(startOfLocalDay(city.timeZone, day));
  } else {
    const end = startOfLocalDay(city.timeZone, toDay + 1);
    for (let origin = startOfLocalDay(city.timeZone, fromDay); origin < end; origin += everyMs)
      at.push(origin);
  }
  return withLeads(city, at, horizon);
}

/** The origins that the target's forecast schedule would have had in (from, to]. */
export function scheduledOrigins(city: City, target: Target, from: number, to: number): Origins {
  return withLeads(city, timesBetween(target.schedule.forecast, city.timeZone, from, to), target.horizon);
}

/**
 * At most `most` of the origins, evenly; the stride shares no factor with 24 or 7, so that every hour of the day
 * and every weekday stays among them.
 */
export function thinOrigins(origins: Origins, most: number): Origins {
  const count = origins.at.length;
  if (count <= most) return origins;
  let stride = Math.ceil(count / most);
  while (stride % 2 === 0 || stride % 3 === 0 || stride % 7 === 0) stride++;
  const keep = Array.from({ length: Math.ceil(count / stride) }, (_, i) => count - 1 - i * stride).reverse();
  return {
    at: Float64Array.from(keep, (i) => origins.at[i]!),
    leads: Int32Array.from(keep, (i) => origins.leads[i]!),
  };
}

/** The first day's leads alone: of origins a day apart, each step once. */
export function firstDay(origins: Origins, slotsPerDay: number): Origins {
  return { at: origins.at, leads: origins.leads.map((leads) => Math.min(leads, slotsPerDay)) };
}

/** Origins strictly before an instant. */
export function originsBefore(origins: Origins, before: number): Origins {
  const count = origins.at.findIndex((at) => at >= before);
  return count < 0 ? origins : { at: origins.at.slice(0, count), leads: origins.leads.slice(0, count) };
}

/**
 * Local day from which on there are origins to train on: the data's first one and the eight weeks that a seasonal
 * expectation wants; far beyond the newest counts there is none, and every day teaches.
 */
export function firstTrainingDay(city: City, view: FeatureView, firstStepAt: number): number {
  return localDay(city.timeZone, firstStepAt) + (isFar(view) ? 1 : 57);
}

/** Start of the calibration window before `cut`, or the newest fifth of the origins where the history is short. */
export function calibrationStart(origins: Origins, cut: number, windowMs: number): number {
  const fifth = origins.at[Math.floor(origins.at.length * 0.8)]!;
  return Math.max(cut - windowMs, fifth);
}
