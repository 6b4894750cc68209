import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Detector,
  detectAnomalies,
  levelShifts,
  type Observed,
  RESIDUAL_DETECTOR,
} from "../src/index.ts";
import { quantileSorted } from "../src/quantile.ts";
import { normalOf, randomOf } from "../src/random.ts";
import { RollingQuantiles } from "../src/rolling-quantiles.ts";

const detectors: Detector[] = [
  RESIDUAL_DETECTOR,
  { name: "weekdayMad", season: 7, seasons: 8, floor: 0.05, alarm: 3.2 },
  { name: "plainZScore", window: 90, minimum: 30, alarm: 3 },
  { name: "interval", alarm: 1 },
];

/** A weekly rhythm with normal noise of 10 %, forecast by the rhythm itself. */
function ordinaryDays(days: number, seed: number) {
  const normal = normalOf(randomOf(seed));
  const forecast = Float64Array.from({ length: days }, (_, t) => 500 - (t % 7 >= 5 ? 200 : 0));
  const actual = forecast.map((f) => Math.round(f * Math.exp(0.1 * normal())));
  return { actual, forecast, low: forecast.map((f) => f * 0.8), high: forecast.map((f) => f * 1.25) };
}
const changed = (observed: Observed, factor: (t: number) => number): Observed => ({
  ...observed,
  actual: observed.actual.map((y, t) => Math.round(y * factor(t))),
});

describe("rolling quantiles", () => {
  test("are those of the sorted window, unknown values skipped", () => {
    const value = fc.oneof(fc.constant(Number.NaN), fc.integer({ min: 0, max: 9 }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 40 }), fc.integer({ min: 1, max: 8 }), (values, window) => {
        const rolling = new RollingQuantiles(window);
        for (const [t, pushed] of values.entries()) {
          rolling.push(pushed);
          const known = values
            .slice(Math.max(0, t + 1 - window), t + 1)
            .filter((v) => !Number.isNaN(v))
            .sort((a, b) => a - b);
          expect(rolling.known).toBe(known.length);
          for (const tau of [0.5, 0.75]) {
            expect(rolling.at(tau)).toBe(quantileSorted(Float64Array.from(known), tau));
          }
        }
      }),
    );
  });
});

describe("anomalies", () => {
  test("the residual score has its definition's value", () => {
    const observed = ordinaryDays(130, 1);
    const ratio = (t: number) => Math.log1p(observed.actual[t]!) - Math.log1p(observed.forecast[t]!);
    const before = Array.from({ length: 90 }, (_, k) => Math.abs(ratio(30 + k))).sort((a, b) => a - b);
    // Three quarters of the way from the first of 90 values to the last.
    const scale = (0.25 * before[66]! + 0.75 * before[67]!) / 1.1503493803760079;
    const { score, verdict } = detectAnomalies(observed, RESIDUAL_DETECTOR);
    expect(score[120]).toBeCloseTo(ratio(120) / scale, 12);
    expect(verdict.slice(0, 30).every((v) => v === "unknown")).toBe(true);
    expect(verdict[30]).not.toBe("unknown");
  });

  test("a day half loaded is a fault, a day of 80 % more is high, a missing day is unknown", () => {
    const days = changed(ordinaryDays(200, 2), (t) => (t === 150 ? 0.5 : t === 160 ? 1.8 : 1));
    days.actual[170] = Number.NaN;
    const { verdict } = detectAnomalies(days, RESIDUAL_DETECTOR);
    expect([verdict[150], verdict[160], verdict[170]]).toEqual(["fault", "high", "unknown"]);
  });

  test.each(detectors)("$name: what comes later changes no verdict", (detector) => {
    const days = ordinaryDays(200, 3);
    const { score } = detectAnomalies(days, detector);
    const later = detectAnomalies(
      changed(days, (t) => (t > 150 ? 3 : 1)),
      detector,
    );
    expect(later.score.slice(0, 151)).toEqual(score.slice(0, 151));
    expect(later.score[151]).not.toBe(score[151]);
  });

  test("an alarm beyond 3.2 is rare on ordinary days, and none of the others finds more at 2 % alarms", () => {
    const days = ordinaryDays(3000, 4);
    const recall = (detector: Detector) => {
      const clean = [...detectAnomalies(days, detector).score].filter((z) => !Number.isNaN(z)).map(Math.abs);
      const threshold = clean.toSorted((a, b) => b - a)[Math.floor(0.02 * clean.length)]!;
      // Each odd day alone among ordinary ones, as a day cannot widen its own scale.
      let found = 0;
      let odd = 0;
      for (let offset = 200; offset < 3000; offset += 97) {
        const { score } = detectAnomalies(
          changed(days, (t) => (t === offset ? 1.4 : 1)),
          detector,
        );
        odd++;
        if (Math.abs(score[offset]!) > threshold) found++;
      }
      return found / odd;
    };
    const { verdict } = detectAnomalies(days, RESIDUAL_DETECTOR);
    const alarms = verdict.filter((v) => v !== "normal" && v !== "unknown").length;
    expect(alarms / 3000).toBeLessThan(0.005);
    const [residual, weekday, plain] = detectors.map(recall);
    expect(residual).toBeGreaterThan(0.8);
    expect(weekday).toBeLessThan(residual!);
    expect(plain).toBeLessThan(residual!);
  });

  test("the interval detector alarms outside the interval and not on its bounds", () => {
    const actual = Float64Array.of(79, 80, 100, 120, 121);
    const bound = (value: number) => new Float64Array(5).fill(value);
    const { verdict } = detectAnomalies(
      { actual, low: bound(80), high: bound(120) },
      { name: "interval", alarm: 1 },
    );
    expect(verdict).toEqual(["low", "normal", "normal", "normal", "high"]);
  });

  test("what a detector needs and does not get is said", () => {
    const { actual } = ordinaryDays(40, 1);
    expect(() => detectAnomalies({ actual }, RESIDUAL_DETECTOR)).toThrow(/needs a forecast/);
    expect(() => detectAnomalies({ actual }, { name: "interval", alarm: 1 })).toThrow(/needs low and high/);
    expect(() => detectAnomalies({ actual }, { name: "interval", alarm: 0 })).toThrow(/alarm is 0/);
    const forecast = new Float64Array(40).fill(-1);
    expect(() => detectAnomalies({ actual, forecast }, RESIDUAL_DETECTOR)).toThrow(/step 0 has -1/);
  });
});

describe("level shifts", () => {
  const shiftsOf = (observed: Observed) =>
    levelShifts(observed, detectAnomalies(observed, RESIDUAL_DETECTOR).score);

  test("a lasting change is dated to its first day, confirmed on the fifth, sized, and ended", () => {
    for (const [seed, factor] of [1.3, 0.7, 1.5].entries()) {
      const days = changed(ordinaryDays(300, seed), (t) => (t >= 200 && t < 230 ? factor : 1));
      const shift = shiftsOf(days).find((s) => s.confirmedAt >= 200)!;
      expect(Math.abs(shift.from - 200)).toBeLessThanOrEqual(1);
      expect(Math.abs(shift.confirmedAt - 204)).toBeLessThanOrEqual(2);
      expect(Math.abs(shift.factor / factor - 1)).toBeLessThan(0.12);
      expect(shift.to).toBeGreaterThanOrEqual(230);
      expect(shift.to).toBeLessThanOrEqual(235);
    }
  });

  test("a single odd day, however odd, is hardly ever taken for a shift, nor are two in a row", () => {
    const more = (isOdd: (t: number) => boolean) => {
      let shifts = 0;
      for (let seed = 0; seed < 40; seed++) {
        const days = ordinaryDays(300, seed);
        shifts += shiftsOf(changed(days, (t) => (isOdd(t) ? 0.1 : 1))).length - shiftsOf(days).length;
      }
      return shifts / (40 * 7); // 7 odd days or pairs in each
    };
    expect(more((t) => t % 40 === 30)).toBeLessThan(0.03);
    expect(more((t) => t % 40 === 30 || t % 40 === 31)).toBeLessThan(0.1);
  });

  test("are rare on ordinary days: about one in a thousand", () => {
    let shifts = 0;
    for (let seed = 0; seed < 20; seed++) shifts += shiftsOf(ordinaryDays(1030, seed)).length;
    expect(shifts / 20_000).toBeGreaterThan(0.0001);
    expect(shifts / 20_000).toBeLessThan(0.002);
  });

  test("unknown days do not break a run, and a shift that lasts has no end", () => {
    const days = changed(ordinaryDays(260, 9), (t) => (t >= 240 ? 1.5 : 1));
    days.actual[242] = Number.NaN;
    const shift = shiftsOf(days).at(-1)!;
    expect(shift).toMatchObject({ from: 240, confirmedAt: 245, to: null });
  });

  test("what is confirmed does not depend on what comes later", () => {
    const days = changed(ordinaryDays(300, 5), (t) => (t >= 200 ? 1.4 : 1));
    const [shift] = shiftsOf(days).filter((s) => s.from >= 195);
    const cut = (values: Float64Array | undefined) => values!.slice(0, shift!.confirmedAt + 1);
    const short = { actual: cut(days.actual), forecast: cut(days.forecast) };
    expect(shiftsOf(short).at(-1)).toEqual({ ...shift!, to: null });
  });
});
