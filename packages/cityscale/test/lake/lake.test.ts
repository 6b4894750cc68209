import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildFeatures, createView, type FeatureRequest } from "../../src/features/index.ts";
import { exportVersion, type Lake, openEngine, openVersion } from "../../src/lake/index.ts";
import { migrations } from "../../src/lake/schema.ts";
import { spawnSource } from "../core/child.ts";
import { differences } from "../features/compare.ts";
import { awkwardWorld } from "../features/world.ts";
import { dayMs, openLake, poll, randomOf, smallCity } from "./support.ts";

const city = smallCity();
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "lake-"));
});
afterEach(() => rm(dir, { recursive: true }));

describe("a lake's file", () => {
  test("of a newer format is refused", async () => {
    const path = join(dir, "city.duckdb");
    await (await openLake(city, { path })).lake.close();
    const engine = await openEngine({ path, memoryMb: 100, threads: 1 });
    const connection = await engine.connect();
    await connection.run("INSERT INTO lake_format VALUES (1000, 0)");
    connection[Symbol.dispose]();
    engine.close();
    await expect(openLake(city, { path })).rejects.toMatchObject({ code: "DATA_FOLDER_NEWER" });
  });

  test("of an older format is brought up to date with its values and what was known before", async () => {
    const path = join(dir, "city.duckdb");
    const engine = await openEngine({ path, memoryMb: 100, threads: 1 });
    const connection = await engine.connect();
    await connection.run(`
      CREATE TABLE lake_format (version INTEGER, written_at BIGINT); INSERT INTO lake_format VALUES (2, 0);
      ${migrations.slice(0, 2).join("")}
      INSERT INTO entities (e, entity) VALUES (0, 'a'); INSERT INTO steps VALUES (7, 7, 8, 7, 0, 7, 0);
      INSERT INTO observations VALUES ('walkers', 0, 7, 5, 20, 'observed', 0);
      INSERT INTO revisions VALUES ('walkers', 0, 7, 4, 10, 20, 'assumed');`);
    connection[Symbol.dispose]();
    engine.close();
    const { lake } = await openLake(city, { path });
    const found = await lake.read(async (reader) => [
      await reader.rows("SELECT value, known_at FROM observations"),
      await reader.rows("SELECT value, known_from, known_to FROM revisions"),
      await reader.rows("SELECT entity, value FROM v_observations"),
    ]);
    expect(found).toEqual([
      [{ value: 5, known_at: 20 }],
      [{ value: 4, known_from: 10, known_to: 20 }],
      [{ entity: "a", value: 5 }],
    ]);
    await lake.close();
  });

  test("that is no lake is damaged", async () => {
    const path = join(dir, "city.duckdb");
    await writeFile(path, "no database".repeat(1000));
    await expect(openLake(city, { path })).rejects.toMatchObject({ code: "DATA_FOLDER_DAMAGED" });
  });

  test("that another process holds is busy, and free when that process is gone", async () => {
    const path = join(dir, "city.duckdb");
    const child = spawnSource(`
      import { openEngine } from ${spawnSource.room("lake")};
      const engine = await openEngine({ path: ${JSON.stringify(path)}, memoryMb: 100, threads: 1 });
      process.stdout.write("holds\\n");
      setInterval(() => engine, 1000);
    `);
    try {
      await child.line("holds");
      await expect(openLake(city, { path })).rejects.toMatchObject({ code: "OWNER_BUSY" });
    } finally {
      await child.kill();
    }
    await (await openLake(city, { path })).lake.close();
  });

  test("has every row once after any number of kills during append and merge", async () => {
    const path = join(dir, "city.duckdb");
    const script = `
      import { createManualClock, silentLog } from ${spawnSource.room("core")};
      import { defineCity } from ${spawnSource.room("domain")};
      import { Lake } from ${spawnSource.room("lake")};
      const city = defineCity(${JSON.stringify({ id: "small", name: "Small", timeZone: "Europe/Paris", location: { lat: 48.86, lon: 2.35 }, step: "1h", entity: "counter", sources: { counts: { kind: "csv" } }, measures: { walkers: { kind: "flow", from: "counts" } }, targets: { walkers: {} } })});
      const lake = await Lake.open({ city, path: ${JSON.stringify(path)}, clock: createManualClock(Date.UTC(2024, 5, 1)), log: silentLog, memoryMb: 200, threads: 1, lagMs: new Map() });
      let page = (await lake.sourceState("counts")).cursor ?? 0;
      process.stdout.write("open\\n");
      for (;; page++) {
        const poll = await lake.beginPoll("counts");
        const entity = [], validAt = [], value = [];
        for (let i = 0; i < 50; i++) {
          entity.push("c" + (i % 5));
          validAt.push(Date.UTC(2024, 0, 1) + (page * 10 + Math.floor(i / 5)) * 3_600_000);
          value.push(page * 50 + i);
        }
        const part = { stream: "observations", measure: "walkers", entity, validAt: Float64Array.from(validAt), value: Float64Array.from(value) };
        await lake.append("counts", poll, { parts: [part], rejected: [], cursor: page + 1, schemaChanges: [], progress: null });
        await lake.merge();
        if (page % 3 === 2) process.stdout.write("three\\n");
      }`;
    const random = randomOf(5);
    for (let kill = 0; kill < 5; kill++) {
      const child = spawnSource(script);
      try {
        // Somewhere after its third page: where exactly, the scheduler decides.
        await child.line("three");
        const end = performance.now() + 60 * random();
        while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
      } finally {
        await child.kill();
      }
    }
    const { lake } = await openLake(city, { path, at: Date.UTC(2024, 5, 1) });
    try {
      await lake.merge();
      const pages = (await lake.sourceState("counts")).cursor as number;
      expect(pages).toBeGreaterThanOrEqual(15);
      const facts = await lake.read((connection) =>
        connection.first(`SELECT count(*) AS n, count(DISTINCT (e, t)) AS places, count(DISTINCT value) AS "values", max(value) AS newest,
          (SELECT count(*) FROM raw_observations) AS raw, (SELECT count(DISTINCT seq) FROM raw_observations) AS seqs,
          (SELECT count(*) FROM quarantine) AS bad, (SELECT count(*) FROM entities) AS entities FROM observations`),
      );
      const n = pages * 50;
      expect(facts).toEqual({ n, places: n, values: n, newest: n - 1, raw: n, seqs: n, bad: 0, entities: 5 });
    } finally {
      await lake.close();
    }
  }, 60_000);
});

describe("a dataset version", () => {
  const start = Date.UTC(2024, 7, 12);

  async function filled(threads: number): Promise<{ lake: Lake; at: number }> {
    const { lake, clock } = await openLake(city, { threads });
    const polls = awkwardWorld(city, 3, start, 60, 0).slice(0, 8);
    for (const { at, counts, weather } of polls) {
      clock.set(at);
      await poll(lake, "counts", counts);
      await poll(lake, "weather", weather);
    }
    return { lake, at: clock.now() };
  }

  test("of the same data is the same, in this lake and in another that read the same", async () => {
    const [one, two] = [await filled(1), await filled(2)];
    try {
      const first = await exportVersion(one.lake, dir, one.at);
      const again = await exportVersion(one.lake, dir, one.at);
      const other = await exportVersion(two.lake, join(dir, "other"), two.at);
      expect(again.id).toBe(first.id);
      expect(other.id).toBe(first.id);
      await two.lake.write((connection) =>
        connection.run(
          "UPDATE clean_observations SET value = value + 1 WHERE t = (SELECT max(t) FROM observations)",
        ),
      );
      expect((await exportVersion(two.lake, join(dir, "other"), two.at)).id).not.toBe(first.id);
      expect(first.rows["revisions"]).toBeGreaterThan(0);
    } finally {
      await one.lake.close();
      await two.lake.close();
    }
  });

  test("gives the features that the lake gives, and is damaged by a changed byte, a missing file or another manifest", async () => {
    const { lake, at } = await filled(2);
    const version = await exportVersion(lake, dir, at);
    const open = () =>
      openVersion(version.folder, { memoryMb: 200, threads: 2, temporary: join(dir, "tmp") });
    const view = createView(city, city.targets["walkers"]!, 0);
    const request: FeatureRequest = {
      origins: Float64Array.from([at - 2 * dayMs, at]),
      leads: Int32Array.from([24, 24]),
      lagMs: 0,
      weather: "issued",
      path: "fast",
      onlyWithTarget: false,
    };
    try {
      const opened = await open();
      try {
        const [there, here] = [
          await buildFeatures(opened.connection, city, view, request),
          await lake.read((connection) => buildFeatures(connection, city, view, request)),
        ];
        expect(here.rows).toBeGreaterThan(150);
        expect(differences(here, there)).toEqual([]);
        expect(opened.knownAt).toBe(at);
      } finally {
        opened.close();
      }
    } finally {
      await lake.close();
    }
    const damage = async (name: string, change: (bytes: Buffer) => Buffer | null) => {
      const path = join(version.folder, name);
      const bytes = await readFile(path);
      const changed = change(Buffer.from(bytes));
      await (changed ? writeFile(path, changed) : rm(path));
      await expect(open()).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
      await writeFile(path, bytes);
    };
    await damage("observations.parquet", (bytes) => {
      bytes[bytes.length >> 1]! ^= 1;
      return bytes;
    });
    await damage("events.parquet", () => null);
    await damage("manifest.json", (bytes) =>
      Buffer.from(bytes.toString().replace(/steps [0-9a-f]{4}/, "steps 0000")),
    );
    await damage("manifest.json", () => Buffer.from("{"));
    (await open()).close();
  });
});
