import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App, enqueueAsset } from "../../src/app/index.ts";
import { createManualClock, readConfig, silentLog } from "../../src/core/index.ts";
import { LevelHistory, publicHolidays, readLevels } from "../../src/features/index.ts";
import { expectedShortfall, forecastPersistence, levelTargetOf, outlooksOf } from "../../src/models/index.ts";
import { recordBikeShare } from "../cli/bike-share.ts";
import { temporaryFolder } from "../cli/support.ts";
import { recordedShare } from "./recorded-share.ts";

const folder = temporaryFolder();
const home = join(folder.path, "home");
const minute = 60_000;
/** The start of Monday in San Francisco, and of the Monday before. */
const monday = Date.parse("2023-01-30T08:00:00Z");
const before = monday - 7 * 24 * 60 * minute;
const clock = createManualClock(monday - 30 * minute);
/** How often a stock-out came at each count, as if that had been learned. */
const rates = Array.from({ length: 17 }, (_, count) => 0.9 / (1 + count));

const declaration = recordedShare();

let app: App;

async function open(): Promise<void> {
  const cities = [join(folder.path, "bay-wheels.json")];
  const config = readConfig({ env: {}, overrides: { home, cities, threads: 2, logLevel: "silent" } });
  app = await App.open({ config, clock, log: silentLog, recordings: folder.path });
  await app.start();
}

async function make(asset: string, more: object = {}): Promise<void> {
  const job = await enqueueAsset(app, asset, { city: "bay-wheels", actor: "test", ...more });
  expect((await app.jobs.finished(job.id)).error).toBeNull();
}

/** What the schedules do at an instant, and all that follows. */
async function tick(at: number): Promise<void> {
  clock.set(at);
  await make("observations");
  await make("forecasts", { scheduledAt: at });
  await app.jobs.idle();
}

/** Files of profiles with what tells a file from one that took its place. */
const kept = () =>
  Object.fromEntries(
    readdirSync(join(home, "profiles/bay-wheels")).map((name) => [
      Number.parseInt(name, 10),
      statSync(join(home, "profiles/bay-wheels", name)).ino,
    ]),
  );
const jobs = () => app.jobs.list({ kind: "profiles" });

beforeAll(async () => {
  await recordBikeShare(folder.path, { stations: 9, days: 22 });
  writeFileSync(join(folder.path, "bay-wheels.json"), JSON.stringify(declaration));
  await open();
  await make("observations");
  for (const target of Object.keys(declaration.targets)) {
    const at = { city: "bay-wheels", target };
    await app.registry.versions.registerNaive({ ...at, kind: "persistence", scores: { rates } });
    await app.registry.promotions.promote({
      ...{ ...at, version: 0, alias: "champion", actor: "test", reason: "nothing is trained" },
    });
  }
}, 60_000);
afterAll(async () => {
  await app?.stop();
  folder.remove();
});

test("profiles to come are made by a job on Monday morning, and read from 06:00 on", async () => {
  await tick(monday - 10 * minute);
  expect(Object.keys(kept())).toEqual([String(before)]);
  expect(await jobs()).toEqual([]);

  await tick(monday);
  expect(await jobs()).toMatchObject([{ state: "succeeded", lane: "ingest", result: { asOf: monday } }]);
  const both = kept();
  expect(Object.keys(both)).toEqual([String(before), String(monday)]);
  await tick(monday + 10 * minute);
  expect((await jobs()).length).toBe(1);

  // A new process sees for itself that they are right.
  await app.stop();
  await open();
  await tick(monday + 20 * minute);
  expect((await jobs()).map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
  expect(kept()).toEqual(both);

  await tick(monday + 350 * minute);
  expect(kept()).toEqual(both);
  await app.city("bay-wheels").parts.risk!.idle();
  // What was read ahead does not care what has become of the file.
  writeFileSync(join(home, `profiles/bay-wheels/${monday}.bin`), "");
  await tick(monday + 360 * minute);
  expect(kept()).toEqual({ [monday]: both[monday] });
  expect((await jobs()).length).toBe(2);
}, 60_000);

test("a process that was down all morning makes them itself", async () => {
  await app.stop();
  rmSync(join(home, "profiles"), { recursive: true });
  await open();
  await tick(monday + 370 * minute);
  expect(Object.keys(kept())).toEqual([String(monday)]);
  expect((await jobs()).length).toBe(2);
}, 60_000);

test("every origin of that morning has the rows of a backtest", async () => {
  const { lake, city } = app.city("bay-wheels");
  await lake.read(async (connection) => {
    const levels = await readLevels(connection);
    const history = new LevelHistory(levels, city.timeZone, await publicHolidays(connection));
    const told = await connection.rows<{ target: string; origin_at: number; e: number; shortfall: number }>(
      "SELECT target, origin_at, e, shortfall FROM risk_forecasts ORDER BY origin_at",
    );
    const origins = Float64Array.from(new Set(told.map((row) => row.origin_at)));
    expect(origins.length).toBe(7);
    expect([...origins].map((origin) => history.profileInstant(origin))).toEqual([
      ...new Array<number>(5).fill(before),
      ...[monday, monday],
    ]);
    const level = (name: string) => levelTargetOf(city.targets[name]!);
    const forecasts = {
      bikes: [forecastPersistence(history, level("bikes-out-30"), rates, origins)],
      docks: [forecastPersistence(history, level("docks-out-60"), rates, origins)],
    };
    const outlooks = [...origins.keys()].map((i) => outlooksOf(history, forecasts, i));
    let differs = 0;
    for (const { target, origin_at, e, shortfall } of told) {
      const [i, s] = [origins.indexOf(origin_at), levels.stations.findIndex((station) => station.e === e)];
      const { measure, below } = level(target);
      const expected = Math.fround(expectedShortfall(outlooks[i]![s]![measure], below));
      expect(shortfall, `${target} at ${new Date(origin_at).toISOString()}`).toBe(expected);
      if (shortfall > outlooks[i]![s]![measure].risks[0]!) differs++;
    }
    expect(told.length).toBeGreaterThan(7 * 2 * 7);
    expect(differs).toBeGreaterThan(30);
  });
});
