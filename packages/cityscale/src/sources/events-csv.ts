import { createHash } from "node:crypto";
import { z } from "zod";
import { CityScaleError } from "../core/index.ts";
import {
  type CityEvent,
  isTimeZone,
  type Page,
  type ReadRequest,
  type RejectedRow,
} from "../domain/index.ts";
import { parseCsv, requireWhole } from "./csv.ts";
import { commonOptions, type SourceContext, type SourceKind } from "./kind.ts";
import { instantOf, numberOf, rejectedRow } from "./rows.ts";
import { type FieldTypes, requireFields, schemaChanges } from "./schema-changes.ts";
import { textAddress, textAt } from "./text-file.ts";

const options = z.strictObject({
  ...commonOptions("eventsCsv", "0h"),
  /** An http(s) address, a file:// address or a path. */
  url: z.string().min(1),
});

/** City events from a CSV file: id,name,start,end,tz,lat,lon,venue,category,expected_attendance,published_at,status. */
export function eventsCsv(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "eventsCsv" as const, ...declaration };
}

export const eventsCsvKind: SourceKind<z.output<typeof options>> = {
  kind: "eventsCsv",
  description: "City events with place, time and expected attendance, from a CSV file or address.",
  options,
  create(declared, context) {
    const address = textAddress(declared.url, context.baseAddress);
    return { kind: "eventsCsv", address, read: (request) => read(address, context, request) };
  },
};

interface Cursor {
  readonly fields: FieldTypes;
  /** Hash of what was delivered last; the same file again yields no rows. */
  readonly digest: string;
}

async function* read(address: string, context: SourceContext, request: ReadRequest): AsyncGenerator<Page> {
  const cursor = (request.mode === "incremental" ? request.cursor : null) as Cursor | null;
  const text = await textAt(address, context.http, request.signal);
  const lines = parseCsv(text);
  requireWhole(address, text, lines);
  const [header, ...records] = lines;
  const names = header?.fields.map((name) => name.trim().toLowerCase()) ?? [];
  if (!names.includes("id") && text.trim().startsWith("<")) {
    const start = text.trim().replace(/\s+/g, " ").slice(0, 120);
    throw new CityScaleError("SOURCE_MALFORMED", `${address}: expected CSV, received HTML: ${start}`, {
      details: { address },
    });
  }
  const fields: FieldTypes = Object.fromEntries(names.map((name) => [name, "text"]));
  requireFields(address, ["id", "name", "start", "end"], fields);
  const rows: CityEvent[] = [];
  const rejected: RejectedRow[] = [];
  for (const record of records) {
    const row = Object.fromEntries(names.map((name, i) => [name, record.fields[i]?.trim() ?? ""]));
    const event = record.fields.length > names.length ? tooLong(record, names.length) : eventOf(row, context);
    if ("reason" in event) {
      const detail = `line ${record.line}: ${event.detail}`;
      rejected.push(rejectedRow("events", event.reason, detail, record.fields.join(",")));
    } else if (!(event.publishedAt !== null && event.publishedAt > context.clock.now())) {
      // A recorded file on a virtual clock tells of an event once it was announced.
      rows.push(event);
    }
  }
  const digest = createHash("sha256")
    .update(JSON.stringify([rows, rejected]))
    .digest("hex");
  const known = cursor?.digest === digest;
  yield {
    parts: known || rows.length === 0 ? [] : [{ stream: "events", rows }],
    rejected: known ? [] : rejected,
    cursor: request.mode === "incremental" ? { fields, digest } : request.cursor,
    schemaChanges: schemaChanges(cursor?.fields, fields),
    progress: 1,
  };
}

interface Problem {
  readonly reason: "missing-field" | "bad-number" | "bad-date" | "bad-row";
  readonly detail: string;
}

function tooLong(record: { fields: string[] }, expected: number): Problem {
  return { reason: "bad-row", detail: `expected ${expected} fields, received ${record.fields.length}` };
}

/** Numbers of an event and between what they lie; no city holds ten million visitors. */
const numberFields = [
  ["lat", -90, 90],
  ["lon", -180, 180],
  ["expected_attendance", 0, 10_000_000],
] as const;

function eventOf(row: Readonly<Record<string, string>>, context: SourceContext): CityEvent | Problem {
  const [id, name] = [row["id"] ?? "", row["name"] ?? ""];
  if (id === "") return { reason: "missing-field", detail: "id is empty" };
  if (name === "") return { reason: "missing-field", detail: "name is empty" };
  const zone = row["tz"] || context.timeZone;
  if (!isTimeZone(zone)) return { reason: "bad-date", detail: `tz: "${zone}" is not an IANA time zone` };
  const instants: Record<string, number | null> = {};
  for (const field of ["start", "end", "published_at"]) {
    const text = row[field] ?? "";
    if (text === "" && field === "published_at") instants[field] = null;
    else if (text === "") return { reason: "missing-field", detail: `${field} is empty` };
    else {
      const at = instantOf(text, zone);
      if (at === undefined)
        return { reason: "bad-date", detail: `${field}: "${text}" is not an ISO date and time` };
      instants[field] = at;
    }
  }
  const numbers: Record<string, number | null> = {};
  for (const [field, least, most] of numberFields) {
    const text = row[field] ?? "";
    const value = text === "" ? null : numberOf(text);
    if (value === undefined) return { reason: "bad-number", detail: `${field}: "${text}" is not a number` };
    if (value !== null && !(value >= least && value <= most))
      return { reason: "bad-number", detail: `${field}: ${text} is not between ${least} and ${most}` };
    numbers[field] = value;
  }
  const [startAt, endAt] = [instants["start"]!, instants["end"]!];
  if (endAt < startAt)
    return { reason: "bad-date", detail: `end ${row["end"]} is before start ${row["start"]}` };
  return {
    id,
    name,
    startAt,
    endAt,
    lat: numbers["lat"]!,
    lon: numbers["lon"]!,
    venue: row["venue"] || null,
    category: row["category"] || null,
    attendance: numbers["expected_attendance"]!,
    cancelled: /^cancell?ed$/i.test(row["status"] ?? ""),
    publishedAt: instants["published_at"]!,
  };
}
