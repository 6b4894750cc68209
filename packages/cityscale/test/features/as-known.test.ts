import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type City,
  type CityDeclaration,
  localDay,
  parseDuration,
  startOfLocalDay,
} from "../../src/domain/index.ts";
import { buildFeatures, createView, type FeatureRequest, type FeatureSet } from "../../src/features/index.ts";
import { annotate, type Connection, endAnnotations, type Lake } from "../../src/lake/index.ts";
import { leadsOf } from "../../src/models/index.ts";
import { dayMs, hourMs, openLake, poll, randomOf, smallCity } from "../lake/support.ts";
import { differences, numbersOf, rowsOf } from "./compare.ts";
import { awkwardWorld } from "./world.ts";

const places: Partial<CityDeclaration>[] = [
  { timeZone: "Europe/Paris" },
  { timeZone: "Australia/Adelaide" },
  { timeZone: "America/New_York", targets: { walkers: { horizon: "9d" } } },
  { timeZone: "Australia/Sydney", step: "1d", targets: { walkers: { horizon: "14d" } } },
  { timeZone: "Australia/Lord_Howe", step: "6h", targets: { walkers: { horizon: "3d" } } },
];

interface Seen {
  readonly origin: number;
  readonly exact: FeatureSet;
}

function ask(
  connection: Connection,
  city: City,
  lagMs: number,
  origins: readonly number[],
  path: "fast" | "exact",
) {
  const target = city.targets["walkers"]!;
  const request: FeatureRequest = {
    origins: Float64Array.from(origins),
    leads: Int32Array.from(origins, (origin) => leadsOf(city, origin, target.horizon)),
    lagMs,
    weather: "issued",
    path,
    onlyWithTarget: false,
  };
  return buildFeatures(connection, city, createView(city, target, lagMs), request);
}

/**
 * Now and then calls a day of an entity half loaded, as its values stand, mostly with what had been forecast of it, and
 * takes that back of another.
 */
async function judgeDays(lake: Lake, city: City, now: number, random: () => number): Promise<void> {
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)]!;
  const day = localDay(city.timeZone, now) - 1 - Math.floor(random() * 20);
  const at = {
    fromAt: startOfLocalDay(city.timeZone, day),
    untilAt: startOfLocalDay(city.timeZone, day + 1),
  };
  const about = { target: "walkers", entity: pick(["a", "b", "c", "d"]), ...at };
  await lake.write(async (connection) => {
    const cells = await connection.rows<{ e: number; t: number; value: number; judged: boolean }>(
      `SELECT o.e, o.t, o.value, h.t IS NOT NULL AS judged
       FROM clean_observations o JOIN entities n USING (e) JOIN steps s USING (t)
         LEFT JOIN half_loaded h ON h.e = o.e AND h.t = o.t AND h.known_at >= o.known_at
       WHERE n.entity = ? AND s.start_at >= ${at.fromAt} AND s.start_at < ${at.untilAt} ORDER BY o.t`,
      [about.entity],
    );
    const standIns = cells.flatMap(({ e, t, value }) =>
      random() < 0.8 ? [{ e, t, value: 1.5 * value + random() }] : [],
    );
    if (cells.length > 0 && !cells.some(({ judged }) => judged)) {
      const more = {
        value: null,
        expected: null,
        score: null,
        reason: "half",
        author: "test",
        knownTo: null,
      };
      const annotation = {
        kind: "half-loaded",
        measure: "walkers",
        ...about,
        ...more,
        knownAt: now,
      } as const;
      await annotate(connection, annotation, standIns);
    }
    const other = { target: "walkers", entity: pick(["a", "b", "c", "d"]), kinds: ["half-loaded"] as const };
    await endAnnotations(connection, { ...other, fromAt: now - 9 * dayMs, untilAt: now - 5 * dayMs }, now);
  });
}

/** Feeds a lake read by read and asks it now and then, as a lake that ends there would be asked. */
async function live(place: Partial<CityDeclaration>, seed: number, origins = 3) {
  const random = randomOf(seed);
  const judging = randomOf(seed + 1);
  const city = smallCity({
    sources: { counts: { kind: "csv" }, weather: { kind: "csv" }, events: { kind: "eventsCsv" } },
    measures: {
      walkers: { kind: "flow", from: "counts", contract: { stuckZeros: place.step === "1d" ? "3d" : "6h" } },
    },
    // Days that are found to be wrong two weeks later, and one that nobody ever used.
    masks: [
      { days: ["2024-09-04/2024-09-07"], entities: ["a", "c"], reason: "half", knownFrom: "2024-09-21" },
      { days: ["2024-09-14"], entities: ["b"], reason: "half" },
    ],
    ...place,
    targets: { walkers: { ...place.targets?.["walkers"], neighboursWithinKm: 0.3 } },
  });
  const lagMs = [0, 2 * hourMs, 26 * hourMs][seed % 3]!;
  const { lake, clock } = await openLake(city, {
    threads: 1,
    lagMs: new Map([
      ["counts", lagMs],
      ["weather", 0],
    ]),
  });
  const start = Date.UTC(2024, 7, 12);
  const polls = awkwardWorld(city, seed, start, parseDuration(city.step) >= dayMs ? 160 : 75, lagMs);
  const seen: Seen[] = [];
  const asked = new Set(
    Array.from({ length: origins }, () => Math.floor(polls.length * (0.1 + 0.85 * random()))),
  );
  for (const [number, { at, counts, weather }] of polls.entries()) {
    clock.set(at);
    await poll(lake, "counts", counts);
    await poll(lake, "weather", weather);
    for (let i = 0; i < 3; i++) await judgeDays(lake, city, clock.now(), judging);
    if (!asked.has(number)) continue;
    // At the moment of the read, and at any later moment before the next one.
    const origin = seen.length === 0 ? at : at + random() * ((polls[number + 1]?.at ?? at + dayMs) - at - 1);
    clock.set(origin);
    seen.push({
      origin,
      exact: await lake.read((connection) => ask(connection, city, lagMs, [origin], "exact")),
    });
  }
  clock.advance(40 * dayMs);
  return { city, lake, lagMs, seen };
}

test("late rows, corrections, events and a backfill do not change what an earlier origin saw", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.constantFrom(...places),
      async (seed, place) => {
        const { city, lake, lagMs, seen } = await live(place, seed);
        try {
          const origins = seen.map(({ origin }) => origin);
          const again = (at: readonly number[], path: "fast" | "exact") =>
            lake.read((connection) => ask(connection, city, lagMs, at, path));
          const all = await again(origins, "fast");
          for (const [i, then] of seen.entries()) {
            expect(then.exact.rows).toBeGreaterThan(0);
            expect(differences(then.exact, rowsOf(all, i))).toEqual([]);
            expect(differences(then.exact, await again([origins[i]!], "exact"))).toEqual([]);
          }
        } finally {
          await lake.close();
        }
      },
    ),
    { numRuns: 3, seed: 20_240_812, endOnFailure: true },
  );
}, 120_000);

test("days, with levels and temperatures of their own, are as they were known", async () => {
  const { city, lake, lagMs, seen } = await live(places[3]!, 8, 3);
  try {
    const { origin, exact } = seen[1]!;
    const origins = seen.map((one) => one.origin);
    const all = await lake.read((connection) => ask(connection, city, lagMs, origins, "fast"));
    for (const [i, then] of seen.entries()) expect(differences(then.exact, rowsOf(all, i))).toEqual([]);
    const values = numbersOf(exact);
    for (const name of ["fading_50", "log_mean_56d", "temperature_week", "temperature_base", "heating_base"])
      expect(Array.from(values.get(name)!).filter((value) => !Number.isNaN(value)).length).toBeGreaterThan(5);
    await lake.read(async (connection) => {
      await connection.run("BEGIN TRANSACTION");
      try {
        await connection.run(`DELETE FROM clean_observations WHERE t >= ${city.grid.stepAt(origin - lagMs)}`);
        await connection.run(`DELETE FROM weather WHERE known_at > ${Math.floor(origin)}`);
        await connection.run(`DELETE FROM events WHERE known_at > ${Math.floor(origin)}`);
        for (const path of ["exact", "fast"] as const)
          expect(differences(exact, await ask(connection, city, lagMs, [origin], path))).toEqual([]);
      } finally {
        await connection.run("ROLLBACK");
      }
    });
  } finally {
    await lake.close();
  }
}, 60_000);

describe("in one awkward world", () => {
  let world: Awaited<ReturnType<typeof live>>;
  beforeAll(async () => {
    world = await live(places[0]!, 7, 9);
  });
  afterAll(() => world.lake.close());

  /** Changes the lake, looks at it, and takes the change back. */
  const undone = (work: (connection: Connection) => Promise<void>) =>
    world.lake.read(async (connection) => {
      await connection.run("BEGIN TRANSACTION");
      try {
        await work(connection);
      } finally {
        await connection.run("ROLLBACK");
      }
    });

  test("no feature changes when all that became known after the origin is deleted", async () => {
    const { city, lagMs, seen } = world;
    const { origin, exact } = seen[1]!;
    const known = Math.floor(origin);
    await undone(async (connection) => {
      const gone = [
        `clean_observations WHERE t >= ${city.grid.stepAt(origin - lagMs)}`,
        `weather WHERE known_at > ${known}`,
        `events WHERE known_at > ${known}`,
      ];
      for (const rows of gone) expect(await connection.run(`DELETE FROM ${rows}`)).toBeGreaterThan(0);
      expect(differences(exact, await ask(connection, city, lagMs, [origin], "exact"))).toEqual([]);
      expect(differences(exact, await ask(connection, city, lagMs, [origin], "fast"))).toEqual([]);
    });
  });

  test("today's table filtered by date would show an origin other features than it saw", async () => {
    const { city, lagMs, seen } = world;
    const columns = new Set<string>();
    await undone(async (connection) => {
      await connection.run("UPDATE clean_observations SET known_at = 0");
      await connection.run("DELETE FROM clean_revisions");
      await connection.run(
        "DELETE FROM events x WHERE known_at < (SELECT max(known_at) FROM events y WHERE y.id = x.id)",
      );
      await connection.run("UPDATE events SET known_at = 0");
      for (const { origin, exact } of seen) {
        for (const line of differences(exact, await ask(connection, city, lagMs, [origin], "exact"))) {
          columns.add(line.split(":")[0]!);
        }
      }
    });
    expect([...columns]).toEqual(
      expect.arrayContaining(["(expectation)", "level_1d", "city_1d", "r_day_1", "y_week_1", "events_near"]),
    );
  });

  test("features read what was forecast of a half-loaded day as if it had been counted, targets nothing", async () => {
    const { city, lagMs } = world;
    await undone(async (connection) => {
      const last = await connection.first<{ at: number }>("SELECT max(known_at) AS at FROM observations");
      const asked = () => ask(connection, city, lagMs, [last!.at], "exact");
      const before = await asked();
      const hidden = "FROM observations WHERE stand_in IS NOT NULL";
      const values = await connection.first<{ n: number; known: number }>(
        `SELECT count(*) AS n, count(value) AS known ${hidden}`,
      );
      expect(values!.n).toBeGreaterThan(50);
      expect(values!.known).toBe(0);
      await connection.run(
        "CREATE TEMP TABLE held AS SELECT e, t, stand_in FROM observations WHERE value IS NULL",
      );
      await connection.run("DELETE FROM stand_ins");
      expect(differences(before, await asked())).not.toEqual([]);
      await connection.run("DELETE FROM annotations WHERE kind = 'half-loaded' AND known_to IS NULL");
      await connection.run(
        "UPDATE clean_observations o SET value = h.stand_in FROM held h WHERE h.e = o.e AND h.t = o.t",
      );
      expect(differences(before, await asked())).toEqual([]);
    });
  });

  test("every feature moves that can, so that equal ones say something", () => {
    const values = new Map<string, Set<number>>();
    for (const { exact } of world.seen) {
      for (const [name, numbers] of numbersOf(exact)) {
        values.set(name, new Set([...(values.get(name) ?? []), ...Array.from(numbers)]));
      }
    }
    // The world has one longitude, no year behind it, no Christmas and no day between a holiday and a weekend.
    const still = [...values].flatMap(([name, set]) => (set.size === 1 ? [name] : []));
    expect(still.sort()).toEqual(["bridge", "days_to_christmas", "lon", "r_year", "r_year_week"]);
  });
});
