import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DAY, HOUR, type Movable, startMovable } from "./support.ts";

const LAYER = "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Automatic_Hourly_Pedestrian_Count/FeatureServer/0";
const SITES = LAYER.replace("Automatic_Hourly_Pedestrian_Count", "Pedestrian_Count_Sites");
const NOW = "2026-04-20T00:00:00Z";
type Attributes = Record<string, number> & { Location_code: string };

let city: Movable;
beforeAll(async () => {
  city = await startMovable(NOW, { id: "small", entities: 8, years: 0.25 }, { seed: 3 });
});
afterAll(() => city.close());

async function query(where: string, more = "", layer = LAYER) {
  const text = (await city.get("counts", `${layer}/query?f=json&where=${encodeURIComponent(where)}${more}`))
    .text;
  return JSON.parse(text) as {
    features: { attributes: Attributes; geometry?: { x: number; y: number } }[];
    exceededTransferLimit?: boolean;
    count: number;
    objectIds: number[];
    error?: { code: number; message: string; details: string[] };
    spatialReference?: { wkid: number };
  };
}

describe("the ArcGIS layer of counts", () => {
  it("describes its fields, page size and paging", async () => {
    const layer = await city.json("counts", `${LAYER}?f=json`);
    expect(layer).toMatchObject({
      objectIdField: "ObjectId",
      maxRecordCount: 2000,
      type: "Table",
      advancedQueryCapabilities: { supportsPagination: true },
    });
    expect(
      (layer["fields"] as { name: string; type: string }[]).find((field) => field.name === "Date")?.type,
    ).toBe("esriFieldTypeDate");
  });

  it("gives at most 2000 rows and flags the rest, and pages without gap or repeat", async () => {
    const seen = new Set<number>();
    let offset = 0;
    for (;;) {
      const page = await query(
        "1=1",
        `&outFields=*&orderByFields=Date,ObjectId&resultOffset=${offset}&resultRecordCount=5000`,
      );
      expect(page.features.length).toBeLessThanOrEqual(2000);
      for (const { attributes } of page.features) seen.add(attributes["ObjectId"]!);
      offset += page.features.length;
      if (page.exceededTransferLimit !== true) break;
      expect(page.features.length).toBe(2000);
    }
    const { count } = await query("1=1", "&returnCountOnly=true");
    expect(count).toBeGreaterThan(10_000);
    expect(offset).toBe(count);
    expect(seen.size).toBe(count);
  });

  it("gives the same rows from an offset asked for out of order as in order", async () => {
    const at = async (offset: number) =>
      (
        await query(
          "TotalCount > 20",
          `&orderByFields=Date,ObjectId&resultRecordCount=5&resultOffset=${offset}`,
        )
      ).features.map(({ attributes }) => attributes["ObjectId"]);
    const late = await at(500);
    await at(0);
    await at(300);
    expect(await at(500)).toEqual(late);
    expect(await at(505)).not.toEqual(late);
  });

  it("writes the true UTC start of the hour and the local hour", async () => {
    const { features } = await query("Location_code = 'A001'", "&outFields=*&resultRecordCount=50");
    for (const { attributes } of features) {
      const local = new Intl.DateTimeFormat("en-GB", { timeZone: "Australia/Sydney", hour: "2-digit" });
      expect(Number(local.format(attributes["Date"]))).toBe(attributes["Hour"]);
    }
    expect(features.length).toBe(50);
  });

  it("repeats the local hour 2 and has 25 rows of a day when the clocks go back", async () => {
    // 2026-04-05: Sydney leaves summer time at 03:00.
    const from = Date.parse("2026-04-04T13:00:00Z");
    const { features } = await query(
      `Date >= ${from} AND Date < ${from + 25 * HOUR}`,
      "&outFields=Date,Hour&returnDistinctValues=true&orderByFields=Date",
    );
    const hours = features.map(({ attributes }) => attributes["Hour"]);
    expect(hours.length).toBe(25);
    expect(hours.slice(0, 5)).toEqual([0, 1, 2, 2, 3]);
  });

  it.each([
    ["Date >= TIMESTAMP '2026-04-01 00:00:00' AND Date < TIMESTAMP '2026-04-02 00:00:00'", 24],
    ["Date >= DATE '2026-04-01' AND Date < DATE '2026-04-02'", 24],
    [`Date >= ${Date.parse("2026-04-01")} AND Date < ${Date.parse("2026-04-02")}`, 24],
    ["Date BETWEEN DATE '2026-04-01' AND TIMESTAMP '2026-04-01 03:00:00'", 4],
  ])("understands %s", async (where, most) => {
    const { features } = await query(`${where} AND Location_code IN ('A002')`, "&outFields=Date");
    expect(features.length).toBeGreaterThan(most * 0.5);
    expect(features.length).toBeLessThanOrEqual(most + 1);
    for (const { attributes } of features) {
      expect(attributes["Date"]).toBeGreaterThanOrEqual(Date.parse("2026-04-01"));
      expect(attributes["Date"]).toBeLessThan(Date.parse("2026-04-02"));
    }
  });

  it("keeps rows apart that a condition and its negation share out", async () => {
    const all = (await query("1=1", "&returnCountOnly=true")).count;
    const some = (
      await query("(TotalCount > 50 OR Hour IN (3,4)) AND Location_code <> 'A001'", "&returnCountOnly=true")
    ).count;
    const rest = (
      await query(
        "NOT ((TotalCount > 50 OR Hour IN (3,4)) AND Location_code <> 'A001')",
        "&returnCountOnly=true",
      )
    ).count;
    expect(some).toBeGreaterThan(0);
    expect(some + rest).toBe(all);
    expect((await query("TotalCount IS NULL", "&returnCountOnly=true")).count).toBe(0);
    expect((await query("1=0", "&returnCountOnly=true")).count).toBe(0);
  });

  it("gives all ids when only ids are asked for", async () => {
    const { objectIds } = await query("1=1", "&returnIdsOnly=true");
    expect(objectIds.length).toBe((await query("1=1", "&returnCountOnly=true")).count);
    expect(objectIds[0]).toBe(1);
  });

  it.each([
    ["Bogus > 1", "Invalid field"],
    ["TotalCount >", "unexpected"],
    ["Date > 'yesterday'", "Invalid date"],
    ["", "'where' clause is required"],
  ])("answers %s with HTTP 200 and an error inside", async (where, detail) => {
    const { status, text } = await city.get(
      "counts",
      `${LAYER}/query?f=json&where=${encodeURIComponent(where)}`,
    );
    expect(status).toBe(200);
    const { error } = JSON.parse(text);
    expect(error.code).toBe(400);
    expect(error.details[0]).toContain(detail);
  });

  it("answers an unknown service with Invalid URL, and a query without f with HTML", async () => {
    const missing = await city.json(
      "counts",
      "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Nothing/FeatureServer/0?f=json",
    );
    expect(missing).toEqual({ error: { code: 400, message: "Invalid URL", details: ["Invalid URL"] } });
    expect((await city.get("counts", `${LAYER}/query?where=1%3D1`)).headers.get("content-type")).toContain(
      "text/html",
    );
  });

  it("takes a condition as a posted form and answers GeoJSON with the flag among the properties", async () => {
    const response = await fetch(`${city.sources["counts"]}${LAYER}/query`, {
      method: "POST",
      body: new URLSearchParams({
        where: "1=1",
        outFields: "ObjectId",
        f: "geojson",
        resultRecordCount: "3",
      }),
    });
    const body = (await response.json()) as {
      properties: object;
      features: { geometry: null; properties: object }[];
    };
    expect(body.properties).toEqual({ exceededTransferLimit: true });
    expect(body.features.map((feature) => feature.properties)).toEqual([
      { ObjectId: 1 },
      { ObjectId: 2 },
      { ObjectId: 3 },
    ]);
  });
});

describe("the layer of counting sites", () => {
  it("gives positions in degrees for outSR=4326 and in Mercator metres without it", async () => {
    const degrees = await query("Location_code='A003'", "&outFields=*&outSR=4326", SITES);
    const metres = await query("Location_code='A003'", "&outFields=*", SITES);
    const [inDegrees, inMetres] = [degrees.features[0]!.geometry!, metres.features[0]!.geometry!];
    expect(degrees.spatialReference?.wkid).toBe(4326);
    expect(metres.spatialReference?.wkid).toBe(102100);
    expect(Math.abs(inDegrees.y + 33.87)).toBeLessThan(0.1);
    expect(inMetres.x / 6_378_137).toBeCloseTo((inDegrees.x * Math.PI) / 180, 9);
    expect((2 * Math.atan(Math.exp(inMetres.y / 6_378_137)) - Math.PI / 2) * (180 / Math.PI)).toBeCloseTo(
      inDegrees.y,
      6,
    );
  });

  it("shows a counter when it has opened, a moved one elsewhere, a retired one as such", async () => {
    const rows = async () => (await query("1=1", "&outFields=*&outSR=4326", SITES)).features;
    city.at(Date.parse(NOW) - 85 * DAY);
    const before = await rows();
    city.at(NOW);
    const after = await rows();
    expect([before.length, after.length]).toEqual([7, 8]);
    const moved = after.filter(
      (row, i) =>
        before[i] !== undefined && JSON.stringify(row.geometry) !== JSON.stringify(before[i]!.geometry),
    );
    expect(moved.length).toBe(1);
    expect(
      after.filter(({ attributes }) => (attributes as Record<string, unknown>)["Status"] === "Retired")
        .length,
    ).toBe(1);
  });
});
