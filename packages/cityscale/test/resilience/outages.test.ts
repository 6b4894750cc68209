import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dayMs, hourMs } from "./small-city.ts";
import { openTown, type Town } from "./town.ts";

describe("a source that cannot be reached for days", () => {
  let folder: string;
  let town: Town;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "outage-"));
    town = await openTown(folder, 21);
  });
  afterAll(async () => {
    await town.close();
    rmSync(folder, { recursive: true });
  });

  test("counts that were never reached leave a city not ready, with the reason, and it starts once they are", async () => {
    await town.faults([{ kind: "unreachable", source: "counts" }]);
    const { failures } = await Promise.race([
      town.pass(0),
      // Nothing can be forecast, so the loop would wait for the next attempt.
      new Promise<{ failures: { error: { code: string } | null }[] }>((resolve) => {
        town.app.jobs.on("retrying", (job) => resolve({ failures: [job] }));
      }),
    ]);
    expect(failures[0]?.error?.code).toBe("SOURCE_UNREACHABLE");
    expect(await town.app.ready()).toMatch(/has no forecasts yet/);
    await expect(town.predict()).rejects.toMatchObject({ code: "NOT_READY" });
    const quality = await town.quality();
    expect(quality.ok).toBe(false);
    expect(quality.problems.join()).toMatch(/source counts fails: .*127\.0\.0\.1/);
    await town.faults([]);
    const whole = await town.pass(1, { train: true });
    expect(whole.failures).toEqual([]);
    expect(await town.app.ready()).toBeNull();
    expect(await town.difference()).toBeNull();
    const batch = await town.batch();
    expect(batch.version).toBe(1);
    expect(batch.notes).toEqual([]);
    expect((await town.predict()).notes).toEqual([]);
  });

  test("weather: the loop goes on, every forecast says so, and the gap is filled afterwards", async () => {
    await town.faults([{ kind: "unreachable", source: "weather" }]);
    const read = town.clock.now();
    for (let day = 1; day <= 2; day++) {
      const { failures } = await town.pass(24);
      expect(failures).toEqual([]);
      const [batch, prediction, quality] = [await town.batch(), await town.predict(), await town.quality()];
      expect(batch.originAt).toBe(town.clock.now());
      for (const { notes } of [batch, prediction]) {
        expect(notes.join("; ")).toMatch(
          /source weather could not be read, not since .*made with old weather, issued/,
        );
      }
      expect(batch.weather).toBe("issued");
      expect(quality.problems.join()).toMatch(/source weather fails/);
      expect(quality.sources.find(({ source }) => source === "weather")).toMatchObject({
        state: "failing",
        ageMs: day * dayMs,
      });
      expect(await town.difference()).toBeNull();
    }
    // Beyond the last forecast of the weather.
    await town.pass(24 * 8);
    expect((await town.batch()).weather).toBe("none");
    expect((await town.batch()).notes.join()).toMatch(/made without weather/);
    expect((await town.predict()).notes.join()).toMatch(/made without weather/);

    await town.faults([]);
    const { failures } = await town.pass(1);
    expect(failures).toEqual([]);
    expect((await town.batch()).notes).toEqual([]);
    expect((await town.predict()).notes).toEqual([]);
    expect((await town.quality()).problems.join()).not.toMatch(/weather/);
    const hours = await town.runtime.lake.read((connection) =>
      connection.rows<{ at: number }>(
        `SELECT valid_at AS at FROM weather WHERE issued_at IS NULL AND valid_at >= ${read - 2 * dayMs} ORDER BY valid_at`,
      ),
    );
    const last = Math.floor(town.clock.now() / hourMs) * hourMs;
    expect(hours.length).toBeGreaterThan(12 * 24 - 2);
    expect(hours.at(-1)!.at).toBeGreaterThanOrEqual(last - hourMs);
    expect(hours.every(({ at }, i) => i === 0 || at - hours[i - 1]!.at === hourMs)).toBe(true);
  });

  test("events and school holidays: named on the forecasts, and caught up afterwards", async () => {
    await town.faults([
      { kind: "unreachable", source: "events" },
      { kind: "status", status: 503, source: "holidays" },
    ]);
    await town.pass(24);
    await town.pass(48);
    for (const { notes } of [await town.batch(), await town.predict()]) {
      expect(notes.join()).toMatch(/source events could not be read, not since/);
      expect(notes.join()).toMatch(/source school could not be read, not since/);
    }
    expect(
      (await town.quality()).problems.filter((problem) => /source (events|school) fails/.test(problem)),
    ).toHaveLength(2);
    await town.faults([]);
    await town.pass(1);
    expect((await town.batch()).notes).toEqual([]);
    const csv = await (await fetch(`${town.simulator.sources["events"]}/events.csv`)).text();
    const published = new Set(
      csv
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => line.split(",")[0]),
    );
    const stored = await town.runtime.lake.read((connection) =>
      connection.rows<{ id: string }>("SELECT DISTINCT id FROM events"),
    );
    const lost = [...published].filter((id) => !stored.some((row) => row.id === id));
    expect(lost).toEqual([]);
  });

  test("counts: forecasts go on with their age, say so, and all rows come afterwards", async () => {
    await town.faults([{ kind: "unreachable", source: "counts" }]);
    let age = (await town.predict()).countsAgeMs;
    for (let day = 1; day <= 2; day++) {
      const { failures } = await town.pass(24);
      expect(failures.map(({ kind, error }) => [kind, error?.code])).toEqual([
        ["observations", "SOURCE_UNREACHABLE"],
      ]);
      const [batch, prediction] = [await town.batch(), await town.predict()];
      expect(batch.originAt).toBe(town.clock.now());
      expect(batch.countsAgeMs).toBeGreaterThanOrEqual(day * dayMs);
      expect(prediction.countsAgeMs).toBeGreaterThan(age);
      age = prediction.countsAgeMs;
      for (const { notes } of [batch, prediction])
        expect(notes.join()).toMatch(/made from old counts: the newest is of 2026-/);
      expect(prediction.forecasts).toHaveLength(25);
      expect(prediction.forecasts.every(({ point }) => Number.isFinite(point) && point >= 0)).toBe(true);
      const quality = await town.quality();
      expect(quality.measures[0]).toMatchObject({ fresh: false });
      expect(quality.problems.join()).toMatch(
        /source counts fails.*pedestrians: the newest row is \d+ h older than it should be/,
      );
    }
    // Nobody has been heard of for so long that nothing can be said of today; the last forecasts are kept.
    const { failures } = await town.pass(24 * 61);
    expect(failures.map(({ kind, error }) => [kind, error?.code])).toEqual([
      ["observations", "SOURCE_UNREACHABLE"],
      ["forecasts", "DATA_MISSING"],
    ]);
    const old = await town.predict();
    expect(old.inputsAgeMs).toBe(61 * dayMs);
    expect(old.countsAgeMs).toBeGreaterThan(63 * dayMs);
    expect(old.forecasts).toHaveLength(25);

    await town.faults([]);
    expect((await town.pass(1)).failures).toEqual([]);
    const batch = await town.batch();
    expect(batch).toMatchObject({ originAt: town.clock.now(), notes: [] });
    expect(batch.countsAgeMs).toBeLessThan(3 * hourMs);
    expect(await town.difference()).toBeNull();
    expect((await town.quality()).problems.join()).not.toMatch(/counts/);
  });
});
