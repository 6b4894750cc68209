import { createHash } from "node:crypto";
import {
  type CompletePage,
  offsetMs,
  type Page,
  parseDuration,
  type ReadRequest,
} from "../../domain/index.ts";
import { advance, type Position } from "../keyset.ts";
import type { SourceContext } from "../kind.ts";
import { isoOf } from "../rows.ts";
import { type FieldTypes, requireFields, schemaChanges } from "../schema-changes.ts";
import { createDataset, type Query, type Row } from "./dataset.ts";
import type { Series, SocrataOptions } from "./options.ts";
import { type Range, ranges, yearsOf } from "./ranges.ts";
import { countAs, createRowReader, dayAs } from "./row-reader.ts";

interface SocrataSource {
  readonly declared: SocrataOptions;
  readonly context: SourceContext;
  readonly measure: string;
  readonly address: string;
  readonly metadata: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A read that has begun: first the records of each series read by rows, then the ranges of steps. */
interface Plan {
  readonly startedAt: number;
  /** The publisher's last load that this read takes in. */
  readonly loadedAt: number;
  /** Steps up to here are complete. */
  readonly through: number;
  /** Everything is read, not only what changed. */
  readonly whole: boolean;
  /** Records touched since are read, ms UTC. */
  readonly since: number;
  readonly series: number;
  readonly position: Position | null;
  readonly ranges: readonly Range[];
}

interface Cursor {
  readonly fields: FieldTypes;
  /** The series that were read; others are read anew. */
  readonly declared: string;
  readonly loadedAt: number | null;
  readonly through: number | null;
  /** Every entity that the declared series have had. */
  readonly entities: readonly string[];
  /** Ranges in which a row could not be read. */
  readonly again: readonly Range[];
  readonly plan: Plan | null;
}

const updated = ":updated_at";

/**
 * Reads what changed since the last read: records by `:updated_at`, and the counts of the days that they touch. A step
 * is complete when the publisher has loaded since its end and the publication lag is over; only complete steps are
 * counted. A read that was cut goes on behind the last committed page.
 */
export async function* readRecords(source: SocrataSource, request: ReadRequest): AsyncGenerator<Page> {
  const { declared, context } = source;
  const { grid } = context;
  const incremental = request.mode === "incremental";
  const cursor = (incremental ? request.cursor : null) as Cursor | null;
  const dataset = createDataset(source, context.http, { signal: request.signal, headers: source.headers });
  const info = await dataset.info();
  const rowSeries = declared.series.filter((series) => series.read === "rows");
  const countSeries = declared.series.filter((series) => series.read === "counts");
  requireFields(
    source.address,
    [
      declared.created,
      ...(rowSeries.length > 0 ? [declared.key] : []),
      ...declared.series.flatMap((series) => series.by),
    ].filter((name) => !name.startsWith(":")),
    info.fields,
  );
  const fingerprint = createHash("sha256").update(JSON.stringify(declared.series)).digest("hex").slice(0, 16);
  const known = cursor?.declared === fingerprint ? cursor : null;
  const start = grid.startOf(grid.stepAt(request.from));

  let plan = known?.plan ?? (await newPlan());
  let again = [...(known?.again ?? [])];
  let changes = schemaChanges(cursor?.fields, info.fields);
  const named = new Set<string>();
  const last = request.cursor as Cursor | null;
  const entities = new Set(last?.declared === fingerprint ? last.entities : []);
  const total = Math.max(1, plan.ranges.length);

  const page = (parts: Page["parts"], rejected: Page["rejected"], next: Plan): Page => {
    const done = next.series >= rowSeries.length && next.ranges.length === 0;
    plan = next;
    for (const entity of named) entities.add(entity);
    const made: Page = {
      parts,
      rejected,
      cursor: incremental
        ? {
            fields: info.fields,
            declared: fingerprint,
            loadedAt: done ? next.loadedAt : (known?.loadedAt ?? null),
            through: done ? Math.max(next.through, known?.through ?? 0) : (known?.through ?? null),
            entities: [...entities],
            again,
            plan: done ? null : next,
          }
        : request.cursor,
      schemaChanges: changes,
      progress: done
        ? 1
        : 1 - (next.ranges.length + (rowSeries.length - next.series)) / (total + rowSeries.length),
    };
    changes = [];
    return made;
  };

  for (let i = plan.series; i < rowSeries.length; i++) {
    const series = rowSeries[i]!;
    let position = plan.position ?? { since: Math.floor(plan.since / 1000) * 1000, offset: 0 };
    // To the end of everything where records are read by their last change, not by their own time.
    const range = { from: start, to: incremental ? Number.POSITIVE_INFINITY : plan.through };
    for (;;) {
      const rows = await dataset.rows({
        select: [declared.key, declared.created, ...series.by, updated].join(","),
        where: whereOf(series, range, `${updated} >= '${new Date(position.since).toISOString()}'`),
        order: `${updated},:id`,
        limit: declared.pageSize,
        offset: position.offset,
      });
      // A short page may be a server's own limit: the end is a page without rows.
      if (rows.length === 0) break;
      const reader = createRowReader(declared, context, source.measure, named, range);
      for (const row of rows) reader.record(series, row);
      position = advance(position, Float64Array.from(rows, updatedOf));
      yield page(reader.parts(), reader.rejected, { ...plan, series: i, position });
    }
    plan = { ...plan, series: i + 1, position: null };
  }

  if (plan.ranges.length === 0) yield page([], [], plan);
  while (plan.ranges.length > 0) {
    const [range, ...rest] = plan.ranges as readonly [Range, ...Range[]];
    const reader = createRowReader(declared, context, source.measure, named, range);
    for (const series of countSeries) {
      for await (const row of countsOf(series, range)) reader.count(series, row);
    }
    const { from, to } = range;
    // Where a row could not be read its count is not known, and what is not known is not zero.
    const isWhole = reader.rejected.length === 0;
    again = again.filter((other) => other.from >= to || other.to <= from);
    if (!isWhole) again.push(range);
    const wholeSince = plan.whole ? plan.startedAt : null;
    const complete: CompletePage = {
      stream: "complete",
      measure: source.measure,
      from,
      to,
      entities: [...new Set([...entities, ...named])],
      wholeSince,
    };
    yield page([...reader.parts(), ...(isWhole ? [complete] : [])], reader.rejected, {
      ...plan,
      ranges: rest,
    });
  }

  async function newPlan(): Promise<Plan> {
    const now = context.clock.now();
    // Without the metadata's word every load counts as just done; the publication lag still holds.
    const loadedAt = info.loadedAt ?? now;
    const lag = parseDuration(declared.publicationLag);
    const through = grid.startOf(grid.stepAt(Math.min(loadedAt, now - lag, request.to)));
    const plan = { startedAt: now, loadedAt, through, series: 0, position: null };
    if (known?.loadedAt == null || known.through === null) {
      const [oldest] = await dataset.rows({ select: `min(${declared.created}) as oldest` });
      const iso = typeof oldest?.["oldest"] === "string" ? isoOf(oldest["oldest"]) : undefined;
      const first = iso
        ? grid.startOf(grid.stepAt(iso.wallMs - offsetMs(context.timeZone, iso.wallMs)))
        : through;
      const from = Math.max(start, first);
      return { ...plan, whole: true, since: 0, ranges: yearsOf(grid, { from, to: through }) };
    }
    const since = known.loadedAt - parseDuration(declared.overlap);
    const touched = info.loadedAt === known.loadedAt ? [] : await touchedDays(since, through);
    const fresh = through > known.through ? [{ from: known.through, to: through }] : [];
    return {
      ...plan,
      whole: false,
      since,
      ranges: ranges([...touched, ...known.again, ...fresh]).flatMap((range) => yearsOf(grid, range)),
    };
  }

  /** Local days with records that changed since an instant. */
  async function touchedDays(since: number, through: number): Promise<Range[]> {
    if (countSeries.length === 0) return [];
    const days: Range[] = [];
    const any: Series = { by: [], read: "counts" };
    const condition = `${updated} >= '${new Date(since).toISOString()}'`;
    for await (const row of countsOf(any, { from: start, to: through }, condition)) {
      const iso = typeof row[dayAs] === "string" ? isoOf(row[dayAs]) : undefined;
      if (!iso) continue;
      const t = grid.stepAt(iso.wallMs - offsetMs(context.timeZone, iso.wallMs));
      days.push({ from: grid.startOf(t), to: grid.endOf(t) });
    }
    return days;
  }

  async function* countsOf(series: Series, range: Range, condition?: string): AsyncGenerator<Row> {
    const query: Query = {
      select: [
        `date_trunc_ymd(${declared.created}) as ${dayAs}`,
        ...series.by,
        `count(*) as ${countAs}`,
      ].join(","),
      where: whereOf(series, range, condition),
      group: [dayAs, ...series.by].join(","),
      order: [dayAs, ...series.by].join(","),
      limit: declared.pageSize,
    };
    for (let offset = 0; ; ) {
      const rows = await dataset.rows({ ...query, offset });
      if (rows.length === 0) return;
      yield* rows;
      offset += rows.length;
    }
  }

  function whereOf(series: Series, range: Range, condition?: string): string {
    const wall = (at: number) => new Date(at + offsetMs(context.timeZone, at)).toISOString().slice(0, 23);
    const until = series.until === undefined ? undefined : `${series.until}T00:00:00.000`;
    const to = Number.isFinite(range.to) ? wall(range.to) : undefined;
    const end = [until, to].filter((text) => text !== undefined).sort()[0];
    return [
      ...(condition === undefined ? [] : [condition]),
      `${declared.created} >= '${wall(range.from)}'`,
      ...(end === undefined ? [] : [`${declared.created} < '${end}'`]),
      ...(series.where === undefined ? [] : [`(${series.where})`]),
    ].join(" AND ");
  }
}

function updatedOf(row: Row): number {
  const text = row[updated];
  const iso = typeof text === "string" ? isoOf(text) : undefined;
  return iso ? iso.wallMs - (iso.offsetMs ?? 0) : Number.NaN;
}
