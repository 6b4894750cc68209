import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { silentLog } from "../../../src/core/index.ts";
import {
  type FallProfiles,
  KeptProfiles,
  LevelHistory,
  type ProfileOptions,
  profileInstant,
  profileMemoryMs,
  publicHolidays,
  readLevels,
  type Station,
} from "../../../src/features/index.ts";
import { readProfiles, writeProfiles } from "../../../src/features/levels/profile-file.ts";
import type { Connection, Lake } from "../../../src/lake/index.ts";
import { temporaryFolder } from "../../cli/support.ts";
import { bytesOf } from "./profile-bytes.ts";
import { openTown, townTargets as targets, timeZone, townEnd, townReadings } from "./town.ts";

const weekMs = 7 * 86_400_000;
const folder = temporaryFolder();
let lake: Lake;
let options: ProfileOptions;
let stations: readonly Station[];
let home = "";
let path = "";
let homes = 0;

beforeAll(async () => {
  lake = await openTown(townReadings(5));
  options = { timeZone, targets, asOf: profileInstant(timeZone, townEnd) };
  ({ stations } = await lake.read((connection) => readLevels(connection, { knownBy: townEnd })));
});
beforeEach(() => {
  home = join(folder.path, String(homes++));
  path = join(home, "profiles", `${options.asOf}.bin`);
});
afterEach(() => {
  const scratch = join(home, "tmp");
  expect(existsSync(scratch) ? readdirSync(scratch) : []).toEqual([]);
});
afterAll(async () => {
  await lake.close();
  folder.remove();
});

const keptHere = () =>
  new KeptProfiles({ folder: join(home, "profiles"), temporary: join(home, "tmp"), log: silentLog });
const present = () => ({ stations, current: true });

/** What a process that starts now uses. */
const fromNewProcess = (connection: Connection, asked = options, current = true) =>
  keptHere().get(connection, asked, { stations, current });

/** As training and backtests have them, with every station in the matrices. */
async function fresh(connection: Connection, { asOf, ...asked } = options, of = stations) {
  const range = { from: asOf - profileMemoryMs, knownBy: asOf };
  const history = new LevelHistory(
    await readLevels(connection, range, of),
    asked.timeZone,
    await publicHolidays(connection),
  );
  return bytesOf(asked.targets.map((target) => history.profiles(target, asOf)));
}
const keyIn = (file: string): string => /"key":"(\w+)"/.exec(readFileSync(file, "latin1"))![1]!;

/** Puts something recognisable in place of what the file holds, with a right checksum. */
async function mark(): Promise<void> {
  const key = keyIn(path);
  const profiles = (await readProfiles(path, key))!;
  profiles.targets[1]![2].turnover[3] = 77;
  await writeProfiles(path, key, profiles);
}
const isMarked = (profiles: readonly FallProfiles[]) => profiles[1]!.windows[2].turnover[3] === 77;

/** Works on the lake as it would be, and leaves it as it is. */
async function supposing(sql: readonly string[], work: (connection: Connection) => Promise<void>) {
  await lake.read(async (connection) => {
    await connection.run("BEGIN TRANSACTION");
    try {
      for (const statement of sql) await connection.run(statement);
      await work(connection);
    } finally {
      await connection.run("ROLLBACK");
    }
  });
}

describe("profiles kept for the next process", () => {
  test("are byte for byte those made anew", async () => {
    await lake.read(async (connection) => {
      const expected = await fresh(connection);
      expect(bytesOf(await fromNewProcess(connection))).toEqual(expected);
      expect(existsSync(path)).toBe(true);
      expect(bytesOf(await fromNewProcess(connection))).toEqual(expected);
    });
  });

  test("come from the file, and from memory after that", async () => {
    await lake.read(async (connection) => {
      await fromNewProcess(connection);
      await mark();
      expect(isMarked(await fromNewProcess(connection))).toBe(true);
      const kept = keptHere();
      const [first] = await kept.get(connection, options, present());
      writeFileSync(path, "");
      const [second] = await kept.get(connection, options, present());
      expect(second!.windows).toBe(first!.windows);
    });
  });

  test("are read ahead in place of those in memory, and the files of both stay", async () => {
    const earlier = { ...options, asOf: options.asOf - weekMs };
    await lake.read(async (connection) => {
      const kept = keptHere();
      const old = bytesOf(await kept.get(connection, earlier, present()));
      await kept.keep(connection, options);
      await mark();
      await kept.readAhead(connection, options);
      const files = readdirSync(join(home, "profiles"));
      expect(files.sort()).toEqual([`${earlier.asOf}.bin`, `${options.asOf}.bin`]);
      writeFileSync(path, "");
      await kept.readAhead(connection, options);
      expect(isMarked(await kept.get(connection, options, present()))).toBe(true);
      expect(bytesOf(await kept.get(connection, earlier, present()))).toEqual(old);
    });
  });

  test("that no file holds are not read ahead, but made by the batch that wants them", async () => {
    await lake.read(async (connection) => {
      const expected = await fresh(connection);
      const kept = keptHere();
      await kept.readAhead(connection, options);
      expect(existsSync(path)).toBe(false);
      expect(bytesOf(await kept.get(connection, options, present()))).toEqual(expected);
    });
  });

  test("are made anew from a file that is damaged anywhere, cut short, empty or no such file", async () => {
    await lake.read(async (connection) => {
      const expected = await fresh(connection);
      await fromNewProcess(connection);
      const { length } = readFileSync(path);
      for (const at of [0, 33, 300, length - 1]) {
        const bytes = readFileSync(path);
        bytes[at]! ^= 1;
        writeFileSync(path, bytes);
        expect(bytesOf(await fromNewProcess(connection)), `byte ${at}`).toEqual(expected);
        // And a good one is there again.
        expect(await readProfiles(path, keyIn(path))).not.toBeNull();
      }
      for (const left of [length - 4, 31, 0]) {
        truncateSync(path, left);
        expect(bytesOf(await fromNewProcess(connection)), `${left} bytes`).toEqual(expected);
      }
    });
  });

  test("are made anew when anything that they are made from differs", async () => {
    const before = `"at" < ${options.asOf - 3 * 86_400_000}`;
    const one = `(SELECT min("at") FROM snapshots WHERE bikes > 0)`;
    const cases: Record<string, readonly string[]> = {
      "an older snapshot": [
        `INSERT INTO snapshots SELECT "at" - 7200000, e, bikes, ebikes, docks, bikes_disabled, docks_disabled, renting, "returning",
           reported_at, known_at - 7200000, ingested_at, source FROM snapshots WHERE "at" = ${one}`,
      ],
      // No lake does this; a folder put together from two may.
      "another count": [`UPDATE snapshots SET bikes = bikes - 1 WHERE "at" = ${one} AND bikes > 0`],
      "stations out of service": [`UPDATE snapshots SET renting = false WHERE e = 2 AND ${before}`],
      "known later": [`UPDATE snapshots SET known_at = known_at + 1000 WHERE ${before} AND e = 1`],
      "another holiday": ["INSERT INTO holidays SELECT day - 7, name, kind, known_at FROM holidays"],
    };
    await lake.read((connection) => fromNewProcess(connection));
    await mark();
    const marked = readFileSync(path);
    for (const [what, sql] of Object.entries(cases)) {
      writeFileSync(path, marked);
      await supposing(sql, async (connection) => {
        expect(isMarked(await fromNewProcess(connection)), what).toBe(false);
      });
    }
    // What they are not made from.
    writeFileSync(path, marked);
    const later = ["INSERT INTO holidays SELECT day + 300, name, kind, known_at FROM holidays"];
    await supposing(later, async (connection) => {
      expect(isMarked(await fromNewProcess(connection))).toBe(true);
    });
    for (const [what, asked] of Object.entries({
      "another week": { ...options, asOf: options.asOf - weekMs },
      "another bound": { ...options, targets: [targets[0]!, { ...targets[1]!, below: 2 }] },
      "another time zone": { ...options, timeZone: "Europe/Paris" },
    })) {
      // Whatever the file is called.
      writeFileSync(join(home, "profiles", `${asked.asOf}.bin`), marked);
      await lake.read(async (connection) => {
        expect(isMarked(await fromNewProcess(connection, asked)), what).toBe(false);
      });
    }
  });

  test("in memory are made anew when older snapshots come", async () => {
    await lake.read(async (connection) => {
      const kept = keptHere();
      await kept.get(connection, options, present());
      await connection.run("BEGIN TRANSACTION");
      try {
        await connection.run(
          `INSERT INTO snapshots SELECT "at" + 60000, e, 0, 0, 9, 0, 0, true, true, reported_at, known_at + 60000, ingested_at, source
           FROM snapshots WHERE "at" < ${options.asOf - 2 * 86_400_000} AND "at" > ${options.asOf - 3 * 86_400_000}`,
        );
        const found = bytesOf(await kept.get(connection, options, present()));
        expect(found).toEqual(await fresh(connection));
      } finally {
        await connection.run("ROLLBACK");
      }
      expect(bytesOf(await kept.get(connection, options, present()))).toEqual(await fresh(connection));
    });
  });

  test("of a past week leave the present week's file as it is", async () => {
    await lake.read(async (connection) => {
      await fromNewProcess(connection);
      const bytes = readFileSync(path);
      // Before one of the stations was there.
      const past = { ...options, asOf: options.asOf - weekMs };
      const profiles = await fromNewProcess(connection, past, false);
      expect(profiles[0]!.windows[0].turnover.length).toBe(stations.length);
      expect(bytesOf(profiles)).toEqual(await fresh(connection, past));
      expect(readdirSync(join(home, "profiles"))).toEqual([basename(path)]);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    });
  });

  test("serve any list of stations, bit for bit as if they had been made for it", async () => {
    const [first, ...others] = stations;
    const newcomer: Station = { ...first!, entity: "new", e: 40 };
    const newer: Station = { ...newcomer, e: 41 };
    const lists = { "with a new one": [...stations, newcomer], "with two": [newer, ...stations, newcomer] };
    await lake.read(async (connection) => {
      const kept = keptHere();
      const [before] = await kept.get(connection, options, present());
      for (const [what, of] of Object.entries(lists)) {
        const profiles = await kept.get(connection, options, { stations: of, current: true });
        expect(profiles[0]!.windows, what).toBe(before!.windows);
        expect(bytesOf(profiles), what).toEqual(await fresh(connection, options, of));
      }
      const fewer = await kept.get(connection, options, { stations: others.toReversed(), current: true });
      expect([...fewer[0]!.places]).toEqual([6, 5, 4, 3, 2, 1]);
    });
  });

  test("give the features and falls of a station that has come since", async () => {
    const origin = options.asOf - 3 * 86_400_000;
    const asOf = profileInstant(timeZone, origin);
    await lake.read(async (connection) => {
      const levels = await readLevels(connection, { knownBy: origin }, stations);
      const profiles = await fromNewProcess(connection, { ...options, asOf }, false);
      expect([...profiles[0]!.places]).toEqual([0, 1, 2, 3, 6, 4, 5]);
      const holidays = await publicHolidays(connection);
      const whole = new LevelHistory(levels, timeZone, holidays);
      const live = new LevelHistory(levels, timeZone, holidays, {
        profilesAt: (target) => profiles[targets.indexOf(target)]!,
      });
      for (const target of targets) {
        const [expected, found] = [whole, live].map((history) =>
          history.features(target, Float64Array.of(origin)),
        );
        expect(found!.columns).toEqual(expected!.columns);
        expect(live.falls(target, origin)).toEqual(whole.falls(target, origin));
      }
    });
  });

  // Where this fails on purpose, count `definition` in kept-profiles.ts up and write the new one here.
  test("have one meaning as long as their definition stays the same", async () => {
    const bytes = await lake.read((connection) => fresh(connection));
    const digest = createHash("sha256").update(JSON.stringify(bytes)).digest("hex");
    expect(digest.slice(0, 16)).toBe("b4b983ad4fdb30fc");
  });
});

describe("profiles made before they come into force", () => {
  const late = [
    `INSERT INTO snapshots SELECT "at" + 60000, e, 0, 0, 9, 0, 0, true, true, reported_at, known_at + 60000, ingested_at, source
     FROM snapshots WHERE "at" = (SELECT min("at") FROM snapshots WHERE bikes > 0)`,
  ];
  const next = () => ({ ...options, asOf: options.asOf + weekMs });
  const pathOfNext = () => join(home, "profiles", `${next().asOf}.bin`);

  test("are read from their file by the first batch that wants them, which looks at no snapshot and removes the older", async () => {
    await lake.read(async (connection) => {
      const kept = keptHere();
      const [before] = await kept.get(connection, options, present());
      expect(await kept.isDue(connection, next())).toBe(true);
      await kept.keep(connection, next());
      expect(await kept.isDue(connection, next())).toBe(false);
      // Until then batches have the others, from memory.
      expect((await kept.get(connection, options, present()))[0]!.windows).toBe(before!.windows);
      expect(readdirSync(join(home, "profiles")).length).toBe(2);

      const asked = vi.spyOn(connection, "first");
      const copied = vi.spyOn(connection, "run");
      const profiles = await kept.get(connection, next(), present());
      expect(asked.mock.calls.map(([sql]) => /count\(\*\)/.test(sql))).toEqual([true]);
      expect(copied.mock.calls).toEqual([]);
      vi.restoreAllMocks();
      expect(bytesOf(profiles)).toEqual(await fresh(connection, next()));
      expect(readdirSync(join(home, "profiles"))).toEqual([basename(pathOfNext())]);
    });
  });

  test("are made anew, and never used, when snapshots come that were known by then", async () => {
    await lake.read((connection) => keptHere().keep(connection, next()));
    const kept = keptHere();
    // A new process sees that the file is right, and leaves it.
    const bytes = readFileSync(pathOfNext());
    await lake.read(async (connection) => {
      expect(await kept.isDue(connection, next())).toBe(true);
      await kept.keep(connection, next());
      expect(await kept.isDue(connection, next())).toBe(false);
    });
    expect(readFileSync(pathOfNext()).equals(bytes)).toBe(true);
    await supposing(late, async (connection) => {
      const expected = await fresh(connection, next());
      expect(await kept.isDue(connection, next())).toBe(true);
      expect(bytesOf(await keptHere().get(connection, next(), { stations, current: false }))).toEqual(
        expected,
      );
      await kept.keep(connection, next());
      expect(await kept.isDue(connection, next())).toBe(false);
      expect(readFileSync(pathOfNext()).equals(bytes)).toBe(false);
      expect(bytesOf(await kept.get(connection, next(), present()))).toEqual(expected);
    });
  });

  test("are made once when a batch wants them while a job makes them", async () => {
    await lake.read(async (connection) => {
      const made = vi.spyOn(silentLog, "info");
      const kept = keptHere();
      const [, profiles] = await Promise.all([
        kept.keep(connection, next()),
        kept.get(connection, next(), present()),
      ]);
      expect(made.mock.calls.filter(([, what]) => what === "profiles made").length).toBe(1);
      made.mockRestore();
      expect(bytesOf(profiles)).toEqual(await fresh(connection, next()));
    });
  });

  test("leave nothing behind when the job is stopped, and are made by the next", async () => {
    await lake.read(async (connection) => {
      const kept = keptHere();
      const stop = new AbortController();
      const stopped = kept.keep(connection, next(), stop.signal);
      const wanted = kept.get(connection, next(), present());
      setImmediate(() => stop.abort(new Error("the program stops")));
      await expect(stopped).rejects.toThrow("the program stops");
      expect(bytesOf(await wanted)).toEqual(await fresh(connection, next()));
      expect(readdirSync(join(home, "profiles"))).toEqual([basename(pathOfNext())]);
    });
  });
});
