import { coldStart, coldStartErrors, type Donor, type Place, widened } from "@cityscale/forecast";
import type { City } from "../domain/index.ts";
import type { FeatureView } from "../features/index.ts";
import { type Connection, literal } from "../lake/index.ts";
import { seriesAsKnown } from "./series-as-known.ts";

/** An entity is new until its first count lies so many days behind: then its own weeks say more than others'. */
export const coldStartDays = 28;
/** Those that it is forecast from have been counted at least as long as a seasonal expectation looks back. */
const donorDays = 56;
/** Of the steps looked back on, the share that a donor must have been counted at. */
const donorShare = 0.8;
/** More donors cost time and say little more; the first by kind and distance are taken. */
const mostDonors = 50;

const pooling = { bandwidthKm: 2, otherKind: 0.05 };

/** Share of outcomes between the bounds of an interval. */
const coverage = 0.8;

/** What was forecast of the entities of a city from one origin; one entry per row, NaN where there is no forecast. */
export interface IssuedRows {
  readonly entity: Int32Array;
  readonly step: Int32Array;
  readonly lead: Int32Array;
  readonly point: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** Forecasts of one new entity; by lead - 1. */
export interface ColdStart {
  readonly entity: number;
  /** Days since its first count. */
  readonly days: number;
  readonly point: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Its count at the same time of the newest day that has one; NaN where there is none. */
  readonly naive: Float64Array;
}

/**
 * Forecasts of the entities that are too new for the model: pooled from what was issued of the others, moved by their
 * own first counts, with an interval that is wider by how far such forecasts miss where known entities are taken for
 * new ones. All as known at the origin. An entity for which there are not enough others is left out.
 *
 * @param issued rows of all entities at that origin, with the same leads each
 */
export async function coldStarts(
  connection: Connection,
  at: { readonly city: City; readonly view: FeatureView; readonly originAt: number; readonly lagMs: number },
  issued: IssuedRows,
): Promise<ColdStart[]> {
  const { city, view, originAt, lagMs } = at;
  const { slotsPerDay } = city.grid;
  const anchorKey = city.grid.keyOf(city.grid.stepAt(originAt - lagMs) - 1);
  const rowsOf = rowsByEntity(issued);
  const firstKeys = await firstKnown(connection, view, originAt);
  const age = (e: number) => anchorKey - (firstKeys.get(e) ?? anchorKey) + 1;
  const fresh = [...rowsOf.keys()].filter((e) => age(e) < coldStartDays * slotsPerDay);
  if (fresh.length === 0) return [];
  const steps = issued.lead.reduce((most, lead) => Math.max(most, lead), 0);
  const back = coldStartDays * slotsPerDay + steps;
  const series = await seriesAsKnown(connection, city, view, { origin: originAt, lagMs, most: back });
  const keys = Int32Array.from({ length: back }, (_, i) => anchorKey - back + 1 + i);
  const pastOf = (e: number) => {
    const known = series.get(e);
    return Float64Array.from(keys, (key) => known?.values[key - known.firstKey] ?? Number.NaN);
  };
  const places = await placesOf(connection);
  const placeOf = (e: number): Place => ({ ...places.get(e)!, past: pastOf(e) });
  const aheadOf = (e: number, values: Float64Array) => {
    const out = new Float64Array(steps).fill(Number.NaN);
    for (const row of rowsOf.get(e)!) out[issued.lead[row]! - 1] = values[row]!;
    return out;
  };
  const donors = [...rowsOf.keys()].flatMap((e): Donor[] => {
    const place = placeOf(e);
    const known = place.past.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0);
    if (age(e) < donorDays * slotsPerDay || known < donorShare * back) return [];
    const [point, low, high] = [issued.point, issued.low, issued.high].map((values) => aheadOf(e, values));
    return point!.some(Number.isNaN) ? [] : [{ ...place, ahead: { point: point!, low: low!, high: high! } }];
  });
  const past = groupings(keys, slotsPerDay);
  return fresh.flatMap((e) => {
    const newcomer = placeOf(e);
    const ahead = new Int32Array(steps);
    for (const row of rowsOf.get(e)!) ahead[issued.lead[row]! - 1] = city.grid.keyOf(issued.step[row]!);
    const chosen = nearest(newcomer, donors);
    const observed = newcomer.past.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0);
    const errors = errorsOf(chosen, past, { observed, steps });
    if (!errors) return [];
    const made = coldStart(newcomer, chosen, {
      ...pooling,
      groupings: groupings(ahead, slotsPerDay).map((groups, i) => ({ past: past[i]!, ahead: groups })),
    });
    const bounds = Array.from(made.point, (point, h) =>
      widened({ point, low: made.low[h]!, high: made.high[h]! }, errors[h]!),
    );
    return [
      {
        entity: e,
        days: Math.ceil(age(e) / slotsPerDay),
        point: made.point,
        low: Float64Array.from(bounds, ({ low }) => low),
        high: Float64Array.from(bounds, ({ high }) => high),
        naive: Float64Array.from(ahead, (key) => lastAtSameTime(newcomer.past, key - keys[0]!, slotsPerDay)),
      },
    ];
  });
}

/** The hour, and the hour of working days or of weekends. */
const groupings = (keys: Int32Array, slotsPerDay: number): Int32Array[] => [
  keys.map((key) => key % slotsPerDay),
  keys.map((key) => (key % slotsPerDay) + (isWeekend(Math.floor(key / slotsPerDay)) ? slotsPerDay : 0)),
];
const isWeekend = (day: number) => (day + 3) % 7 >= 5;

/** Null where there are too few donors to tell. */
function errorsOf(
  donors: readonly Donor[],
  past: readonly Int32Array[],
  { observed, steps }: { observed: number; steps: number },
): Float64Array | null {
  if (donors.length < 3 || donors.length * steps < 1 / (1 - coverage)) return null;
  return coldStartErrors(donors, { ...pooling, groupings: past }, { observed, steps, share: coverage });
}

function nearest(newcomer: Place, donors: readonly Donor[]): Donor[] {
  const distance = (donor: Donor) => {
    const squared =
      (donor.lat - newcomer.lat) ** 2 +
      ((donor.lon - newcomer.lon) * Math.cos((newcomer.lat * Math.PI) / 180)) ** 2;
    return Number.isNaN(squared) ? 0 : squared;
  };
  const other = (donor: Donor) => Number(donor.kind !== newcomer.kind);
  return donors.toSorted((a, b) => other(a) - other(b) || distance(a) - distance(b)).slice(0, mostDonors);
}

function lastAtSameTime(past: Float64Array, at: number, slotsPerDay: number): number {
  let i = at;
  while (i >= past.length || (i >= 0 && Number.isNaN(past[i]!))) i -= slotsPerDay;
  return past[i] ?? Number.NaN;
}

function rowsByEntity({ entity }: IssuedRows): Map<number, number[]> {
  const rows = new Map<number, number[]>();
  for (let i = 0; i < entity.length; i++) {
    const own = rows.get(entity[i]!);
    if (own) own.push(i);
    else rows.set(entity[i]!, [i]);
  }
  return rows;
}

/** Place on the wall clock of each entity's first count that was known at the origin. */
async function firstKnown(
  connection: Connection,
  view: FeatureView,
  originAt: number,
): Promise<Map<number, number>> {
  const rows = await connection.rows<{ e: number; key: number }>(`
    SELECT o.e, min(s.key) AS key FROM observations o JOIN steps s USING (t)
    WHERE o.measure = ${literal(view.measure)} AND o.known_at <= ${Math.floor(originAt)} GROUP BY o.e`);
  return new Map(rows.map(({ e, key }) => [e, key]));
}

/** Where entities stand, and their kind: those described by the same attributes (a type, a type and a borough) are alike. */
async function placesOf(connection: Connection): Promise<Map<number, Omit<Place, "past">>> {
  const rows = await connection.rows<{
    e: number;
    lat: number | null;
    lon: number | null;
    attributes: string | null;
  }>("SELECT e, lat, lon, attributes FROM entities");
  return new Map(
    rows.map(({ e, lat, lon, attributes }) => [
      e,
      {
        kind: Object.keys((JSON.parse(attributes ?? "{}") ?? {}) as object)
          .sort()
          .join(", "),
        lat: lat ?? Number.NaN,
        lon: lon ?? Number.NaN,
      },
    ]),
  );
}
