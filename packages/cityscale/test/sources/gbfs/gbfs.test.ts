import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entity, LevelPage, Page, StreamPage } from "../../../src/domain/index.ts";
import { createSource, gbfs } from "../../../src/sources/index.ts";
import {
  contextAt,
  impatientHttp,
  jsonOf,
  readAll,
  requestOf,
  sendJson,
  serve,
  type TestServer,
} from "../support.ts";

const minute = 60_000;
const now = Date.parse("2023-01-01T00:00:00Z");
const seconds = now / 1000;

/** What a server says by path; a function makes the answer anew. */
type Files = Record<string, unknown>;

function discovery(base: string, names: readonly string[]) {
  const feeds = names.map((name) => ({ name, url: `${base}/x/${name}` }));
  return { data: { fr: { feeds: [] }, en: { feeds } }, last_updated: seconds, ttl: 60, version: "2.3" };
}

const status = (stations: unknown, more: object = {}) => ({
  data: { stations },
  last_updated: seconds - 30,
  ttl: 60,
  ...more,
});
const information = (stations: unknown) => ({ data: { stations }, last_updated: seconds - 30, ttl: 60 });
const station = (more: object = {}) => ({
  station_id: "a",
  num_bikes_available: 4,
  num_ebikes_available: 1,
  num_docks_available: 6,
  num_bikes_disabled: 0,
  num_docks_disabled: 2,
  is_installed: 1,
  is_renting: 1,
  is_returning: 1,
  last_reported: seconds - 90,
  ...more,
});

async function open(files: Files, options: Partial<Parameters<typeof gbfs>[0]> = {}, at = now) {
  const headers: (string | undefined)[] = [];
  const server: TestServer = await serve((url, response, request) => {
    headers.push(request.headers["if-none-match"]);
    if (url.pathname === "/gbfs.json") {
      const own = files["/gbfs.json"];
      return sendJson(
        response,
        typeof own === "function" ? own(server.base) : (own ?? discovery(server.base, names)),
      );
    }
    const body = files[url.pathname.replace("/x/", "")];
    if (body === undefined) return sendJson(response, { message: "no such file" }, 404);
    if (typeof body === "function") return void body(response, request);
    if (typeof body === "string") return void response.end(body);
    sendJson(response, body);
  });
  const names = Object.keys(files).filter((name) => !name.startsWith("/"));
  const context = contextAt(at, { measureOf: ["bikes", "docks"], http: impatientHttp({ attempts: 2 }).http });
  const source = createSource("stations", gbfs({ url: `${server.base}/gbfs.json`, ...options }), context);
  const read = (cursor: unknown = null) =>
    readAll(source, requestOf({ cursor: cursor === null ? null : jsonOf(cursor), to: context.clock.now() }));
  return {
    server,
    source,
    context,
    read,
    headers,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const partsOf = <Stream extends StreamPage["stream"]>(pages: readonly Page[], stream: Stream) =>
  pages.flatMap((page) =>
    page.parts.filter((part): part is Extract<StreamPage, { stream: Stream }> => part.stream === stream),
  );
const rowsOf = (pages: readonly Page[]) =>
  partsOf(pages, "levels").flatMap((page: LevelPage) =>
    page.entity.map((entity, i) => ({
      entity,
      at: page.at[i]!,
      bikes: page.bikes[i]!,
      ebikes: page.ebikes[i]!,
      docks: page.docks[i]!,
      bikesDisabled: page.bikesDisabled[i]!,
      docksDisabled: page.docksDisabled[i]!,
      renting: page.renting[i]!,
      returning: page.returning[i]!,
      reportedAt: page.reportedAt[i]!,
    })),
  );
const stationsOf = (pages: readonly Page[]): Entity[] =>
  partsOf(pages, "entities").flatMap((page) => [...page.rows]);
const rejectedOf = (pages: readonly Page[]) =>
  pages.flatMap((page) => page.rejected.map((row) => [row.stream, row.reason]));

describe("what publishers really send", () => {
  const samples = resolve(
    process.env["CITYSCALE_DATA"] ?? join(import.meta.dirname, "../../../../../../shared/data"),
    "api-samples",
  );
  const sample = (name: string) => readFileSync(join(samples, name), "utf8");

  it.skipIf(!existsSync(samples))("Bay Wheels as captured (skipped without recordings)", async () => {
    await using bay = await open(
      {
        station_information: sample("gbfs-baywheels/station_information_1672524202.json"),
        station_status: sample("gbfs-baywheels/station_status_1672524202.json"),
        system_alerts: sample("gbfs-baywheels/system_alerts.json"),
      },
      {},
      1_672_524_300_000,
    );
    const pages = await bay.read();
    const rows = rowsOf(pages);
    const stations = stationsOf(pages);
    expect([rows.length, stations.length, rejectedOf(pages).length]).toEqual([501, 501, 0]);
    expect(rows[0]).toEqual({
      entity: "003d58af-e449-4800-aa6d-eb1bba8ad68d",
      at: 1_672_524_202_000,
      bikes: 8,
      ebikes: 3,
      docks: 18,
      bikesDisabled: 0,
      docksDisabled: 0,
      renting: 1,
      returning: 1,
      reportedAt: 1_672_524_132_000,
    });
    expect(stations[0]).toMatchObject({
      name: "SFSU University Park North - West",
      lat: 37.726266,
      lon: -122.479462,
      attributes: { capacity: 27, shortName: "SF-Y7", region: "3" },
    });
    // One is at (0, 0), and some have never reported.
    expect(stations.filter(({ lat }) => lat === null)).toHaveLength(1);
    expect(rows.filter(({ entity }) => /^\d{19}$/.test(entity))).toHaveLength(2);
    const raw = JSON.parse(sample("gbfs-baywheels/station_status_1672524202.json")).data.stations;
    const never = raw.filter((row: { last_reported: number }) => row.last_reported === 86_400).length;
    expect(rows.filter(({ reportedAt }) => Number.isNaN(reportedAt))).toHaveLength(never);
    expect(rows.filter(({ renting }) => renting === 0)).toHaveLength(
      raw.filter((row: Record<string, number>) => row["is_installed"] === 0 || row["is_renting"] === 0)
        .length,
    );
  });

  it.skipIf(!existsSync(samples))("Vélib' as captured (skipped without recordings)", async () => {
    await using velib = await open(
      {
        station_information: sample("gbfs-velib/velib_station_information.sample.json"),
        station_status: sample("gbfs-velib/velib_station_status.sample.json"),
      },
      {},
      1_772_634_700_000,
    );
    const pages = await velib.read();
    const rows = rowsOf(pages);
    expect([rows.length, stationsOf(pages).length, rejectedOf(pages).length]).toEqual([1511, 1511, 0]);
    expect(rows[0]).toMatchObject({
      entity: "213688169",
      at: 1_772_634_590_000,
      bikes: 13,
      ebikes: 3,
      docks: 22,
    });
    expect(rows[0]).toMatchObject({ bikesDisabled: Number.NaN, renting: 1, reportedAt: 1_772_633_688_000 });
    expect(stationsOf(pages)[0]!.attributes).toEqual({ capacity: 35, shortName: "16107" });
  });

  it("ids stay as they are written: numbers, and numbers of 19 digits that no double holds", async () => {
    const text = JSON.stringify(
      status([station({ station_id: "BIG" }), station({ station_id: 7 }), station({ station_id: "007" })]),
    );
    await using system = await open({
      station_information: information([]),
      station_status: text.replace('"BIG"', "1716540857410079457"),
    });
    expect(rowsOf(await system.read()).map(({ entity }) => entity)).toEqual([
      "1716540857410079457",
      "7",
      "007",
    ]);
  });

  it("GBFS 3.0: other names, texts in languages, RFC 3339, bikes by type", async () => {
    await using system = await open({
      "/gbfs.json": (base: string) => ({
        data: {
          feeds: ["station_information", "station_status", "vehicle_types"].map((name) => ({
            name,
            url: `${base}/x/${name}`,
          })),
        },
        last_updated: "2022-12-31T16:00:00-08:00",
        ttl: 60,
        version: "3.0",
      }),
      station_information: {
        last_updated: "2022-12-31T16:00:00-08:00",
        ttl: 60,
        version: "3.0",
        data: {
          stations: [
            {
              station_id: "s-1",
              name: [
                { text: "Gare", language: "fr" },
                { text: "Station", language: "en-US" },
              ],
              lat: 40,
              lon: -74,
              capacity: 20,
              is_virtual_station: true,
            },
          ],
        },
      },
      vehicle_types: {
        last_updated: "2022-12-31T16:00:00-08:00",
        ttl: 0,
        data: {
          vehicle_types: [
            { vehicle_type_id: "1", form_factor: "bicycle", propulsion_type: "human" },
            { vehicle_type_id: "2", form_factor: "cargo_bicycle", propulsion_type: "electric_assist" },
            { vehicle_type_id: "3", form_factor: "scooter_standing", propulsion_type: "electric" },
          ],
        },
      },
      station_status: {
        last_updated: "2022-12-31T15:59:30-08:00",
        ttl: 60,
        version: "3.0",
        data: {
          stations: [
            {
              station_id: "s-1",
              num_vehicles_available: 9,
              num_vehicles_disabled: 1,
              num_docks_available: 10,
              vehicle_types_available: [
                { vehicle_type_id: "1", count: 4 },
                { vehicle_type_id: "2", count: 3 },
                { vehicle_type_id: "3", count: 2 },
              ],
              is_installed: true,
              is_renting: true,
              is_returning: false,
              last_reported: "2022-12-31T15:58:00-08:00",
            },
          ],
        },
      },
    });
    const pages = await system.read();
    expect(stationsOf(pages)).toMatchObject([
      { entity: "s-1", name: "Station", attributes: { capacity: 20, isVirtual: true } },
    ]);
    expect(rowsOf(pages)).toEqual([
      {
        entity: "s-1",
        at: now - 30_000,
        bikes: 9,
        ebikes: 3,
        docks: 10,
        bikesDisabled: 1,
        docksDisabled: Number.NaN,
        renting: 1,
        returning: 0,
        reportedAt: now - 120_000,
      },
    ]);
  });

  it("a row that cannot be read is put aside with its reason, the good ones beside it stay", async () => {
    await using system = await open({
      station_information: information([
        { station_id: "a", name: "A", lat: 0, lon: 0 },
        { name: "nobody" },
        5,
      ]),
      station_status: status([
        station(),
        station({ station_id: null }),
        station({ station_id: "b", num_bikes_available: "many" }),
        station({ station_id: "c", is_renting: "perhaps" }),
        station({ station_id: "d", last_reported: "yesterday" }),
        station({ station_id: "e", num_bikes_available: undefined, num_docks_available: null }),
        "none",
        station({ station_id: "f", num_bikes_available: "3", is_installed: false, last_reported: 86_400 }),
        { station_id: "g", numBikesAvailable: 2, numDocksAvailable: 3 },
      ]),
    });
    const pages = await system.read();
    expect(
      rowsOf(pages).map(({ entity, bikes, renting, reportedAt }) => [entity, bikes, renting, reportedAt]),
    ).toEqual([
      ["a", 4, 1, now - 90_000],
      ["f", 3, 0, Number.NaN],
      ["g", 2, 1, Number.NaN],
    ]);
    expect(stationsOf(pages)).toMatchObject([{ entity: "a", lat: null, lon: null }]);
    expect(rejectedOf(pages)).toEqual([
      ["entities", "missing-field"],
      ["entities", "missing-field"],
      ["levels", "missing-field"],
      ["levels", "bad-number"],
      ["levels", "bad-row"],
      ["levels", "bad-date"],
      ["levels", "missing-field"],
      ["levels", "bad-row"],
    ]);
  });

  it("any JSON in place of a station's fields is read or put aside, never thrown and never made up", async () => {
    const field = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.constant([]),
      fc.constant({}),
    );
    const { snapshotsOf } = await import("../../../src/sources/gbfs/status.ts");
    const keys = [
      "station_id",
      "num_bikes_available",
      "num_docks_available",
      "is_installed",
      "is_renting",
      "last_reported",
      "vehicle_types_available",
    ];
    fc.assert(
      fc.property(fc.array(fc.dictionary(fc.constantFrom(...keys), field)), (stations) => {
        const { rows, rejected } = snapshotsOf({ stations }, now, new Set(["1"]));
        expect(rows.length + rejected.length).toBe(stations.length);
        for (const row of rows) {
          const from = stations.find((given) => String(given["station_id"]).trim() === row.entity)!;
          expect(from).toBeDefined();
          expect(Number.isNaN(row.bikes) && Number.isNaN(row.docks)).toBe(false);
        }
      }),
    );
  });
});

describe("polling", () => {
  it("asks again when the ttl is over, tells the version it has, and takes the same snapshot once", async () => {
    let updated = seconds - 30;
    let tag = '"1"';
    const answered: number[] = [];
    await using system = await open({
      station_information: information([{ station_id: "a", name: "A", lat: 1, lon: 1, capacity: 10 }]),
      station_status: (
        response: import("node:http").ServerResponse,
        request: import("node:http").IncomingMessage,
      ) => {
        const same = request.headers["if-none-match"] === tag;
        answered.push(same ? 304 : 200);
        response.writeHead(same ? 304 : 200, { etag: tag, "content-type": "application/json" });
        response.end(same ? undefined : JSON.stringify(status([station()], { last_updated: updated })));
      },
    });
    const first = await system.read();
    expect(rowsOf(first)).toHaveLength(1);
    let { cursor } = first.at(-1)!;
    const again = async (afterMs: number) => {
      system.context.clock.set(now + afterMs);
      const pages = await system.read(cursor);
      cursor = pages.at(-1)!.cursor;
      return pages;
    };
    // Its ttl of 60 s, counted from the publisher's stamp, is not over.
    expect(rowsOf(await again(20_000))).toEqual([]);
    expect(answered).toEqual([200]);
    expect(rowsOf(await again(40_000))).toEqual([]);
    expect(answered).toEqual([200, 304]);
    // A new tag over the same snapshot, as caches make them, is no new snapshot.
    tag = '"2"';
    expect(rowsOf(await again(2 * minute))).toEqual([]);
    updated = seconds + 100;
    tag = '"3"';
    const later = await again(3 * minute);
    expect(rowsOf(later).map(({ at }) => at)).toEqual([updated * 1000]);
    expect(answered).toEqual([200, 304, 200, 200]);
    // Stations that did not change are delivered once.
    expect(stationsOf(later)).toEqual([]);
  });

  it("believes no ttl of hours, and no clock that is a little ahead", async () => {
    let updated = seconds + 120;
    await using system = await open({
      station_information: information([]),
      station_status: (response: import("node:http").ServerResponse) =>
        sendJson(response, status([station()], { last_updated: updated, ttl: 86_400 })),
    });
    const first = await system.read();
    expect(rowsOf(first).map(({ at }) => at)).toEqual([now]);
    updated = seconds + 290;
    system.context.clock.set(now + 6 * minute);
    expect(rowsOf(await system.read(first.at(-1)!.cursor)).map(({ at }) => at)).toEqual([updated * 1000]);
  });

  it("stations that vanish, come back, and change what they hold", async () => {
    const told = [station(), station({ station_id: "b" })];
    const places = [{ station_id: "a", name: "A", lat: 1, lon: 1, capacity: 10 }];
    let [rows, stations, updated] = [told, places, seconds];
    const answer = (body: () => unknown) => (response: import("node:http").ServerResponse) =>
      sendJson(response, body());
    await using system = await open({
      station_information: answer(() => ({ ...information(stations), last_updated: updated })),
      station_status: answer(() => status(rows, { last_updated: updated })),
    });
    const pages = await system.read();
    let { cursor } = pages.at(-1)!;
    const seen = [rowsOf(pages).length];
    const capacities: unknown[] = [stationsOf(pages)[0]!.attributes["capacity"]];
    for (const [i, [some, capacity]] of (
      [
        [told.slice(1), 10],
        [told, 11],
      ] as const
    ).entries()) {
      updated = seconds + (i + 1) * 7200;
      rows = [...some];
      stations = [{ ...places[0]!, capacity }];
      system.context.clock.set(updated * 1000 + minute);
      const next = await system.read(cursor);
      cursor = next.at(-1)!.cursor;
      seen.push(rowsOf(next).length);
      capacities.push(...stationsOf(next).map(({ attributes }) => attributes["capacity"]));
    }
    expect(seen).toEqual([2, 1, 2]);
    expect(capacities).toEqual([10, 11]);
  });

  it("alerts become events with their periods, told in the language asked for", async () => {
    const alert = {
      alert_id: 21,
      type: "STATION_CLOSURE",
      times: [{ start: seconds, end: seconds + 3600 }],
      station_ids: ["a"],
      summary: "closed",
      last_updated: seconds - 60,
    };
    await using system = await open({
      station_information: information([]),
      station_status: status([station()]),
      system_alerts: {
        data: { alerts: [alert, { ...alert, alert_id: 22, times: [] }, { type: "OTHER" }] },
        last_updated: seconds,
        ttl: 60,
      },
    });
    const pages = await system.read();
    expect(partsOf(pages, "events").flatMap(({ rows }) => rows)).toMatchObject([
      {
        id: "alert 21",
        name: "closed",
        startAt: now,
        endAt: now + 3_600_000,
        category: "alert station_closure",
        publishedAt: now - 60_000,
      },
      { id: "alert 22", startAt: now - 60_000 },
    ]);
    expect(rejectedOf(pages)).toEqual([["events", "missing-field"]]);
  });
});

describe("publishers that fail", () => {
  const good = { station_information: information([]), station_status: status([station()]) };
  const failing = (times: number, fail: (response: import("node:http").ServerResponse) => void) => {
    let left = times;
    return (response: import("node:http").ServerResponse) =>
      left-- > 0 ? fail(response) : sendJson(response, good.station_status);
  };
  const kinds: Record<string, [(response: import("node:http").ServerResponse) => void, string]> = {
    "a page of HTML": [(response) => response.end("<html>busy</html>"), "SOURCE_MALFORMED"],
    "half a page": [(response) => response.end('{"data":{"stations":[{"station_id":"a"'), "SOURCE_MALFORMED"],
    "an error with status 200": [
      (response) => sendJson(response, { error: { message: "backend is down" } }),
      "SOURCE_REFUSED",
    ],
    "too many requests": [(response) => sendJson(response, { message: "slow down" }, 429), "SOURCE_REFUSED"],
    "a cut connection": [(response) => response.destroy(), "SOURCE_UNREACHABLE"],
  };
  for (const [name, [fail, code]] of Object.entries(kinds)) {
    it(`${name}: asked again, and an error that says where when it lasts`, async () => {
      await using once = await open({ ...good, station_status: failing(1, fail) });
      expect(rowsOf(await once.read())).toHaveLength(1);
      await using always = await open({ ...good, station_status: failing(99, fail) });
      await expect(always.read()).rejects.toMatchObject({
        code,
        message: expect.stringContaining("/x/station_status"),
      });
    });
  }

  it("JSON that is no GBFS, and a discovery without the feeds, say what was expected", async () => {
    await using other = await open({ ...good, station_status: { hello: "world" } });
    await expect(other.read()).rejects.toMatchObject({
      code: "SOURCE_MALFORMED",
      message: expect.stringContaining('"data"'),
    });
    await using empty = await open({ "/gbfs.json": { data: { en: { feeds: [] } } } });
    await expect(empty.read()).rejects.toMatchObject({
      code: "SOURCE_MALFORMED",
      message: expect.stringContaining("station_information"),
    });
  });

  it("a feed that has moved is looked up anew; an optional one that is listed and not there is no failure", async () => {
    let moved = false;
    const server: TestServer = await serve((url, response) => {
      const path = moved ? "/new" : "/old";
      if (url.pathname === "/gbfs.json") {
        const names = ["station_information", "station_status", "system_alerts", "vehicle_types"];
        const feeds = names.map((name) => ({ name, url: `${server.base}${path}/${name}` }));
        return sendJson(response, { data: { de: { feeds } }, ttl: 60 });
      }
      if (url.pathname === `${path}/station_status`)
        return sendJson(response, status([station()], { last_updated: undefined }));
      if (url.pathname === `${path}/station_information`) return sendJson(response, information([]));
      sendJson(response, {}, 404);
    });
    const context = contextAt(now, { measureOf: ["bikes"] });
    const source = createSource("stations", gbfs({ url: `${server.base}/gbfs.json` }), context);
    const first = await readAll(source, requestOf({ to: now }));
    expect(rowsOf(first)).toHaveLength(1);
    moved = true;
    context.clock.set(now + 2 * 3_600_000);
    const next = await readAll(source, requestOf({ cursor: first.at(-1)!.cursor, to: context.clock.now() }));
    // Without last_updated a snapshot was taken when it came.
    expect(rowsOf(next).map(({ at }) => at)).toEqual([now + 2 * 3_600_000]);
    await server[Symbol.asyncDispose]();
  });

  it("where the address is another one, its own feeds are read, and not those of the one before", async () => {
    const files = { station_information: information([]), station_status: status([station()]) };
    const first = await open(files);
    const { cursor } = (await first.read()).at(-1)!;
    await first[Symbol.asyncDispose]();
    await using second = await open({ ...files, station_status: status([station({ station_id: "b" })]) });
    second.context.clock.set(now + 10 * minute);
    expect(rowsOf(await second.read(cursor)).map(({ entity }) => entity)).toEqual(["b"]);
  });

  it("options that cannot be are named", () => {
    const make = (more: object) => () =>
      createSource(
        "stations",
        gbfs({ url: "http://x/gbfs.json", ...more }),
        contextAt(now, { measureOf: ["bikes"] }),
      );
    expect(make({ archive: { url: "http://x/all.parquet", from: "2022-12" } })).toThrow("{month}");
    expect(make({ archive: { url: "http://x/{month}", from: "2022-13" } })).toThrow(
      "sources.stations.archive.from",
    );
    expect(make({ url: "gbfs.json" })).toThrow("http or https");
    expect(() =>
      createSource("stations", gbfs({ url: "http://x" }), contextAt(now, { measureOf: [] })),
    ).toThrow("levels named bikes or docks");
  });
});
