import { type Fault, type Simulator, startSimulator } from "@cityscale/simulator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createManualClock } from "../../src/core/index.ts";
import type { Page, SourceDeclaration } from "../../src/domain/index.ts";
import { arcgis, createSource, eventsCsv, openMeteo } from "../../src/sources/index.ts";
import { contextAt, day, hour, impatientHttp, observationsOf, readAll, requestOf } from "./support.ts";

const now = Date.UTC(2025, 5, 1, 3, 20);
const counts = arcgis({
  service: "Automatic_Hourly_Pedestrian_Count",
  fields: { entity: "Location_code", name: "Location_Name", time: "Date", value: "TotalCount" },
  places: { service: "Pedestrian_Count_Sites", entity: "Location_code", name: "Location_Name" },
});
const key = (row: { entity: string; at: number; value: number }) => `${row.entity} ${row.at} ${row.value}`;

describe("a simulated Sydney", () => {
  const clock = createManualClock(now);
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator({
      clock: clock.spec,
      city: { id: "sydney", entities: 12, startMs: now - 60 * day },
    });
  });
  afterAll(() => simulator.close());

  /** Every row, read without faults. */
  let expected: string[];
  beforeAll(async () => {
    expected = observationsOf(await readAll(sourceOf(counts), request)).map(key);
  });

  const request = requestOf({ from: now - 60 * day, to: now });
  const sourceOf = (declaration: SourceDeclaration, attempts = 5) =>
    createSource("source", declaration, {
      ...contextAt(now, {
        baseAddress: Object.values(simulator.sources)[0],
        http: impatientHttp({ attempts, timeoutMs: 200 }).http,
      }),
      clock,
    });

  test("counts, positions, weather and events arrive", async () => {
    const pages = await readAll(sourceOf(counts), request);
    const seen = observationsOf(pages);
    expect(seen.length).toBeGreaterThan(12 * 60 * 20);
    const entities = pages.flatMap((page) =>
      page.parts.flatMap((part) => (part.stream === "entities" ? part.rows : [])),
    );
    expect(entities.length).toBe(new Set(seen.map(({ entity }) => entity)).size);
    expect(
      entities.every(({ lat, lon, name }) => Math.abs(lat! + 33.9) < 1 && Math.abs(lon! - 151.2) < 1 && name),
    ).toBe(true);
    const weather = await readAll(sourceOf(openMeteo()), request);
    expect(
      weather
        .flatMap((page) => page.parts)
        .some((part) => part.stream === "weather" && part.issuedAt !== null),
    ).toBe(true);
    const events = await readAll(sourceOf(eventsCsv({ url: "https://x.example/events.csv" })), request);
    expect(events.flatMap((page) => page.parts).length).toBe(1);
    expect(events.flatMap((page) => page.rejected)).toEqual([]);
  });

  const passing: [string, Fault][] = [
    ["429 with seconds", { kind: "status", status: 429, retryAfterSeconds: 3, count: 2 }],
    [
      "429 with a date",
      { kind: "status", status: 429, retryAfterDate: true, retryAfterSeconds: 3, count: 2 },
    ],
    ["500", { kind: "status", status: 500, count: 2, after: 3 }],
    ["HTML", { kind: "html", count: 2, after: 2 }],
    ["a cut connection", { kind: "cut", count: 2, after: 2 }],
    ["a truncated body", { kind: "truncated", count: 2, after: 2 }],
    ["a slow body", { kind: "slow", delayMs: 400, within: true, count: 2, after: 2 }],
    ["a dropped socket", { kind: "unreachable", count: 2, after: 2 }],
    ["a busy service inside status 200", { kind: "envelope", code: 503, count: 2, after: 2 }],
  ];
  test.each(passing)("%s that passes loses no row", async (_, fault) => {
    await simulator.faults([fault]);
    const seen = observationsOf(await readAll(sourceOf(counts), request)).map(key);
    const { bySource } = await simulator.requests();
    await simulator.faults([]);
    expect(Object.values(bySource).some(({ faults }) => faults > 0)).toBe(true);
    expect(seen).toEqual(expected);
  });

  test("a fault that stays ends the read behind the last whole page, and the next read goes on", async () => {
    await simulator.faults([{ kind: "cut", source: "counts", after: 5 }]);
    const pages: Page[] = [];
    const cut = (async () => {
      for await (const page of sourceOf(counts, 2).read(request)) pages.push(page);
    })();
    await expect(cut).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE" });
    await simulator.faults([]);
    expect(pages.length).toBeGreaterThan(2);
    const rest = await readAll(sourceOf(counts), { ...request, cursor: pages.at(-1)!.cursor });
    expect([...observationsOf(pages), ...observationsOf(rest)].map(key)).toEqual(expected);
  });

  test.each(["missingField", "wrongType", "nanText", "wrongDate", "nullEntity"] as const)(
    "rows with %s are set aside and the others stay",
    async (malformation) => {
      await simulator.faults([{ kind: "malformed", malformation, every: 100, source: "counts" }]);
      const pages = await readAll(sourceOf(counts), request);
      await simulator.faults([]);
      const rejected = pages.flatMap((page) => page.rejected).length;
      expect(rejected).toBeGreaterThan(50);
      // A row that was set aside may be read again at the start of the next page; none is lost.
      const kept = new Set(observationsOf(pages).map(key));
      const lost = expected.filter((row) => !kept.has(row)).length;
      expect(lost).toBeLessThanOrEqual(rejected);
      expect(lost).toBeGreaterThan(50);
    },
  );

  test("a renamed column is an error, not a page of rejected rows", async () => {
    await simulator.faults([{ kind: "malformed", malformation: "renamedColumn", source: "counts" }]);
    const read = readAll(sourceOf(counts), request);
    await expect(read).rejects.toMatchObject({ code: "SOURCE_SCHEMA_CHANGED" });
    await simulator.faults([{ kind: "malformed", malformation: "extraColumn", source: "counts" }]);
    const pages = await readAll(sourceOf(counts), request);
    await simulator.faults([]);
    expect(pages.flatMap((page) => page.schemaChanges).length).toBe(1);
  });

  test("hour by hour, everything published in the end has been read", async () => {
    clock.set(now - 5 * day);
    const source = sourceOf(counts);
    let cursor: unknown = null;
    const seen = new Set<string>();
    for (let at = now - 5 * day; at <= now; at += 6 * hour) {
      clock.set(at);
      const pages = await readAll(source, requestOf({ from: now - 60 * day, to: at, cursor }));
      cursor = pages.at(-1)!.cursor;
      for (const row of observationsOf(pages)) seen.add(key(row));
    }
    clock.set(now);
    const last = await readAll(source, requestOf({ from: now - 60 * day, to: now, mode: "range" }));
    const missed = observationsOf(last).filter((row) => !seen.has(key(row)) && row.at < now - 6 * hour);
    // Corrections that come later than the overlap are what a range read is for.
    expect(missed.length).toBeLessThan(observationsOf(last).length * 0.002);
  });
});
