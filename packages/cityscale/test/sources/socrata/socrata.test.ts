import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { FaultKind, Malformation } from "@cityscale/simulator";
import { startSimulatorWorker } from "@cityscale/simulator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeNewYork, type NewYork } from "../../../../simulator/test/new-york.ts";
import { createManualClock } from "../../../src/core/index.ts";
import { createSource, socrata } from "../../../src/sources/index.ts";
import { contextAt, requestOf, sendJson, serve } from "../support.ts";
import {
  expected,
  openLakeAt,
  openRequests,
  openSource,
  type Requests,
  readInto,
  requestsCity,
  valuesOf,
} from "./requests.ts";

let made: NewYork;
beforeAll(async () => {
  made = await makeNewYork();
});
afterAll(() => made.remove());

/** Eight in the morning in New York, after the night's load and the publication lag. */
const morning = (date: string) => `${date}T13:00:00Z`;
const asOf = (date: string) => expected(made.counts, date);
const differing = (found: ReadonlyMap<string, number>, wanted: ReadonlyMap<string, number>) =>
  [...new Set([...found.keys(), ...wanted.keys()])].filter((key) => found.get(key) !== wanted.get(key));

async function withRequests(
  at: string,
  work: (requests: Requests) => Promise<void>,
  options: Parameters<typeof openRequests>[2] = {},
): Promise<void> {
  const requests = await openRequests(made.root, at, options);
  try {
    await work(requests);
  } finally {
    await requests.close();
  }
}

describe("a first read", () => {
  test("brings what was recorded, counted by the publisher and one by one, with zeros and through the clock change", () =>
    withRequests("2026-01-01T00:00:00Z", async ({ ingest, values, lake }) => {
      await ingest();
      const found = await values();
      expect(differing(found, asOf("2025-11-19"))).toEqual([]);
      expect([found.get("HEAT/HOT WATER 2025-10-20"), found.get("All 2025-10-25")]).toEqual([0, 77]);
      const known = await lake.read((connection) =>
        connection.rows(
          "SELECT basis, min(known_at - end_at) AS lag, max(known_at - end_at) AS most FROM observations JOIN steps USING (t) GROUP BY 1",
        ),
      );
      expect(known).toEqual([{ basis: "assumed", lag: 6 * 3_600_000, most: 6 * 3_600_000 }]);
      expect((await lake.sourceState("counts")).cursor).toMatchObject({ plan: null, again: [] });
    }));

  test("that stopped after any page goes on behind it", () =>
    withRequests(morning("2025-11-10"), async ({ source, clock, simulator }) => {
      const unbroken = await openLakeAt(":memory:", clock);
      let pages = 0;
      for await (const _ of readInto(unbroken, source, clock)) pages++;
      await unbroken.merge();
      const wanted = await valuesOf(unbroken);
      await unbroken.close();
      for (let stopAfter = 1; stopAfter < pages; stopAfter++) {
        const lake = await openLakeAt(":memory:", clock);
        let read = 0;
        for await (const _ of readInto(lake, source, clock)) if (++read === stopAfter) break;
        for await (const _ of readInto(lake, openSource(simulator.sources["counts"]!, clock), clock));
        await lake.merge();
        expect(differing(await valuesOf(lake), wanted), `stopped after ${stopAfter}`).toEqual([]);
        await lake.close();
      }
      expect(pages).toBeGreaterThan(8);
    }));

  test("sends the application token, and tells of one that is refused without naming it", async () => {
    const token = "abcdefghijklmnopqrstuvwxy";
    await withRequests(
      morning("2025-10-20"),
      async ({ ingest, values }) => {
        await ingest();
        expect((await values()).size).toBeGreaterThan(20);
      },
      { token },
    );
    await withRequests(
      morning("2025-10-20"),
      async ({ ingest }) => {
        const failed = await ingest().then(
          () => null,
          (error: Error) => error,
        );
        expect(failed).toMatchObject({
          code: "SOURCE_REFUSED",
          message: expect.stringMatching(/403.*Invalid app_token/),
        });
        expect(JSON.stringify(failed)).not.toContain("secret-but-wrong");
      },
      { token: "secret-but-wrong" },
    );
  });
});

describe("day after day", () => {
  test("only what changed is asked again: late rows, moved records and new days are corrections of what was known", () =>
    withRequests(morning("2025-10-16"), async ({ ingest, values, clock, simulator, lake }) => {
      await ingest();
      // The day before is loaded, but for the few that come a night later.
      const newest = [...(await values()).keys()].filter((key) => key.endsWith("2025-10-15"));
      expect(newest).toEqual(
        expect.arrayContaining(["All 2025-10-15", "Elevator / STATEN ISLAND 2025-10-15"]),
      );
      let corrected = 0;
      for (let day = 17; day <= 31; day++) {
        clock.set(Date.parse(morning(`2025-10-${day}`)));
        corrected += (await ingest()).corrected;
      }
      const before = (await simulator.requests()).total;
      clock.set(Date.parse("2026-01-01T00:00:00Z"));
      corrected += (await ingest()).corrected;
      expect(corrected).toBeGreaterThan(20);
      const found = await values();
      // Where a borough was not known at first the record has moved by now.
      const moved = differing(found, asOf("2025-11-19"));
      expect(moved.length).toBeGreaterThan(0);
      for (const key of moved)
        expect([key.split(" 2025")[0], found.get(key)]).toEqual(["Elevator / Unspecified", 0]);
      const seenOf = await lake.read((connection) =>
        connection.rows<{ value: number }>(
          "SELECT DISTINCT r.value FROM revisions r JOIN entities n USING (e) WHERE n.entity = 'Elevator / Unspecified'",
        ),
      );
      expect(seenOf.some(({ value }) => value > 0)).toBe(true);
      expect((await simulator.requests()).total - before).toBeLessThan(60);
    }));

  test("nothing new costs one request and changes nothing", () =>
    withRequests(morning("2025-10-16"), async ({ ingest, values, clock, simulator }) => {
      await ingest();
      const [before, total] = [await values(), (await simulator.requests()).total];
      clock.advance(3_600_000);
      expect(await ingest()).toMatchObject({ inserted: 0, corrected: 0, quarantined: 0 });
      expect(await values()).toEqual(before);
      expect((await simulator.requests()).total - total).toBeLessThanOrEqual(3);
    }));
});

describe("what is not known is not zero", () => {
  test("a publisher that loads nothing completes no day, however late it is", () =>
    withRequests("2026-03-01T00:00:00Z", async ({ ingest, values }) => {
      await ingest();
      expect(
        [...(await values()).keys()].filter((key) => key > "All 2025-11-18" && key.startsWith("All")),
      ).toEqual([]);
    }));

  test("a half-loaded day is known as it was, and corrected when the rest comes", () =>
    withRequests(
      morning("2025-10-24"),
      async ({ ingest, values, clock, lake }) => {
        await ingest();
        const whole = made.counts.get("HEAT/HOT WATER 2025-10-23")!;
        expect((await values()).get("HEAT/HOT WATER 2025-10-23")).toBe(Math.round(0.4 * whole));
        const then = clock.now();
        clock.set(Date.parse(morning("2025-10-28")));
        await ingest();
        expect((await values()).get("HEAT/HOT WATER 2025-10-23")).toBe(whole);
        const before = await lake.read((connection) =>
          connection.first<{ value: number }>(
            `SELECT r.value FROM revisions r JOIN entities n USING (e) JOIN steps s USING (t)
             WHERE n.entity = 'HEAT/HOT WATER' AND s.start_at = ${Date.parse("2025-10-23T04:00:00Z")} AND known_from <= ${then} AND known_to > ${then}`,
          ),
        );
        expect(before).toEqual({ value: Math.round(0.4 * whole) });
      },
      { halfLoaded: [{ date: "2025-10-23", share: 0.4, wholeAtMs: Date.parse("2025-10-27T20:00:00Z") }] },
    ));

  test("a count that cannot be read makes no zeros beside it, and its range is asked again until it can", () =>
    withRequests(morning("2025-10-20"), async ({ ingest, values, clock, faults, lake }) => {
      await ingest();
      clock.set(Date.parse(morning("2025-10-24")));
      await faults([{ kind: "malformed", malformation: "nanText", path: "n%2Cday|count", every: 2 }]);
      await ingest();
      expect((await lake.sourceState("counts")).cursor).toMatchObject({ again: [expect.anything()] });
      for (const [key, value] of await values())
        if (value === 0) expect(asOf("2025-10-24").get(key) ?? 0, key).toBe(0);
      expect(
        differing(await values(), asOf("2025-10-24")).filter((key) => /2025-10-2[0-3]/.test(key)).length,
      ).toBeGreaterThan(0);
      await faults([]);
      clock.set(Date.parse("2026-01-01T00:00:00Z"));
      await ingest();
      expect((await lake.sourceState("counts")).cursor).toMatchObject({ again: [] });
      expect(wrong(await values(), "2025-11-19")).toEqual([]);
    }));
});

/** What differs from the recordings, but for records that have found their borough since. */
const wrong = (found: ReadonlyMap<string, number>, before: string) =>
  differing(found, asOf(before)).filter(
    (key) => !(key.startsWith("Elevator / Unspecified") && found.get(key) === 0),
  );

const answers: [string, FaultKind, RegExp][] = [
  ["429 with seconds", { kind: "status", status: 429, retryAfterSeconds: 1 }, /answered 429/],
  [
    "429 with a date",
    { kind: "status", status: 429, retryAfterSeconds: 1, retryAfterDate: true },
    /answered 429/,
  ],
  ["202, still being made", { kind: "status", status: 202 }, /answered 202.*processed/],
  ["500", { kind: "status", status: 500 }, /answered 500/],
  ["503", { kind: "status", status: 503 }, /answered 503/],
  ["an HTML page", { kind: "html" }, /received HTML/],
  ["an error inside status 200", { kind: "envelope", message: "Timed out waiting" }, /Timed out waiting/],
  ["a cut connection", { kind: "cut" }, /terminated|closed|aborted|socket|reset/i],
  ["half a page", { kind: "truncated" }, /broken JSON/],
  ["a body that stops coming", { kind: "slow", delayMs: 60_000, within: true }, /nothing came for/],
  ["a dropped socket", { kind: "unreachable" }, /127\.0\.0\.1/],
];
const rows: [Malformation, string | null][] = [
  ["missingField", "missing-field"],
  ["wrongType", "bad-number"],
  ["nanText", "bad-number"],
  ["negative", "below-minimum"],
  ["huge", "above-maximum"],
  ["wrongDate", "bad-date"],
  ["nullEntity", "missing-field"],
  ["renamedColumn", "missing-field"],
  // Rows of the series of all have no id but their day.
  ["unknownEntity", "bad-date"],
  ["duplicatedRow", null],
  ["extraColumn", null],
];

describe("whatever the publisher answers", () => {
  test.each(answers)("%s is told, and nothing is missing or made up once it has passed", (_, fault, words) =>
    withRequests(morning("2025-10-20"), async ({ ingest, values, clock, faults }) => {
      // In the first read, then in a later one, half-way through.
      for (const [date, after] of [
        ["2025-10-20", 4],
        ["2025-10-25", 3],
        ["2025-10-30", 0],
      ] as const) {
        clock.set(Date.parse(morning(date)));
        await faults([{ ...fault, after }]);
        const failed = await ingest().then(
          () => null,
          (error: Error) => error,
        );
        expect(failed).toMatchObject({
          code: expect.stringMatching(/^SOURCE_(UNREACHABLE|REFUSED|MALFORMED)$/),
          message: expect.stringMatching(words),
        });
        await faults([]);
        await ingest();
      }
      clock.set(Date.parse("2026-01-01T00:00:00Z"));
      await ingest();
      expect(wrong(await values(), "2025-11-19")).toEqual([]);
    }),
  );

  test.each(rows)("rows with %s (%s) are put aside, and right once they come right", (malformation, reason) =>
    withRequests(morning("2025-10-20"), async ({ ingest, values, clock, faults, lake, source }) => {
      await ingest();
      clock.set(Date.parse(morning("2025-10-22")));
      await faults([{ kind: "malformed", malformation, every: 3 }]);
      await ingest();
      const reasons = await lake.read((connection) =>
        connection.rows<{ reason: string }>("SELECT DISTINCT reason FROM quarantine"),
      );
      if (reason === null) expect(reasons).toEqual([]);
      else expect(reasons.map((row) => row.reason)).toContain(reason);
      await faults([]);
      clock.set(Date.parse(morning("2025-10-23")));
      await ingest();
      clock.set(Date.parse("2026-01-01T00:00:00Z"));
      await ingest();
      // A record whose own id was damaged passes for another one until its days are read anew.
      const range = { from: Date.parse("2025-10-10T04:00:00Z"), to: Date.parse("2025-11-19T05:00:00Z") };
      for await (const _ of readInto(lake, source, clock, range));
      await lake.merge();
      // An id that nobody knows makes an entity of its own.
      expect(wrong(await values(), "2025-11-19").filter((key) => !key.includes("ZZ999"))).toEqual([]);
    }),
  );

  test("a column that is gone is told as such, from the metadata or from an answer", async () => {
    await using server = await serve((url, response) => {
      if (url.pathname.startsWith("/api/views")) {
        const columns = [
          "created_date",
          "unique_key",
          "complaint_type",
          ...(url.searchParams.has("x") ? [] : ["borough"]),
        ];
        return sendJson(response, {
          columns: columns.map((fieldName) => ({ fieldName, dataTypeName: "text" })),
          rowsUpdatedAt: 1_760_000_000,
        });
      }
      const message = "query.soql.no-such-column; No such column: borough; position: Map(row -> 1)";
      sendJson(response, { message, errorCode: "query.soql.no-such-column", data: {} }, 400);
    });
    const clock = createManualClock(Date.parse("2025-11-01T00:00:00Z"));
    const read = async () => {
      const source = openSource(server.base, clock);
      for await (const _ of source.read(requestOf({ to: clock.now() })));
    };
    await expect(read()).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
      message: expect.stringContaining("borough"),
    });
  });
});

test("a read of a range brings everything again: what the publisher has no more is gone", () =>
  withRequests("2026-01-01T00:00:00Z", async ({ ingest, values, clock, lake, source }) => {
    await ingest();
    await lake.write(async (connection) => {
      await connection.run(
        "INSERT INTO log_records SELECT source, measure, 'withdrawn', e, happened_at, t, arrived_at FROM log_records ORDER BY t LIMIT 1",
      );
    });
    clock.advance(60_000);
    const range = { from: Date.parse("2025-10-10T04:00:00Z"), to: Date.parse("2025-10-15T04:00:00Z") };
    for await (const _ of readInto(lake, source, clock, range));
    await lake.merge();
    expect(differing(await values(), asOf("2025-11-19"))).toEqual([]);
    const left = await lake.read((connection) =>
      connection.first<{ n: number }>("SELECT count(*) AS n FROM log_records WHERE key = 'withdrawn'"),
    );
    expect(left).toEqual({ n: 0 });
  }));

test("a series that is declared no more keeps its counts, and gets no zeros", () =>
  withRequests(morning("2025-10-20"), async ({ ingest, values, clock, lake, simulator }) => {
    await ingest();
    clock.set(Date.parse("2026-01-01T00:00:00Z"));
    const fewer = openSource(simulator.sources["counts"]!, clock, undefined, [
      { by: ["complaint_type"], where: "complaint_type = 'HEAT/HOT WATER'" },
    ]);
    for await (const _ of readInto(lake, fewer, clock));
    await lake.merge();
    const found = await values();
    expect(wrong(found, "2025-11-19").filter((key) => key.startsWith("HEAT"))).toEqual([]);
    const others = [...found.keys()].filter((key) => !key.startsWith("HEAT"));
    expect(others.length).toBeGreaterThan(40);
    expect(others.filter((key) => key.slice(-10) > "2025-10-19")).toEqual([]);
    expect(found.get("All 2025-10-12")).toBe(made.counts.get("All 2025-10-12"));
  }));

test("processes killed one after the other on one lake lose nothing and count nothing twice", async () => {
  const folder = mkdtempSync(join(tmpdir(), "killed-"));
  const buffer = new SharedArrayBuffer(8);
  const at = Date.parse("2026-01-01T00:00:00Z");
  new Float64Array(buffer)[0] = at;
  const simulator = await startSimulatorWorker({
    clock: { kind: "shared", buffer },
    city: { recordings: made.root, city: "nyc-311" },
  });
  try {
    const path = join(folder, "lake.duckdb");
    const script = fileURLToPath(new URL("./read-child.ts", import.meta.url));
    let done = false;
    for (let kill = 1; !done; kill++) {
      const child = spawn(process.execPath, [script, path, simulator.sources["counts"]!, String(at)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const gone = new Promise((resolve) => child.once("close", resolve));
      let said = 0;
      for await (const line of createInterface({ input: child.stdout! })) {
        done ||= line === "done";
        // Each lives a little longer; the last ones die while they merge, until one comes through.
        if (++said === kill * 3 || (line === "merging" && kill < 6)) child.kill("SIGKILL");
      }
      await gone;
      expect(kill).toBeLessThan(12);
    }
    const lake = await openLakeAt(path, createManualClock(at));
    expect(differing(await valuesOf(lake), asOf("2025-11-19"))).toEqual([]);
    await lake.close();
  } finally {
    await simulator.close();
    rmSync(folder, { recursive: true });
  }
});

test("a declaration that cannot be is told by its field", () => {
  const made =
    (series: object[], given: { measureOf?: string[]; hourly?: boolean } = {}) =>
    () =>
      createSource(
        "counts",
        socrata({ domain: "x.org", dataset: "aaaa-bbbb", series: series as [] }),
        contextAt(0, {
          measureOf: given.measureOf ?? ["requests"],
          ...(given.hourly ? {} : { grid: requestsCity.grid }),
        }),
      );
  expect(made([{}])).toThrow(/sources\.counts\.series\.0\.entity/);
  expect(made([{ entity: "All" }], { measureOf: ["a", "b"] })).toThrow(/one measure/);
  expect(made([{ entity: "All" }], { hourly: true })).toThrow(/series\.0\.read.*by day/);
  expect(made([{ entity: "All", until: "soon" }])).toThrow(/series\.0\.until/);
});
