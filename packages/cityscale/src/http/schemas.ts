import { z } from "zod";
import { CityScaleError, type ErrorCode, errorCodes } from "../core/index.ts";
import { dayOfDate, startOfLocalDay } from "../domain/index.ts";

/** The one shape of every answer that is an error. */
export const errorSchema = z.object({
  error: z.object({
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    hint: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
});

const inRange = (text: string) => Number(text.slice(0, 4)) >= 1900 && Number(text.slice(0, 4)) < 2200;

/** An instant in a request. */
export const instant = z.iso
  .datetime({ offset: true, error: "write an instant such as 2026-01-26T09:00:00Z" })
  .refine(inRange, "lies outside the years 1900 to 2199")
  .describe("ISO 8601 with Z or an offset, e.g. 2026-01-26T09:00:00+11:00");

/** An instant, or a local date of the city that stands for its first instant. */
export const instantOrDate = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], {
    error: "write an instant such as 2026-01-26T09:00:00Z, or a local date such as 2026-01-26",
  })
  .refine(inRange, "lies outside the years 1900 to 2199")
  .describe("ISO 8601 with Z or an offset, or a date on the city's calendar");

/** A date on the city's calendar. */
export const localDate = z.iso
  .date("write a local date such as 2026-01-26")
  .refine(inRange, "lies outside the years 1900 to 2199")
  .describe("A date on the city's calendar");

/** Milliseconds of what `instant` or `instantOrDate` let through. */
export function msOf(text: string, timeZone: string): number {
  return text.length === 10 ? startOfLocalDay(timeZone, dayOfDate(text)) : Date.parse(text);
}

/** A period [from, to) in ms. Throws REQUEST_INVALID when it ends before it begins. */
export function periodOf(
  query: { from?: string | undefined; to?: string | undefined },
  timeZone: string,
): { from?: number; to?: number } {
  const from = query.from === undefined ? undefined : msOf(query.from, timeZone);
  const to = query.to === undefined ? undefined : msOf(query.to, timeZone);
  if (from !== undefined && to !== undefined && to <= from) {
    throw new CityScaleError(
      "REQUEST_INVALID",
      `the period ends (${query.to}) before it begins (${query.from})`,
    );
  }
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

/** ISO 8601 in UTC. */
export const time = z.string().describe("ISO 8601, UTC");
export const localTime = z.string().describe("ISO 8601 on the city's wall clock, with its offset");

export const limitOf = (standard: number, most: number) =>
  z.coerce.number<string>().int().min(1).max(most).default(standard).describe(`Rows wanted, at most ${most}`);

/** Where a page of a list ended: the whole numbers of its last row's place. */
export const cursorText = (numbers: number) =>
  z
    .string()
    .regex(
      new RegExp(`^-?\\d{1,15}(\\.-?\\d{1,15}){${numbers - 1}}$`),
      "write the `nextCursor` of the page before",
    )
    .describe("`nextCursor` of the page before");
export const numbersOf = (cursor: string) => cursor.split(".").map(Number);

/** A name or id in a request: long enough for any real one. */
export const word = z.string().min(1).max(200);
export const reason = z.string().trim().min(1).max(500).describe("Why; it is kept in the log");

export const cityParams = z.strictObject({ city: word });

export const attribution = z.array(
  z.object({ publisher: z.string(), licence: z.string(), url: z.string().optional() }),
);

/** The same value with instants (numbers named `at` or `...At`) as text. */
export type IsoTimes<T> = T extends readonly (infer Item)[]
  ? IsoTimes<Item>[]
  : T extends object
    ? {
        -readonly [Key in keyof T]: Key extends "at" | `${string}At`
          ? T[Key] extends number
            ? string
            : T[Key] extends number | null
              ? string | null
              : T[Key]
          : IsoTimes<T[Key]>;
      }
    : T;

/** Rewrites milliseconds named `at` or `...At` as ISO 8601 in UTC, however deep they lie. */
export function isoTimes<T>(value: T): IsoTimes<T> {
  if (Array.isArray(value)) return value.map(isoTimes) as IsoTimes<T>;
  if (value === null || typeof value !== "object") return value as IsoTimes<T>;
  const out: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    const isInstant = typeof inner === "number" && (key === "at" || key.endsWith("At"));
    out[key] = isInstant ? iso(inner) : isoTimes(inner);
  }
  return out as IsoTimes<T>;
}

const longTables = ["byLead", "byEntity", "byEntityAndLead"];

/** Leaves the long tables by lead and by entity out of scores, however deep they lie: lists stay short. */
export function brief<T>(value: T): T {
  if (Array.isArray(value)) return value.map(brief) as T;
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([key]) => !longTables.includes(key));
  return Object.fromEntries(kept.map(([key, inner]) => [key, brief(inner)])) as T;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}
