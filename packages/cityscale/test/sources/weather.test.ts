import { describe, expect, test } from "vitest";
import type { Page, WeatherPage } from "../../src/domain/index.ts";
import { createSource, openMeteo } from "../../src/sources/index.ts";
import { contextAt, day, hour, impatientHttp, readAll, requestOf, sendJson, serve } from "./support.ts";

const now = Date.UTC(2025, 5, 10, 7, 40);

interface State {
  archive: boolean;
  forecast: boolean;
}

/** Temperature = hours since the epoch modulo 1000; the archive begins in 2024 and knows nothing of the last two days. */
async function weatherServer(state: State) {
  return serve((url, response) => {
    const archive = url.pathname === "/v1/archive";
    if (archive ? !state.archive : !state.forecast)
      return sendJson(response, { error: true, reason: "down" }, 503);
    const today = Math.floor(now / day) * day;
    let [from, to] = [
      today - Number(url.searchParams.get("past_days")) * day,
      today + Number(url.searchParams.get("forecast_days")) * day,
    ];
    if (archive) {
      from = Date.parse(url.searchParams.get("start_date")!);
      to = Date.parse(url.searchParams.get("end_date")!) + day;
      if (from < Date.UTC(2024, 0, 1)) {
        const reason = "Parameter 'start_date' is out of allowed range from 2024-01-01 to 2025-06-10";
        return sendJson(response, { error: true, reason }, 400);
      }
    }
    const time = Array.from({ length: (to - from) / hour }, (_, i) => from / 1000 + i * 3600);
    const temperature = time.map((at) => (archive && at * 1000 > now - 2 * day ? null : (at / 3600) % 1000));
    const wind = time.map((_, i) => (i === 3 ? "calm" : 2));
    sendJson(response, { hourly: { time, temperature_2m: temperature, wind_speed_10m: wind } });
  });
}

const weatherOf = (pages: readonly Page[]): WeatherPage[] =>
  pages.flatMap((page) => page.parts.filter((part) => part.stream === "weather"));
const hoursOf = (pages: readonly WeatherPage[]) => pages.flatMap((page) => [...page.validAt]);

describe("openMeteo", () => {
  test("past hours are observed without a gap, coming hours a forecast issued this hour", async () => {
    await using server = await weatherServer({ archive: true, forecast: true });
    const source = createSource("weather", openMeteo(), contextAt(now, { baseAddress: server.base }));
    const from = Date.UTC(2023, 9, 1);
    const pages = await readAll(source, requestOf({ from, to: now }));
    const observed = weatherOf(pages).filter((page) => page.issuedAt === null);
    const hours = hoursOf(observed);
    const first = Date.UTC(2024, 0, 1);
    const thisHour = Date.UTC(2025, 5, 10, 7);
    expect(hours).toEqual(Array.from({ length: (thisHour - first) / hour }, (_, i) => first + i * hour));
    expect(observed.flatMap((page) => [...page.values.temperature!])).toEqual(
      hours.map((at) => (at / hour) % 1000),
    );
    const coming = weatherOf(pages).filter((page) => page.issuedAt !== null);
    expect(coming.map((page) => page.issuedAt)).toEqual([thisHour]);
    expect(coming[0]!.validAt[0]).toBe(thisHour);
    expect(coming[0]!.validAt.at(-1)).toBe(Date.UTC(2025, 5, 16, 23));
    expect(observed[0]!.values.rain!.every(Number.isNaN)).toBe(true);
    expect(pages.flatMap((page) => page.rejected.map((row) => row.reason))).toContain("bad-number");
    expect(pages.at(-1)!.cursor).toEqual({ observedThrough: thisHour - hour });
    const asked = new URL(server.requests[0]!, "http://x").searchParams;
    expect([asked.get("timezone"), asked.get("timeformat"), asked.get("wind_speed_unit")]).toEqual([
      "GMT",
      "unixtime",
      "ms",
    ]);
  });

  test("the next read asks for the overlap and the forecast only, a range read for the archive only", async () => {
    await using server = await weatherServer({ archive: true, forecast: true });
    const context = contextAt(now, { baseAddress: server.base });
    const source = createSource("weather", openMeteo(), context);
    const cursor = { observedThrough: now - (now % hour) - hour };
    const pages = await readAll(source, requestOf({ from: 0, to: now, cursor }));
    expect(server.requests).toHaveLength(1);
    expect(hoursOf(weatherOf(pages))[0]).toBe(cursor.observedThrough - 3 * day);
    const range = await readAll(
      source,
      requestOf({ from: Date.UTC(2024, 5, 1), to: Date.UTC(2024, 5, 2), mode: "range", cursor }),
    );
    expect(server.requests).toHaveLength(2);
    expect(hoursOf(weatherOf(range))).toHaveLength(24);
    expect(
      range.every(
        (page) =>
          page.cursor === null || (page.cursor as typeof cursor).observedThrough === cursor.observedThrough,
      ),
    ).toBe(true);
  });

  test("one service delivers while the other is down, which is told and made up for later", async () => {
    const state = { archive: false, forecast: true };
    await using server = await weatherServer(state);
    const context = contextAt(now, { baseAddress: server.base, http: impatientHttp({ attempts: 2 }).http });
    const source = createSource("weather", openMeteo(), context);
    const request = requestOf({ from: Date.UTC(2025, 4, 1), to: now });
    const collect = async (cursor: unknown) => {
      const pages: Page[] = [];
      try {
        for await (const page of source.read({ ...request, cursor })) pages.push(page);
        return { pages, code: null };
      } catch (error) {
        return { pages, code: (error as { code: string }).code };
      }
    };
    const first = await collect(null);
    expect(first.code).toBe("SOURCE_REFUSED");
    expect(weatherOf(first.pages).map((page) => page.issuedAt === null)).toEqual([true, false]);
    state.archive = true;
    state.forecast = false;
    const second = await collect(first.pages.at(-1)!.cursor);
    expect(second.code).toBe("SOURCE_REFUSED");
    expect(hoursOf(weatherOf(second.pages))[0]).toBe(request.from);
    state.forecast = true;
    const third = await collect(second.pages.at(-1)!.cursor);
    expect(third.code).toBe(null);
    expect(third.pages.at(-1)!.cursor).toEqual({ observedThrough: now - (now % hour) - hour });
  });
});

describe("archived runs", () => {
  /** A run says its day of the month; the ones of even days are not there, and `down` ones are refused. */
  const runsServer = (state: { down: string | null }) =>
    serve((url, response) => {
      const run = url.searchParams.get("run");
      const from = run === null ? Math.floor(now / day) * day : Date.parse(`${run}Z`);
      if (run !== null && Number(run.slice(8, 10)) % 2 === 0)
        return sendJson(response, { error: true, reason: `No data is available for this run: ${run}` }, 400);
      if (run !== null && run === state.down)
        return sendJson(response, { error: true, reason: "overloaded" }, 503);
      const time = Array.from({ length: 30 }, (_, i) => from / 1000 + (i - 3) * 3600);
      const temperature = time.map(() => (run === null ? -1 : Number(run.slice(8, 10))));
      sendJson(response, { hourly: { time, temperature_2m: temperature } });
    });
  const declared = openMeteo({ runs: { from: "2025-06-01", hour: 6, availableAfter: "5h" } });
  const runsOf = (pages: readonly Page[]) =>
    weatherOf(pages)
      .filter((page) => page.publishedAt !== undefined)
      .map((page) => [page.issuedAt, page.publishedAt, page.validAt[0], page.values.temperature![0]]);
  const expectedRun = (date: number) => {
    const at = Date.UTC(2025, 5, date, 6);
    return [at, at + 5 * hour, at, date];
  };

  test("are read once behind the first read, each known when it could be read", async () => {
    await using server = await runsServer({ down: null });
    const source = createSource("weather", declared, contextAt(now, { baseAddress: server.base }));
    const request = requestOf({ from: now - 8 * day, to: now });
    const pages = await readAll(source, request);
    // The run of today is not there yet at 07:40; the history wanted begins on the second of June at the same time.
    expect(runsOf(pages)).toEqual([3, 5, 7, 9].map(expectedRun));
    const again = await readAll(source, { ...request, cursor: pages.at(-1)!.cursor });
    expect(runsOf(again)).toEqual([]);
    expect(server.requests.filter((url) => url.includes("run="))).toHaveLength(7);
  });

  test("go on after a failure where they stopped, and hold up neither the present nor each other", async () => {
    const state: { down: string | null } = { down: "2025-06-05T06:00" };
    await using server = await runsServer(state);
    const context = contextAt(now, { baseAddress: server.base, http: impatientHttp({ attempts: 1 }).http });
    const source = createSource("weather", declared, context);
    const request = requestOf({ from: now - 8 * day, to: now });
    const pages: Page[] = [];
    const failed = (async () => {
      for await (const page of source.read(request)) pages.push(page);
    })();
    await expect(failed).rejects.toMatchObject({ code: "SOURCE_REFUSED" });
    expect(weatherOf(pages).some((page) => page.issuedAt !== null && page.publishedAt === undefined)).toBe(
      true,
    );
    state.down = null;
    const rest = await readAll(source, { ...request, cursor: pages.at(-1)!.cursor });
    expect([...runsOf(pages), ...runsOf(rest)]).toEqual([3, 5, 7, 9].map(expectedRun));
  });
});
