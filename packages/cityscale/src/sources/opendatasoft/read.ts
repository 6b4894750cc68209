import { CityScaleError, messageOf } from "../../core/index.ts";
import { offsetMs, type Page, parseDuration, type ReadRequest, type StreamPage } from "../../domain/index.ts";
import { advance, type Position } from "../keyset.ts";
import type { SourceContext } from "../kind.ts";
import { type FieldTypes, requireFields, schemaChanges } from "../schema-changes.ts";
import type { OpendatasoftOptions } from "./options.ts";
import { readPlaces } from "./places.ts";
import { createDataset, type Query, recordsLimit } from "./portal.ts";
import { createRowReader, type ReadRows } from "./row-reader.ts";

interface PortalSource {
  readonly declared: OpendatasoftOptions;
  readonly context: SourceContext;
  readonly measures: readonly { readonly measure: string; readonly field: string }[];
  readonly address: string;
  readonly places: string | null;
}

interface Cursor {
  readonly fields?: FieldTypes;
  /** Newest time seen as the portal orders by it, ms. */
  readonly newest: number | null;
  /** Where an unfinished read goes on. */
  readonly position: Position | null;
  readonly placesAt: number | null;
}

const dayMs = 86_400_000;
/** Fewer rows than this are read by pages of records, without an export. */
const exportFrom = 1000;

/**
 * Windows of a month: each is counted first, then exported and yielded whole, or read by pages of records when
 * it is small or the portal has no exports. A read that was cut goes on behind the last committed page.
 */
export async function* readDataset(source: PortalSource, request: ReadRequest): AsyncGenerator<Page> {
  const { declared, context } = source;
  const incremental = request.mode === "incremental";
  const cursor = (incremental ? request.cursor : null) as Cursor | null;
  const dataset = createDataset(source.address, context.http, request.signal);
  const types = await dataset.fields();
  const { time, entity } = declared.fields;
  const timeFields = typeof time === "string" ? [time] : [time.date, time.hour];
  const required = [...new Set([entity, ...timeFields, ...source.measures.map(({ field }) => field)])];
  requireFields(source.address, required, types);
  // Dates without a time of day are local ones, and conditions on them are dates too.
  const daily = typeof time !== "string" || types[time] === "date";

  const wireOf = (at: number) => (daily ? at + offsetMs(context.timeZone, at) : at);
  const end = daily ? Math.ceil(wireOf(request.to) / dayMs) * dayMs : Math.ceil(request.to / 1000) * 1000;
  const from = wireOf(request.from);
  const overlapped =
    cursor?.newest == null ? from : Math.max(from, cursor.newest - parseDuration(declared.overlap));
  const unit = daily ? dayMs : 1000;
  const start: Position = cursor?.position ?? { since: Math.floor(overlapped / unit) * unit, offset: 0 };

  const literal = (ms: number) =>
    daily ? `date'${iso(ms).slice(0, 10)}'` : `date'${iso(ms).slice(0, 19)}+00:00'`;
  const queryOf = (since: number, before: number): Query => ({
    select: required.join(","),
    where: [
      `${timeFields[0]} >= ${literal(since)} AND ${timeFields[0]} < ${literal(before)}`,
      ...(declared.where === undefined ? [] : [`(${declared.where})`]),
    ].join(" AND "),
    order_by: [...timeFields, entity].join(","),
  });

  let placesAt = cursor?.placesAt ?? null;
  const now = context.clock.now();
  let extra: StreamPage[] = [];
  if (placesAt === null || now - placesAt >= dayMs) {
    const places = source.places ? createDataset(source.places, context.http, request.signal) : null;
    const rows = await readPlaces(declared, context, dataset, places, queryOf(start.since, end).where!);
    if (rows && rows.length > 0) {
      extra = [{ stream: "entities", rows }];
      placesAt = now;
    }
  }

  let newest = cursor?.newest ?? null;
  let changes = schemaChanges(cursor?.fields, types);
  let position = start;
  let exports = true;
  const pageOf = (rows: ReadRows, next: Position | null): Page => {
    if (rows.absent.length > 0) {
      const left = Object.fromEntries(rows.names.map((name) => [name, "unknown"]));
      requireFields(source.address, rows.absent, left);
    }
    for (const at of rows.times) if (at > (newest ?? Number.NEGATIVE_INFINITY)) newest = at;
    for (const name of rows.names.filter((name) => !(name in types))) {
      types[name] = "unknown";
      changes.push(`+${name}`);
    }
    const page: Page = {
      parts: [...extra, ...rows.parts],
      rejected: rows.rejected,
      cursor: incremental ? { fields: types, newest, position: next, placesAt } : request.cursor,
      schemaChanges: changes,
      progress: next ? Math.max(0, (next.since - start.since) / Math.max(1, end - start.since)) : 1,
    };
    extra = [];
    changes = [];
    return page;
  };

  while (position.since < end || position === start) {
    const windowEnd = Math.max(position.since, Math.min(nextMonth(position.since), end));
    const window = { from: position.since, to: windowEnd };
    const after = windowEnd < end ? { since: windowEnd, offset: 0 } : null;
    const query = queryOf(position.since, windowEnd);
    let records = await dataset.records(query, position.offset);
    if (exports && records.total - position.offset > exportFrom) {
      try {
        const begin = () => createRowReader(declared, context, source.measures, window);
        yield pageOf(await dataset.export(query, records.total, begin), after);
        if (!after) return;
        position = after;
        continue;
      } catch (error) {
        if (
          !(error instanceof CityScaleError) ||
          !["SOURCE_REFUSED", "SOURCE_MALFORMED"].includes(error.code)
        ) {
          throw error;
        }
        exports = false;
        context.log.warn({ address: source.address, error: messageOf(error) }, "no export; reading by pages");
      }
    }
    for (;;) {
      const reader = createRowReader(declared, context, source.measures, { ...window, from: position.since });
      for (const row of records.rows) reader.add(row);
      const rows = reader.end();
      const last = records.rows.length < recordsLimit;
      position = last ? (after ?? position) : advance(position, rows.times);
      const done = last && !after;
      // Pages without rows are worth a cursor only at the end.
      if (rows.times.length > 0 || done) yield pageOf(rows, done ? null : position);
      if (done) return;
      if (last) break;
      records = await dataset.records(queryOf(position.since, windowEnd), position.offset);
    }
  }
}

function nextMonth(ms: number): number {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
