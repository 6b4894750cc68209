import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ManualClock } from "../../src/core/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { counts, hourMs, openLake, pageOf, poll, type Row, smallCity } from "./support.ts";

const noon = Date.UTC(2024, 0, 10, 12);
const city = smallCity({
  measures: {
    walkers: { kind: "flow", from: "counts", contract: { min: 0, max: 500 } },
    runners: { kind: "flow", from: "counts", contract: { integer: false } },
  },
});

let lake: Lake;
let clock: ManualClock;
beforeEach(async () => {
  ({ lake, clock } = await openLake(city, { at: noon + 5 * 60_000, lagMs: new Map([["counts", hourMs]]) }));
});
afterEach(() => lake.close());

const read = (rows: readonly Row[], measure?: string) => poll(lake, "counts", [counts(rows, measure)]);
const all = <T>(sql: string) => lake.read((connection) => connection.rows<T>(sql));
const clean = async () =>
  (
    await all<{ entity: string; start_at: number; value: number; known_at: number; basis: string }>(
      `SELECT n.entity, s.start_at, o.value, o.known_at, o.basis FROM observations o JOIN entities n USING (e) JOIN steps s USING (t)
       ORDER BY o.e, o.t`,
    )
  ).map(({ entity, start_at, value, known_at, basis }) => [
    entity,
    (start_at - noon) / hourMs,
    value,
    (known_at - noon) / hourMs,
    basis,
  ]);
const reasons = async () =>
  (await all<{ reason: string }>("SELECT reason FROM quarantine ORDER BY reason")).map(
    ({ reason }) => reason,
  );
const at = (hours: number) => noon + hours * hourMs;

describe("the contract", () => {
  const bad: [reason: string, row: Row, measure?: string][] = [
    ["missing-entity", ["", at(-5), 1]],
    ["bad-date", ["a", Number.NaN, 1]],
    ["bad-date", ["a", Number.POSITIVE_INFINITY, 1]],
    ["out-of-range", ["a", Date.UTC(1985, 0, 1), 1]],
    ["in-the-future", ["a", at(3), 1]],
    ["off-grid", ["a", at(-5) + 60_000, 1]],
    ["step-not-over", ["a", at(0), 1]],
    ["null-value", ["a", at(-5), Number.NaN]],
    ["null-value", ["a", at(-5), Number.NEGATIVE_INFINITY]],
    ["below-minimum", ["a", at(-5), -1]],
    ["above-maximum", ["a", at(-5), 501]],
    ["not-whole", ["a", at(-5), 1.5]],
    ["unknown-measure", ["a", at(-5), 1], "swimmers"],
  ];
  test.each(bad)(
    "quarantines a row for %s and keeps the good rows beside it",
    async (reason, row, measure) => {
      const number = await lake.beginPoll("counts");
      const good = counts([["b", at(-4), 7]]);
      await lake.append("counts", number, pageOf([counts([row], measure), good]));
      const report = await lake.merge();
      expect(await reasons()).toEqual([reason]);
      expect(report).toMatchObject({ rows: 2, inserted: 1, quarantined: 1 });
      expect((await clean()).map((line) => line.slice(0, 3))).toEqual([["b", -4, 7]]);
    },
  );

  test("whole numbers are asked for only where the measure says so, and a bound itself is good", async () => {
    await read([["a", at(-5), 1.5]], "runners");
    await read([
      ["a", at(-5), 500],
      ["a", at(-6), 0],
    ]);
    expect(await reasons()).toEqual([]);
  });

  test("tells a bad row once, however often it is read, and once for each measure", async () => {
    const row: Row = ["a", at(-5), -1];
    expect((await read([row, row])).quarantined).toBe(1);
    expect((await read([row])).quarantined).toBe(0);
    expect((await read([row], "runners")).quarantined).toBe(1);
    expect((await read([["a", at(-5), -2]])).quarantined).toBe(1);
    expect(await all("SELECT count(*) AS n FROM raw_observations")).toEqual([{ n: 3 }]);
  });

  test("rows that a source could not read are kept as received, once", async () => {
    const rejected = [
      { stream: "observations" as const, reason: "bad-number", detail: "count: x", received: "{}" },
    ];
    for (const count of [1, 0]) {
      const number = await lake.beginPoll("counts");
      expect(await lake.append("counts", number, pageOf([], { rejected }))).toEqual({
        rows: 0,
        rejected: count,
      });
    }
    expect(await all("SELECT reason, detail, received FROM quarantine")).toEqual([
      { reason: "bad-number", detail: "count: x", received: "{}" },
    ]);
  });
});

describe("a row read again", () => {
  test("and saying the same changes nothing and is not kept twice", async () => {
    await read([["a", at(-5), 3]]);
    clock.advance(hourMs);
    const report = await read([["a", at(-5), 3]]);
    expect(report).toMatchObject({ rows: 1, inserted: 0, corrected: 0, repeated: 1, touched: [] });
    expect(await clean()).toEqual([["a", -5, 3, -3, "assumed"]]);
    expect(await all("SELECT count(*) AS n FROM raw_observations")).toEqual([{ n: 1 }]);
  });

  test("with another value corrects the clean one and leaves what was known before in revisions", async () => {
    await read([["a", at(-5), 3]]);
    for (const value of [4, 3]) {
      clock.advance(hourMs);
      const report = await read([["a", at(-5), value]]);
      expect(report).toMatchObject({ corrected: 1 });
      const t = city.grid.stepAt(at(-5));
      expect(report.touched).toEqual([{ measure: "walkers", fromT: t, toT: t }]);
    }
    const minute = 5 / 60;
    expect(await clean()).toEqual([["a", -5, 3, 2 + minute, "observed"]]);
    expect(
      (
        await all<{ value: number; known_from: number; known_to: number }>(
          "FROM revisions ORDER BY known_from",
        )
      ).map(({ value, known_from, known_to }) => [
        value,
        (known_from - noon) / hourMs,
        (known_to - noon) / hourMs,
      ]),
    ).toEqual([
      [3, -3, 1 + minute],
      [4, 1 + minute, 2 + minute],
    ]);
  });

  test("twice in one page: the last one counts, and what it contradicts is told", async () => {
    await read([
      ["a", at(-5), 3],
      ["a", at(-5), 9],
      ["b", at(-5), 2],
      ["b", at(-5), 2],
    ]);
    expect((await clean()).map((line) => line.slice(0, 3))).toEqual([
      ["a", -5, 9],
      ["b", -5, 2],
    ]);
    expect(await all("SELECT reason, entity, value FROM quarantine")).toEqual([
      { reason: "duplicate-conflict", entity: "a", value: 3 },
    ]);
  });
});

describe("when a row was known", () => {
  test("history is taken as known when published, and newer rows when they came", async () => {
    await read([
      ["a", at(-5), 3],
      ["a", at(-1), 4],
    ]);
    expect(await clean()).toEqual([
      ["a", -5, 3, -3, "assumed"],
      ["a", -1, 4, 5 / 60, "observed"],
    ]);
  });

  test("a row that comes late to a lake that has long been reading was not known before it came", async () => {
    await read([["a", at(-9), 3]]);
    clock.advance(2 * hourMs);
    await read([
      ["a", at(-5), 4],
      ["new", at(-6), 5],
    ]);
    expect((await clean()).slice(1)).toEqual([
      ["a", -5, 4, 2 + 5 / 60, "observed"],
      ["new", -6, 5, 2 + 5 / 60, "observed"],
    ]);
  });

  test("a first read in many pages and tries is history to its end, and so is what lies before all that is there", async () => {
    const first = await lake.beginPoll("counts");
    await lake.append("counts", first, pageOf([counts([["a", at(-9), 3]])]));
    await lake.endPoll("counts", "gone away");
    await lake.merge();
    clock.advance(hourMs);
    await read([["a", at(-8), 4]]);
    clock.advance(hourMs);
    await read([["a", at(-30), 5]]);
    expect((await clean()).map((line) => line.slice(3))).toEqual([
      [-28, "assumed"],
      [-7, "assumed"],
      [-6, "assumed"],
    ]);
  });

  test("the publisher's own stamp counts where there is one, never later than the row came", async () => {
    await read([
      ["a", at(-5), 3, at(-2)],
      ["b", at(-5), 3, at(4)],
    ]);
    expect(await clean()).toEqual([
      ["a", -5, 3, -2, "published"],
      ["b", -5, 3, 5 / 60, "published"],
    ]);
    clock.advance(4 * hourMs);
    await read([
      ["a", at(-5), 4, at(1)],
      ["b", at(-5), 5, at(-9)],
    ]);
    // A stamp older than the value that it corrects cannot be the correction's.
    expect(await clean()).toEqual([
      ["a", -5, 4, 1, "published"],
      ["b", -5, 5, 4 + 5 / 60, "observed"],
    ]);
  });
});

describe("sources that feed at once", () => {
  test("keep their own watermarks and cursors", async () => {
    const [one, two] = [await lake.beginPoll("counts"), await lake.beginPoll("other")];
    await lake.append("counts", one, pageOf([counts([["a", at(-5), 1]])], { cursor: { page: 1 } }));
    await lake.append("other", two, pageOf([counts([["b", at(-5), 2]], "runners")], { cursor: "x" }));
    await lake.append("counts", one, pageOf([counts([["a", at(-4), 3]])], { cursor: { page: 2 } }));
    expect((await lake.merge()).inserted).toBe(3);
    expect((await lake.sourceState("counts")).cursor).toEqual({ page: 2 });
    expect((await lake.sourceState("other")).cursor).toBe("x");
  });

  test("two reads of one source that take turns lose nothing", async () => {
    const [hourly, backfill] = [await lake.beginPoll("counts"), await lake.beginPoll("counts")];
    await lake.append("counts", hourly, pageOf([counts([["a", at(-3), 1]])], { cursor: 7 }));
    await lake.append("counts", backfill, pageOf([counts([["a", at(-30), 2]])], { cursor: 1 }), true);
    await lake.append("counts", hourly, pageOf([counts([["a", at(-4), 3]])], { cursor: 8 }));
    expect((await lake.merge()).inserted).toBe(3);
    expect((await lake.sourceState("counts")).cursor).toBe(8);
    expect((await lake.merge()).rows).toBe(0);
  });
});

describe("a page", () => {
  test("that fails half way leaves nothing behind", async () => {
    const number = await lake.beginPoll("counts");
    const broken = pageOf([
      counts([["a", at(-5), 1]]),
      { stream: "holidays", rows: [{ date: "no date", name: "x", kind: "public" }] },
    ]);
    await expect(lake.append("counts", number, broken)).rejects.toThrow("is not a date");
    for (const table of ["raw_observations", "entities", "quarantine"]) {
      expect(await all(`FROM ${table}`)).toEqual([]);
    }
    expect((await lake.sourceState("counts")).cursor).toBeNull();
    await lake.append("counts", number, pageOf([counts([["b", at(-5), 1]])], { cursor: 1 }));
    expect(await all("SELECT e, entity FROM entities")).toEqual([{ e: 0, entity: "b" }]);
    expect(await all("SELECT seq FROM raw_observations")).toEqual([{ seq: 1 }]);
  });

  test("keeps what changed in the publisher's fields", async () => {
    const number = await lake.beginPoll("counts");
    await lake.append("counts", number, pageOf([], { schemaChanges: ["+sum_v2", "-name"] }));
    expect(await all("SELECT source, change FROM schema_changes ORDER BY change")).toEqual([
      { source: "counts", change: "+sum_v2" },
      { source: "counts", change: "-name" },
    ]);
  });

  test("of entities records who moved and who retired, and takes silence for no news", async () => {
    const entity = (more: object) => [
      {
        stream: "entities" as const,
        rows: [
          {
            entity: "a",
            name: "A",
            lat: 1,
            lon: 2,
            openedAt: null,
            retiredAt: null,
            attributes: {},
            ...more,
          },
        ],
      },
    ];
    await poll(lake, "counts", entity({}));
    await poll(lake, "counts", entity({ lat: 1.5, name: null }));
    await poll(lake, "counts", entity({ lat: 1.5, retiredAt: at(-1) }));
    await poll(lake, "counts", entity({ lat: 1.5, retiredAt: at(0) }));
    expect(await all("SELECT name, lat, retired_at FROM entities")).toEqual([
      { name: "A", lat: 1.5, retired_at: at(0) },
    ]);
    expect(await all("SELECT field, old_value, new_value FROM entity_changes")).toEqual([
      { field: "lat", old_value: "1", new_value: "1.5" },
      { field: "retired_at", old_value: String(at(-1)), new_value: String(at(0)) },
    ]);
  });

  test("of events keeps a version for each change, the last of one instant", async () => {
    const event = (more: object) => [
      {
        stream: "events" as const,
        rows: [
          {
            id: "x",
            name: "X",
            startAt: at(400),
            endAt: at(402),
            lat: 1,
            lon: 2,
            venue: null,
            category: null,
            attendance: 10,
            cancelled: false,
            publishedAt: null,
            ...more,
          },
        ],
      },
    ];
    await poll(lake, "counts", event({}));
    await poll(lake, "counts", event({}));
    clock.advance(hourMs);
    await poll(lake, "counts", event({ attendance: 20 }));
    await poll(lake, "counts", event({ attendance: 30 }));
    clock.advance(hourMs);
    await poll(lake, "counts", event({ attendance: 30, cancelled: true }));
    expect(await all("SELECT attendance, cancelled FROM events ORDER BY known_at")).toEqual([
      { attendance: 10, cancelled: false },
      { attendance: 30, cancelled: false },
      { attendance: 30, cancelled: true },
    ]);
  });
});
