import { createRequire } from "node:module";
import type { HolidaysTypes } from "date-holidays";
import { dateOfDay, dayOfDate, type Holiday } from "../domain/index.ts";
import { OptionError } from "./kind.ts";

// The package's types describe a default export that its ES module entry does not have under NodeNext.
const Holidays = createRequire(import.meta.url)("date-holidays") as new (
  country?: string,
  state?: string,
) => {
  getCountries(): Record<string, string>;
  getStates(country: string): Record<string, string> | undefined;
  getHolidays(year: number): HolidaysTypes.Holiday[];
};

/** The rules of one country or region; throws OptionError when the rules do not know it. */
export function createHolidayCalendar(country: string, region: string | undefined) {
  const countries = new Holidays().getCountries();
  if (!(country in countries)) {
    throw new OptionError("country", `"${country}" is not a known country code such as AU, FR or US`);
  }
  const regions = new Holidays().getStates(country) ?? {};
  // The rules take an unknown region for the whole country without a word.
  if (region !== undefined && !(region in regions)) {
    const known = Object.keys(regions).join(", ") || "none";
    throw new OptionError("region", `"${region}" is not known in ${country}; known: ${known}`);
  }
  const rules = region === undefined ? new Holidays(country) : new Holidays(country, region);
  return {
    /** One row per local date of the years, first to last; several holidays of one date share its row. */
    dates(kind: "public" | "school", firstYear: number, lastYear: number): Holiday[] {
      const names = new Map<string, Set<string>>();
      for (let year = firstYear; year <= lastYear; year++) {
        for (const holiday of rules.getHolidays(year)) {
          if (holiday.type !== kind) continue;
          const first = dayOfDate(holiday.date.slice(0, 10));
          // A day that a clock change makes 23 or 25 hours long is still one day.
          const days = Math.max(
            1,
            Math.round((holiday.end.getTime() - holiday.start.getTime()) / 86_400_000),
          );
          for (let day = first; day < first + days; day++) {
            const date = dateOfDay(day);
            names.set(date, (names.get(date) ?? new Set()).add(holiday.name));
          }
        }
      }
      return holidaysOf(kind, names);
    },
  };
}

/** Rows in the order of their dates. */
export function holidaysOf(
  kind: "public" | "school",
  names: ReadonlyMap<string, ReadonlySet<string>>,
): Holiday[] {
  return [...names]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([date, set]) => ({ date, name: [...set].join(" / "), kind }));
}
