import Holidays from "date-holidays";
import type { CityParameters } from "./parameters.ts";

const DAY = 86_400_000;

/** Days are numbers: whole days since 1970-01-01 of the local calendar. */
export interface DayInfo {
  /** 0 = Monday. */
  weekday: number;
  /** 0..364 or 365. */
  dayOfYear: number;
  month: number;
  dayOfMonth: number;
  /** Name of a public holiday, or null. */
  holiday: string | null;
  holidayTomorrow: boolean;
  schoolHoliday: boolean;
  /** 0..1: how far offices are emptied by the summer and year-end break. */
  yearEnd: number;
  /** -1 = mid-winter, 1 = mid-summer. */
  summer: number;
}

export interface SchoolBreak {
  name: string;
  /** First free day and the day classes resume, YYYY-MM-DD. */
  start: string;
  end: string;
}

/** The city's local calendar: public holidays from `date-holidays`, school breaks by rule. */
export class Calendar {
  readonly #city: CityParameters;
  readonly #years = new Map<number, Map<string, string>>();
  readonly #days = new Map<number, DayInfo>();
  readonly #breaks = new Map<number, SchoolBreak[]>();
  readonly #holidays: Holidays;

  constructor(city: CityParameters) {
    this.#city = city;
    this.#holidays =
      city.region === "" ? new Holidays(city.country) : new Holidays(city.country, city.region);
  }

  day(number: number): DayInfo {
    let info = this.#days.get(number);
    if (info === undefined) {
      info = this.#make(number);
      this.#days.set(number, info);
    }
    return info;
  }

  /** Public holidays of a year, by local date. */
  publicHolidays(year: number): Map<string, string> {
    let known = this.#years.get(year);
    if (known === undefined) {
      known = new Map();
      for (const holiday of this.#holidays.getHolidays(year) ?? []) {
        if (holiday.type === "public") known.set(holiday.date.slice(0, 10), holiday.name);
      }
      this.#years.set(year, known);
    }
    return known;
  }

  /** School breaks that begin in a year: two weeks around Easter, two in early July and from late September, and summer. */
  schoolBreaks(year: number): SchoolBreak[] {
    let known = this.#breaks.get(year);
    if (known === undefined) {
      const south = this.#city.latitude < 0;
      const span = (name: string, fromMonth: number, fromDay: number, weeks: number): SchoolBreak => {
        const first = saturdayOnOrAfter(Date.UTC(year, fromMonth - 1, fromDay) / DAY);
        return { name, start: dateText(first), end: dateText(first + weeks * 7 + 2) };
      };
      known = south
        ? [
            span("Autumn holidays", 4, 5, 2),
            span("Winter holidays", 7, 1, 2),
            span("Spring holidays", 9, 24, 2),
            span("Summer holidays", 12, 18, 6),
          ]
        : [
            span("Winter holidays", 2, 12, 2),
            span("Spring holidays", 4, 10, 2),
            span("Summer holidays", 7, 3, 8),
            span("Autumn holidays", 10, 18, 2),
            span("Christmas holidays", 12, 18, 2),
          ];
      this.#breaks.set(year, known);
    }
    return known;
  }

  #make(number: number): DayInfo {
    const date = new Date(number * DAY);
    const text = dateText(number);
    const year = date.getUTCFullYear();
    const tomorrow = dateText(number + 1);
    const breaks = [...this.schoolBreaks(year - 1), ...this.schoolBreaks(year)];
    const month = date.getUTCMonth() + 1;
    const dayOfMonth = date.getUTCDate();
    const dayOfYear = number - Date.UTC(year, 0, 1) / DAY;
    const toNewYear = month === 12 ? dayOfMonth - 32 : month === 1 ? dayOfMonth - 1 : 99;
    // Empties from 18 December, emptiest between Christmas and New Year, back by 20 January.
    const yearEnd =
      toNewYear < 0 ? clamp((toNewYear + 14) / 7) : toNewYear < 20 ? clamp(1 - toNewYear / 20) : 0;
    const hemisphere = this.#city.latitude < 0 ? 1 : -1;
    return {
      weekday: (((number + 3) % 7) + 7) % 7,
      dayOfYear,
      month,
      dayOfMonth,
      holiday: this.publicHolidays(year).get(text) ?? null,
      holidayTomorrow: this.publicHolidays(Number(tomorrow.slice(0, 4))).has(tomorrow),
      schoolHoliday: breaks.some((span) => text >= span.start && text < span.end),
      yearEnd,
      summer: hemisphere * Math.cos((2 * Math.PI * (dayOfYear - 18)) / 365.25),
    };
  }
}

/** YYYY-MM-DD of a day number. */
export function dateText(day: number): string {
  return new Date(day * DAY).toISOString().slice(0, 10);
}

function saturdayOnOrAfter(day: number): number {
  return day + ((5 - ((day + 3) % 7) + 7) % 7);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
