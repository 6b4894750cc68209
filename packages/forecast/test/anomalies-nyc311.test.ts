import { describe, expect, test } from "vitest";
import { type Detector, detectAnomalies, RESIDUAL_DETECTOR } from "../src/index.ts";
import { dayOf, forecastOneDayAhead, HALF_LOADED, nyc311Folder, readSeries } from "./nyc311.ts";

const folder = nyc311Folder();

/** Share of days found when one day at a time is multiplied and 2 % of the ordinary days raise an alarm. */
function recalls(detector: Detector, days: readonly { actual: Float64Array; forecast: Float64Array }[]) {
  const from = dayOf("2024-10-01");
  const scored = days.map((observed) => ({ observed, score: detectAnomalies(observed, detector).score }));
  const clean = scored.flatMap(({ score }) =>
    [...score.slice(from)].filter((z) => !Number.isNaN(z)).map(Math.abs),
  );
  const threshold = clean.toSorted((a, b) => a - b)[Math.floor(0.98 * clean.length)]!;
  const found = (factor: number) => {
    let hits = 0;
    let odd = 0;
    for (const { observed, score } of scored) {
      for (let t = from; t < score.length; t++) {
        if (Number.isNaN(score[t]!)) continue;
        const window = (values: Float64Array) => values.slice(t - 91, t + 1);
        const [actual, forecast] = [window(observed.actual), window(observed.forecast)];
        actual[91]! *= factor;
        odd++;
        if (Math.abs(detectAnomalies({ actual, forecast }, detector).score[91]!) > threshold) hits++;
      }
    }
    return hits / odd;
  };
  return { threshold, more40: found(1.4), more80: found(1.8), half: found(0.5) };
}

describe.skipIf(!folder)(
  folder ? "anomalies of 311 requests" : "anomalies of 311 requests (skipped: no data)",
  () => {
    const masked = folder ? readSeries(folder) : new Map<string, Float64Array>();
    const total = masked.get("ALL 311")?.slice();
    for (const day of HALF_LOADED) masked.get("ALL 311")?.fill(Number.NaN, day, day + 1);
    const days = [...masked.values()].map((actual) => ({
      actual,
      forecast: forecastOneDayAhead(actual, dayOf("2024-05-01")),
    }));

    // The recipe in Python, without weather too, and by the median residual: recall .322, .518, .573; weekday .067,
    // .235, .277.
    test("at 2 % alarms more is found than by the median residual", () => {
      const residual = recalls(RESIDUAL_DETECTOR, days);
      expect(residual.more40).toBeGreaterThan(0.322);
      expect(residual.more80).toBeGreaterThan(0.518);
      expect(residual.half).toBeGreaterThan(0.573);
      const weekday = recalls({ name: "weekdayMad", season: 7, seasons: 8, floor: 0.05, alarm: 3.2 }, days);
      expect(Math.abs(weekday.more40 - 0.067)).toBeLessThan(0.01);
      expect(Math.abs(weekday.more80 - 0.235)).toBeLessThan(0.01);
      expect(Math.abs(weekday.half - 0.277)).toBeLessThan(0.01);
    });

    test("all seven half-loaded days are found, and most of such alarms are these", () => {
      const forecast = forecastOneDayAhead(masked.get("ALL 311")!, dayOf("2022-01-01"));
      const { verdict } = detectAnomalies({ actual: total!, forecast }, RESIDUAL_DETECTOR);
      expect(HALF_LOADED.map((day) => verdict[day])).toEqual(Array(7).fill("fault"));
      const faults = verdict.slice(dayOf("2023-06-01")).filter((v) => v === "fault").length;
      expect(7 / faults).toBeGreaterThan(0.6);
    });
  },
);
