import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type FallProfiles,
  featureMemoryMs,
  type LevelHistory,
  type LevelTarget,
  levelHistory,
  readLevels,
} from "../../../src/features/index.ts";
import type { Connection, Lake } from "../../../src/lake/index.ts";
import { dayMs, randomOf } from "../../lake/support.ts";
import { featuresByDefinition, weatherByDefinition } from "./oracle.ts";
import {
  enlargedAt,
  openTown,
  places,
  townTargets as targets,
  town,
  townEnd,
  townReadings,
  townWeather,
} from "./town.ts";

const readings = townReadings(11);
let lake: Lake;
let history: LevelHistory;
beforeAll(async () => {
  lake = await openTown(readings);
  history = await lake.read(historyOf);
});
afterAll(() => lake.close());

const asked = { from: townEnd - 12 * dayMs, until: townEnd, weather: "issued" } as const;
const historyOf = async (connection: Connection, range = {}) =>
  levelHistory(connection, town, await readLevels(connection, range), asked);

/** Instants of the last eleven days: when a snapshot became known, just before that, and at no particular moment. */
function randomOrigins(count: number, seed: number): Float64Array {
  const random = randomOf(seed);
  const known = [...new Set(readings.map(({ knownAt }) => knownAt))].sort((a, b) => a - b);
  return Float64Array.from({ length: count }, (_, i) => {
    const at = townEnd - 11 * dayMs * random();
    const stamp = known.findLast((instant) => instant <= at)!;
    return i % 3 === 0 ? stamp : i % 3 === 1 ? stamp - 1 : Math.floor(at);
  }).sort();
}

/** Features by station and name. */
function tableOf(of: LevelHistory, target: LevelTarget, origins: Float64Array) {
  const { columns, rows, origin, station } = of.features(target, origins);
  return Array.from({ length: rows }, (_, i) => ({
    origin: origins[origin[i]!]!,
    station: of.levels.stations[station[i]!]!.entity,
    values: of.columns.map((_, k) => columns[k]![i]!),
  }));
}

describe("features of levels", () => {
  test("are what their definitions say, at random origins and where new profiles come into force", () => {
    // 06:00 on a Monday, after a week of 167 hours.
    const inForceAt = Date.parse("2023-03-13T13:00:00Z");
    const origins = Float64Array.of(...randomOrigins(3, 3), inForceAt - 1, inForceAt).sort();
    let known = 0;
    for (const target of targets) {
      const slow = new Map(
        [...origins].map((origin) => [origin, featuresByDefinition(readings, origin, target)]),
      );
      for (const { origin, station, values } of tableOf(history, target, origins)) {
        const expected = slow.get(origin)!.get(station)!;
        expect(Object.keys(expected).sort()).toEqual([...history.columns].sort());
        for (const [k, name] of history.columns.entries()) {
          const told = `${name} of ${station} at ${new Date(origin).toISOString()}`;
          if (Number.isNaN(expected[name]!)) expect(values[k], told).toBeNaN();
          else {
            expect(Math.abs(values[k]! - expected[name]!), told).toBeLessThan(
              1e-4 * (1 + Math.abs(expected[name]!)),
            );
            known++;
          }
        }
      }
    }
    expect(known).toBeGreaterThan(
      0.75 * targets.length * origins.length * places.length * history.columns.length,
    );
  });

  test("do not change when everything known after the origin is deleted", async () => {
    for (const origin of [...randomOrigins(9, 8), enlargedAt - 1]) {
      const cut = await lake.read(async (connection) => {
        await connection.run("BEGIN TRANSACTION");
        try {
          await connection.run(`DELETE FROM snapshots WHERE known_at > ${origin}`);
          await connection.run(
            `UPDATE entities SET attributes = c.old_value FROM entity_changes c WHERE c.e = entities.e AND c.changed_at > ${origin}`,
          );
          await connection.run(`DELETE FROM entity_changes WHERE changed_at > ${origin}`);
          await connection.run(`DELETE FROM weather WHERE known_at > ${origin}`);
          return await historyOf(connection);
        } finally {
          await connection.run("ROLLBACK");
        }
      });
      expect(cut.levels.at.length).toBeLessThan(history.levels.at.length);
      for (const target of targets) {
        const whole = tableOf(history, target, Float64Array.of(origin));
        const names = cut.levels.stations.map(({ entity }) => entity);
        expect(tableOf(cut, target, Float64Array.of(origin))).toEqual(
          whole.filter(({ station }) => names.includes(station)),
        );
      }
    }
  });

  test("are the same from two weeks of snapshots and profiles kept from before", async () => {
    const origins = Float64Array.of(townEnd - 3_600_000);
    const recent = await lake.read(async (connection) => {
      const range = { from: origins[0]! - featureMemoryMs, knownBy: origins[0]! };
      const kept = (target: LevelTarget, asOf: number): FallProfiles => history.profiles(target, asOf);
      const only = { from: origins[0]!, until: origins[0]!, weather: "issued" } as const;
      return levelHistory(connection, town, await readLevels(connection, range), only, kept);
    });
    expect(recent.levels.at.length).toBeLessThan(0.85 * history.levels.at.length);
    expect(recent.levels.stations).toEqual(history.levels.stations);
    for (const target of targets)
      expect(tableOf(recent, target, origins)).toEqual(tableOf(history, target, origins));
  });

  test("of one origin by itself are those it has among many", async () => {
    const origins = Float64Array.from(new Set(randomOrigins(90, 21)));
    expect(origins.length).toBeGreaterThan(60);
    for (const target of targets) {
      const many = tableOf(history, target, origins);
      for (const origin of origins.filter((_, i) => i % 9 === 0)) {
        const alone = tableOf(await lake.read(historyOf), target, Float64Array.of(origin));
        expect(alone).toEqual(many.filter((row) => row.origin === origin));
      }
    }
  });

  test("of some rows are those of all rows", () => {
    const origins = randomOrigins(3, 5);
    const wanted = Uint8Array.from({ length: 3 * places.length }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const all = history.features(targets[0]!, origins);
    const some = history.features(targets[0]!, origins, wanted);
    const kept = [...wanted.keys()].filter((i) => wanted[i] === 1);
    expect([...some.station]).toEqual(kept.map((i) => all.station[i]));
    expect(some.columns.map((column) => [...column])).toEqual(
      all.columns.map((column) => kept.map((i) => column[i])),
    );
  });

  test("tell the weather as it was known at any hour, also days after the last forecast", () => {
    const origins = Float64Array.from(new Set(randomOrigins(250, 6)));
    const first = tableOf(history, targets[0]!, origins).filter(
      ({ station }) => station === places[0]!.station,
    );
    let unknown = 0;
    for (const { origin, values } of first) {
      for (const [name, expected] of Object.entries(weatherByDefinition(origin))) {
        const told = `${name} at ${new Date(origin).toISOString()}`;
        const value = values[history.columns.indexOf(name)]!;
        if (Number.isNaN(expected)) {
          expect(value, told).toBeNaN();
          unknown++;
        } else expect(value, told).toBeCloseTo(expected, 4);
      }
    }
    expect(first.length).toBe(origins.length);
    expect(unknown).toBeGreaterThan(20);
    expect(unknown).toBeLessThan(first.length);
  });

  test("learn from what was observed later, and say so, where no forecast of the weather was kept", async () => {
    const origins = Float64Array.from(new Set(randomOrigins(120, 9)));
    const hour = 3_600_000;
    const [lived, learned] = await lake.read(async (connection) => {
      const levels = await readLevels(connection);
      await connection.run("BEGIN TRANSACTION");
      try {
        await connection.run("DELETE FROM weather WHERE issued_at IS NOT NULL");
        return [
          await levelHistory(connection, town, levels, asked),
          await levelHistory(connection, town, levels, { ...asked, weather: "issued-or-observed" }),
        ];
      } finally {
        await connection.run("ROLLBACK");
      }
    });
    const rainOf = (of: LevelHistory) =>
      tableOf(of, targets[0]!, origins)
        .filter(({ station }) => station === places[0]!.station)
        .map(({ values }) => values[of.columns.indexOf("rain")]!);
    const observed = new Map(
      townWeather
        .filter(({ issuedAt, knownAt }) => issuedAt === null && knownAt <= asked.until)
        .map((row) => [row.validAt, row.rain]),
    );
    // An hour is observed after its end.
    expect(rainOf(lived!).every(Number.isNaN)).toBe(true);
    for (const [i, value] of rainOf(learned!).entries()) {
      const expected = observed.get(Math.floor(origins[i]! / hour) * hour);
      if (expected == null) expect(value).toBeNaN();
      else expect(value).toBeCloseTo(expected, 4);
    }
    expect(lived!.weather!.basisOf(origins)).toBe("none");
    expect(learned!.weather!.basisOf(origins)).toBe("observed");
    expect(history.weather!.basisOf(origins)).toBe("issued");
  });

  test("are without the weather where a city has none, or it is not wanted", async () => {
    const rain = ["rain", "rain_before", "rain_ahead"];
    const [without, unwanted] = await lake.read(async (connection) => {
      const levels = await readLevels(connection);
      return [
        await levelHistory(connection, { ...town, sources: {} }, levels, asked),
        await levelHistory(connection, town, levels, { ...asked, weather: "none" }),
      ];
    });
    expect(history.columns.slice(-3)).toEqual(rain);
    expect(without!.columns).toEqual(history.columns.slice(0, -3));
    expect(unwanted!.columns).toEqual(without!.columns);
    const origins = randomOrigins(2, 4);
    expect(without!.features(targets[0]!, origins).columns).toEqual(
      history.features(targets[0]!, origins).columns.slice(0, -3),
    );
  });

  test("nothing known yet gives rows without a value", () => {
    const { columns, rows } = history.features(targets[0]!, Float64Array.of(0));
    expect(rows).toBe(places.length);
    for (const column of columns) expect(column.every(Number.isNaN)).toBe(true);
  });
});

describe("outcomes", () => {
  const minutes = 60_000;
  const open = (at: number, bikes: number, more = {}) => ({
    ...{
      at,
      knownAt: at,
      station: "a",
      bikes,
      ebikes: 0,
      docks: 9,
      disabled: 0,
      renting: true,
      returning: true,
    },
    ...{ reportedAt: null, ...more },
  });
  const lowestAt = async (rows: readonly ReturnType<typeof open>[], origin = 0, horizonMinutes = 30) => {
    const other = await openTown(
      rows.map((row) => ({ ...row, at: base + row.at, knownAt: base + row.knownAt })),
    );
    try {
      const { lowest } = (await other.read(historyOf)).outcomes(
        { measure: "bikes", horizonMs: horizonMinutes * minutes, below: 3 },
        Float64Array.of(base + origin),
      );
      return lowest[0];
    } finally {
      await other.close();
    }
  };
  const base = Date.UTC(2023, 4, 2, 12);
  const each = (at: readonly number[], counts: readonly number[]) =>
    at.map((minute, i) => open(minute * minutes, counts[i]!));

  test.each([
    ["the lowest count after the origin, the end included", [0, 10, 20, 30, 40], [2, 7, 6, 5, 1], 5],
    ["not the count at the origin", [0, 10, 20, 30, 40], [0, 7, 8, 9, 9], 7],
    ["known with a snapshot at the very end", [0, 10, 20, 30], [9, 7, 6, 4], 4],
    ["not known before a snapshot at or after the end", [0, 10, 20, 29], [9, 2, 2, 2], -1],
    ["not known over a stretch of more than 20 minutes", [0, 21, 30], [9, 1, 1], -1],
    ["known over one of 20", [0, 20, 40], [9, 1, 9], 1],
    ["not known where the stretch runs past the end", [0, 5, 60], [9, 1, 9], -1],
  ])("%s", async (_, at, counts, expected) => {
    expect(await lowestAt(each(at, counts))).toBe(expected);
  });

  test("a station out of service has none, neither at the origin nor through what it then shows", async () => {
    const rows = each([0, 10, 20, 30, 40], [9, 8, 7, 6, 5]);
    const closed = (i: number) =>
      rows.map((row, k) => (k === i ? { ...row, renting: false, bikes: 0 } : row));
    expect(await lowestAt(closed(0))).toBe(-1);
    expect(await lowestAt(closed(2))).toBe(6);
    const fromThenOn = rows.map((row, k) => (k > 1 ? { ...row, renting: false, bikes: 0 } : row));
    expect(await lowestAt(fromThenOn, 0, 40)).toBe(-1);
  });

  test("from an instant between snapshots the newest one known then counts", async () => {
    const rows = each([0, 10, 20, 30, 40], [9, 8, 1, 6, 5]);
    expect(await lowestAt(rows, 12 * minutes, 20)).toBe(1);
    expect(await lowestAt(rows, 21 * minutes, 19)).toBe(5);
  });

  test("a snapshot known only after a later one is left out", async () => {
    const rows = each([0, 10, 20, 30, 40], [9, 8, 1, 6, 5]);
    const late = rows.map((row, i) => (i === 2 ? { ...row, knownAt: 35 * minutes } : row));
    expect(await lowestAt(late)).toBe(6);
  });

  test("a gap gives no flows: what changed over it happened at no known pace", async () => {
    const rows = each([0, 10, 160, 170], [9, 9, 2, 1]);
    const other = await openTown(
      rows.map((row) => ({ ...row, at: base + row.at, knownAt: base + row.knownAt })),
    );
    const { columns } = (await other.read(historyOf)).features(
      targets[0]!,
      Float64Array.of(base + 170 * minutes),
    );
    await other.close();
    const value = (name: string) => columns[history.columns.indexOf(name)]![0];
    expect(value("count")).toBe(1);
    expect(value("change_10")).toBe(-1);
    for (const name of ["change_20", "fell_20", "rose_20", "fell_60", "change_120", "fell_120"])
      expect(value(name), name).toBeNaN();
  });

  test("a station that comes back after a day with another count has changed then, alone or among many", async () => {
    const back = 26 * 60;
    const rows = [
      ...each([0, 10], [9, 9]),
      // Others are seen all the time.
      ...each(
        Array.from({ length: back / 10 + 2 }, (_, i) => 10 * i),
        new Array<number>(back / 10 + 2).fill(5),
      ).map((row) => ({ ...row, station: "b" })),
      ...each([back, back + 10], [4, 4]),
    ].sort((x, y) => x.at - y.at);
    const other = await openTown(
      rows.map((row) => ({ ...row, at: base + row.at, knownAt: base + row.knownAt })),
    );
    const origin = base + (back + 10) * minutes;
    const many = Float64Array.from({ length: 60 }, (_, i) => origin + 1000 * i);
    for (const origins of [many.subarray(0, 1), many]) {
      const { columns } = (await other.read(historyOf)).features(targets[0]!, origins);
      expect(columns[history.columns.indexOf("since_change")]![0]).toBe(10);
      expect(columns[history.columns.indexOf("change_10")]![0]).toBe(0);
      expect(columns[history.columns.indexOf("change_20")]![0]).toBeNaN();
    }
    await other.close();
  });
});
