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
