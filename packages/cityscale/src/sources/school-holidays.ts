import { z } from "zod";
import { CityScaleError } from "../core/index.ts";
import {
  dateOfDay,
  dayOfDate,
  type Holiday,
  localDay,
  type ReadRequest,
  type RejectedRow,
} from "../domain/index.ts";
import { parseCsv, requireWhole } from "./csv.ts";
import { createHolidayCalendar, holidaysOf } from "./holiday-calendar.ts";
import { addressOf, commonOptions, OptionError, type SourceContext, type SourceKind } from "./kind.ts";
import { createDataset, type Row, recordsLimit } from "./opendatasoft/portal.ts";
import { holidayPage, yearsOf } from "./public-holidays.ts";
import { idOf, instantOf, rejectedRow } from "./rows.ts";
import { textAddress, textAt } from "./text-file.ts";

const options = z.strictObject({
  ...commonOptions("schoolHolidays", "0d"),
  /** Local dates, first and last day of each holiday. */
  table: z
    .array(z.strictObject({ name: z.string().min(1), from: z.iso.date(), to: z.iso.date() }))
    .optional(),
  /** A CSV file with name,start,end: the same table at an address or a path. */
  url: z.string().min(1).optional(),
  /** Country and region whose rules know school holidays, e.g. AU and VIC. */
  country: z.string().min(2).optional(),
  region: z.string().min(1).optional(),
  /** French zone, e.g. "Zone C", or academy, e.g. "Paris", in the ministry's calendar. */
  zone: z.string().min(1).optional(),
  location: z.string().min(1).optional(),
  domain: z.string().min(1).default("data.education.gouv.fr"),
  dataset: z.string().min(1).default("fr-en-calendrier-scolaire"),
});
type SchoolOptions = z.output<typeof options>;

/** School holidays from a table, a CSV file, rules, or the French ministry's calendar: declare one of them. */
export function schoolHolidays(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "schoolHolidays" as const, ...declaration };
}

interface Found {
  readonly rows: readonly Holiday[];
  readonly rejected: readonly RejectedRow[];
}

export const schoolHolidaysKind: SourceKind<SchoolOptions> = {
  kind: "schoolHolidays",
  description: "School holidays from a table in the city file, a CSV file, rules, or the French calendar.",
  options,
  create(declared, context) {
    const { address, find } = wayOf(declared, context);
    return {
      kind: "schoolHolidays",
      address,
      async *read(request) {
        const { rows, rejected } = await find(request);
        yield { ...holidayPage(rows, request, yearsOf(request, context)), rejected };
      },
    };
  },
};

function wayOf(declared: SchoolOptions, context: SourceContext) {
  const { table, url, country, region, zone, location } = declared;
  const ways = [table, url, country, zone ?? location].filter((way) => way !== undefined);
  if (ways.length !== 1)
    throw new OptionError("", "declare one of table, url, country (with region), or zone or location");
  if (table !== undefined) {
    for (const [i, { from, to }] of table.entries()) {
      if (to < from) throw new OptionError(`table.${i}.to`, `${to} is before ${from}`);
    }
    return {
      address: "city file",
      find: async (): Promise<Found> => ({ rows: datesOf(table), rejected: [] }),
    };
  }
  if (url !== undefined) {
    const address = textAddress(url, context.baseAddress);
    return { address, find: (request: ReadRequest) => fromCsv(address, context, request) };
  }
  if (country !== undefined) {
    const calendar = createHolidayCalendar(country, region);
    const year = new Date(context.clock.now()).getUTCFullYear();
    if (calendar.dates("school", year - 1, year).length === 0) {
      throw new OptionError(
        "country",
        `the rules of ${country}${region ? `-${region}` : ""} have no school holidays; write a table`,
      );
    }
    const find = async (request: ReadRequest): Promise<Found> => {
      const years = yearsOf(request, context);
      return { rows: calendar.dates("school", years.first, years.last), rejected: [] };
    };
    return { address: `rules:${country}${region ? `-${region}` : ""}`, find };
  }
  const path = `/api/explore/v2.1/catalog/datasets/${encodeURIComponent(declared.dataset)}`;
  const address = addressOf(`https://${declared.domain}`, path, context.baseAddress);
  return { address, find: (request: ReadRequest) => fromCalendar(declared, context, address, request) };
}

function datesOf(spans: readonly { name: string; from: string; to: string }[]): Holiday[] {
  const names = new Map<string, Set<string>>();
  for (const { name, from, to } of spans) {
    for (let day = dayOfDate(from); day <= dayOfDate(to); day++) {
      const date = dateOfDay(day);
      names.set(date, (names.get(date) ?? new Set()).add(name));
    }
  }
  return holidaysOf("school", names);
}

async function fromCsv(address: string, context: SourceContext, request: ReadRequest): Promise<Found> {
  const text = await textAt(address, context.http, request.signal);
  const lines = parseCsv(text);
  requireWhole(address, text, lines);
  const [header, ...records] = lines;
  const names = header?.fields.map((field) => field.trim().toLowerCase()) ?? [];
  const columns = ["name", "start", "end"].map((field) => names.indexOf(field));
  if (columns.includes(-1)) {
    const received = names.join(",").slice(0, 120);
    throw new CityScaleError(
      "SOURCE_MALFORMED",
      `${address}: expected a header name,start,end, received ${received}`,
      {
        details: { address },
      },
    );
  }
  const rejected: RejectedRow[] = [];
  const spans = records.flatMap(({ fields, line }) => {
    const [name, from, to] = columns.map((column) => fields[column]?.trim() ?? "") as [
      string,
      string,
      string,
    ];
    if (z.iso.date().safeParse(from).success && z.iso.date().safeParse(to).success && from <= to) {
      return [{ name, from, to }];
    }
    const detail = `line ${line}: expected dates start <= end, received ${from} and ${to}`;
    rejected.push(rejectedRow("holidays", "bad-date", detail, fields.join(",")));
    return [];
  });
  return { rows: datesOf(spans), rejected };
}

/**
 * The French calendar repeats each holiday for every academy and population. `start_date` is the midnight after
 * the last lessons, `end_date` the midnight before the first ones: the day of return is not a holiday.
 */
async function fromCalendar(
  { zone, location }: SchoolOptions,
  context: SourceContext,
  address: string,
  request: ReadRequest,
): Promise<Found> {
  const dataset = createDataset(address, context.http, request.signal);
  const quoted = (text: string) => `"${text.replaceAll('"', "")}"`;
  const where = [
    ...(zone === undefined ? [] : [`zones = ${quoted(zone)}`]),
    ...(location === undefined ? [] : [`location = ${quoted(location)}`]),
    `end_date >= date'${new Date(request.from).toISOString().slice(0, 10)}'`,
  ].join(" AND ");
  const query = {
    select: "description,population,start_date,end_date",
    where,
    order_by: "start_date,location",
  };
  const rows: Row[] = [];
  for (;;) {
    const page = await dataset.records(query, rows.length);
    rows.push(...page.rows);
    if (page.rows.length < recordsLimit) break;
  }
  const rejected: RejectedRow[] = [];
  const spans = rows.flatMap((row) => {
    // Teachers return before the children; streets follow the children.
    if (/enseignant/i.test(idOf(row["population"]) ?? "")) return [];
    const start = instantOf(idOf(row["start_date"]) ?? "", context.timeZone);
    const end = instantOf(idOf(row["end_date"]) ?? "", context.timeZone);
    if (start === undefined || end === undefined) {
      rejected.push(rejectedRow("holidays", "bad-date", "start_date, end_date: expected dates", row));
      return [];
    }
    const first = localDay(context.timeZone, start);
    const last = localDay(context.timeZone, end) - 1;
    const name = idOf(row["description"]) ?? "school holidays";
    return last >= first ? [{ name, from: dateOfDay(first), to: dateOfDay(last) }] : [];
  });
  return { rows: datesOf(spans), rejected };
}
