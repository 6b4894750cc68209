import { localDay, localTimeOfDay, startOfLocalDay } from "../../domain/index.ts";

/** Half-hours of a weekday, a Saturday, and a Sunday or public holiday, by the local clock. */
export const slotsPerDay = 48;
export const slotCount = 3 * slotsPerDay;

/** A place in the local week. */
export interface LocalPlace {
  /** 0 .. 143: sort of day x half-hour. */
  readonly slot: number;
  /** 0 .. 24 */
  readonly hour: number;
  /** 0 = Monday */
  readonly weekday: number;
  /** 0 = weekday, 1 = Saturday, 2 = Sunday or holiday */
  readonly dayType: number;
}

/** Tells instants their place in the week of a time zone with its public holidays (local day numbers). */
export class LocalWeek {
  readonly timeZone: string;
  readonly holidays: ReadonlySet<number>;

  constructor(timeZone: string, holidays: ReadonlySet<number>) {
    this.timeZone = timeZone;
    this.holidays = holidays;
  }

  placeOf(instant: number): LocalPlace {
    const day = localDay(this.timeZone, instant);
    const hour = localTimeOfDay(this.timeZone, instant) / 3_600_000;
    const weekday = weekdayOf(day);
    const dayType = this.holidays.has(day) ? 2 : Math.max(0, weekday - 4);
    return { slot: dayType * slotsPerDay + Math.floor(hour * 2), hour, weekday, dayType };
  }
}

/** The local Monday midnight at or before an instant. */
export function mondayOf(timeZone: string, instant: number): number {
  const day = localDay(timeZone, instant);
  return startOfLocalDay(timeZone, day - weekdayOf(day));
}

/** The half-hour after a slot, on a day of the same sort. */
export const nextSlot = (slot: number): number => slot - (slot % slotsPerDay) + ((slot + 1) % slotsPerDay);

// Day 0, 1970-01-01, was a Thursday.
const weekdayOf = (day: number) => (((day + 3) % 7) + 7) % 7;
