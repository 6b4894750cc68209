import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOUR, type Movable, startMovable } from "./support.ts";

const PLACE = "latitude=-33.87&longitude=151.21";
const NOW = "2026-03-10T05:20:00Z";

let city: Movable;
beforeAll(async () => {
  city = await startMovable(NOW, { id: "small", entities: 2, years: 0.1 }, { seed: 5 });
});
afterAll(() => city.close());

interface Answer {
  error?: boolean;
  reason?: string;
  utc_offset_seconds: number;
  timezone: string;
  hourly: Record<string, (number | null)[]> & { time: string[] };
  hourly_units: Record<string, string>;
}
const ask = async (path: string) => (await city.json("weather", path)) as unknown as Answer;

describe("Open-Meteo", () => {
  it("gives seven days of hours from today, in parallel arrays with units", async () => {
    const answer = await ask(`/v1/forecast?${PLACE}&hourly=temperature_2m,precipitation`);
    expect(answer.hourly.time.length).toBe(168);
    expect(answer.hourly.time[0]).toBe("2026-03-10T00:00");
    expect(answer.hourly["temperature_2m"]!.length).toBe(168);
    expect(answer.hourly_units).toEqual({ time: "iso8601", temperature_2m: "°C", precipitation: "mm" });
    expect(Object.keys(answer).slice(0, 3)).toEqual(["latitude", "longitude", "generationtime_ms"]);
  });

  it("gives a forecast that changes with the hour it is issued and becomes better as the hour nears", async () => {
    const target = Date.parse("2026-03-15T00:00:00Z");
    const seen = async (issuedMs: number) => {
      city.at(issuedMs);
      const { hourly } = await ask(
        `/v1/forecast?${PLACE}&hourly=temperature_2m&start_date=2026-03-15&end_date=2026-03-15`,
      );
      return hourly["temperature_2m"] as number[];
    };
    const early = await seen(target - 96 * HOUR);
    expect(await seen(target - 96 * HOUR + 30 * 60_000)).toEqual(early);
    expect(await seen(target - 95 * HOUR)).not.toEqual(early);
    const errors = [0, 0];
    for (let day = 0; day < 40; day++) {
      const at = target + day * 24 * HOUR;
      const date = new Date(at).toISOString().slice(0, 10);
      const series: number[][] = [];
      for (const issued of [at - 5 * 24 * HOUR, at - 6 * HOUR, at + 24 * HOUR]) {
        city.at(issued);
        const { hourly } = await ask(
          `/v1/forecast?${PLACE}&hourly=temperature_2m&start_date=${date}&end_date=${date}`,
        );
        series.push(hourly["temperature_2m"] as number[]);
      }
      for (let k = 0; k < 2; k++)
        for (let h = 0; h < 24; h++) errors[k]! += Math.abs(series[k]![h]! - series[2]![h]!);
    }
    city.at(NOW);
    expect(errors[1]!).toBeLessThan(0.6 * errors[0]!);
    expect(errors[1]! / 960).toBeGreaterThan(0.1);
  });

  it("gives the truth in the archive up to the last whole hour and null after it", async () => {
    const { hourly } = await ask(
      `/v1/archive?${PLACE}&hourly=temperature_2m&start_date=2026-03-09&end_date=2026-03-10`,
    );
    const known = hourly["temperature_2m"]!.map((value) => value !== null);
    // 05:20: the hours until 04:00 to 05:00 are over.
    expect(known.lastIndexOf(true)).toBe(24 + 4);
    expect(known.slice(0, 29).every(Boolean)).toBe(true);
  });

  it("uses one offset for the whole response, that of the moment of the request", async () => {
    const { hourly, utc_offset_seconds } = await ask(
      `/v1/archive?${PLACE}&hourly=temperature_2m&start_date=2025-08-01&end_date=2025-08-01&timezone=Australia/Sydney`,
    );
    // March is summer time (+11), August is not: local midnight of August would be 14:00Z, the service says 13:00Z.
    expect(utc_offset_seconds).toBe(11 * 3600);
    expect(hourly.time[0]).toBe("2025-08-01T00:00");
    const unix = await ask(
      `/v1/archive?${PLACE}&hourly=temperature_2m&start_date=2025-08-01&end_date=2025-08-01&timezone=Australia/Sydney&timeformat=unixtime`,
    );
    expect(Number(unix.hourly.time[0]) * 1000).toBe(Date.parse("2025-07-31T13:00:00Z"));
  });

  it("answers several places with a list, numbered from the second on", async () => {
    const { text } = await city.get(
      "weather",
      "/v1/forecast?latitude=-33,-34&longitude=151,150&hourly=rain&forecast_days=1",
    );
    const list = JSON.parse(text) as { location_id?: number }[];
    expect(list.map((place) => place.location_id)).toEqual([undefined, 1]);
  });

  it("converts units and echoes old names", async () => {
    const own = await ask(`/v1/forecast?${PLACE}&hourly=windspeed_10m,temperature_2m&forecast_days=1`);
    const other = await ask(
      `/v1/forecast?${PLACE}&hourly=windspeed_10m,temperature_2m&forecast_days=1&wind_speed_unit=ms&temperature_unit=fahrenheit`,
    );
    expect(other.hourly["windspeed_10m"]![3]).toBeCloseTo(own.hourly["windspeed_10m"]![3]! / 3.6, 2);
    expect(other.hourly["temperature_2m"]![3]).toBeCloseTo(own.hourly["temperature_2m"]![3]! * 1.8 + 32, 2);
    expect(other.hourly_units["temperature_2m"]).toBe("°F");
  });

  it("gives what earlier runs said of an hour as previous days", async () => {
    const answer = await ask(
      `/v1/forecast?${PLACE}&hourly=temperature_2m,temperature_2m_previous_day1&past_days=3&forecast_days=0`,
    );
    city.at(Date.parse("2026-03-08T00:00:00Z"));
    const issued = await ask(`/v1/forecast?${PLACE}&hourly=temperature_2m&forecast_days=2`);
    city.at(NOW);
    // 2026-03-09T00:00 as seen 24 hours before.
    expect(answer.hourly.time[48]).toBe("2026-03-09T00:00");
    expect(answer.hourly["temperature_2m_previous_day1"]![48]).toBe(issued.hourly["temperature_2m"]![24]);
  });

  it.each([
    [
      "/v1/forecast?latitude=91&longitude=0&hourly=rain",
      "Latitude must be in range of -90 to 90°. Given: 91.0.",
    ],
    [`/v1/forecast?${PLACE}&hourly=rain&timezone=Mars/Base`, "Invalid timezone"],
    [
      `/v1/archive?${PLACE}&hourly=rain&start_date=2026-02-02&end_date=2026-02-01`,
      "End-date must be larger or equals than start-date",
    ],
    [
      `/v1/archive?${PLACE}&hourly=rain&start_date=01.02.2026&end_date=2026-02-01`,
      "Invalid date format. Make sure to use 'YYYY-MM-DD'",
    ],
    [
      `/v1/archive?${PLACE}&hourly=rain&start_date=2026-02-01&end_date=2027-02-01`,
      "Parameter 'end_date' is out of allowed range",
    ],
    [`/v1/forecast?${PLACE}&hourly=lunacy`, "from invalid String value lunacy"],
  ])("refuses %s with its reason", async (path, reason) => {
    const { status, text } = await city.get("weather", path);
    expect(status).toBe(400);
    const body = JSON.parse(text) as Answer;
    expect(body.error).toBe(true);
    expect(body.reason).toContain(reason);
  });
});
