import { describe, expect, test } from "vitest";
import { CityScaleError } from "../../src/core/index.ts";
import type { Entity } from "../../src/domain/index.ts";
import { arcgis, createSource } from "../../src/sources/index.ts";
import { contextAt, hour, jsonOf, observationsOf, readAll, requestOf, sendJson, serve } from "./support.ts";

const start = Date.UTC(2025, 0, 1);
const declaration = arcgis({
  service: "Counts",
  fields: { entity: "Location_code", name: "Location_Name", time: "Date", value: "TotalCount" },
});

interface Row {
  ObjectId: number;
  Location_code: unknown;
  Location_Name?: string;
  Date: unknown;
  TotalCount?: unknown;
  at: number;
}

/** Hourly rows of some sensors, in the order of their ids. */
function rowsOf(hours: number, sensors = ["A1", "A2", "A3"]): Row[] {
  const rows: Row[] = [];
  for (let h = 0; h < hours; h++) {
    for (const sensor of sensors) {
      const at = start + h * hour;
      rows.push({
        ObjectId: rows.length + 1,
        Location_code: sensor,
        Location_Name: `Place ${sensor}`,
        Date: at,
        TotalCount: h * 10,
        at,
      });
    }
  }
  return rows;
}

interface LayerState {
  rows: Row[];
  pageSize: number;
  fields: { name: string; type: string }[];
  /** Answers instead of the layer, one per request. */
  intercept: ((url: URL) => unknown)[];
}

const allFields = [
  { name: "ObjectId", type: "esriFieldTypeOID" },
  { name: "Location_code", type: "esriFieldTypeString" },
  { name: "Location_Name", type: "esriFieldTypeString" },
  { name: "Date", type: "esriFieldTypeDate" },
  { name: "TotalCount", type: "esriFieldTypeInteger" },
];

async function layerServer(given: Partial<LayerState> & { rows: Row[] }) {
  const state: LayerState = { pageSize: 7, fields: allFields, intercept: [], ...given };
  const server = await serve((url, response) => {
    if (!url.pathname.includes("/Counts/")) {
      return sendJson(response, { error: { code: 400, message: "Invalid URL", details: ["Invalid URL"] } });
    }
    if (!url.pathname.endsWith("/query")) {
      return sendJson(response, {
        objectIdField: "ObjectId",
        maxRecordCount: state.pageSize,
        fields: state.fields,
      });
    }
    const intercepted = state.intercept.shift()?.(url);
    if (intercepted !== undefined) return sendJson(response, intercepted);
    const where = url.searchParams.get("where") ?? "";
    const [from, to] = [...where.matchAll(/TIMESTAMP '([^']+)'/g)].map((match) => Date.parse(`${match[1]}Z`));
    const offset = Number(url.searchParams.get("resultOffset"));
    const limit = Math.min(state.pageSize, Number(url.searchParams.get("resultRecordCount")));
    const found = state.rows
      .filter((row) => row.at >= from! && row.at < to!)
      .sort((a, b) => a.at - b.at || a.ObjectId - b.ObjectId);
    const names = state.fields.map(({ name }) => name);
    const page = found.slice(offset, offset + limit).map((row) => ({
      attributes: Object.fromEntries(Object.entries(row).filter(([name]) => names.includes(name))),
    }));
    sendJson(response, {
      features: page,
      ...(found.length > offset + page.length ? { exceededTransferLimit: true } : {}),
    });
  });
  return { server, state };
}

const key = (row: { entity: string; at: number; value: number }) => `${row.entity} ${row.at} ${row.value}`;
const expectedKeys = (rows: Row[]) => rows.map((row) => `${row.Location_code} ${row.at} ${row.TotalCount}`);

describe("arcgis", () => {
  test("pages cut in the middle of an hour lose no row and repeat none", async () => {
    const { server } = await layerServer({ rows: rowsOf(50) });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: start + 50 * hour }));
    expect(observationsOf(pages).map(key)).toEqual(expectedKeys(rowsOf(50)));
    expect(pages.length).toBeGreaterThan(20);
    expect(pages.at(-1)?.progress).toBe(1);
    const names = pages
      .flatMap((page) => page.parts)
      .flatMap((part) => (part.stream === "entities" ? part.rows : []));
    expect(names.map((row: Entity) => [row.entity, row.name])).toEqual([
      ["A1", "Place A1"],
      ["A2", "Place A2"],
      ["A3", "Place A3"],
    ]);
  });

  test("a read that stopped after any page goes on where it was", async () => {
    const { server } = await layerServer({ rows: rowsOf(20), pageSize: 8 });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const request = requestOf({ from: start, to: start + 20 * hour });
    const total = (await readAll(source, request)).length;
    for (let stopAfter = 1; stopAfter < total; stopAfter++) {
      const seen: string[] = [];
      let cursor: unknown = null;
      for await (const page of source.read(request)) {
        seen.push(...observationsOf([page]).map(key));
        cursor = jsonOf(page.cursor);
        if (stopAfter === (seen.length + 7) >> 3) break;
      }
      const rest = await readAll(source, { ...request, cursor });
      expect([...seen, ...observationsOf(rest).map(key)]).toEqual(expectedKeys(rowsOf(20)));
    }
  });

  test("the next read goes back by the overlap and brings late and corrected rows", async () => {
    const rows = rowsOf(200);
    const { server, state } = await layerServer({ rows: rows.slice(0, 450), pageSize: 100 });
    await using _ = server;
    const source = createSource(
      "counts",
      { ...declaration, overlap: "1d" },
      contextAt(start, { baseAddress: server.base }),
    );
    const first = await readAll(source, requestOf({ from: start, to: start + 200 * hour }));
    rows[440]!.TotalCount = 999;
    state.rows = rows;
    const second = await readAll(
      source,
      requestOf({ from: start, to: start + 200 * hour, cursor: first.at(-1)!.cursor }),
    );
    const seen = observationsOf(second);
    expect(seen[0]!.at).toBe(start + 149 * hour - 24 * hour);
    expect(seen.map(key)).toContain(`A3 ${rows[440]!.at} 999`);
    expect(seen.at(-1)!.at).toBe(start + 199 * hour);
  });

  test("a range read leaves the cursor alone", async () => {
    const { server } = await layerServer({ rows: rowsOf(20) });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const cursor = { newest: 5 };
    const pages = await readAll(
      source,
      requestOf({ mode: "range", cursor, from: start + 2 * hour, to: start + 5 * hour }),
    );
    expect(observationsOf(pages)).toHaveLength(9);
    expect(pages.every((page) => JSON.stringify(page.cursor) === '{"newest":5}')).toBe(true);
  });

  test("rows that cannot be read are set aside with their reason and the good ones stay", async () => {
    const rows = rowsOf(4);
    rows[0]!.TotalCount = "n/a";
    rows[1]!.TotalCount = null;
    rows[2]!.Location_code = null;
    rows[3]!.Date = "yesterday";
    rows[4]!.Date = 9e15;
    delete rows[5]!.TotalCount;
    rows[6]!.Location_code = " A1 ";
    rows[7]!.TotalCount = "42";
    const { server } = await layerServer({ rows });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: start + 4 * hour }));
    expect(pages.flatMap((page) => page.rejected.map((row) => row.reason))).toEqual([
      "bad-number",
      "missing-field",
      "bad-date",
      "bad-date",
      "missing-field",
    ]);
    const seen = observationsOf(pages);
    expect(seen).toHaveLength(7);
    expect(seen[0]).toMatchObject({ entity: "A2", value: Number.NaN });
    expect(seen.map(key)).toContain(`A1 ${rows[6]!.at} 20`);
    expect(seen.map(key)).toContain(`A2 ${rows[7]!.at} 42`);
  });

  test("an error inside status 200 is refused in the publisher's words, a busy one is tried again", async () => {
    const busy = () => ({ error: { code: 503, message: "Service busy", details: [] } });
    const wrong = () => ({
      error: { code: 400, message: "Cannot perform query.", details: ["Invalid field: X"] },
    });
    const { server, state } = await layerServer({ rows: rowsOf(2), intercept: [busy, busy] });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const request = requestOf({ from: start, to: start + 2 * hour });
    expect(observationsOf(await readAll(source, request))).toHaveLength(6);
    state.intercept = [wrong];
    const refused = readAll(source, request);
    await expect(refused).rejects.toMatchObject({ code: "SOURCE_REFUSED" });
    await expect(refused).rejects.toThrow(/Cannot perform query\. Invalid field: X/);
  });

  test("a page shorter than asked that says there is more is not the end", async () => {
    const { server } = await layerServer({
      rows: rowsOf(6),
      pageSize: 100,
      intercept: [
        () => ({
          exceededTransferLimit: true,
          features: rowsOf(6)
            .slice(0, 4)
            .map(({ at: _, ...attributes }) => ({ attributes })),
        }),
      ],
    });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: start + 6 * hour }));
    expect(observationsOf(pages).map(key)).toEqual(expectedKeys(rowsOf(6)));
  });

  test("new, gone and changed columns are told; a required one that is gone is an error", async () => {
    const { server, state } = await layerServer({ rows: rowsOf(2) });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const request = requestOf({ from: start, to: start + 2 * hour });
    const first = await readAll(source, request);
    expect(first.flatMap((page) => page.schemaChanges)).toEqual([]);
    state.fields = [
      ...allFields.filter(({ name }) => name !== "Location_Name" && name !== "TotalCount"),
      { name: "TotalCount", type: "esriFieldTypeDouble" },
      { name: "Quality", type: "esriFieldTypeString" },
    ];
    const cursor = first.at(-1)!.cursor;
    const second = await readAll(source, { ...request, cursor });
    expect(second.flatMap((page) => page.schemaChanges)).toEqual([
      "~TotalCount Integer > Double",
      "+Quality",
      "-Location_Name",
    ]);
    state.fields = allFields.filter(({ name }) => name !== "TotalCount");
    const third = readAll(source, { ...request, cursor });
    await expect(third).rejects.toMatchObject({ code: "SOURCE_SCHEMA_CHANGED" });
    await expect(third).rejects.toThrow(/no field TotalCount/);
  });

  test("local wall times become instants on days of 23 and 25 hours", async () => {
    // Sydney repeats 02:00 on 6 April 2025 and skips it on 5 October.
    const walls = [
      "2025-04-06T01",
      "2025-04-06T02",
      "2025-04-06T02",
      "2025-04-06T03",
      "2025-10-05T01",
      "2025-10-05T03",
    ];
    const rows: Row[] = walls.map((wall, i) => {
      const at = Date.parse(`${wall}:00:00Z`);
      return { ObjectId: i + 1, Location_code: "A1", Date: at, TotalCount: i, at };
    });
    const { server } = await layerServer({ rows, pageSize: 100 });
    await using _ = server;
    const source = createSource(
      "counts",
      { ...declaration, timeIs: "local" },
      contextAt(start, { baseAddress: server.base }),
    );
    const pages = await readAll(source, requestOf({ from: start, to: Date.UTC(2026, 0, 1) }));
    expect(observationsOf(pages).map((row) => new Date(row.at).toISOString().slice(0, 13))).toEqual([
      "2025-04-05T14",
      "2025-04-05T15",
      "2025-04-05T16",
      "2025-04-05T17",
      "2025-10-04T15",
      "2025-10-04T16",
    ]);
  });

  test("counts go on without the layer of positions", async () => {
    const { server } = await layerServer({ rows: rowsOf(2) });
    await using _ = server;
    const context = contextAt(start, { baseAddress: server.base });
    const source = createSource(
      "counts",
      { ...declaration, places: { service: "Places", entity: "code" } },
      context,
    );
    const pages = await readAll(source, requestOf({ from: start, to: start + 2 * hour }));
    expect(observationsOf(pages)).toHaveLength(6);
    expect(server.requests.some((url) => url.includes("/Places/"))).toBe(true);
  });

  test("a wrong option names its field", () => {
    const wrong = () => createSource("counts", { kind: "arcgis", service: 5, fields: {} }, contextAt(start));
    expect(wrong).toThrow(CityScaleError);
    expect(wrong).toThrow(/sources\.counts\.service: .*sources\.counts\.fields\.entity/);
    expect(() => createSource("x", { kind: "soap" }, contextAt(start))).toThrow(/no source kind "soap"/);
    expect(() => createSource("counts", declaration, contextAt(start, { measureOf: ["a", "b"] }))).toThrow(
      /fields\.value.*a, b read/,
    );
  });
});
