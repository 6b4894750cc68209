import { type City, dayOfDate } from "../../../src/domain/index.ts";
import type { LevelTarget } from "../../../src/features/index.ts";
import type { Connection } from "../../../src/lake/index.ts";
import { dayMs, openLake, randomOf, smallCity } from "../../lake/support.ts";

/** One station in one snapshot; null = not given. */
export interface Reading {
  readonly at: number;
  readonly knownAt: number;
  readonly station: string;
  readonly bikes: number | null;
  readonly ebikes: number | null;
  readonly docks: number | null;
  readonly disabled: number | null;
  readonly renting: boolean;
  readonly returning: boolean;
  readonly reportedAt: number | null;
}

export interface Place {
  readonly station: string;
  readonly lat: number;
  readonly lon: number;
  readonly capacity: number;
}

/** A side with a short horizon, and the other with a longer one. */
export const townTargets: readonly LevelTarget[] = [
  { measure: "bikes", horizonMs: 30 * 60_000, below: 3 },
  { measure: "docks", horizonMs: 60 * 60_000, below: 3 },
];
export const timeZone = "America/Los_Angeles";
/** What the features want to know of the town. */
export const town = { timeZone, sources: { weather: { kind: "openMeteo" } } };
const start = Date.UTC(2023, 2, 1, 8);
const days = 17;
/** Days before the start of which there is a day and a half each: inside the longest window alone, and the middle one. */
const earlier = [70, 35];
export const townEnd = start + days * dayMs;
/** A Wednesday that is a public holiday here. */
export const holiday = dayOfDate("2023-03-08");
/** The instant from which the first station is known to be larger. */
export const enlargedAt = start + 15.3 * dayMs;
export const enlargedTo = 31;

export const places: readonly Place[] = ["a", "b", "c", "d", "e", "f", "g"].map((station, i) => ({
  station,
  // The last two lie far from all others; the fourth has the fifth as its only neighbour.
  lat: 37.77 + (i < 3 ? 0.003 * i : i < 5 ? 0.05 + 0.004 * i : 0.2 * i),
  lon: -122.42 + 0.001 * i,
  capacity: 12 + 3 * i,
}));

/**
 * Snapshots of a small bikeshare over a change of the clock, as awkward as real ones: about every ten minutes, with
 * gaps of half an hour and of two and a half; some known late, after later ones; stations that go out of service, are
 * left out of single snapshots, vanish for two days, or come only in the second half.
 */
export function townReadings(seed: number): Reading[] {
  const random = randomOf(seed);
  const readings: Reading[] = [];
  const counts = places.map(({ capacity }) => Math.floor(capacity / 2));
  const closedUntil = places.map(() => 0);
  let known = 0;
  let at: number;
  for (const from of [...earlier.map((before) => start - before * dayMs), start]) {
    at = from;
    const until = from === start ? townEnd : from + 1.5 * dayMs;
    while (at < until) {
      const draw = random();
      at += draw < 0.006 ? 150 * 60_000 : draw < 0.04 ? 31 * 60_000 : Math.round((8 + 7 * random()) * 60_000);
      known = Math.max(known + 1000, at + Math.round(random() * 120_000));
      const late = random() < 0.01 ? 3 * 3_600_000 : 0;
      const hour = (at / 3_600_000 - 8) % 24;
      for (const [s, { station, capacity }] of places.entries()) {
        const falling = hour > 7 && hour < 10 ? 0.5 : hour > 16 && hour < 19 ? 0.15 : 0.3;
        for (let k = 0; k < 3; k++) {
          if (random() < 0.4)
            counts[s] = Math.max(
              0,
              Math.min(capacity, counts[s]! + (random() < falling ? -1 : 1) * (random() < 0.5 ? 1 : 0)),
            );
        }
        if (random() < 0.003) counts[s] = Math.floor(random() * capacity);
        if (closedUntil[s]! < at && random() < 0.002) closedUntil[s] = at + random() * 5 * 3_600_000;
        const gone = station === "c" && at > start + 9 * dayMs && at < start + 11 * dayMs;
        const unborn = station === "e" && at < start + 8 * dayMs;
        if (gone || unborn || random() < 0.02) continue;
        const bikes = counts[s]!;
        const open = closedUntil[s]! < at;
        readings.push({
          at,
          knownAt: known + late,
          station,
          bikes,
          ebikes: random() < 0.05 ? null : Math.floor(bikes / 3),
          docks: random() < 0.01 ? null : capacity - bikes,
          disabled: Math.floor(random() * 2),
          renting: open,
          returning: open || random() < 0.5,
          reportedAt: random() < 0.05 ? null : at - Math.floor(random() * 1_000_000),
        });
      }
    }
  }
  return readings;
}

export const bikeCity = (): City =>
  smallCity({
    id: "town",
    timeZone,
    step: "10m",
    entity: "station",
    sources: { stations: { kind: "csv" } },
    measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
    targets: {
      "bikes-out-30": { kind: "binary", measure: "bikes", horizon: "30m" },
      "docks-out-60": { kind: "binary", measure: "docks", horizon: "60m" },
    },
  });

/** Rain of one hour: forecast where `issuedAt` is given, else observed; null = not given. */
export interface Rain {
  readonly validAt: number;
  readonly issuedAt: number | null;
  readonly knownAt: number;
  readonly rain: number | null;
}

/**
 * The town's weather: forecasts every six hours, known half an hour later, and none for four days; observations known
 * up to three hours later, but of some hours none at all, and of some without a number.
 */
export const townWeather: readonly Rain[] = rains(5);

function rains(seed: number): Rain[] {
  const random = randomOf(seed);
  const hour = 3_600_000;
  const hourly = (validAt: number, issuedAt: number | null, knownAt: number): Rain => ({
    ...{ validAt, issuedAt, knownAt },
    rain: random() < 0.1 ? null : Math.max(0, 4 * random() - 2),
  });
  const rows: Rain[] = [];
  for (let issue = start; issue < townEnd; issue += 6 * hour) {
    if (issue >= start + 10 * dayMs && issue < start + 14 * dayMs) continue;
    for (let lead = 0; lead < 96; lead++) rows.push(hourly(issue + lead * hour, issue, issue + hour / 2));
  }
  for (let at = start; at < townEnd; at += hour)
    if (random() > 0.1) rows.push(hourly(at, null, at + hour + Math.round(2 * hour * random())));
  return rows;
}

/** A lake with the town's stations, weather and snapshots as if they had been polled. */
export async function openTown(readings: readonly Reading[]) {
  const { lake } = await openLake(bikeCity());
  await lake.write(async (connection) => {
    for (const [i, { station, lat, lon, capacity }] of places.entries()) {
      const told = JSON.stringify({ capacity: i === 0 ? enlargedTo : capacity });
      await connection.run(
        "INSERT INTO entities (e, entity, name, lat, lon, attributes) VALUES (?, ?, ?, ?, ?, ?)",
        [i + 1, station, station, lat, lon, told],
      );
    }
    await connection.run("INSERT INTO entity_changes VALUES (1, ?, 'attributes', ?, ?)", [
      BigInt(enlargedAt),
      JSON.stringify({ capacity: places[0]!.capacity }),
      JSON.stringify({ capacity: enlargedTo }),
    ]);
    await connection.run(`INSERT INTO holidays VALUES (${holiday}, 'Town Day', 'public', 0)`);
    const of = (name: keyof Rain) => Float64Array.from(townWeather, (row) => row[name] ?? Number.NaN);
    const names = ["validAt", "issuedAt", "knownAt", "rain"] as const;
    await connection.run(`CREATE TEMP TABLE rains (${names.map((name) => `"${name}" DOUBLE`).join(", ")})`);
    await connection.append("rains", names.map(of));
    await connection.run(`
      INSERT INTO weather (valid_at, issued_at, known_at, rain)
      SELECT "validAt", CASE WHEN isfinite("issuedAt") THEN "issuedAt" END, "knownAt", CASE WHEN isfinite(rain) THEN rain END FROM rains`);
    await insertReadings(connection, readings);
  });
  return lake;
}

export async function insertReadings(connection: Connection, readings: readonly Reading[]): Promise<void> {
  const column = (of: (reading: Reading) => number | null) =>
    Float64Array.from(readings, (reading) => of(reading) ?? Number.NaN);
  const numbers = new Map(places.map(({ station }, i) => [station, i + 1]));
  const names = [
    "at",
    "e",
    "bikes",
    "ebikes",
    "docks",
    "disabled",
    "renting",
    "returning",
    "reported",
    "known",
  ];
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE told (${names.map((name) => `"${name}" DOUBLE`).join(", ")})`,
  );
  await connection.append("told", [
    column(({ at }) => at),
    column(({ station }) => numbers.get(station)!),
    column(({ bikes }) => bikes),
    column(({ ebikes }) => ebikes),
    column(({ docks }) => docks),
    column(({ disabled }) => disabled),
    column(({ renting }) => Number(renting)),
    column(({ returning }) => Number(returning)),
    column(({ reportedAt }) => reportedAt),
    column(({ knownAt }) => knownAt),
  ]);
  const given = (name: string) => `CASE WHEN NOT isnan("${name}") THEN "${name}" END`;
  await connection.run(
    `INSERT INTO snapshots SELECT "at", e, ${["bikes", "ebikes", "docks", "disabled"].map(given).join(", ")}, NULL,
       renting = 1, "returning" = 1, ${given("reported")}, known, known, 'stations' FROM told`,
  );
  await connection.run("DROP TABLE told");
}
