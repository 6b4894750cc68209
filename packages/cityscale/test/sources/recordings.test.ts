import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { startSimulator } from "@cityscale/simulator";
import { describe, expect, test } from "vitest";
import nyc from "../../../../cities/nyc-311.ts";
import { openScratchLake } from "../../src/app/index.ts";
import { createManualClock, silentLog } from "../../src/core/index.ts";
import { createSource, files, opendatasoft, schoolHolidays } from "../../src/sources/index.ts";
import { contextAt, readAll, requestOf } from "./support.ts";

const data = resolve(
  process.env["CITYSCALE_DATA"] ?? resolve(import.meta.dirname, "../../../../../shared/data"),
);
const found = existsSync(resolve(data, "paris-bikes/counts.csv.gz"));

describe.skipIf(!found)(found ? "recordings" : "recordings (skipped: no data)", () => {
  test("Paris: 455,163 rows through exports, with their places and school holidays", async () => {
    const end = Date.UTC(2021, 7, 12);
    const clock = createManualClock(end);
    const simulator = await startSimulator({
      clock: clock.spec,
      city: { recordings: data, city: "paris-bikes" },
    });
    try {
      const context = contextAt(end, {
        timeZone: "Europe/Paris",
        baseAddress: simulator.sources["counts"],
        measureOf: ["bicycles"],
      });
      const declared = opendatasoft({
        domain: "parisdata.opendatasoft.com",
        dataset: "comptage-velo-donnees-compteurs",
        fields: { entity: "id_compteur", time: "date", value: "sum_counts" },
        places: { dataset: "comptage-velo-compteurs", entity: "id_compteur", name: "nom_compteur" },
      });
      const pages = await readAll(
        createSource("counts", declared, context),
        requestOf({ from: Date.UTC(2020, 7, 1), to: end }),
      );
      const rows = pages.flatMap((page) => page.parts);
      expect(
        rows.reduce((sum, part) => sum + (part.stream === "observations" ? part.validAt.length : 0), 0),
      ).toBe(455_163);
      const entities = rows.flatMap((part) => (part.stream === "entities" ? part.rows : []));
      expect(entities.filter(({ lat, lon }) => lat !== null && lon !== null)).toHaveLength(56);
      const school = await readAll(
        createSource("school", schoolHolidays({ zone: "Zone C" }), context),
        requestOf({ from: Date.UTC(2020, 8, 1), to: end }),
      );
      const dates = school.flatMap((page) =>
        page.parts.flatMap((part) => (part.stream === "holidays" ? part.rows : [])),
      );
      expect(dates.map(({ date }) => date)).toEqual(
        expect.arrayContaining(["2020-12-25", "2021-02-20", "2021-07-14"]),
      );
      expect(dates.map(({ date }) => date)).not.toContain("2021-03-10");
    } finally {
      await simulator.close();
    }
  });

  test("Melbourne: a million rows of local time agree with the publisher's UTC but for the repeated hour", async () => {
    const end = Date.UTC(2017, 0, 1);
    const context = contextAt(end, {
      timeZone: "Australia/Melbourne",
      baseAddress: resolve(data, "melbourne-pedestrians"),
    });
    // Rows and sum of each hour.
    const hoursBy = async (time: string, timeIs: "local" | "utc") => {
      const declared = files({
        glob: "counts.csv.gz",
        timeIs,
        columns: { entity: "sensor_id", time, value: "count" },
      });
      const hours = new Map<number, number>();
      let rows = 0;
      for await (const page of createSource("c", declared, context).read(requestOf({ to: end }))) {
        expect(page.rejected).toEqual([]);
        for (const part of page.parts) {
          if (part.stream !== "observations") continue;
          rows += part.validAt.length;
          part.validAt.forEach((at, i) => {
            hours.set(at, (hours.get(at) ?? 0) + 1e6 + part.value[i]! * Number(part.entity[i]));
          });
        }
      }
      expect(rows).toBe(983_941);
      return hours;
    };
    const local = await hoursBy("ts_local", "local");
    const utc = await hoursBy("ts_utc", "utc");
    const differing = [...local.keys()].filter((at) => local.get(at) !== utc.get(at));
    // The recording gives 02:00 once, as the second of the two; read by its local time it is the first.
    expect(new Set(differing.map((at) => new Date(at).toISOString().slice(0, 13)))).toEqual(
      new Set(["2013-04-06T15", "2014-04-05T15", "2015-04-04T15", "2016-04-02T15"]),
    );
  });

  test("New York: recorded counts through the Socrata source, masked days missing, weather as issued", async () => {
    const scratch = await openScratchLake({
      city: nyc,
      root: data,
      log: silentLog,
      threads: 2,
      memoryMb: 300,
      signal: new AbortController().signal,
    });
    try {
      expect(scratch.notes).toEqual([]);
      const rows = await scratch.lake.read((connection) =>
        connection.rows<{ entity: string; n: number; masked: number; sum: number; raw: number }>(`
          SELECT n.entity, count(*) AS n, count(*) FILTER (o.value IS NULL) AS masked, sum(o.value) AS sum, sum(c.value) AS raw
          FROM observations o JOIN entities n USING (e) JOIN clean_observations c USING (measure, e, t) GROUP BY 1 ORDER BY 1`),
      );
      // Sums of the files themselves, and of what is left without the masked days.
      expect(rows.map(({ entity, n, masked, sum, raw }) => [entity, n, masked, sum, raw])).toEqual([
        ["Air Quality", 1023, 0, 27_368, 27_368],
        ["All", 2270, 7, 20_202_182, 20_228_178],
        ["Elevator / BRONX", 366, 0, 9339, 9339],
        ["Elevator / BROOKLYN", 366, 0, 5052, 5052],
        ["Elevator / MANHATTAN", 366, 0, 4989, 4989],
        ["Elevator / QUEENS", 366, 0, 2916, 2916],
        // Its first complaint was on 2 January.
        ["Elevator / STATEN ISLAND", 365, 0, 208, 208],
        ["HEAT/HOT WATER", 1023, 5, 858_177, 858_177],
        ["Illegal Parking", 1023, 0, 1_497_672, 1_497_672],
        ["Noise - Residential", 1023, 0, 1_096_080, 1_096_080],
        ["Noise - Street/Sidewalk", 1023, 0, 453_777, 453_777],
        ["TOTAL of the 14 listed types", 1023, 5, 5_659_156, 5_679_951],
      ]);
      const weather = await scratch.lake.read((connection) =>
        connection.first<{ issues: number; early: number; observed: number }>(`
          SELECT count(DISTINCT issued_at) AS issues, count(*) FILTER (known_at < issued_at + 21600000) AS early,
            (SELECT count(*) FROM weather WHERE issued_at IS NULL) AS observed
          FROM weather WHERE issued_at IS NOT NULL`),
      );
      // Of 901 forecasts six were committed too late for anybody to use.
      expect(weather).toEqual({ issues: 895, early: 0, observed: expect.any(Number) });
      expect(weather!.observed).toBeGreaterThan(21_000);
    } finally {
      await scratch.close();
    }
  });
});
