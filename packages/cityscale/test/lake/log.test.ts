import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ManualClock } from "../../src/core/index.ts";
import { type CompletePage, fromWallClock, type LogPage, type StreamPage } from "../../src/domain/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { counts, openLake, pageOf, smallCity } from "./support.ts";

/** Midnight in New York; summer time ends on 2 November, a day of 25 hours. */
const day = (date: string) => fromWallClock("America/New_York", Date.parse(`${date}T00:00:00Z`));
const hour = 3_600_000;

const declared = {
  timeZone: "America/New_York",
  step: "1d",
  sources: { records: { kind: "csv" } },
  measures: { walkers: { kind: "log" as const, from: "records" } },
};

let lake: Lake;
let clock: ManualClock;
beforeEach(async () => {
  ({ lake, clock } = await openLake(smallCity(declared), {
    at: day("2025-11-05") + 8 * hour,
    lagMs: new Map([["records", 6 * hour]]),
  }));
});
afterEach(() => lake.close());

type Record = readonly [key: string, entity: string, at: number];
const log = (records: readonly Record[]): LogPage => ({
  stream: "log",
  measure: "walkers",
  key: records.map(([key]) => key),
  entity: records.map(([, entity]) => entity),
  at: Float64Array.from(records, ([, , at]) => at),
});
const complete = (from: string, to: string, wholeSince: number | null = null): CompletePage => ({
  stream: "complete",
  measure: "walkers",
  from: day(from),
  to: day(to),
  entities: ["heat", "noise", "old"],
  wholeSince,
});
const read = async (...pages: StreamPage[][]) => {
  const number = await lake.beginPoll("records");
  for (const parts of pages) await lake.append("records", number, pageOf(parts));
  await lake.endPoll("records", null);
  return lake.merge();
};
/** `entity date value` of every observation; `-` for a masked one. */
const values = async () =>
  (
    await lake.read((connection) =>
      connection.rows<{ text: string }>(`
        SELECT n.entity || ' ' || strftime(make_timestamp(s.start_at * 1000), '%m-%d') || ' ' || COALESCE(CAST(CAST(o.value AS INTEGER) AS VARCHAR), '-') AS text
        FROM observations o JOIN entities n USING (e) JOIN steps s USING (t) ORDER BY 1`),
    )
  ).map(({ text }) => text);
/** What an origin saw of an entity on a day. */
const seen = async (entity: string, date: string, origin: number) =>
  (
    await lake.read((connection) =>
      connection.first<{ value: number | null }>(`
        SELECT x.value FROM (
          SELECT e, t, value FROM observations WHERE known_at <= ${origin}
          UNION ALL SELECT e, t, value FROM revisions WHERE known_from <= ${origin} AND known_to > ${origin}
        ) x JOIN entities n USING (e) JOIN steps s USING (t) WHERE n.entity = '${entity}' AND s.start_at = ${day(date)}`),
    )
  )?.value;

describe("a log", () => {
  test("is counted by entity and local day, on days of 25 hours too, once its days are complete", async () => {
    const records = log([
      ["1", "heat", day("2025-11-01") + hour],
      ["2", "heat", day("2025-11-02")],
      ["3", "heat", day("2025-11-03") - 1],
      ["4", "noise", day("2025-11-02") + 12 * hour],
      ["5", "heat", day("2025-11-04") + hour],
    ]);
    await read([records]);
    expect(await values()).toEqual([]);
    await read([complete("2025-11-01", "2025-11-04")]);
    expect(await values()).toEqual([
      "heat 11-01 1",
      "heat 11-02 2",
      "heat 11-03 0",
      "noise 11-02 1",
      "noise 11-03 0",
    ]);
    await read([complete("2025-11-04", "2025-11-05")]);
    expect((await values()).slice(3, 4)).toEqual(["heat 11-04 1"]);
  });

  test("counts a record once however often it comes, and moves it with its type or its day", async () => {
    const first: Record[] = [
      ["1", "heat", day("2025-11-01")],
      ["2", "heat", day("2025-11-01") + hour],
    ];
    await read([log(first)], [log(first), complete("2025-11-01", "2025-11-04")]);
    expect(await values()).toEqual(["heat 11-01 2", "heat 11-02 0", "heat 11-03 0"]);
    const before = clock.now();
    clock.advance(24 * hour);
    const report = await read(
      [log([["1", "noise", day("2025-11-01")]])],
      [log([["2", "heat", day("2025-11-03")]]), complete("2025-11-04", "2025-11-05")],
    );
    expect(report).toMatchObject({ corrected: 2, touched: [{ measure: "walkers" }] });
    expect(await values()).toEqual([
      "heat 11-01 0",
      "heat 11-02 0",
      "heat 11-03 1",
      "heat 11-04 0",
      "noise 11-01 1",
      "noise 11-04 0",
    ]);
    expect([await seen("heat", "2025-11-01", before), await seen("heat", "2025-11-03", before)]).toEqual([
      2, 0,
    ]);
  });

  test("drops records that a whole read did not bring again, and only within its range", async () => {
    await read([
      log([
        ["1", "heat", day("2025-11-01")],
        ["2", "heat", day("2025-11-02")],
        ["3", "heat", day("2025-11-03")],
      ]),
      complete("2025-11-01", "2025-11-04"),
    ]);
    clock.advance(hour);
    const startedAt = clock.now();
    await read([log([["2", "heat", day("2025-11-02")]]), complete("2025-11-02", "2025-11-04", startedAt)]);
    expect(await values()).toEqual(["heat 11-01 1", "heat 11-02 1", "heat 11-03 0"]);
  });

  test("puts aside what cannot be a record", async () => {
    await read([
      log([
        ["", "heat", day("2025-11-01")],
        ["2", "", day("2025-11-01")],
        ["3", "heat", Number.NaN],
        ["4", "heat", clock.now() + 1],
        ["5", "heat", day("2025-11-01")],
      ]),
      complete("2025-11-01", "2025-11-02"),
    ]);
    expect(await values()).toEqual(["heat 11-01 1"]);
    const reasons = await lake.read((connection) =>
      connection.rows<{ reason: string }>(
        "SELECT reason FROM quarantine WHERE stream = 'log' ORDER BY reason",
      ),
    );
    expect(reasons.map(({ reason }) => reason)).toEqual([
      "bad-date",
      "in-the-future",
      "missing-entity",
      "missing-field",
    ]);
  });
});

describe("zero when complete", () => {
  test("an absent count is zero only in a complete range, from an entity's first day to its last", async () => {
    await read([
      {
        stream: "entities",
        rows: [
          {
            entity: "old",
            name: null,
            lat: null,
            lon: null,
            openedAt: null,
            retiredAt: day("2025-11-03"),
            attributes: {},
          },
        ],
      },
      counts([
        ["old", day("2025-11-01"), 4],
        ["heat", day("2025-11-02"), 7],
      ]),
    ]);
    expect(await values()).toEqual(["heat 11-02 7", "old 11-01 4"]);
    await read([complete("2025-10-30", "2025-11-05")]);
    // The counts came in an earlier page: what the complete one lacks is zero now.
    expect(await values()).toEqual([
      "heat 11-02 0",
      "heat 11-03 0",
      "heat 11-04 0",
      "old 11-01 0",
      "old 11-02 0",
    ]);
  });

  test("known as history when it was published, and corrected as any other count when rows come late", async () => {
    await read([counts([["heat", day("2025-11-01"), 7]]), complete("2025-11-01", "2025-11-04")]);
    const before = clock.now();
    expect(await seen("heat", "2025-11-02", day("2025-11-03") + 6 * hour - 1)).toBeUndefined();
    expect(await seen("heat", "2025-11-02", day("2025-11-03") + 6 * hour)).toBe(0);
    clock.advance(hour);
    await read([counts([["heat", day("2025-11-02"), 5]])]);
    expect([await seen("heat", "2025-11-02", before), await seen("heat", "2025-11-02", clock.now())]).toEqual(
      [0, 5],
    );
  });

  test("is not made up for an entity that the source reads no more", async () => {
    await read([
      counts([
        ["heat", day("2025-11-01"), 7],
        ["dropped", day("2025-11-01"), 4],
      ]),
      log([["1", "dropped", day("2025-11-01")]]),
    ]);
    clock.advance(hour);
    await read([{ ...complete("2025-11-01", "2025-11-03", clock.now()), entities: ["heat"] }]);
    expect((await values()).filter((text) => text.startsWith("dropped"))).toEqual(["dropped 11-01 1"]);
    expect((await values()).filter((text) => text.startsWith("heat"))).toEqual([
      "heat 11-01 0",
      "heat 11-02 0",
    ]);
  });

  test("is not what a measure has whose absence means missing", async () => {
    const measures = { walkers: { kind: "log" as const, from: "records", absence: "missing" as const } };
    const other = await openLake(smallCity({ ...declared, measures }), { at: clock.now() });
    await other.lake.beginPoll("records");
    await other.lake.append(
      "records",
      1,
      pageOf([counts([["heat", day("2025-11-01"), 7]]), complete("2025-11-01", "2025-11-04")]),
    );
    await other.lake.merge();
    const rows = await other.lake.read((connection) =>
      connection.first<{ n: number }>("SELECT count(*) AS n FROM observations"),
    );
    expect(rows!.n).toBe(1);
    await other.lake.close();
  });
});

describe("a mask", () => {
  const city = (knownFrom?: string) =>
    smallCity({
      ...declared,
      masks: [
        {
          days: ["2025-11-02/2025-11-03"],
          entities: ["heat"],
          reason: "half loaded",
          ...(knownFrom ? { knownFrom } : {}),
        },
      ],
    });
  const filled = async (knownFrom?: string) => {
    await lake.close();
    ({ lake, clock } = await openLake(city(knownFrom), {
      at: day("2025-11-05") + 8 * hour,
      lagMs: new Map([["records", 6 * hour]]),
    }));
    await read([
      counts([
        ["heat", day("2025-11-01"), 7],
        ["heat", day("2025-11-02"), 3],
        ["noise", day("2025-11-02"), 9],
      ]),
      complete("2025-11-01", "2025-11-05"),
    ]);
  };

  test("makes values and zeros missing for its entities and days, whoever reads", async () => {
    await filled();
    expect((await values()).slice(0, 5)).toEqual([
      "heat 11-01 7",
      "heat 11-02 -",
      "heat 11-03 -",
      "heat 11-04 0",
      "noise 11-02 9",
    ]);
    const at = day("2025-11-05");
    expect([await seen("heat", "2025-11-02", at), await seen("heat", "2025-11-01", at)]).toEqual([null, 7]);
  });

  test("that became known later leaves earlier origins what they saw, corrections before it included", async () => {
    await filled("2025-11-08");
    const at = clock.now();
    clock.advance(24 * hour);
    await read([counts([["heat", day("2025-11-02"), 4]])]);
    const later = clock.now();
    clock.advance(24 * hour);
    const know = day("2025-11-08");
    expect([
      await seen("heat", "2025-11-02", at),
      await seen("heat", "2025-11-02", later),
      await seen("heat", "2025-11-02", know - 1),
      await seen("heat", "2025-11-02", know),
      await seen("heat", "2025-11-03", know - 1),
      await seen("heat", "2025-11-03", know),
    ]).toEqual([3, 4, 4, null, 0, null]);
    clock.advance(5 * 24 * hour);
    await read([counts([["heat", day("2025-11-02"), 5]])]);
    expect([
      await seen("heat", "2025-11-02", know - 1),
      await seen("heat", "2025-11-02", clock.now()),
    ]).toEqual([4, null]);
  });

  test("that cannot be is told by its field", () => {
    const bad = (mask: object) => () =>
      smallCity({ ...declared, masks: [{ days: ["2025-11-02"], reason: "x", ...mask }] });
    expect(bad({ days: ["2025-02-30"] })).toThrow(/masks\.0\.days\.0: write a day/);
    expect(bad({ days: ["2025-11-03/2025-11-02"] })).toThrow(/masks\.0\.days\.0/);
    expect(bad({ measure: "cyclists" })).toThrow(/masks\.0\.measure: there is no measure "cyclists"/);
  });
});
