import type {
  Entity,
  EntityPage,
  EventPage,
  HolidayPage,
  ObservationPage,
  RejectedRow,
  WeatherPage,
} from "../domain/index.ts";
import { dayOfDate, weatherRanges } from "../domain/index.ts";
import { type Connection, literal } from "./duckdb.ts";
import { weatherColumns } from "./schema.ts";

/** When and whence a page came. `arrivedAt` is the city's clock, `ingestedAt` the wall clock. */
export interface Arrival {
  readonly source: string;
  readonly poll: number;
  readonly arrivedAt: number;
  readonly ingestedAt: number;
  /** Start of the source's first read: older rows are taken as known when published. */
  readonly firstReadAt: number;
  /** No read of the source has been complete yet. */
  readonly firstRead: boolean;
  readonly lagMs: number;
}

/** Rows that claim to be older than any publisher's sensor are bad dates. */
export const earliest = Date.UTC(1990, 0, 1);

/** Numbers of entities by id, kept beside the `entities` table. */
export type EntityNumbers = Map<string, number>;

async function numberOf(
  connection: Connection,
  numbers: EntityNumbers,
  entity: string,
  at: number,
): Promise<number> {
  let e = numbers.get(entity);
  if (e === undefined) {
    e = numbers.size;
    await connection.run("INSERT INTO entities (e, entity, first_seen_at) VALUES (?, ?, ?)", [
      e,
      entity,
      BigInt(Math.round(at)),
    ]);
    numbers.set(entity, e);
  }
  return e;
}

/** Numbers of the entities of some rows, new ones included; NaN where there is no id. */
export async function entityColumn(
  connection: Connection,
  numbers: EntityNumbers,
  entities: readonly string[],
  arrival: Arrival,
): Promise<Float64Array> {
  const e = new Float64Array(entities.length);
  for (let i = 0; i < e.length; i++) {
    const entity = entities[i]!;
    e[i] =
      entity === ""
        ? Number.NaN
        : (numbers.get(entity) ?? (await numberOf(connection, numbers, entity, arrival.arrivedAt)));
  }
  return e;
}

export async function appendObservations(
  connection: Connection,
  numbers: EntityNumbers,
  page: ObservationPage,
  arrival: Arrival,
  firstSeq: number,
): Promise<number> {
  const rows = page.validAt.length;
  const e = await entityColumn(connection, numbers, page.entity, arrival);
  const seq = Float64Array.from({ length: rows }, (_, i) => firstSeq + i);
  const published = page.publishedAt ?? new Float64Array(rows).fill(Number.NaN);
  await connection.run(
    "CREATE TEMP TABLE IF NOT EXISTS page (seq DOUBLE, e DOUBLE, valid_at DOUBLE, value DOUBLE, published_at DOUBLE)",
  );
  await connection.run("DELETE FROM page");
  await connection.append("page", [seq, e, page.validAt, page.value, published]);
  await connection.run(
    `INSERT INTO raw_observations
     SELECT seq, ?, ?, ?, CASE WHEN isnan(e) THEN NULL ELSE e END,
       CASE WHEN isfinite(valid_at) AND abs(valid_at) < 8.64e15 THEN valid_at END, CASE WHEN isfinite(value) THEN value END,
       CASE WHEN isfinite(published_at) THEN published_at END, ?, ?
     FROM page ORDER BY seq`,
    [
      arrival.poll,
      arrival.source,
      page.measure,
      BigInt(Math.round(arrival.arrivedAt)),
      BigInt(Math.round(arrival.ingestedAt)),
    ],
  );
  return rows;
}

export async function appendRejected(
  connection: Connection,
  rejected: readonly RejectedRow[],
  arrival: Arrival,
): Promise<number> {
  let added = 0;
  for (const row of rejected) {
    added += await connection.run(
      `INSERT INTO quarantine
       SELECT $1, $2, NULL, NULL, NULL, NULL, $3, $4, $5, $6, $7
       WHERE NOT EXISTS (FROM quarantine WHERE source = $1 AND stream = $2 AND reason = $3 AND received = $5)`,
      [
        arrival.source,
        row.stream,
        row.reason,
        row.detail,
        row.received,
        BigInt(Math.round(arrival.arrivedAt)),
        BigInt(Math.round(arrival.ingestedAt)),
      ],
    );
  }
  return added;
}

/** Entities appear, change their attributes, move and retire; each change is kept. */
export async function mergeEntities(
  connection: Connection,
  numbers: EntityNumbers,
  page: EntityPage,
  arrival: Arrival,
): Promise<void> {
  for (const row of page.rows) {
    const e = await numberOf(connection, numbers, row.entity, arrival.arrivedAt);
    const old = await connection.first<Record<string, string | number | null>>(
      "SELECT name, lat, lon, opened_at, retired_at, attributes FROM entities WHERE e = ?",
      [e],
    );
    const next = valuesOf(row);
    for (const [field, value] of Object.entries(next)) {
      const before = old?.[field] ?? null;
      // A listing that leaves a field out says nothing about it.
      if (value === null || value === before) continue;
      if (before !== null) {
        await connection.run("INSERT INTO entity_changes VALUES (?, ?, ?, ?, ?)", [
          e,
          BigInt(Math.round(arrival.arrivedAt)),
          field,
          String(before),
          String(value),
        ]);
      }
      await connection.run(`UPDATE entities SET ${field} = ? WHERE e = ?`, [
        typeof value === "number" && field.endsWith("_at") ? BigInt(Math.round(value)) : value,
        e,
      ]);
    }
  }
}

function valuesOf(row: Entity): Record<string, string | number | null> {
  const attributes = Object.keys(row.attributes).length > 0 ? JSON.stringify(row.attributes) : null;
  return {
    name: row.name,
    lat: row.lat,
    lon: row.lon,
    opened_at: row.openedAt,
    retired_at: row.retiredAt,
    attributes,
  };
}

/**
 * Weather rows. An observed hour keeps the first value it had: later corrections would change what earlier
 * origins saw, and hardly move a forecast. A forecast is kept as issued, once for each issue.
 */
export async function mergeWeather(
  connection: Connection,
  page: WeatherPage,
  arrival: Arrival,
): Promise<number> {
  const rows = page.validAt.length;
  const missing = new Float64Array(rows).fill(Number.NaN);
  const columns = weatherColumns.map((name) => page.values[name] ?? missing);
  await connection.run(
    `CREATE TEMP TABLE IF NOT EXISTS weather_page (valid_at DOUBLE, ${weatherColumns.map((name) => `"${name}" DOUBLE`).join(", ")})`,
  );
  await connection.run("DELETE FROM weather_page");
  await connection.append("weather_page", [page.validAt, ...columns]);
  const arrived = Math.round(arrival.arrivedAt);
  // An observed hour keeps its first value: an impossible one would stay for good. NaN lies in no range.
  const isPossible = weatherColumns.map((name) => `"${name}" BETWEEN ${weatherRanges[name].join(" AND ")}`);
  const values = weatherColumns.map((name, i) => `CASE WHEN ${isPossible[i]} THEN "${name}" END`).join(", ");
  const anyValue = isPossible.join(" OR ");
  await connection.run(
    `
    INSERT INTO quarantine
    SELECT DISTINCT $1, 'weather', NULL, NULL, p.valid_at, p.value, 'out-of-range', p.name || ': no weather is like that', NULL, ${arrived}, ${Math.round(arrival.ingestedAt)}
    FROM (${weatherColumns.map((name, i) => `SELECT valid_at, '${name}' AS name, "${name}" AS value FROM weather_page WHERE isfinite("${name}") AND NOT (${isPossible[i]})`).join(" UNION ALL ")}) p
    WHERE NOT EXISTS (FROM quarantine q WHERE q.source = $1 AND q.stream = 'weather' AND q.valid_at = p.valid_at AND q.value = p.value)`,
    [arrival.source],
  );
  // Old hours and old issues are history in the first complete read, or where they lie before all that is there;
  // from then on what comes late was not there before.
  if (page.issuedAt === null) {
    const published = `p.valid_at + ${arrival.lagMs}`;
    const history = `${published} <= ${arrival.firstReadAt} AND (${arrival.firstRead} OR p.valid_at < (SELECT min(valid_at) FROM weather WHERE issued_at IS NULL))`;
    return connection.run(
      `INSERT INTO weather
       SELECT p.valid_at, NULL, CASE WHEN ${history} THEN ${published} ELSE ${arrived} END,
         CASE WHEN ${history} THEN 'assumed' ELSE 'observed' END, ${values}
       FROM (SELECT DISTINCT ON (valid_at) * FROM weather_page WHERE (${anyValue}) AND valid_at <= ${arrived}) p
       WHERE NOT EXISTS (FROM weather w WHERE w.issued_at IS NULL AND w.valid_at = p.valid_at)`,
    );
  }
  const issued = Math.round(page.issuedAt);
  // A publisher's own archive of forecasts has its stamps; what we polled was known when it arrived.
  const oldest = await connection.first<{ issued: number | null }>(
    "SELECT min(issued_at) AS issued FROM weather WHERE issued_at IS NOT NULL",
  );
  const history = arrival.firstRead || (oldest?.issued != null && issued <= oldest.issued);
  const readable = Math.round(page.publishedAt ?? issued);
  const published = history && readable + arrival.lagMs <= arrival.firstReadAt;
  return connection.run(
    `INSERT INTO weather
     SELECT p.valid_at, ${issued}, ${published ? readable : arrived}, '${published ? "published" : "observed"}', ${values}
     FROM (SELECT DISTINCT ON (valid_at) * FROM weather_page WHERE (${anyValue})) p
     WHERE NOT EXISTS (FROM weather w WHERE w.issued_at = ${issued} AND w.valid_at = p.valid_at)`,
  );
}

export async function mergeHolidays(
  connection: Connection,
  page: HolidayPage,
  arrival: Arrival,
): Promise<void> {
  // Every read brings years of them again: one statement, not one for each day.
  const rows = page.rows.map(
    (row, i) => `(${i}, ${dayOfDate(row.date)}, ${literal(row.name)}, ${literal(row.kind)})`,
  );
  if (rows.length === 0) return;
  await connection.run(
    `INSERT INTO holidays SELECT v.day, v.name, v.kind, ${Math.round(arrival.arrivedAt)}
     FROM (SELECT DISTINCT ON (day, kind) * FROM (VALUES ${rows.join(", ")}) r (i, day, name, kind) ORDER BY i) v
     WHERE NOT EXISTS (FROM holidays h WHERE h.day = v.day AND h.kind = v.kind) ORDER BY v.i`,
  );
}

/** Days ahead at which an event without a stamp is taken as announced when it came with the first read. */
const assumedNoticeMs = 7 * 86_400_000;

export async function mergeEvents(connection: Connection, page: EventPage, arrival: Arrival): Promise<void> {
  for (const row of page.rows) {
    const old = await connection.first<{ known_at: number; text: string }>(
      `SELECT known_at, concat_ws('|', start_at, end_at, lat, lon, attendance, cancelled) AS text
       FROM events WHERE id = ? ORDER BY known_at DESC LIMIT 1`,
      [row.id],
    );
    const text = [row.startAt, row.endAt, row.lat, row.lon, row.attendance, row.cancelled]
      .filter((value) => value !== null)
      .join("|");
    if (old && sameEvent(old.text, text)) continue;
    const stamped = row.publishedAt !== null && (!old || row.publishedAt > old.known_at);
    const first = !old && arrival.firstRead;
    const knownAt = stamped
      ? Math.min(row.publishedAt!, arrival.arrivedAt)
      : first
        ? Math.min(row.startAt - assumedNoticeMs, arrival.arrivedAt)
        : arrival.arrivedAt;
    // Two versions of one instant cannot be told apart by when they were known: the later one is it.
    await connection.run("DELETE FROM events WHERE id = ? AND known_at >= ?", [
      row.id,
      BigInt(Math.round(knownAt)),
    ]);
    await connection.run("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [
      row.id,
      BigInt(Math.round(knownAt)),
      stamped ? "published" : first ? "assumed" : "observed",
      row.name,
      BigInt(Math.round(row.startAt)),
      BigInt(Math.round(row.endAt)),
      row.lat,
      row.lon,
      row.venue,
      row.category,
      row.attendance,
      row.cancelled,
    ]);
  }
}

/** Numbers print differently here and in SQL (3 and 3.0): compare them as numbers. */
function sameEvent(a: string, b: string): boolean {
  const left = a.split("|");
  const right = b.split("|");
  return (
    left.length === right.length &&
    left.every((part, i) => part === right[i] || Number(part) === Number(right[i]))
  );
}
