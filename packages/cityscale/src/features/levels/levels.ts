import type { Connection } from "../../lake/index.ts";

/** A station; the same place in `Levels.stations` as its column in the matrices. */
export interface Station {
  readonly entity: string;
  /** Its number in the lake. */
  readonly e: number;
  readonly lat: number;
  readonly lon: number;
  /** Capacities with the instants (ms UTC) from which they were known, in time order; the first from ever on. */
  readonly capacity: readonly { readonly from: number; readonly value: number }[];
}

/**
 * Snapshots of all stations: T snapshots in time order x S stations, row by row. -1 is missing: the snapshot does not
 * hold the station, or does not give the number.
 */
export interface Levels {
  readonly stations: readonly Station[];
  /** When each snapshot was taken and when it was known, ms UTC; both only rise. */
  readonly at: Float64Array;
  readonly knownAt: Float64Array;
  readonly bikes: Int16Array;
  readonly ebikes: Int16Array;
  readonly docks: Int16Array;
  readonly bikesDisabled: Int16Array;
  /** Minutes from the station's own report to the snapshot, at most 600. */
  readonly reportAge: Int16Array;
  /** Sum of `renting` and `returning`. */
  readonly service: Uint8Array;
  /** Snapshots left out because later ones were known before them. */
  readonly late: number;
}

export const renting = 1;
export const returning = 2;

export interface LevelRange {
  /** Snapshots taken from here on, ms UTC; all when left out. */
  readonly from?: number;
  /** Only what was known by this instant, ms UTC; all when left out. */
  readonly knownBy?: number;
}

const weekMs = 7 * 86_400_000;
const maxReportAgeMinutes = 600;

/**
 * Reads snapshots into matrices, a week at a time. A snapshot that became known after a later one is left out: what
 * is known at an instant is then always a first part of the rows. Without snapshots T is 0.
 *
 * @param known the matrices' stations, among them all that the range holds; those that it holds when left out
 */
export async function readLevels(
  connection: Connection,
  range: LevelRange = {},
  known?: readonly Station[],
): Promise<Levels> {
  const inRange = `"at" >= ${Math.ceil(range.from ?? -8.64e15)} AND known_at <= ${Math.floor(range.knownBy ?? 8.64e15)}`;
  const taken = await connection.numbers(
    `SELECT "at", min(known_at) AS known FROM snapshots WHERE ${inRange} GROUP BY "at" ORDER BY "at"`,
  );
  const { at, knownAt } = inOrder(taken["at"]!, taken["known"]!);
  const stations =
    known ?? (await readStations(connection, `e IN (SELECT DISTINCT e FROM snapshots WHERE ${inRange})`));
  const [rows, width] = [at.length, stations.length];
  const matrix = () => new Int16Array(rows * width).fill(-1);
  const [bikes, ebikes, docks, bikesDisabled, reportAge] = [matrix(), matrix(), matrix(), matrix(), matrix()];
  const service = new Uint8Array(rows * width);
  const column = new Int32Array(stations.reduce((most, { e }) => Math.max(most, e), 0) + 1).fill(-1);
  for (const [s, { e }] of stations.entries()) column[e] = s;
  for (let first = 0; first < rows; ) {
    const from = at[first]!;
    const page = await connection.numbers(`
      SELECT "at", known_at, e, bikes, ebikes, docks, bikes_disabled, CAST(renting AS INTEGER) AS renting,
        CAST("returning" AS INTEGER) AS "returning", reported_at
      FROM snapshots WHERE ${inRange} AND "at" >= ${from} AND "at" < ${from + weekMs}`);
    const [taken, known, e] = [page["at"]!, page["known_at"]!, page["e"]!];
    let row = first;
    for (let i = 0; i < taken.length; i++) {
      if (at[row] !== taken[i]) row = rowAt(at, taken[i]!);
      if (at[row] !== taken[i] || knownAt[row] !== known[i]) continue;
      const cell = row * width + column[e[i]!]!;
      bikes[cell] = whole(page["bikes"]![i]!);
      ebikes[cell] = whole(page["ebikes"]![i]!);
      docks[cell] = whole(page["docks"]![i]!);
      bikesDisabled[cell] = whole(page["bikes_disabled"]![i]!);
      const age = (taken[i]! - page["reported_at"]![i]!) / 60_000;
      reportAge[cell] = Number.isNaN(age) ? -1 : Math.min(maxReportAgeMinutes, Math.max(0, Math.floor(age)));
      service[cell] =
        (page["renting"]![i] === 1 ? renting : 0) | (page["returning"]![i] === 1 ? returning : 0);
    }
    first = rowAt(at, from + weekMs - 1) + 1;
  }
  const late = taken["at"]!.length - rows;
  return { stations, at, knownAt, bikes, ebikes, docks, bikesDisabled, reportAge, service, late };
}

/** The newest row with `times[row] <= instant` in rising times; -1 without one. */
export function rowAt(times: Float64Array, instant: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! <= instant) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A station's capacity as known at an instant; NaN where it was never told. */
export function capacityAt(station: Station, instant: number): number {
  let value = station.capacity[0]?.value ?? Number.NaN;
  for (const change of station.capacity) if (change.from <= instant) value = change.value;
  return value;
}

const whole = (value: number) => (Number.isNaN(value) ? -1 : value);

/** Snapshots in the order taken, without those that were known only after a later one. */
function inOrder(at: Float64Array, knownAt: Float64Array): { at: Float64Array; knownAt: Float64Array } {
  const keep = new Uint8Array(at.length);
  let earliest = Number.POSITIVE_INFINITY;
  for (let i = at.length - 1; i >= 0; i--) {
    if (knownAt[i]! > earliest) continue;
    earliest = knownAt[i]!;
    keep[i] = 1;
  }
  const kept = (values: Float64Array) => values.filter((_, i) => keep[i] === 1);
  return { at: kept(at), knownAt: kept(knownAt) };
}

/** Stations in the order of their numbers: every entity, unless `where` says which. */
export async function readStations(connection: Connection, where = "true"): Promise<Station[]> {
  const rows = await connection.rows<{
    e: number;
    entity: string;
    lat: number | null;
    lon: number | null;
    attributes: string | null;
  }>(`SELECT e, entity, lat, lon, attributes FROM entities WHERE ${where} ORDER BY e`);
  const changes = await connection.rows<{ e: number; at: number; old: string; new: string }>(
    `SELECT e, changed_at AS "at", old_value AS old, new_value AS "new" FROM entity_changes
     WHERE field = 'attributes' ORDER BY changed_at`,
  );
  const byStation = Map.groupBy(changes, (change) => change.e);
  return rows.map(({ e, entity, lat, lon, attributes }) => ({
    e,
    entity,
    lat: lat ?? Number.NaN,
    lon: lon ?? Number.NaN,
    capacity: capacities(byStation.get(e) ?? [], attributes),
  }));
}

function capacities(
  changes: readonly { readonly at: number; readonly old: string; readonly new: string }[],
  attributes: string | null,
): Station["capacity"] {
  const told = [
    { from: Number.NEGATIVE_INFINITY, value: capacityOf(changes[0]?.old ?? attributes) },
    ...changes.map((change) => ({ from: change.at, value: capacityOf(change.new) })),
  ];
  return told.filter(({ value }, i) => !Number.isNaN(value) && (i === 0 || value !== told[i - 1]!.value));
}

function capacityOf(attributes: string | null): number {
  const capacity =
    attributes === null ? undefined : (JSON.parse(attributes) as { capacity?: unknown }).capacity;
  return typeof capacity === "number" && capacity > 0 ? capacity : Number.NaN;
}
