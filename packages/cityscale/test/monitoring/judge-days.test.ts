import { expect, test } from "vitest";
import type { AnomalyRule } from "../../src/domain/index.ts";
import { type DaySums, judgeDays } from "../../src/monitoring/index.ts";
import { randomOf } from "../lake/support.ts";

const rule: AnomalyRule = { detector: "residual", threshold: 3.2, faultThreshold: 4 };

/** Days forecast at a level, counted with noise of 5 %, and changed. */
function days(level: number, change: (t: number) => number, count = 150): DaySums {
  const random = randomOf(3);
  const noise = () => Math.exp(0.1 * (random() + random() + random() - 1.5));
  const forecast = new Float64Array(count).fill(level);
  const actual = forecast.map((value, t) => Math.round(value * noise() * change(t)));
  const knownAt = new Float64Array(count);
  return { e: 0, entity: "a", firstDay: 20_000, actual, forecast, low: forecast, high: forecast, knownAt };
}

test("half a day is half loaded, twice as much is an anomaly, and without a fault threshold both are", () => {
  const odd = days(1000, (t) => (t === 100 ? 0.5 : t === 120 ? 2 : 1));
  expect([100, 120].map((t) => judgeDays(odd, rule).kind[t])).toEqual(["half-loaded", "anomaly"]);
  const { kind } = judgeDays(odd, { ...rule, faultThreshold: null });
  expect([100, 120].map((t) => kind[t])).toEqual(["anomaly", "anomaly"]);
});

test("where a few are expected, none is no half-loaded day", () => {
  const scarce = judgeDays(
    days(4, (t) => (t === 100 ? 0 : 1)),
    rule,
  );
  expect(scarce.score[100]).toBeLessThan(-4);
  expect(scarce.kind[100]).toBe("anomaly");
});

test("once a shift is confirmed its days are its own, but a day to the other side is not", () => {
  const { kind, shifts } = judgeDays(
    days(1000, (t) => (t === 112 ? 2 : t >= 100 ? 0.5 : 1)),
    rule,
  );
  expect(shifts).toMatchObject([{ to: null }]);
  const { confirmedAt } = shifts[0]!;
  expect(kind.slice(100, confirmedAt)).toEqual(Array(confirmedAt - 100).fill("half-loaded"));
  expect(kind.slice(confirmedAt).flatMap((found, i) => (found === null ? [] : [confirmedAt + i]))).toEqual([
    112,
  ]);
});

test("what comes later changes nothing that was said", () => {
  const all = days(1000, (t) => (t === 90 ? 0.4 : t >= 110 ? 1.6 : 1));
  const short = judgeDays(
    {
      ...all,
      actual: all.actual.slice(0, 112),
      forecast: all.forecast.slice(0, 112),
      low: all.low.slice(0, 112),
      high: all.high.slice(0, 112),
    },
    rule,
  );
  expect(judgeDays(all, rule).kind.slice(0, 112)).toEqual(short.kind);
});
