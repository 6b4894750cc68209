import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ManualClock, silentLog } from "../../src/core/index.ts";
import { type City, localDay } from "../../src/domain/index.ts";
import { openOnlineStore } from "../../src/features/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { coldStartDays } from "../../src/models/index.ts";
import { liveScores, outcomeTables, scoreDays } from "../../src/monitoring/index.ts";
import type { ModelVersion } from "../../src/registry/index.ts";
import { type Batch, ForecastServer, type Prediction } from "../../src/serving/index.ts";
import { counts, dayMs, hourMs, openLake, poll, type Row, randomOf, smallCity } from "../lake/support.ts";

/** Ten counters for eleven weeks, and two that open in the last days: one by a station, one nobody is told where. */
const start = Date.UTC(2024, 2, 4);
const known = Array.from({ length: 10 }, (_, i) => `old-${i}`);
const opened = start + 70 * dayMs + 7 * hourMs;
/** Each afternoon at four. */
const originAt = (day: number) => start + day * dayMs + 16 * hourMs;

const city: City = smallCity({ timeZone: "UTC", targets: { walkers: { horizon: "24h" } } });
const target = city.targets["walkers"]!;
const folder = mkdtempSync(join(tmpdir(), "cityscale-cold-start-"));
const online = openOnlineStore(join(folder, "online.db"));
let lake: Lake;
let clock: ManualClock;

const naive = {
  version: { version: 0, kind: "median-8-weeks", datasetVersion: null } as ModelVersion,
  model: null,
  zero: {} as ModelVersion,
  naive: "median-8-weeks",
  fallback: null,
} as const;
const serverOf = () =>
  new ForecastServer({
    city,
    lake,
    online,
    champions: { get: async () => naive },
    clock,
    log: silentLog,
    lagMs: () => 0,
  });
let server: ForecastServer;

/** Commuters by even numbers, strollers by odd ones; a newcomer commutes, and counts more than any of them. */
function rowsOf(entity: string, from: number, to: number): Row[] {
  const number = known.indexOf(entity);
  const commutes = number < 0 || number % 2 === 0;
  const level = number < 0 ? 500 : 150 + 30 * number;
  const random = randomOf(100 + number);
  const rows: Row[] = [];
  for (let at = start; at < to; at += hourMs) {
    const noise = 0.85 + 0.3 * random();
    const hour = (at / hourMs) % 24;
    const shape = commutes
      ? 1 + Math.cos(((hour - 8) / 12) * 2 * Math.PI)
      : 1 + Math.sin((hour / 24) * Math.PI);
    const weekend = (localDay("UTC", at) + 3) % 7 >= 5 ? 0.6 : 1;
    if (at >= from) rows.push([entity, at, Math.round(level * shape * weekend * noise)]);
  }
  return rows;
}
const countOf = new Map<string, number>();
/** Brings all that was counted up to a day's origin. */
async function readUntil(day: number): Promise<void> {
  const to = originAt(day);
  clock.set(to);
  const rows = [
    ...known.flatMap((entity) => rowsOf(entity, start, to)),
    ...["new", "nowhere"].flatMap((entity) => rowsOf(entity, opened, to)),
  ];
  for (const [entity, at, value] of rows) countOf.set(`${entity} ${at}`, value);
  await poll(lake, "counts", [counts(rows)]);
}

beforeAll(async () => {
  ({ lake, clock } = await openLake(city, { at: originAt(70) }));
  await lake.define(outcomeTables);
  const entities = [...known, "new"].map((entity, i) => ({
    entity,
    name: null,
    lat: 48.86 + 0.003 * i,
    lon: 2.35,
    openedAt: null,
    retiredAt: null,
    attributes: {},
  }));
  await poll(lake, "counts", [{ stream: "entities", rows: entities }]);
  server = serverOf();
  await server.open();
});
afterAll(async () => {
  await lake.close();
  online.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Stored {
  readonly entity: string;
  readonly lead: number;
  readonly at: number;
  readonly point: number;
  readonly low: number;
  readonly high: number;
  readonly naive: number;
  readonly cold_start: boolean;
}
const stored = ({ batch }: Batch, entity: string) =>
  lake.read((connection) =>
    connection.rows<Stored & Record<string, never>>(
      `SELECT n.entity, f.lead, s.start_at AS at, f.point, f.low, f.high, f.naive, f.cold_start
       FROM forecasts f JOIN entities n USING (e) JOIN steps s USING (t)
       WHERE f.batch = ? AND n.entity = ? ORDER BY f.lead`,
      [batch, entity],
    ),
  );
const wape = (rows: readonly Stored[], of: (row: Stored) => number) => {
  const counted = rows.map((row) => [countOf.get(`${row.entity} ${row.at}`)!, of(row)] as const);
  return counted.reduce((sum, [y, f]) => sum + Math.abs(f - y), 0) / counted.reduce((sum, [y]) => sum + y, 0);
};
const points = ({ forecasts }: Prediction) => forecasts.map(({ point }) => point);
const told = (batch: { notes: readonly string[] }) =>
  batch.notes.filter((note) => note.startsWith("cold start"));

const batches: Batch[] = [];

test("a counter is forecast from its first counts on, from others, and the forecast says so", async () => {
  for (const day of [70, 71, 73]) {
    await readUntil(day);
    batches.push(await server.issue("walkers", originAt(day), { current: true }));
  }
  await readUntil(75);
  for (const [i, batch] of batches.entries()) {
    expect(batch).toMatchObject({ entities: 12, fellBack: false });
    const day = [1, 2, 4][i];
    expect(told(batch)).toEqual([
      `cold start: forecast from others, being new: new (day ${day}), nowhere (day ${day})`,
    ]);
    for (const entity of ["new", "nowhere"]) {
      const rows = await stored(batch, entity);
      expect(rows.map(({ lead }) => lead)).toEqual(Array.from({ length: 24 }, (_, h) => h + 1));
      expect(rows.every(({ cold_start }) => cold_start)).toBe(true);
      expect(wape(rows, ({ point }) => point)).toBeLessThan(0.3);
      const covered = rows.filter(({ at, low, high }) => {
        const y = countOf.get(`${entity} ${at}`)!;
        return y >= low && y <= high;
      });
      expect(covered.length).toBeGreaterThan(12);
    }
    const ratios = async (entity: string) =>
      (await stored(batch, entity)).map(({ low, high }) => Math.log((high + 1) / (low + 1)));
    const [old, fresh] = [await ratios("old-0"), await ratios("new")];
    for (const [h, width] of fresh.entries()) expect(width).toBeGreaterThan(old[h]!);
    expect((await stored(batch, "old-0")).every(({ cold_start }) => !cold_start)).toBe(true);
  }
  // Of the first nine hours the newest day says nothing of the others.
  const [first, second] = [await stored(batches[0]!, "new"), await stored(batches[1]!, "new")];
  expect(first.filter(({ naive }) => naive === null).length).toBe(15);
  expect(second.every(({ naive }) => naive !== null)).toBe(true);
  expect(second.map(({ naive }) => naive)).toEqual(second.map(({ at }) => countOf.get(`new ${at - dayMs}`)));
});

test("a single prediction equals the batch, also after a start; what cannot be said is refused", async () => {
  const rows = await stored(batches[2]!, "new");
  for (const one of [server, serverOf()]) {
    const prediction = await one.predict({ target: "walkers", entity: "new" });
    expect(prediction.coldStart).toBe(true);
    expect(prediction.notes[0]).toBe("cold start: forecast from others, being new: new (day 4)");
    expect(points(prediction)).toEqual(rows.map(({ point }) => point));
    expect(points(await one.predict({ target: "walkers", entity: "new", leads: [5, 2] }))).toEqual([
      rows[4]!.point,
      rows[1]!.point,
    ]);
    const old = await one.predict({ target: "walkers", entity: "old-3" });
    expect(old.coldStart).toBe(false);
    expect(told(old)).toEqual([]);
  }
  const whatIf = { weather: { rain: 4 } };
  await expect(server.predict({ target: "walkers", entity: "new", whatIf })).rejects.toThrow(
    /counted for less than 28 days: it cannot be asked what if/,
  );
});

test("a cold start uses nothing that became known after its origin", async () => {
  const batch = batches[1]!;
  const before = await stored(batch, "new");
  await lake.write(async (connection) => {
    await connection.run("DELETE FROM forecasts WHERE batch = ?", [batch.batch]);
    await connection.run("DELETE FROM batches WHERE batch = ?", [batch.batch]);
  });
  // Two days later, and again as a late correction of all that came since would have it.
  await poll(lake, "counts", [
    counts(
      known.flatMap((entity) =>
        rowsOf(entity, originAt(71) - 9 * hourMs, originAt(75)).map(([e, at, y]): Row => [e, at, 5 * y]),
      ),
    ),
  ]);
  const again = await server.issue("walkers", originAt(71), { current: false });
  expect(again.batch).toBe(batch.batch);
  expect(await stored(again, "new")).toEqual(before);
});

test("live scores show cold starts apart from the others", async () => {
  const day = localDay("UTC", originAt(73));
  await scoreDays(lake, city, target, [day], clock.now());
  const [score] = await lake.read((connection) => liveScores(connection, "walkers", 1));
  const rows = (await Promise.all(["new", "nowhere"].map((entity) => stored(batches[2]!, entity))))
    .flat()
    .filter(({ at }) => localDay("UTC", at) === day);
  expect(rows).toHaveLength(16);
  expect(score).toMatchObject({ date: "2024-05-16", version: 0, rows: 80 });
  expect(score!.coldStart!.rows).toBe(16);
  expect(score!.coldStart!.wape).toBeCloseTo(
    wape(rows, ({ point }) => point),
    9,
  );
  expect(score!.coldStart!.naiveWape).toBeCloseTo(
    wape(rows, ({ naive }) => naive),
    9,
  );
  expect(score!.coldStart!.coverage80).toBeGreaterThan(0.5);
});

test(`after ${coldStartDays} days its own history suffices`, async () => {
  await readUntil(98);
  const batch = await server.issue("walkers", originAt(98), { current: true });
  expect(told(batch)).toEqual([]);
  expect((await stored(batch, "new")).every(({ cold_start }) => !cold_start)).toBe(true);
});
