import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { enqueueAsset } from "../../src/app/index.ts";
import { createManualClock, silentLog } from "../../src/core/index.ts";
import { defineCity, type Page } from "../../src/domain/index.ts";
import { Lake } from "../../src/lake/index.ts";
import type { AppOrder } from "./app-process.ts";
import { addressesAt, declaration, hourMs, testStart } from "./small-city.ts";
import { openTown, type Town } from "./town.ts";

describe("a data folder", () => {
  let folder: string;
  let town: Town;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "folder-"));
    town = await openTown(folder, 41, "tiny");
    // Too little history for a model: the naive forecast is champion.
    await town.pass(0);
  });
  /** Some hours on: what is new, and forecasts from there. */
  const pass = async (hours: number) => {
    town.clock.advance(hours * hourMs);
    for (const asset of ["observations", "forecasts"]) {
      const { id } = await enqueueAsset(town.app, asset, { city: "smalltown", actor: "test" });
      expect((await town.app.jobs.finished(id)).error).toBeNull();
    }
  };
  afterAll(async () => {
    await town.close();
    rmSync(folder, { recursive: true });
  });

  test("has one process: a second one is told who owns it and changes nothing", async () => {
    const order: AppOrder = {
      home: join(folder, "home"),
      city: join(folder, "smalltown.json"),
      sources: addressesAt(town.simulator.sources["counts"]!),
      now: town.clock.now(),
      at: Date.now(),
      speed: 0,
      loops: 1,
      kill: null,
    };
    const entry = fileURLToPath(new URL("./app-process.ts", import.meta.url));
    const second = promisify(execFile)(process.execPath, [entry, JSON.stringify(order)]);
    await expect(second).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(`is in use by process ${process.pid}`),
    });
    await pass(1);
    expect(await town.difference()).toBeNull();
  });

  test("serves on when the clock is set back, doubles nothing, and goes on when it is right again", async () => {
    await pass(1);
    const before = await town.batch();
    for (const hours of [-6, -48, 1]) {
      await pass(hours);
      const prediction = await town.predict();
      expect(prediction.inputsAgeMs).toBeGreaterThanOrEqual(0);
      expect(prediction.countsAgeMs).toBeGreaterThanOrEqual(0);
      expect(
        (await town.runtime.server.batches("pedestrians", 20)).map(({ originAt }) => originAt),
      ).toContain(Math.floor(town.clock.now()));
    }
    // Nothing that was known is lost, and nothing is there twice.
    expect(await town.difference()).toMatch(/^0 lost, \d+ made up, 0 wrong/);
    await pass(60);
    expect(await town.difference()).toBeNull();
    expect((await town.batch()).originAt).toBeGreaterThan(before.originAt);
  });
});

test("a correction that a clock set back stamps before its row still comes after it", async () => {
  const clock = createManualClock(testStart);
  const lake = await Lake.open({
    city: defineCity(declaration),
    path: ":memory:",
    clock,
    log: silentLog,
    memoryMb: 128,
    threads: 1,
    lagMs: new Map(),
  });
  try {
    const validAt = Math.floor(testStart / hourMs) * hourMs + hourMs;
    const store = async (value: number) => {
      const poll = await lake.beginPoll("counts");
      const page: Page = {
        parts: [
          {
            stream: "observations",
            measure: "pedestrians",
            entity: ["A001"],
            validAt: Float64Array.of(validAt),
            value: Float64Array.of(value),
          },
        ],
        rejected: [],
        cursor: null,
        schemaChanges: [],
        progress: 1,
      };
      await lake.append("counts", poll, page);
      await lake.endPoll("counts", null);
      return await lake.merge();
    };
    // A read before the row: it is no history.
    await lake.endPoll("counts", String(await lake.beginPoll("counts")) && null);
    clock.advance(5 * hourMs);
    await store(10);
    clock.advance(-2 * hourMs);
    expect(await store(12)).toMatchObject({ corrected: 1 });
    const [revision] = await lake.read((connection) =>
      connection.rows<{ value: number; known_from: number; known_to: number }>("FROM revisions"),
    );
    const [now] = await lake.read((connection) =>
      connection.rows<{ value: number; known_at: number }>("FROM observations"),
    );
    expect(revision).toMatchObject({ value: 10 });
    expect(revision!.known_to).toBeGreaterThanOrEqual(revision!.known_from);
    expect(now).toMatchObject({ value: 12, known_at: revision!.known_to });
  } finally {
    await lake.close();
  }
});
