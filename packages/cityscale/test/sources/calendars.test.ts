import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CityEvent, Holiday, Page } from "../../src/domain/index.ts";
import { parseDuration } from "../../src/domain/index.ts";
import {
  arcgis,
  createSource,
  eventsCsv,
  publicationLagMs,
  publicHolidays,
  schoolHolidays,
  sourceKinds,
} from "../../src/sources/index.ts";
import { contextAt, readAll, requestOf, serve } from "./support.ts";

const now = Date.UTC(2026, 5, 1);
const request = requestOf({ from: Date.UTC(2026, 0, 1), to: now });
const holidaysOf = (pages: readonly Page[]): Holiday[] =>
  pages.flatMap((page) => page.parts.flatMap((part) => (part.stream === "holidays" ? part.rows : [])));
const eventsOf = (pages: readonly Page[]): CityEvent[] =>
  pages.flatMap((page) => page.parts.flatMap((part) => (part.stream === "events" ? part.rows : [])));

describe("public holidays", () => {
  test("New South Wales has its substitute days, one row per date, and next year's too", async () => {
    const rows = holidaysOf(
      await readAll(createSource("h", publicHolidays("AU", "NSW"), contextAt(now)), request),
    );
    const dates = rows.filter(({ date }) => date.startsWith("2026")).map(({ date }) => date);
    expect(dates).toEqual(
      expect.arrayContaining(["2026-01-26", "2026-04-03", "2026-04-25", "2026-04-27", "2026-12-28"]),
    );
    expect(dates).not.toContain("2026-08-03");
    expect(new Set(dates).size).toBe(dates.length);
    expect(rows.at(-1)!.date).toMatch(/^2027-12/);
    expect(rows.every(({ kind }) => kind === "public")).toBe(true);
  });

  test("an unknown country or region is refused, since the rules would ignore it", () => {
    expect(() => createSource("h", publicHolidays("US", "NYC"), contextAt(now))).toThrow(
      /sources\.h\.region: "NYC"/,
    );
    expect(() => createSource("h", publicHolidays("ZZ"), contextAt(now))).toThrow(
      /sources\.h\.country: "ZZ"/,
    );
  });
});

describe("school holidays", () => {
  test("a table gives each day from first to last", async () => {
    const table = [{ name: "Winter", from: "2026-07-04", to: "2026-07-06" }];
    const rows = holidaysOf(
      await readAll(createSource("s", schoolHolidays({ table }), contextAt(now)), request),
    );
    expect(rows.map(({ date, name, kind }) => `${date} ${name} ${kind}`)).toEqual([
      "2026-07-04 Winter school",
      "2026-07-05 Winter school",
      "2026-07-06 Winter school",
    ]);
  });

  test("Victoria's come from the rules; where the rules have none that is said", async () => {
    const source = createSource("s", schoolHolidays({ country: "AU", region: "VIC" }), contextAt(now));
    const dates = holidaysOf(await readAll(source, request)).map(({ date }) => date);
    const term1 = dates.filter((date) => date >= "2026-04-01" && date < "2026-05-01");
    expect([term1.length, term1[0], term1.at(-1)]).toEqual([17, "2026-04-03", "2026-04-19"]);
    expect(() => createSource("s", schoolHolidays({ country: "AU", region: "NSW" }), contextAt(now))).toThrow(
      /no school holidays; write a table/,
    );
    expect(() => createSource("s", schoolHolidays({}), contextAt(now))).toThrow(/declare one of/);
  });

  test("a CSV file gives the same as a table, without its bad rows", async () => {
    await using server = await serve((_, response) =>
      response.end("name,start,end\r\nSpring,2026-09-26,2026-09-27\r\nBroken,2026-13-01,2026-13-02\r\n"),
    );
    const context = contextAt(now, { baseAddress: server.base });
    const pages = await readAll(
      createSource("s", schoolHolidays({ url: "https://x.example/school.csv" }), context),
      request,
    );
    expect(server.requests).toEqual(["/school.csv"]);
    expect(holidaysOf(pages).map(({ date }) => date)).toEqual(["2026-09-26", "2026-09-27"]);
    expect(pages[0]!.rejected.map(({ reason }) => reason)).toEqual(["bad-date"]);
  });
});

const csv = `id,name,start,end,tz,lat,lon,venue,category,expected_attendance,published_at,status
1,"Final, the",2026-06-06T19:30,2026-06-06T22:00,Australia/Sydney,-33.847,151.063,Stadium,sport,80000,2026-05-01T00:00Z,
2,Parade,2026-06-07T10:00:00+10:00,2026-06-07T12:00:00+10:00,,,,,,,,cancelled
3,No end,2026-06-08T10:00,,,,,,,,,
4,Bad count,2026-06-08T10:00,2026-06-08T11:00,,,,,,lots,,
5,Backwards,2026-06-08T10:00,2026-06-08T09:00,,,,,,,,
6,Nowhere,2026-06-08T10:00,2026-06-08T11:00,Mars/Olympus,,,,,,,
7,Not announced yet,2026-07-08T10:00,2026-07-08T11:00,,,,,,,2026-06-20T00:00Z,
`;

describe("events from CSV", () => {
  test("local times and offsets are read, bad rows set aside, and nothing is told before it was published", async () => {
    await using server = await serve((_, response) => response.end(csv));
    const context = contextAt(now, { baseAddress: server.base });
    const source = createSource("e", eventsCsv({ url: "https://x.example/events.csv" }), context);
    const pages = await readAll(source, request);
    expect(eventsOf(pages)).toEqual([
      {
        id: "1",
        name: "Final, the",
        startAt: Date.UTC(2026, 5, 6, 9, 30),
        endAt: Date.UTC(2026, 5, 6, 12),
        lat: -33.847,
        lon: 151.063,
        venue: "Stadium",
        category: "sport",
        attendance: 80_000,
        cancelled: false,
        publishedAt: Date.UTC(2026, 4, 1),
      },
      expect.objectContaining({
        id: "2",
        startAt: Date.UTC(2026, 5, 7),
        cancelled: true,
        lat: null,
        attendance: null,
      }),
    ]);
    expect(pages[0]!.rejected.map(({ reason }) => reason)).toEqual([
      "missing-field",
      "bad-number",
      "bad-date",
      "bad-date",
    ]);

    const again = await readAll(source, { ...request, cursor: pages[0]!.cursor });
    expect([eventsOf(again), again[0]!.rejected]).toEqual([[], []]);
    context.clock.set(Date.UTC(2026, 5, 21));
    const later = await readAll(source, { ...request, cursor: pages[0]!.cursor });
    expect(eventsOf(later).map(({ id }) => id)).toEqual(["1", "2", "7"]);
  });

  test("a file below the base folder is read; HTML in its place is refused", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cityscale-events-"));
    try {
      await writeFile(join(folder, "events.csv"), csv);
      const context = contextAt(now, { baseAddress: folder });
      expect(
        eventsOf(await readAll(createSource("e", eventsCsv({ url: "events.csv" }), context), request)),
      ).toHaveLength(2);
      await writeFile(join(folder, "events.csv"), "<html>gone</html>");
      await expect(
        readAll(createSource("e", eventsCsv({ url: "events.csv" }), context), request),
      ).rejects.toMatchObject({
        code: "SOURCE_MALFORMED",
      });
      await expect(
        readAll(createSource("e", eventsCsv({ url: "none.csv" }), context), request),
      ).rejects.toMatchObject({
        code: "SOURCE_UNREACHABLE",
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

test("each kind has a lag, its own unless declared, and a schema for the docs", () => {
  const declared = arcgis({ service: "s", fields: { entity: "e", time: "t", value: "v" } });
  expect(publicationLagMs(declared)).toBe(parseDuration("2h"));
  expect(publicationLagMs({ ...declared, publicationLag: "26h" })).toBe(parseDuration("26h"));
  expect(() => publicationLagMs({ ...declared, publicationLag: "soon" })).toThrow(
    /publicationLag: write a duration/,
  );
  expect(sourceKinds.map(({ kind }) => kind)).toEqual([
    "arcgis",
    "opendatasoft",
    "socrata",
    "gbfs",
    "openMeteo",
    "publicHolidays",
    "schoolHolidays",
    "eventsCsv",
    "files",
  ]);
  for (const kind of sourceKinds) expect(kind.optionsSchema()).toMatchObject({ type: "object" });
});
