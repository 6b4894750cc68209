import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { silentLog } from "../../../src/core/index.ts";
import {
  featureMemoryMs,
  KeptProfiles,
  type Levels,
  type LevelTarget,
  LevelWindow,
  levelHistory,
  readLevels,
} from "../../../src/features/index.ts";
import type { Connection, Lake } from "../../../src/lake/index.ts";
import { temporaryFolder } from "../../cli/support.ts";
import { dayMs } from "../../lake/support.ts";
import {
  insertReadings,
  openTown,
  townTargets as targets,
  timeZone,
  town,
  townEnd,
  townReadings,
} from "./town.ts";

const readings = townReadings(5);
const polledFrom = townEnd - 3 * dayMs;
const folder = temporaryFolder();
let lake: Lake;
// What is polled later comes in as it becomes known.
beforeAll(async () => {
  lake = await openTown(readings.filter(({ knownAt }) => knownAt < polledFrom));
});
afterAll(async () => {
  await lake.close();
  folder.remove();
});

test("a window that grows by what becomes known gives the features of the whole history, and stays small", async () => {
  const window = new LevelWindow(featureMemoryMs);
  const [profileFolder, temporary] = [join(folder.path, "profiles"), join(folder.path, "tmp")];
  const keptProfiles = new KeptProfiles({ folder: profileFolder, temporary, log: silentLog });
  let known = polledFrom;
  let compared = 0;
  for (let origin = polledFrom; origin < townEnd; origin += 7 * 3_600_000) {
    const news = readings.filter(({ knownAt }) => knownAt >= known && knownAt < origin);
    known = Math.max(known, origin);
    await lake.write((connection) => insertReadings(connection, news));
    await lake.read(async (connection) => {
      await window.extend(connection, origin);
      const { levels } = window;
      await expectSame(connection, levels, origin);
      const only = { from: origin, until: origin, weather: "issued" } as const;
      const whole = await levelHistory(
        connection,
        town,
        await readLevels(connection, { knownBy: origin }),
        only,
      );
      const asOf = whole.profileInstant(origin);
      const reader = { stations: levels.stations, current: true };
      const profiles = await keptProfiles.get(connection, { timeZone, targets, asOf }, reader);
      const kept = (target: LevelTarget) => profiles[targets.indexOf(target)]!;
      const live = await levelHistory(connection, town, levels, only, kept);
      for (const target of targets) {
        const [a, b] = [live, whole].map((history) => history.features(target, Float64Array.of(origin)));
        expect(a!.rows).toBe(7);
        for (const [k, name] of whole.columns.entries())
          expect([name, ...a!.columns[k]!]).toEqual([name, ...b!.columns[k]!]);
        compared++;
      }
    });
  }
  expect(compared).toBe(22);
});

test("what an archive adds that was known before the newest snapshot puts that one out", async () => {
  const window = new LevelWindow(featureMemoryMs);
  const [last] = readings.toSorted((a, b) => b.at - a.at);
  const slow = { ...last!, at: townEnd + 600_000, knownAt: townEnd + 3_600_000 };
  const archived = { ...last!, at: townEnd + 660_000, knownAt: townEnd + 700_000 };
  await lake.write((connection) => insertReadings(connection, [slow]));
  const origin = townEnd + 2 * 3_600_000;
  await lake.read((connection) => window.extend(connection, origin));
  expect(window.levels.at.at(-1)).toBe(slow.at);
  await lake.write((connection) => insertReadings(connection, [archived]));
  await lake.read(async (connection) => {
    await window.extend(connection, origin);
    expect(window.levels.at.at(-1)).toBe(archived.at);
    expect(window.levels.at).not.toContain(slow.at);
    await expectSame(connection, window.levels, origin);
  });
});

test("a station that is new is added to what is held, which is not read again; one that was missed is read", async () => {
  const own = await openTown([]);
  const window = new LevelWindow(featureMemoryMs);
  const recent = readings.filter(({ at }) => at >= polledFrom);
  const add = async (stations: string, from: number, until: number) => {
    const news = recent.filter(
      ({ station, knownAt }) => stations.includes(station) && knownAt >= from && knownAt < until,
    );
    expect(news.length).toBeGreaterThan(20);
    await own.write(async (connection) => {
      await connection.run(
        `INSERT INTO entities (e, entity) SELECT e, entity FROM later WHERE list_contains(['${[...stations].join("', '")}'], entity)`,
      );
      await connection.run("DELETE FROM later WHERE e IN (SELECT e FROM entities)");
      await insertReadings(connection, news);
    });
  };
  /** Where reading began, and what is held beside what the lake has. */
  const extended = (origin: number) =>
    own.read(async (connection) => {
      const last = window.levels.at.at(-1) ?? 0;
      const read = vi.spyOn(connection, "numbers");
      await window.extend(connection, origin);
      const isAnew = read.mock.calls.some(([sql]) => !sql.includes(`"at" >= ${last + 1} `));
      read.mockRestore();
      await expectSame(connection, window.levels, origin);
      return isAnew;
    });
  try {
    await own.write(async (connection) => {
      await connection.run("CREATE TABLE later AS SELECT e, entity FROM entities");
      await connection.run("DELETE FROM entities");
    });
    const [first, second, third] = [1, 2, 3].map((days) => polledFrom + days * dayMs - 1);
    await add("abcd", polledFrom, first!);
    expect(await extended(first!)).toBe(true);
    await add("ef", first!, second!);
    expect(await extended(second!)).toBe(false);
    expect(window.levels.stations.map(({ entity }) => entity).join("")).toBe("abcdef");
    expect(window.levels.bikes.some((bikes, i) => i % 6 > 3 && bikes >= 0)).toBe(true);
    // Its snapshots are as old as those that are held.
    await add("g", first!, second!);
    expect(await extended(third!)).toBe(true);
  } finally {
    await own.close();
  }
});

/** What is held is what a read of the same range gives. */
async function expectSame(connection: Connection, held: Levels, origin: number): Promise<void> {
  const { late: _, ...read } = await readLevels(
    connection,
    { from: origin - featureMemoryMs, knownBy: origin },
    held.stations,
  );
  for (const [name, values] of Object.entries(read))
    expect([name, ...(values as Levels["at"])]).toEqual([name, ...(held[name as "at"] as Levels["at"])]);
}
