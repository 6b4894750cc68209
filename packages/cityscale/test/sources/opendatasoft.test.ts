import { describe, expect, test } from "vitest";
import { createSource, opendatasoft, schoolHolidays } from "../../src/sources/index.ts";
import {
  contextAt,
  day,
  hour,
  impatientHttp,
  jsonOf,
  observationsOf,
  readAll,
  requestOf,
  sendJson,
  serve,
} from "./support.ts";

const start = Date.UTC(2025, 0, 20);
const declaration = opendatasoft({
  domain: "data.example.org",
  dataset: "counts",
  fields: { entity: "counter", time: "date", value: "sum_counts" },
});

interface Row {
  counter: unknown;
  date: unknown;
  sum_counts?: unknown;
  at: number;
}

function rowsOf(hours: number, counters: number): Row[] {
  const rows: Row[] = [];
  for (let h = 0; h < hours; h++) {
    for (let c = 0; c < counters; c++) {
      const at = start + h * hour;
      const date = `${new Date(at).toISOString().slice(0, 19)}+00:00`;
      rows.push({ counter: `c${c}`, date, sum_counts: h, at });
    }
  }
  return rows;
}

interface PortalState {
  rows: Row[];
  fields: { name: string; type: string }[];
  /** What is done to the text of an export before it is sent; null = there are no exports. */
  exported: ((text: string) => string) | null;
}

async function portal(given: Partial<PortalState> & { rows: Row[] }) {
  const state: PortalState = {
    fields: [
      { name: "counter", type: "text" },
      { name: "date", type: "datetime" },
      { name: "sum_counts", type: "int" },
    ],
    exported: (text) => text,
    ...given,
  };
  const server = await serve((url, response) => {
    if (!url.pathname.includes("/datasets/counts")) return sendJson(response, { error_code: "Unknown" }, 404);
    if (url.pathname.endsWith("/counts"))
      return sendJson(response, { dataset_id: "counts", fields: state.fields });
    const where = url.searchParams.get("where") ?? "";
    const [from, to] = [...where.matchAll(/date'([^']+)'/g)].map((match) => Date.parse(match[1]!));
    const found = state.rows
      .filter((row) => row.at >= from! && row.at < to!)
      .sort((a, b) => a.at - b.at || (String(a.counter) < String(b.counter) ? -1 : 1))
      .map(({ at: _, ...row }) => row);
    if (url.pathname.endsWith("/exports/jsonl")) {
      if (!state.exported) return sendJson(response, { message: "exports are off" }, 403);
      return void response.end(state.exported(found.map((row) => `${JSON.stringify(row)}\n`).join("")));
    }
    const [offset, limit] = [Number(url.searchParams.get("offset")), Number(url.searchParams.get("limit"))];
    if (offset + limit > 10_000) return sendJson(response, { message: "offset + limit" }, 400);
    sendJson(response, { total_count: found.length, results: found.slice(offset, offset + limit) });
  });
  return { server, state };
}

const key = (row: { entity: string; at: number; value: number }) => `${row.entity} ${row.at} ${row.value}`;
const keysOf = (rows: Row[]) => rows.map((row) => `${row.counter} ${row.at} ${row.sum_counts}`).sort();

describe("opendatasoft", () => {
  test("history comes by exports of a month, a few rows by records", async () => {
    const { server } = await portal({ rows: rowsOf(24 * 20, 12) });
    await using _ = server;
    const end = start + 24 * 20 * hour;
    const source = createSource("counts", declaration, contextAt(end, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: end }));
    expect(pages).toHaveLength(2);
    expect(observationsOf(pages).map(key).sort()).toEqual(keysOf(rowsOf(24 * 20, 12)));
    expect(server.requests.filter((url) => url.includes("/exports/"))).toHaveLength(2);

    const before = server.requests.length;
    const more = await readAll(source, requestOf({ from: start, to: end, cursor: pages.at(-1)!.cursor }));
    expect(observationsOf(more)).toHaveLength((3 * 24 + 1) * 12);
    expect(server.requests.slice(before).some((url) => url.includes("/exports/"))).toBe(false);
  });

  test("without exports the same rows come by pages, also where more than a page share an hour", async () => {
    const rows = rowsOf(30, 130);
    const { server } = await portal({ rows, exported: null });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: start + 30 * hour }));
    expect(new Set(observationsOf(pages).map(key))).toEqual(new Set(keysOf(rows)));
    expect(observationsOf(pages)).toHaveLength(rows.length);
  });

  test("a read that stopped after any page goes on where it was, by exports and by records", async () => {
    const rows = rowsOf(24 * 15, 10);
    for (const exported of [(text: string) => text, null]) {
      const { server } = await portal({ rows, exported });
      await using _ = server;
      const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
      const request = requestOf({ from: start, to: start + 15 * day });
      const total = (await readAll(source, request)).length;
      for (let stopAfter = 1; stopAfter < total; stopAfter += exported ? 1 : 9) {
        const seen: string[] = [];
        let cursor: unknown = null;
        let pages = 0;
        for await (const page of source.read(request)) {
          seen.push(...observationsOf([page]).map(key));
          cursor = jsonOf(page.cursor);
          pages += 1;
          if (pages === stopAfter) break;
        }
        const rest = await readAll(source, { ...request, cursor });
        expect([...seen, ...observationsOf(rest).map(key)].sort()).toEqual(keysOf(rows));
      }
    }
  });

  test("an export that breaks off is repeated and none of its rows is kept", async () => {
    const rows = rowsOf(24 * 5, 12);
    const damages: ((text: string) => string)[] = [
      (text) =>
        `${text.slice(0, text.length / 2)}Streaming interrupted due to the following error: x (error_code: y)`,
      (text) => text.slice(0, text.lastIndexOf("\n", text.length / 2) + 1),
    ];
    const { server } = await portal({ rows, exported: (text) => damages.shift()?.(text) ?? text });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const pages = await readAll(source, requestOf({ from: start, to: start + 5 * day }));
    expect(server.requests.filter((url) => url.includes("/exports/"))).toHaveLength(3);
    expect(observationsOf(pages).map(key).sort()).toEqual(keysOf(rows));
  });

  test("an export that never comes whole is given up for records", async () => {
    const rows = rowsOf(24 * 5, 12);
    const { server } = await portal({ rows, exported: (text) => text.slice(0, 1000) });
    await using _ = server;
    const context = contextAt(start, { baseAddress: server.base, http: impatientHttp({ attempts: 2 }).http });
    const pages = await readAll(
      createSource("counts", declaration, context),
      requestOf({ from: start, to: start + 5 * day }),
    );
    expect(observationsOf(pages).map(key).sort()).toEqual(keysOf(rows));
  });

  test("bad rows are set aside; a field that is gone is an error and a new one is told", async () => {
    const rows = rowsOf(4, 2);
    rows[0]!.sum_counts = "many";
    rows[1]!.sum_counts = null;
    rows[2]!.counter = "";
    rows[3]!.date = "2025-02-30T00:00:00+00:00";
    const { server, state } = await portal({ rows });
    await using _ = server;
    const source = createSource("counts", declaration, contextAt(start, { baseAddress: server.base }));
    const request = requestOf({ from: start, to: start + 4 * hour });
    const pages = await readAll(source, request);
    expect(pages.flatMap((page) => page.rejected.map((row) => row.reason)).sort()).toEqual([
      "bad-date",
      "bad-number",
      "missing-field",
    ]);
    expect(observationsOf(pages).filter((row) => Number.isNaN(row.value))).toHaveLength(1);
    expect(observationsOf(pages)).toHaveLength(5);

    const cursor = pages.at(-1)!.cursor;
    state.fields.push({ name: "sum_v2", type: "int" });
    const again = await readAll(source, { ...request, cursor });
    expect(again.flatMap((page) => page.schemaChanges)).toEqual(["+sum_v2"]);
    state.fields = state.fields.filter(({ name }) => name !== "sum_counts");
    await expect(readAll(source, { ...request, cursor })).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
    });
  });

  test("a local date with an hour of day becomes an instant on days of 23 and 25 hours", async () => {
    const rows = [
      "2025-04-06 1",
      "2025-04-06 2",
      "2025-04-06 2",
      "2025-04-06 3",
      "2025-10-05 1",
      "2025-10-05 3",
    ].map((text, i) => {
      const [date, hourday] = text.split(" ") as [string, string];
      return { counter: 7, date, hourday: Number(hourday), sum_counts: i, at: Date.parse(date) };
    });
    const fields = ["counter", "date", "hourday", "sum_counts"].map((name) => ({
      name,
      type: name === "date" ? "date" : "int",
    }));
    const { server } = await portal({ rows, fields });
    await using _ = server;
    const source = createSource(
      "counts",
      { ...declaration, fields: { ...declaration.fields, time: { date: "date", hour: "hourday" } } },
      contextAt(start, { baseAddress: server.base, timeZone: "Australia/Melbourne" }),
    );
    const pages = await readAll(source, requestOf({ from: Date.UTC(2025, 3, 1), to: Date.UTC(2025, 9, 20) }));
    expect(
      observationsOf(pages).map((row) => `${row.entity} ${new Date(row.at).toISOString().slice(5, 13)}`),
    ).toEqual(["7 04-05T14", "7 04-05T15", "7 04-05T16", "7 04-05T17", "7 10-04T15", "7 10-04T16"]);
  });

  test("the French calendar ends on the eve of the return and leaves teachers out", async () => {
    await using server = await serve((url, response) => {
      const all = [
        ["Vacances de la Toussaint", "-", "2025-10-17T22:00:00+00:00", "2025-11-02T23:00:00+00:00"],
        ["Prérentrée", "Enseignants", "2025-08-28T22:00:00+00:00", "2025-09-30T22:00:00+00:00"],
      ].map(([description, population, start_date, end_date]) => ({
        description,
        population,
        start_date,
        end_date,
      }));
      sendJson(response, { total_count: 2, results: url.searchParams.get("offset") === "0" ? all : [] });
    });
    const source = createSource(
      "school",
      schoolHolidays({ zone: "Zone C" }),
      contextAt(start, { baseAddress: server.base, timeZone: "Europe/Paris" }),
    );
    const [page] = await readAll(source, requestOf({ from: start, to: start }));
    const rows = page!.parts[0]!.stream === "holidays" ? page!.parts[0]!.rows : [];
    expect([rows.length, rows[0]?.date, rows.at(-1)?.date]).toEqual([16, "2025-10-18", "2025-11-02"]);
    expect(new URL(server.requests[0]!, "http://x").searchParams.get("where")).toContain('zones = "Zone C"');
  });
});
