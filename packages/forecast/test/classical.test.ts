import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { prophetOptimum } from "../src/classical/prophet-optimum.ts";
import { classical, ForecastError, scores } from "../src/index.ts";
import { randomOf } from "../src/random.ts";

type Band = Record<"point" | "low" | "high", number[]>;
interface Golden {
  y: number[];
  truth: number[];
  prophet: Band;
  ets: Band;
  mstl: Band;
}
const golden: Golden = JSON.parse(readFileSync(new URL("golden/classical.json", import.meta.url), "utf8"));
const stepMs = 86_400_000;
const startMs = Date.UTC(2022, 0, 3);
const lastDays = (days: number): classical.Series => ({
  startMs: startMs + (golden.y.length - days) * stepMs,
  stepMs,
  values: Float64Array.from(golden.y.slice(-days)),
});
const all = lastDays(golden.y.length);
const kinds = {
  prophet: (series: classical.Series) => classical.fitProphet(series, { coverage: 0.8, seed: 1 }),
  ets: (series: classical.Series) => classical.fitEts(series, { coverage: 0.8 }),
  mstl: (series: classical.Series) => classical.fitMstl(series, { coverage: 0.8, periods: [7] }),
};

/** Largest difference from `wanted`, as a share of it. */
function apart(got: Float64Array, wanted: readonly number[]): number {
  return wanted.reduce((most, value, i) => Math.max(most, Math.abs(got[i]! / value - 1)), 0);
}
const meanWidth = ({ low, high }: { low: ArrayLike<number>; high: ArrayLike<number> }) =>
  Array.from(low, (value, h) => high[h]! - value).reduce((a, b) => a + b) / low.length;

describe("classical models", () => {
  test("ETS forecasts and its interval are statsforecast's", () => {
    const forecast = kinds.ets(lastDays(200)).predict(28);
    for (const part of ["point", "low", "high"] as const) {
      expect(apart(forecast[part], golden.ets[part])).toBeLessThan(1e-4);
    }
  });

  test("MSTL forecasts and its interval are statsforecast's to 0.5 %", () => {
    const forecast = kinds.mstl(lastDays(400)).predict(28);
    for (const part of ["point", "low", "high"] as const) {
      expect(apart(forecast[part], golden.mstl[part])).toBeLessThan(0.005);
    }
  });

  test("Prophet forecasts are those of Prophet to 0.5 %, its interval is as wide to 2 %", () => {
    const forecast = kinds.prophet(all).predict(28);
    expect(apart(forecast.point, golden.prophet.point)).toBeLessThan(0.005);
    expect(Math.abs(meanWidth(forecast) / meanWidth(golden.prophet) - 1)).toBeLessThan(0.02);
    const truth = Float64Array.from(golden.truth);
    const reference = scores.wape(truth, Float64Array.from(golden.prophet.point))!;
    expect(scores.wape(truth, forecast.point)!).toBeLessThan(reference * 1.02);
  });

  test.each(Object.entries(kinds))(
    "%s: saved and loaded it gives equal forecasts and equal bytes",
    (kind, fit) => {
      const fitted = fit(all);
      const bytes = fitted.toBytes();
      const loaded = classical.seriesFromBytes(fitted.kind, bytes);
      expect(fitted.kind).toBe(kind);
      expect(loaded.predict(14)).toEqual(fitted.predict(14));
      expect(loaded.toBytes()).toEqual(bytes);
      const altered = bytes.slice();
      altered[bytes.length >> 1]! ^= 1;
      for (const bad of [new Uint8Array(0), bytes.subarray(1), altered]) {
        expect(() => classical.seriesFromBytes(fitted.kind, bad)).toThrow(ForecastError);
      }
    },
  );

  test.each(Object.entries(kinds))("%s: gaps are borne, the input is not changed", (kind, fit) => {
    const values = all.values.slice();
    for (const t of [0, 10, 11, 12, 400, 401, 402, 403, 404, 405, 406, values.length - 1])
      values[t] = Number.NaN;
    const before = values.slice();
    const fitted = fit({ ...all, values });
    expect(values).toEqual(before);
    expect(fitted.filled).toBe(kind === "prophet" ? 0 : 12);
    const { point, low, high } = fitted.predict(28);
    expect(apart(point, [...fit(all).predict(28).point])).toBeLessThan(0.1);
    expect(point.every((value, h) => low[h]! <= value && value <= high[h]!)).toBe(true);
  });

  test.each(Object.entries(kinds))("%s: a constant series goes on as it is", (_, fit) => {
    const { point } = fit({ ...all, values: new Float64Array(100).fill(40) }).predict(7);
    for (const value of point) expect(Math.abs(value / 40 - 1)).toBeLessThan(0.01);
  });

  test("Prophet's interval widens with the horizon and follows its coverage and its seed", () => {
    const wide = classical.fitProphet(all, { coverage: 0.95, seed: 1 }).predict(200);
    const narrow = classical.fitProphet(all, { coverage: 0.5, seed: 1 }).predict(200);
    expect(meanWidth(wide)).toBeGreaterThan(2 * meanWidth(narrow));
    expect(wide.high[199]! - wide.low[199]!).toBeGreaterThan(1.05 * (wide.high[0]! - wide.low[0]!));
    expect(classical.fitProphet(all, { coverage: 0.95, seed: 2 }).predict(200).low).not.toEqual(wide.low);
  });

  test("Prophet's optimum is one: no small change of any parameter makes it more probable", () => {
    const random = randomOf(8);
    const [T, S] = [120, 6];
    const t = Array.from({ length: T }, (_, i) => i / (T - 1));
    const X = t.map((x) => [Math.sin(40 * x), Math.cos(40 * x)]);
    const data = {
      ...{ T, S, K: 2, t, X: X as unknown as number[], cap: [], tau: 0.05, trend_indicator: 0 },
      y: t.map((x) => 0.4 + 0.3 * x + 0.5 * Math.max(0, x - 0.5) + 0.1 * Math.sin(40 * x) + 0.05 * random()),
      t_change: Array.from({ length: S }, (_, s) => (s + 1) / 8),
      sigmas: [10, 10],
      s_a: [1, 1],
      s_m: [0, 0],
    };
    const optimum = prophetOptimum(data);
    // prophet.stan, written out; the parameters in one list.
    const logPosterior = ([k, m, sigma, ...rest]: number[]) => {
      const [delta, beta] = [rest.slice(0, S), rest.slice(S)];
      let log = -T * Math.log(sigma!) - k! ** 2 / 50 - m! ** 2 / 50 - 2 * sigma! ** 2;
      for (const d of delta) log -= Math.abs(d) / data.tau;
      for (const b of beta) log -= b ** 2 / 200;
      for (let i = 0; i < T; i++) {
        let mean = k! * t[i]! + m! + beta[0]! * X[i]![0]! + beta[1]! * X[i]![1]!;
        for (let s = 0; s < S; s++) mean += delta[s]! * Math.max(0, t[i]! - data.t_change[s]!);
        log -= (data.y[i]! - mean) ** 2 / (2 * sigma! ** 2);
      }
      return log;
    };
    const { k, m, sigma, delta, beta } = optimum;
    const best = [k, m, sigma, ...delta, ...beta];
    const at = logPosterior(best);
    for (const j of best.keys()) {
      for (const step of [-0.003, 0.003]) {
        expect(logPosterior(best.map((value, i) => (i === j ? value + step : value)))).toBeLessThan(at);
      }
    }
    expect(delta.filter((d) => Math.abs(d) > 1e-3).length).toBeLessThan(S);
    for (let trial = 0; trial < 2000; trial++) {
      const near = best.map((value) => value + 0.002 * (random() - 0.5));
      expect(logPosterior(near)).toBeLessThan(at + 1e-3);
    }
  });

  test("what cannot be fitted is said", () => {
    const empty = { ...all, values: new Float64Array(50).fill(Number.NaN) };
    for (const fit of Object.values(kinds)) expect(() => fit(empty)).toThrow(/0 of 50 values are known/);
    expect(() => classical.fitEts(all, { coverage: 80 })).toThrow(/coverage is 80/);
    expect(() => classical.fitMstl(all, { coverage: 0.8, periods: [] })).toThrow(/periods are/);
    expect(() => kinds.mstl({ ...all, values: all.values.slice(0, 13) })).toThrow(/two seasons of 7/);
    expect(() => kinds.ets(all).predict(0)).toThrow(/horizon is 0/);
  });
});
