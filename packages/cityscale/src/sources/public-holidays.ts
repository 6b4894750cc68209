import { z } from "zod";
import type { Holiday, Page, ReadRequest } from "../domain/index.ts";
import { createHolidayCalendar } from "./holiday-calendar.ts";
import { commonOptions, type SourceContext, type SourceKind } from "./kind.ts";

const options = z.strictObject({
  ...commonOptions("publicHolidays", "0d"),
  /** ISO 3166 code: AU, FR, US. */
  country: z.string().min(2),
  /** State or region as the rules name it, e.g. NSW. */
  region: z.string().min(1).optional(),
});

/** Public holidays by rule, with substitute days. */
export function publicHolidays(country: string, region?: string) {
  return { kind: "publicHolidays" as const, country, ...(region === undefined ? {} : { region }) };
}

export const publicHolidaysKind: SourceKind<z.output<typeof options>> = {
  kind: "publicHolidays",
  description: "Public holidays of a country or region, from rules; nothing is asked over the network.",
  options,
  create({ country, region }, context) {
    const calendar = createHolidayCalendar(country, region);
    return {
      kind: "publicHolidays",
      address: `rules:${country}${region ? `-${region}` : ""}`,
      async *read(request) {
        const years = yearsOf(request, context);
        yield holidayPage(calendar.dates("public", years.first, years.last), request, years);
      },
    };
  },
};

/** Holidays are known ahead: the years of the request and the one after the clock's. */
export function yearsOf(request: ReadRequest, context: SourceContext): { first: number; last: number } {
  const first = new Date(request.from).getUTCFullYear();
  const last = request.mode === "range" ? request.to : context.clock.now();
  return { first, last: Math.max(first, new Date(last).getUTCFullYear() + 1) };
}

/** The whole calendar as one page; it is small, and the same rows again change nothing. */
export function holidayPage(rows: readonly Holiday[], request: ReadRequest, cursor: unknown): Page {
  return {
    parts: rows.length > 0 ? [{ stream: "holidays", rows }] : [],
    rejected: [],
    cursor: request.mode === "incremental" ? cursor : request.cursor,
    schemaChanges: [],
    progress: 1,
  };
}
