import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "../../src/app/index.ts";
import { createManualClock, type ManualClock, readConfig, silentLog } from "../../src/core/index.ts";
import { type CityDeclaration, localDay, startOfLocalDay } from "../../src/domain/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { arcgis, gbfs } from "../../src/sources/index.ts";

export const dayMs = 86_400_000;
/** Noon of a Thursday in both cities' summer. */
export const now = Date.parse("2026-07-02T16:00:00Z");

const place = { timeZone: "America/New_York", location: { lat: 40.7, lon: -74 } };

/** Counters of a city of days. */
export const counters: CityDeclaration = {
  ...{ id: "counters", name: "Counters", ...place, step: "1d", entity: "counter" },
  sources: {
    counts: arcgis({ service: "Counts", fields: { entity: "Code", name: "Name", time: "Date", value: "N" } }),
  },
  measures: { walkers: { kind: "flow", from: "counts" } },
  targets: { walkers: { horizon: "3d" } },
};

/** Stations of a bike share. */
export const bikes: CityDeclaration = {
  ...{ id: "bikes", name: "Bikes", ...place, step: "10m", entity: "station" },
  sources: { stations: gbfs({ url: "https://bikes.example.org/gbfs.json" }) },
  measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
  targets: {
    "bikes-out-30": { kind: "binary", measure: "bikes", horizon: "30m" },
    "docks-out-60": { kind: "binary", measure: "docks", horizon: "60m" },
  },
};

export interface Kept extends AsyncDisposable {
  readonly app: App;
  readonly clock: ManualClock;
  readonly home: string;
}

/** The App on new data folders of both cities, with nothing in them; `folder` goes on with an old one. */
export async function openKept(folder?: string, at = now): Promise<Kept> {
  const root = folder ?? mkdtempSync(join(tmpdir(), "cityscale-kept-"));
  const home = join(root, "home");
  const files = [counters, bikes].map((city) => {
    const file = join(root, `${city.id}.json`);
    writeFileSync(file, JSON.stringify(city));
    return file;
  });
  mkdirSync(home, { recursive: true });
  const clock = createManualClock(at);
  const config = readConfig({ env: {}, overrides: { home, cities: files, logLevel: "silent", threads: 2 } });
  const app = await App.open({ config, clock, log: silentLog, reading: true });
  await app.start();
  for (const target of Object.keys(bikes.targets)) {
    const of = { city: bikes.id, target };
    await app.registry.versions.registerNaive({ ...of, kind: "persistence" });
    await app.registry.promotions.promote({
      ...{ ...of, version: 0, alias: "champion", actor: "test", reason: "the first" },
    });
  }
  return {
    ...{ app, clock, home },
    [Symbol.asyncDispose]: async () => {
      await app.stop();
      if (folder === undefined) rmSync(root, { recursive: true, force: true });
    },
  };
}

const today = localDay(place.timeZone, now);
/** Start of the local day so many days ago. */
export const daysAgo = (days: number): number => startOfLocalDay(place.timeZone, today - days);

const batchColumns =
  'batch, target, origin_at, issued_at, version, "rows", entities, weather, weather_issued_at, counts_age_ms, fell_back, notes, took_ms';

/** A snapshot of each of two stations at every sixth hour from so many days ago on. */
export async function addSnapshots(lake: Lake, days: number): Promise<void> {
  await lake.write(async (connection) => {
    for (const [e, entity] of ["a", "b"].entries())
      await connection.run(
        `INSERT OR IGNORE INTO entities (e, entity, lat, lon, attributes) VALUES (${e}, '${entity}', 40.7, -74, '{"capacity":20}')`,
      );
    await connection.run(
      `INSERT INTO snapshots
       SELECT "at", e, ("at" // 21600000 + e) % 9, 0, 20 - ("at" // 21600000 + e) % 9, 0, 0, true, true, "at", "at", "at", 'stations'
       FROM range(${daysAgo(days)}, ${now}, 21600000) r ("at"), (VALUES (0), (1)) v (e) ORDER BY "at", e`,
    );
  });
}

/** A batch of every binary target at noon of each day from so many days ago on, of both stations. */
export async function addRisks({ app }: Kept, days: number): Promise<void> {
  const { lake, city } = app.city("bikes");
  await lake.write(async (connection) => {
    for (const { name, measure } of Object.values(city.targets)) {
      await connection.run(
        `INSERT INTO batches (${batchColumns})
         SELECT '${name}' || d, '${name}', o, o + 1000, 0, 2, 2, 'none', NULL, 0, false, '[]', 5
         FROM (SELECT d, ${daysAgo(0)} - d * ${dayMs} + 43200000 AS o FROM range(1, ${days + 1}) r (d)) ORDER BY o`,
      );
      await connection.run(
        `INSERT INTO risk_forecasts (batch, target, measure, horizon_minutes, origin_at, version, e, count, probability, naive, shortfall)
         SELECT batch, target, '${measure}', 30, origin_at, 0, e, 5, 0.1, 0.2, 0.3
         FROM batches, (VALUES (0), (1)) v (e) WHERE target = '${name}' ORDER BY origin_at, e`,
      );
      await connection.run(
        `INSERT INTO risk_scores (target, period, day, version, judged, "on", "rows", scored_at, settled)
         SELECT '${name}', 'day', d, 0, 'forecast', 'all', 2, 0, true FROM range(${today - days}, ${today}) r (d)`,
      );
    }
  });
  await settle(app, "bikes", Object.keys(city.targets), days);
}

/** Forecasts of three days for two counters from each of the days since so many ago, and what came true. */
export async function addForecasts({ app }: Kept, days: number): Promise<void> {
  const { lake, city } = app.city("counters");
  const t = (ago: number) => city.grid.stepAt(daysAgo(ago));
  await lake.extendSteps(daysAgo(days + 1), now + 5 * dayMs);
  await lake.write(async (connection) => {
    for (const [e, entity] of ["a", "b"].entries())
      await connection.run(`INSERT INTO entities (e, entity) VALUES (${e}, '${entity}')`);
    await connection.run(
      `INSERT INTO clean_observations SELECT 'walkers', e, t, 100 + t % 7, end_at, 'assumed', end_at
       FROM steps, (VALUES (0), (1)) v (e) WHERE t BETWEEN ${t(days)} AND ${t(1)} ORDER BY e, t`,
    );
    await connection.run(
      `INSERT INTO batches (${batchColumns})
       SELECT 'w' || t, 'walkers', start_at + 14400000, start_at + 14401000, 0, 6, 2, 'none', NULL, 0, false, '[]', 5
       FROM steps WHERE t BETWEEN ${t(days)} AND ${t(0)}`,
    );
    await connection.run(
      `INSERT INTO forecasts (batch, target, origin_at, version, e, t, lead, point, low, median, high, naive)
       SELECT 'w' || s.t, 'walkers', s.start_at + 14400000, 0, e, s.t + l, 1 + l, 100, 90, 100, 110, 99
       FROM steps s, (VALUES (0), (1)) v (e), range(0, 3) r (l) WHERE s.t BETWEEN ${t(days)} AND ${t(0)} ORDER BY s.t, e, l`,
    );
  });
}

/** Says of the days since so many ago, up to the day before yesterday, that they are scored and settled. */
export async function settle(
  app: App,
  city: string,
  targets: readonly string[],
  days: number,
): Promise<void> {
  for (const target of targets)
    for (let ago = days; ago >= 2; ago--)
      await app.partitions.mark(city, `outcomes[${target}]`, daysAgo(ago), daysAgo(ago - 1), "fresh");
}
