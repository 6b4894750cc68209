import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CityDeclaration, defineCity, type LevelPage } from "../../src/domain/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { openLake, pageOf, poll, smallCity } from "./support.ts";

const minute = 60_000;
const start = Date.UTC(2024, 0, 1);

const declared: Partial<CityDeclaration> = {
  step: "10m",
  entity: "station",
  sources: { stations: { kind: "gbfs" } },
  measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
  targets: { "bikes-out-30": { kind: "binary", measure: "bikes", horizon: "30m" } },
};
const stations = smallCity(declared);

interface Snapshot {
  readonly entity: string;
  readonly at: number;
  readonly bikes?: number;
  readonly docks?: number;
  readonly ebikes?: number;
}

function levels(rows: readonly Snapshot[], archived = false): LevelPage {
  const column = (of: (row: Snapshot) => number | undefined) =>
    Float64Array.from(rows, (row) => of(row) ?? Number.NaN);
  return {
    stream: "levels",
    entity: rows.map(({ entity }) => entity),
    at: column(({ at }) => at),
    bikes: column(({ bikes }) => bikes),
    ebikes: column(({ ebikes }) => ebikes),
    docks: column(({ docks }) => docks),
    bikesDisabled: column(() => undefined),
    docksDisabled: column(() => undefined),
    renting: new Uint8Array(rows.length).fill(1),
    returning: new Uint8Array(rows.length).fill(1),
    reportedAt: column(({ at }) => at - minute),
    archived,
  };
}

interface Stored {
  readonly entity: string;
  readonly at: number;
  readonly bikes: number | null;
  readonly docks: number | null;
  readonly known_at: number;
}

const stored = (lake: Lake) =>
  lake.read((connection) =>
    connection.rows<Stored>(
      'SELECT n.entity, s."at", s.bikes, s.docks, s.known_at FROM snapshots s JOIN entities n USING (e) ORDER BY s."at", n.entity',
    ),
  );
const reasons = (lake: Lake) =>
  lake.read((connection) =>
    connection.rows<{ reason: string; entity: string | null }>(
      "SELECT reason, entity FROM quarantine WHERE stream = 'levels' ORDER BY reason, entity",
    ),
  );

describe("what a city may say of levels", () => {
  const problemsOf = (more: Partial<CityDeclaration>) => {
    try {
      smallCity({ ...declared, ...more });
      return "none";
    } catch (error) {
      return (error as Error).message;
    }
  };
  it("a binary target is below 3 within half an hour unless it says otherwise, and is looked at often", () => {
    const target = stations.targets["bikes-out-30"]!;
    expect([target.kind, target.below, target.horizonSteps]).toEqual(["binary", 3, 3]);
    expect(target.schedule).toMatchObject({ ingest: "*/5 * * * *", forecast: "*/10 * * * *" });
    expect(stations.measures["bikes"]).toMatchObject({ absence: "missing", contract: { max: 2000 } });
    expect(smallCity().targets["walkers"]!.below).toBeNull();
  });
  it("kinds of measures and of targets must go together", () => {
    expect(problemsOf({ targets: { bikes: {} } })).toContain(
      'targets.bikes.kind: bikes is a level; declare kind "binary"',
    );
    expect(problemsOf({ measures: { bikes: { kind: "flow", from: "stations" } } })).toContain(
      "targets.bikes-out-30.kind: a binary target is of a level, and bikes is none",
    );
    expect(problemsOf({ measures: { cars: { kind: "level", from: "stations" } } })).toContain(
      "measures.cars: a level is one of bikes, docks",
    );
    expect(
      problemsOf({ measures: { bikes: { kind: "level", from: "stations", absence: "zeroWhenComplete" } } }),
    ).toContain("measures.bikes.absence");
    expect(() => defineCity({ ...smallCity().declaration, targets: { walkers: { below: 2 } } })).toThrow(
      "targets.walkers.below: only a binary target has a bound",
    );
  });
});

describe("snapshots of stations", () => {
  it("are kept once each, however often and late they come", async () => {
    const { lake } = await openLake(stations, { at: start + 60 * minute });
    const a = { entity: "a", at: start, bikes: 4, docks: 6 };
    const b = { entity: "b", at: start, bikes: 0, docks: 9 };
    const late = { entity: "a", at: start - 10 * minute, bikes: 5, docks: 5 };
    await poll(lake, "stations", [levels([a, b, a])]);
    await poll(lake, "stations", [levels([b, a, late])]);
    expect((await stored(lake)).map(({ entity, at, bikes }) => [entity, at, bikes])).toEqual([
      ["a", start - 10 * minute, 5],
      ["a", start, 4],
      ["b", start, 0],
    ]);
    expect(await reasons(lake)).toEqual([]);
    await lake.close();
  });

  it("that say otherwise when they come again are told; the first one stays, as origins saw it", async () => {
    const { lake } = await openLake(stations, { at: start + 60 * minute });
    await poll(lake, "stations", [levels([{ entity: "a", at: start, bikes: 4 }])]);
    await poll(lake, "stations", [levels([{ entity: "a", at: start, bikes: 7 }])]);
    await poll(lake, "stations", [levels([{ entity: "a", at: start, bikes: 7 }])]);
    // Within a page the last one counts, as for counts.
    await poll(lake, "stations", [
      levels([
        { entity: "b", at: start, bikes: 1 },
        { entity: "b", at: start, bikes: 2 },
      ]),
    ]);
    expect((await stored(lake)).map(({ entity, bikes }) => [entity, bikes])).toEqual([
      ["a", 4],
      ["b", 2],
    ]);
    expect((await reasons(lake)).map(({ reason, entity }) => [reason, entity])).toEqual([
      ["duplicate-conflict", "a"],
      ["duplicate-conflict", "b"],
    ]);
    await lake.close();
  });

  it("that break their contract go to quarantine, told once, and the good ones beside them stay", async () => {
    const { lake } = await openLake(stations, { at: start + 60 * minute });
    const page = levels([
      { entity: "good", at: start, bikes: 4, docks: 6 },
      { entity: "no docks", at: start, bikes: 4 },
      { entity: "negative", at: start, bikes: -1, docks: 6 },
      { entity: "absurd", at: start, bikes: 4, docks: 40_000 },
      { entity: "half", at: start, bikes: 4.5, docks: 6 },
      { entity: "other column", at: start, bikes: 4, docks: 6, ebikes: -2 },
      { entity: "future", at: start + 61 * minute, bikes: 4, docks: 6 },
      { entity: "old", at: 86_400_000, bikes: 4, docks: 6 },
      { entity: "timeless", at: Number.NaN, bikes: 4, docks: 6 },
      { entity: "nothing", at: start },
      { entity: "endless", at: start, bikes: Number.POSITIVE_INFINITY },
      { entity: "", at: start, bikes: 4, docks: 6 },
    ]);
    const number = await lake.beginPoll("stations");
    expect(await lake.append("stations", number, pageOf([page]))).toEqual({ rows: 2, rejected: 10 });
    expect(await lake.append("stations", number, pageOf([page]))).toEqual({ rows: 0, rejected: 0 });
    expect((await stored(lake)).map(({ entity }) => entity)).toEqual(["good", "no docks"]);
    expect((await reasons(lake)).map(({ entity, reason }) => `${entity}: ${reason}`).sort()).toEqual([
      "absurd: above-maximum",
      "endless: above-maximum",
      "future: in-the-future",
      "half: not-whole",
      "negative: below-minimum",
      "nothing: null-value",
      "null: missing-entity",
      "old: out-of-range",
      "other column: below-minimum",
      "timeless: bad-date",
    ]);
    await lake.close();
  });

  it("were known when they came; those of an archive when they were taken, in the first read", async () => {
    const now = start + 60 * minute;
    const { lake, clock } = await openLake(stations, { at: now });
    const number = await lake.beginPoll("stations");
    await lake.append("stations", number, pageOf([levels([{ entity: "a", at: start, bikes: 1 }], true)]));
    await lake.append("stations", number, pageOf([levels([{ entity: "a", at: now - minute, bikes: 2 }])]));
    await lake.endPoll("stations", null);
    clock.set(now + 60 * minute);
    // A gap that the archive fills later was a gap for those who forecast then.
    await poll(lake, "stations", [levels([{ entity: "a", at: start + minute, bikes: 3 }], true)]);
    await poll(lake, "stations", [levels([{ entity: "a", at: start - minute, bikes: 4 }], true)]);
    expect((await stored(lake)).map(({ bikes, known_at }) => [bikes, known_at])).toEqual([
      [4, start - minute],
      [1, start],
      [3, now + 60 * minute],
      [2, now],
    ]);
    await lake.close();
  });

  it("and the cursor behind them are there together or not at all", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cityscale-levels-"));
    const path = join(folder, "lake.duckdb");
    const first = await openLake(stations, { path, at: start + 60 * minute });
    const number = await first.lake.beginPoll("stations");
    const broken = { ...levels([{ entity: "b", at: start, bikes: 1 }]), docks: new Float64Array(2) };
    const page = pageOf([levels([{ entity: "a", at: start, bikes: 1 }]), broken], { cursor: { through: 1 } });
    await expect(first.lake.append("stations", number, page)).rejects.toThrow("differ in length");
    await first.lake.close();
    const second = await openLake(stations, { path, at: start + 60 * minute });
    expect(await stored(second.lake)).toEqual([]);
    expect((await second.lake.sourceState("stations")).cursor).toBeNull();
    await second.lake.close();
    rmSync(folder, { recursive: true });
  });

  it("in any order and any pages leave the same clean rows", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ entity: fc.constantFrom("a", "b", "c"), at: fc.integer({ min: 0, max: 20 }) }), {
          minLength: 1,
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        async (rows, size, archived) => {
          const { lake } = await openLake(stations, { at: start + 60 * minute, threads: 1 });
          // What a station has at an instant depends on both alone: the same snapshot is always the same.
          const all = rows.map(({ entity, at }) => ({
            entity,
            at: start + at * minute,
            bikes: (entity.charCodeAt(0) + at) % 10,
          }));
          for (let i = 0; i < all.length; i += size)
            await poll(lake, "stations", [levels(all.slice(i, i + size), archived)]);
          const wanted = [...new Map(all.map((row) => [`${row.at} ${row.entity}`, row])).values()].sort(
            (a, b) => a.at - b.at || (a.entity < b.entity ? -1 : 1),
          );
          expect((await stored(lake)).map(({ entity, at, bikes }) => ({ entity, at, bikes }))).toEqual(
            wanted,
          );
          expect(await reasons(lake)).toEqual([]);
          await lake.close();
        },
      ),
      { numRuns: 15 },
    );
  });
});
