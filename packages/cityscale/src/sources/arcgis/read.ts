import { isAbort, messageOf } from "../../core/index.ts";
import {
  type Entity,
  offsetMs,
  type Page,
  parseDuration,
  type ReadRequest,
  type RejectedRow,
  type StreamPage,
} from "../../domain/index.ts";
import { advance, type Position } from "../keyset.ts";
import type { SourceContext } from "../kind.ts";
import { idOf, numberOf, ObservationColumns, rejectedRow, WallClock } from "../rows.ts";
import { type FieldTypes, requireFields, schemaChanges } from "../schema-changes.ts";
import { createLayer, type Feature, type FeaturePage } from "./layer.ts";
import type { ArcgisOptions } from "./options.ts";

interface LayerSource {
  readonly declared: ArcgisOptions;
  readonly context: SourceContext;
  readonly measures: readonly { readonly measure: string; readonly field: string }[];
  readonly address: string;
  readonly places: string | null;
}

interface Cursor {
  readonly fields?: FieldTypes;
  /** Newest publisher's time seen, ms. */
  readonly newest: number | null;
  /** Where an unfinished read goes on. */
  readonly position: Position | null;
  /** When the positions of the entities were last read. */
  readonly placesAt: number | null;
}

const dayMs = 86_400_000;

/** Pages of rows in the order of their time. A read that was cut goes on behind the last committed page. */
export async function* readLayer(source: LayerSource, request: ReadRequest): AsyncGenerator<Page> {
  const { declared, context } = source;
  const incremental = request.mode === "incremental";
  const cursor = (incremental ? request.cursor : null) as Cursor | null;
  // Ends the request that runs ahead when the reader stops early.
  const ahead = new AbortController();
  const signal = AbortSignal.any([request.signal, ahead.signal]);
  try {
    const layer = createLayer(source.address, context.http, signal);
    const info = await layer.info();
    const valueNames = source.measures.map(({ field }) => field);
    requireFields(source.address, [declared.fields.entity, declared.fields.time, ...valueNames], info.fields);
    const { entity, time, name } = declared.fields;
    const nameField = name !== undefined && name in info.fields ? name : undefined;

    const places = await readPlaces(source, cursor, signal);
    const start = startOf(source, cursor, request);
    const end = Math.ceil(wireOf(source, request.to) / 1000) * 1000;
    const outFields = [
      ...new Set([info.objectId, entity, time, ...valueNames, ...(nameField ? [nameField] : [])]),
    ];
    const load = (position: Position) =>
      layer.query(
        {
          where: `${time} >= ${timestamp(position.since)} AND ${time} < ${timestamp(end)}`,
          outFields: outFields.join(","),
          orderByFields: `${time} ASC, ${info.objectId} ASC`,
          returnGeometry: "false",
          resultOffset: position.offset,
        },
        info.pageSize,
      );

    const state: ReadState = {
      wall: new WallClock(context.timeZone),
      ids: new Map(),
      named: new Set(places.rows.map((row) => row.entity)),
      start,
      end,
      // Where positions are known, a row with the name alone would say that they are not.
      nameField: places.at === null ? nameField : undefined,
    };
    let position = start;
    let newest = cursor?.newest ?? null;
    let changes = schemaChanges(cursor?.fields, info.fields);
    let extra: StreamPage[] = places.rows.length > 0 ? [{ stream: "entities", rows: places.rows }] : [];
    let next: Promise<FeaturePage> | null = load(position);
    while (next) {
      const { features, more, fields }: FeaturePage = await next;
      requireFields(source.address, [entity, time, ...valueNames], fields ?? info.fields);
      // A field that no row has was renamed: rejecting every row and going on would lose them.
      const absent = [entity, time, ...valueNames].filter(
        (field) => features.length > 0 && !features.some((row) => field in (row?.attributes ?? {})),
      );
      requireFields(
        source.address,
        absent,
        Object.fromEntries(Object.keys(features[0]?.attributes ?? {}).map((field) => [field, "unknown"])),
      );
      const page = parsePage(source, state, features);
      changes.push(...newFields(features[0], info.fields));
      if (page.newest > (newest ?? Number.NEGATIVE_INFINITY)) newest = page.newest;
      position = advance(position, page.times);
      next = more ? load(position) : null;
      // The page ahead may fail before it is awaited; it is reported when its turn comes.
      next?.catch(() => undefined);
      yield {
        parts: [...extra, ...page.parts],
        rejected: page.rejected,
        cursor: incremental
          ? { fields: info.fields, newest, position: more ? position : null, placesAt: places.at }
          : request.cursor,
        schemaChanges: changes,
        progress: more ? share(start.since, position.since, end) : 1,
      };
      extra = [];
      changes = [];
    }
  } finally {
    ahead.abort();
  }
}

/** Fields of a row that neither the layer's description nor an earlier page had. */
function newFields(row: Feature | undefined, known: Record<string, string>): string[] {
  const found = Object.keys(row?.attributes ?? {}).filter((name) => !(name in known));
  for (const name of found) known[name] = "unknown";
  return found.map((name) => `+${name}`);
}

interface ReadState {
  readonly wall: WallClock;
  readonly ids: Map<string, string>;
  /** Entities whose name or position has been delivered in this read. */
  readonly named: Set<string>;
  readonly start: Position;
  readonly end: number;
  readonly nameField: string | undefined;
}

function parsePage(source: LayerSource, state: ReadState, features: readonly Feature[]) {
  const { entity: entityField, time: timeField } = source.declared.fields;
  const local = source.declared.timeIs === "local";
  const columns = source.measures.map(
    ({ measure }) => new ObservationColumns(measure, features.length, state.ids),
  );
  const times = new Float64Array(features.length).fill(Number.NaN);
  const rejected: RejectedRow[] = [];
  const named: Entity[] = [];
  let newest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < features.length; i++) {
    const row = features[i]?.attributes;
    if (typeof row !== "object" || row === null) {
      rejected.push(rejectedRow("observations", "bad-row", "expected attributes", features[i]));
      continue;
    }
    const time = row[timeField];
    // A time outside of what was asked is damaged; taking it for real would move the cursor past good rows.
    if (typeof time !== "number" || !(time >= state.start.since && time < state.end)) {
      const detail = `${timeField}: expected milliseconds within the range asked, received ${JSON.stringify(time)}`;
      rejected.push(
        rejectedRow("observations", time === undefined ? "missing-field" : "bad-date", detail, row),
      );
      continue;
    }
    times[i] = time;
    if (time > newest) newest = time;
    const entity = idOf(row[entityField]);
    if (entity === undefined) {
      rejected.push(rejectedRow("observations", "missing-field", `${entityField}: expected an id`, row));
      continue;
    }
    const validAt = local ? state.wall.instant(entity, time) : time;
    for (let m = 0; m < columns.length; m++) {
      const field = source.measures[m]!.field;
      const value = numberOf(row[field]);
      if (value === undefined) {
        const reason = row[field] === undefined ? "missing-field" : "bad-number";
        const detail = `${field}: expected a number, received ${JSON.stringify(row[field])}`;
        rejected.push(rejectedRow("observations", reason, detail, row));
      } else {
        columns[m]!.add(entity, validAt, value);
      }
    }
    if (state.nameField !== undefined && !state.named.has(entity)) {
      const name = idOf(row[state.nameField]);
      if (name !== undefined) {
        state.named.add(entity);
        named.push(entityOf(entity, name, null, null));
      }
    }
  }
  const parts: StreamPage[] = columns.filter((column) => column.length > 0).map((column) => column.page());
  if (named.length > 0) parts.unshift({ stream: "entities", rows: named });
  return { parts, rejected, times, newest };
}

/** Positions, at most once a day. Counts matter more: when the layer fails, that is logged and they go on. */
async function readPlaces(source: LayerSource, cursor: Cursor | null, signal: AbortSignal) {
  const { places } = source.declared;
  const now = source.context.clock.now();
  const at = cursor?.placesAt ?? null;
  const rows: Entity[] = [];
  if (!places || !source.places || (at !== null && now - at < dayMs)) return { rows, at };
  try {
    const layer = createLayer(source.places, source.context.http, signal);
    const info = await layer.info();
    requireFields(source.places, [places.entity], info.fields);
    const optional = [places.name, places.opened, places.retired].filter((field) => field !== undefined);
    const fields = [places.entity, ...optional].filter((field) => field in info.fields);
    let more = true;
    for (let offset = 0; more; ) {
      const page: FeaturePage = await layer.query(
        {
          where: "1=1",
          outFields: fields.join(","),
          orderByFields: `${info.objectId} ASC`,
          returnGeometry: "true",
          outSR: 4326,
          resultOffset: offset,
        },
        info.pageSize,
      );
      for (const { attributes, geometry } of page.features) {
        const entity = idOf(attributes?.[places.entity]);
        if (entity === undefined) continue;
        const [lat, lon] = [geometry?.y, geometry?.x];
        const placed = typeof lat === "number" && typeof lon === "number" && Math.abs(lat) <= 90;
        const name = idOf(attributes[places.name ?? ""]) ?? null;
        rows.push({
          ...entityOf(entity, name, placed ? lat : null, placed ? lon : null),
          openedAt: instantIn(attributes[places.opened ?? ""]),
          retiredAt: instantIn(attributes[places.retired ?? ""]),
        });
      }
      offset += page.features.length;
      more = page.more;
    }
    return { rows, at: now };
  } catch (error) {
    if (isAbort(error)) throw error;
    source.context.log.warn(
      { address: source.places, error: messageOf(error) },
      "positions could not be read",
    );
    return { rows: [], at };
  }
}

function instantIn(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function entityOf(entity: string, name: string | null, lat: number | null, lon: number | null): Entity {
  return { entity, name, lat, lon, openedAt: null, retiredAt: null, attributes: {} };
}

function startOf(source: LayerSource, cursor: Cursor | null, request: ReadRequest): Position {
  if (cursor?.position) return cursor.position;
  const from = wireOf(source, request.from);
  const since =
    cursor?.newest == null ? from : Math.max(from, cursor.newest - parseDuration(source.declared.overlap));
  return { since: Math.floor(since / 1000) * 1000, offset: 0 };
}

/** An instant as the layer writes it. */
function wireOf(source: LayerSource, at: number): number {
  return source.declared.timeIs === "local" ? at + offsetMs(source.context.timeZone, at) : at;
}

function timestamp(ms: number): string {
  return `TIMESTAMP '${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}'`;
}

function share(from: number, at: number, to: number): number {
  return to > from ? Math.min(1, Math.max(0, (at - from) / (to - from))) : 1;
}
