import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createSource, files } from "../../src/sources/index.ts";
import { contextAt, day, hour, jsonOf, observationsOf, readAll, requestOf } from "./support.ts";

const declaration = files({
  glob: "counts*",
  columns: { entity: "sensor", time: "time", value: "count" },
});
const late = Date.UTC(2030, 0, 1);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cityscale-files-"));
});
afterEach(() => rm(folder, { recursive: true }));

let writes = 0;
/** Writes a file with a time of change of its own, however fast the test is. */
async function put(name: string, content: string | Buffer): Promise<void> {
  const path = join(folder, name);
  await writeFile(path, content);
  writes += 1;
  await utimes(path, 1_700_000_000 + writes, 1_700_000_000 + writes);
}

const isoHours = (rows: readonly { at: number }[]) =>
  rows.map(({ at }) => new Date(at).toISOString().slice(0, 13));

describe("files", () => {
  test("local times become instants on days of 23 and 25 hours; a repeated hour given once is the first", async () => {
    const walls = [
      ["a", "2025-04-06T02:00"],
      ["b", "2025-04-06T02:00"],
      ["b", "2025-04-06T02:00"],
      ["a", "2025-04-06T03:00"],
      ["a", "2025-10-05T01:00"],
      ["a", "2025-10-05T03:00"],
      ["a", "2025-10-05T03:00:00+11:00"],
      ["a", "2025-10-04T17:00Z"],
    ];
    await put("counts.csv", `sensor,time,count\n${walls.map((row) => `${row.join(",")},1`).join("\n")}\n`);
    const source = createSource(
      "c",
      { ...declaration, timeIs: "local" },
      contextAt(late, { baseAddress: folder }),
    );
    const seen = observationsOf(await readAll(source, requestOf({ to: late })));
    expect(seen.map((row, i) => `${row.entity} ${isoHours(seen)[i]}`)).toEqual([
      "a 2025-04-05T15",
      "b 2025-04-05T15",
      "b 2025-04-05T16",
      "a 2025-04-05T17",
      "a 2025-10-04T15",
      "a 2025-10-04T16",
      "a 2025-10-04T16",
      "a 2025-10-04T17",
    ]);
  });

  test("gzip, a delimiter, a byte-order mark, quotes and a time format of their own are read", async () => {
    const text =
      '\ufeffsensor;time;"count";note\r\n 7 ;31/12/2024 23:00;"1.5";"a;b ""c"""\r\n8;01/01/2025 00:00;;x\r\n';
    await put("counts.csv.gz", gzipSync(text));
    const source = createSource(
      "c",
      { ...declaration, delimiter: ";", timeFormat: "%d/%m/%Y %H:%M" },
      contextAt(late, { baseAddress: `file://${folder}` }),
    );
    const pages = await readAll(source, requestOf({ to: late }));
    expect(pages.flatMap((page) => page.rejected)).toEqual([]);
    expect(observationsOf(pages)).toEqual([
      { entity: "7", at: Date.UTC(2024, 11, 31, 23), value: 1.5, measure: "pedestrians" },
      { entity: "8", at: Date.UTC(2025, 0, 1), value: Number.NaN, measure: "pedestrians" },
    ]);
  });

  test("rows that cannot be read are set aside with their reason and the good ones stay", async () => {
    const lines = [
      "a,2025-01-01T00:00,n/a",
      "a,2025-02-30T00:00,1",
      ",2025-01-01T01:00,1",
      "a,,1",
      "a,2025-01-01T02:00,inf",
      "a,2025-01-01T03:00",
      "a,2025-01-01T04:00,4",
    ];
    await put("counts.csv", `sensor,time,count\n${lines.join("\n")}\n`);
    const source = createSource("c", declaration, contextAt(late, { baseAddress: folder }));
    const pages = await readAll(source, requestOf({ to: late }));
    const rejected = pages.flatMap((page) => page.rejected);
    expect(rejected.map((row) => row.reason).sort()).toEqual([
      "bad-date",
      "bad-number",
      "bad-number",
      "bad-row",
      "missing-field",
      "missing-field",
    ]);
    expect(rejected.find((row) => row.reason === "bad-date")?.received).toContain("2025-02-30");
    expect(observationsOf(pages).map((row) => row.value)).toEqual([4]);
  });

  test("a replay sees a row when it would have been published", async () => {
    const start = Date.UTC(2025, 0, 1);
    const rows = Array.from(
      { length: 48 },
      (_, h) => `a,${new Date(start + h * hour).toISOString().slice(0, 16)},${h}`,
    );
    await put("counts.csv", `sensor,time,count\n${rows.join("\n")}\n`);
    const context = contextAt(start + 10 * hour, { baseAddress: folder });
    const source = createSource("c", { ...declaration, publicationLag: "2h" }, context);
    let cursor: unknown = null;
    const valuesAt = async (now: number) => {
      context.clock.set(now);
      const pages = await readAll(source, requestOf({ to: now, cursor }));
      cursor = pages.at(-1)!.cursor;
      return observationsOf(pages).map((row) => row.value);
    };
    expect(await valuesAt(start + 10 * hour)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await valuesAt(start + 12.5 * hour)).toEqual([8, 9]);
    expect(await valuesAt(start + 12.6 * hour)).toEqual([]);
    expect(await valuesAt(start + 60 * hour)).toEqual(Array.from({ length: 38 }, (_, i) => i + 10));
  });

  test("new files, longer files and corrected files bring their rows; unchanged ones none", async () => {
    const line = (file: number, h: number, value = h) =>
      `a,${new Date(Date.UTC(2025, file, 1) + h * hour).toISOString().slice(0, 16)},${value}\n`;
    const month = (file: number, hours: number, value?: number) =>
      `sensor,time,count\n${Array.from({ length: hours }, (_, h) => line(file, h, value)).join("")}`;
    const source = createSource(
      "c",
      { ...declaration, overlap: "2h" },
      contextAt(late, { baseAddress: folder }),
    );
    let cursor: unknown = null;
    const read = async () => {
      const pages = await readAll(source, requestOf({ to: late, cursor }));
      cursor = pages.at(-1)!.cursor;
      return observationsOf(pages).length;
    };
    await put("counts-1.csv", month(0, 100));
    expect(await read()).toBe(100);
    expect(await read()).toBe(0);
    await put("counts-2.csv", month(1, 50));
    expect(await read()).toBe(50);
    await put("counts-2.csv", month(1, 60));
    expect(await read()).toBe(13);
    await put("counts-1.csv", month(0, 100, 7));
    expect(await read()).toBe(100);
    const range = await readAll(
      source,
      requestOf({ mode: "range", from: Date.UTC(2025, 1, 1), to: Date.UTC(2025, 1, 1, 5), cursor }),
    );
    expect(observationsOf(range)).toHaveLength(5);
    expect(range.every((page) => JSON.stringify(page.cursor) === JSON.stringify(cursor))).toBe(true);
  });

  test("a read that stopped after any page goes on where it was", async () => {
    const start = Date.UTC(2025, 0, 1);
    const lines: string[] = [];
    for (let h = 0; h < 550; h++) {
      const time = new Date(start + h * hour).toISOString().slice(0, 16);
      for (let s = 0; s < 110; s++) lines.push(`s${s},${time},${h}`);
    }
    await put("counts.csv", `sensor,time,count\n${lines.join("\n")}\n`);
    const request = requestOf({ to: late });
    const fresh = () => createSource("c", declaration, contextAt(late, { baseAddress: folder }));
    const total = (await readAll(fresh(), request)).length;
    expect(total).toBeGreaterThan(1);
    for (let stopAfter = 1; stopAfter < total; stopAfter++) {
      let rows = 0;
      let pages = 0;
      let cursor: unknown = null;
      for await (const page of fresh().read(request)) {
        rows += observationsOf([page]).length;
        cursor = jsonOf(page.cursor);
        pages += 1;
        if (pages === stopAfter) break;
      }
      rows += observationsOf(await readAll(fresh(), { ...request, cursor })).length;
      expect(rows).toBe(lines.length);
    }
  });

  test("a new column is told, a required one that is gone is an error", async () => {
    await put("counts.csv", "sensor,time,count\na,2025-01-01,1\n");
    const source = createSource("c", declaration, contextAt(late, { baseAddress: folder }));
    const [first] = await readAll(source, requestOf({ to: late }));
    await put("counts.csv", "sensor,time,count,quality\na,2025-01-02,1,good\n");
    const second = await readAll(source, requestOf({ to: late, cursor: first!.cursor }));
    expect(second.flatMap((page) => page.schemaChanges)).toEqual(["+quality"]);
    await put("counts.csv", "sensor,time,total\na,2025-01-03,1\n");
    await expect(readAll(source, requestOf({ to: late, cursor: first!.cursor }))).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
    });
  });

  test("Parquet with numbers for ids and timestamps with a zone gives the same rows", async () => {
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const path = join(folder, "counts.parquet").replaceAll("'", "''");
    await connection.run(
      `COPY (SELECT 9007199254740993::BIGINT AS sensor, TIMESTAMPTZ '2025-01-01 10:00:00+10:00' AS time, 5::SMALLINT AS count) TO '${path}' (FORMAT parquet)`,
    );
    connection.closeSync();
    instance.closeSync();
    const source = createSource(
      "c",
      { ...declaration, timeIs: "local" },
      contextAt(late, { baseAddress: folder }),
    );
    const seen = observationsOf(await readAll(source, requestOf({ to: late })));
    expect(seen).toEqual([
      { entity: "9007199254740993", at: Date.UTC(2025, 0, 1), value: 5, measure: "pedestrians" },
    ]);
  });

  test("weather is converted to the common units and entities keep their place", async () => {
    await put(
      "weather.csv",
      "t,kelvin,pa,share\n2025-01-01T00:00Z,293.15,101325,0.25\n2025-01-01T01:00Z,,x,1\n",
    );
    await put("sensors.csv", 'id,label,lat,lon,since\n7,"Town Hall, north",-37.8,144.9,2013-01-18\n8,,,,\n');
    const source = createSource(
      "c",
      files({
        weather: {
          glob: "weather.csv",
          columns: {
            time: "t",
            temperature: { column: "kelvin", offset: -273.15 },
            pressure: { column: "pa", scale: 0.01 },
            cloud: { column: "share", scale: 100 },
          },
        },
        entities: {
          glob: "sensors.csv",
          columns: { entity: "id", name: "label", lat: "lat", lon: "lon", opened: "since" },
        },
      }),
      contextAt(late, { baseAddress: folder, measureOf: [], timeZone: "Australia/Melbourne" }),
    );
    const pages = await readAll(source, requestOf({ to: late }));
    const parts = pages.flatMap((page) => page.parts);
    const entities = parts.flatMap((part) => (part.stream === "entities" ? part.rows : []));
    expect(entities.map(({ attributes: _, ...row }) => row)).toEqual([
      {
        entity: "7",
        name: "Town Hall, north",
        lat: -37.8,
        lon: 144.9,
        openedAt: Date.UTC(2013, 0, 17, 13),
        retiredAt: null,
      },
      { entity: "8", name: null, lat: null, lon: null, openedAt: null, retiredAt: null },
    ]);
    const weather = parts.find((part) => part.stream === "weather")!;
    expect(weather.issuedAt).toBe(null);
    expect([...weather.validAt]).toEqual([Date.UTC(2025, 0, 1), Date.UTC(2025, 0, 1) + hour]);
    expect(weather.values.temperature![0]).toBeCloseTo(20, 9);
    expect(weather.values.temperature![1]).toBe(Number.NaN);
    expect([...weather.values.pressure!]).toEqual([1013.25, Number.NaN]);
    expect([...weather.values.cloud!]).toEqual([25, 100]);
    expect(pages.flatMap((page) => page.rejected.map((row) => row.reason))).toEqual(["bad-number"]);
  });

  test("a glob without files and a wrong declaration say what is wrong", async () => {
    const context = contextAt(late, { baseAddress: folder });
    await expect(readAll(createSource("c", declaration, context), requestOf({ to: day }))).rejects.toThrow(
      /no file matches counts\* in /,
    );
    expect(() => createSource("c", { ...declaration, timeFormat: "%Q" }, context)).toThrow(
      /c\.timeFormat: %Q/,
    );
    expect(() => createSource("c", { kind: "files" }, context)).toThrow(
      /declare columns, entities or weather/,
    );
  });
});
