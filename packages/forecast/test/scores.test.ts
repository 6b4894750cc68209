import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ForecastError, scores } from "../src/index.ts";

interface Golden {
  y: number[];
  f: number[];
  label: number[];
  p: number[];
  scores: Record<string, number>;
}
const y = Float64Array.of(10, 12, 9, 15);
const f = Float64Array.of(11, 11, 10, 12);
const training = Float64Array.of(8, 10, 9, 11, 12, 10, 13);
const nothing = new Float64Array(0);
const unknown = Float64Array.of(Number.NaN);

describe("scores of a quantity", () => {
  test("have the reference's check values", () => {
    expect(scores.wape(y, f)).toBeCloseTo(0.1304347826, 10);
    expect(scores.mase(y, f, scores.seasonalScale(training, 1)!)).toBeCloseTo(0.8181818182, 10);
    expect(scores.mase(y, f, scores.seasonalScale(training, 2)!)).toBeCloseTo(1.0714285714, 10);
    expect(scores.pinball(Float64Array.of(12), Float64Array.of(10), 0.9)).toBeCloseTo(1.8, 12);
    expect(scores.pinball(Float64Array.of(12), Float64Array.of(15), 0.9)).toBeCloseTo(0.3, 12);
    expect(scores.bias(y, f)).toBeCloseTo(-2 / 46, 12);
  });

  test("agree with their definitions written out, whatever is unknown", () => {
    const value = fc.oneof(fc.constant(Number.NaN), fc.integer({ min: 0, max: 50 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value, value, value), { maxLength: 30 }), (rows) => {
        const column = (k: 0 | 1 | 2 | 3) => Float64Array.from(rows, (row) => row[k]);
        const known = (...ks: (0 | 1 | 2 | 3)[]) =>
          rows.filter((row) => ks.every((k) => !Number.isNaN(row[k])));
        const pairs = known(0, 1);
        const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
        const mean = (list: readonly number[]) => sum(list) / list.length;
        const same = (got: number | null, want: number) => {
          if (Number.isFinite(want)) expect(got).toBeCloseTo(want, 9);
          else expect(got).toBeNull();
        };
        const [a, b, lo, hi] = [column(0), column(1), column(2), column(3)];
        same(scores.wape(a, b), sum(pairs.map(([p, q]) => Math.abs(p - q))) / sum(pairs.map(([p]) => p)));
        same(scores.mape(a, b), mean(pairs.filter(([p]) => p > 0).map(([p, q]) => Math.abs(p - q) / p)));
        same(scores.mase(a, b, 7), mean(pairs.map(([p, q]) => Math.abs(p - q) / 7)));
        same(scores.rmse(a, b), Math.sqrt(mean(pairs.map(([p, q]) => (p - q) ** 2))));
        same(scores.rmsle(a, b), Math.sqrt(mean(pairs.map(([p, q]) => Math.log((p + 1) / (q + 1)) ** 2))));
        const centre = mean(pairs.map(([p]) => p));
        const spread = sum(pairs.map(([p]) => (p - centre) ** 2));
        same(
          scores.r2(a, b),
          spread > 1e-9 ? 1 - sum(pairs.map(([p, q]) => (p - q) ** 2)) / spread : Number.NaN,
        );
        same(scores.bias(a, b), sum(pairs.map(([p, q]) => q - p)) / sum(pairs.map(([p]) => p)));
        same(scores.pinball(a, b, 0.1), mean(pairs.map(([p, q]) => Math.max(0.1 * (p - q), 0.9 * (q - p)))));
        const triples = known(0, 2, 3);
        same(scores.coverage(a, lo, hi), mean(triples.map(([p, , l, h]) => Number(l <= p && p <= h))));
        same(
          scores.relativeWidth(a, lo, hi),
          sum(triples.map(([, , l, h]) => h - l)) / sum(triples.map(([p]) => p)),
        );
      }),
    );
  });

  test("are null where they cannot be computed", () => {
    const zero = Float64Array.of(0, 0);
    for (const score of [scores.wape, scores.mape, scores.rmse, scores.rmsle, scores.r2, scores.bias]) {
      expect(score(nothing, nothing)).toBeNull();
      expect(score(unknown, unknown)).toBeNull();
    }
    expect(scores.wape(zero, y.subarray(0, 2))).toBeNull();
    expect(scores.mape(zero, y.subarray(0, 2))).toBeNull();
    expect(scores.bias(zero, y.subarray(0, 2))).toBeNull();
    expect(scores.r2(zero, y.subarray(0, 2))).toBeNull();
    expect(scores.mase(y, f, 0)).toBeNull();
    expect(scores.rmsle(Float64Array.of(-2), Float64Array.of(1))).toBeNull();
    expect(scores.seasonalScale(training, 7)).toBeNull();
    expect(scores.coverage(unknown, zero.subarray(1), zero.subarray(1))).toBeNull();
  });

  test("a value on the bound of its interval is covered", () => {
    const on = Float64Array.of(5, 5, 5);
    const lo = Float64Array.of(5, 1, 6);
    const hi = Float64Array.of(9, 5, 7);
    expect(scores.coverage(on, lo, hi)).toBeCloseTo(2 / 3, 12);
    expect(scores.groupScores(on, on, lo, hi, new Int32Array(3), 1).coverage[0]).toBeCloseTo(2 / 3, 12);
  });

  test("MASE takes a scale per row and leaves out rows without one", () => {
    expect(scores.mase(y, f, Float64Array.of(1, 2, 0, Number.NaN))).toBeCloseTo((1 + 0.5) / 2, 12);
  });

  test("refuse arrays of different lengths", () => {
    expect(() => scores.wape(y, nothing)).toThrow(ForecastError);
    expect(() => scores.mase(y, f, nothing)).toThrow(/scale has 0 values, expected 4/);
  });
});

describe("scores by group", () => {
  test("are those of each group's rows alone", () => {
    const actual = Float64Array.of(10, 12, 0, 15, 7, 3);
    const forecast = Float64Array.of(11, 11, 1, 12, Number.NaN, 3);
    const lo = Float64Array.of(9, 12.5, 0, 10, 1, 1);
    const hi = Float64Array.of(13, 14, 2, 14, 9, 9);
    const table = scores.groupScores(actual, forecast, lo, hi, Int32Array.of(0, 0, 2, 0, 0, -1), 3);
    const mine = [0, 1, 3];
    const pick = (values: Float64Array) => Float64Array.from(mine, (i) => values[i]!);
    expect([...table.n]).toEqual([3, 0, 1]);
    expect(table.wape[0]).toBeCloseTo(scores.wape(pick(actual), pick(forecast))!, 12);
    expect(table.mape[0]).toBeCloseTo(scores.mape(pick(actual), pick(forecast))!, 12);
    expect(table.bias[0]).toBeCloseTo(scores.bias(pick(actual), pick(forecast))!, 12);
    expect(table.coverage[0]).toBeCloseTo(scores.coverage(pick(actual), pick(lo), pick(hi))!, 12);
    expect(table.width[0]).toBeCloseTo(scores.relativeWidth(pick(actual), pick(lo), pick(hi))!, 12);
    expect(table.wape[1]).toBeNaN();
    expect(table.wape[2]).toBeNaN(); // its y is 0
    expect(table.coverage[2]).toBe(1);
  });

  test("without intervals have no coverage", () => {
    const table = scores.groupScores(y, f, null, null, new Int32Array(4), 1);
    expect(table.n[0]).toBe(4);
    expect(table.wape[0]).toBeCloseTo(0.1304347826, 10);
    expect(table.coverage[0]).toBeNaN();
    expect(table.width[0]).toBeNaN();
  });

  test("refuse a group that is not there", () => {
    expect(() => scores.groupScores(y, f, null, null, Int32Array.of(0, 1, 2, 3), 3)).toThrow(
      /row 3 has group 3/,
    );
  });
});

describe("scores of a binary target", () => {
  test("average precision has the textbook value", () => {
    // Ranks 1, 3 and 5 are positive: (1/1 + 2/3 + 3/5) / 3.
    const label = Uint8Array.of(1, 0, 1, 0, 1);
    const p = Float64Array.of(0.9, 0.8, 0.7, 0.6, 0.5);
    expect(scores.averagePrecision(label, p)).toBeCloseTo((1 + 2 / 3 + 3 / 5) / 3, 12);
  });

  test("ranking scores do not depend on the order of rows, tied or not", () => {
    const row = fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 4 }));
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        const columns = (list: typeof rows) =>
          [Float64Array.from(list, (r) => r[0]), Float64Array.from(list, (r) => r[1] / 4)] as const;
        const forward = columns(rows);
        const backward = columns(rows.toReversed());
        expect(scores.averagePrecision(...forward)).toEqual(scores.averagePrecision(...backward));
        expect(scores.recallAtAlarmRate(...forward, 0.3)).toEqual(scores.recallAtAlarmRate(...backward, 0.3));
      }),
    );
  });

  test("agree with their definitions written out", () => {
    const row = fc.tuple(
      fc.constantFrom(0, 1, Number.NaN),
      fc.oneof(fc.constant(Number.NaN), fc.integer({ min: 0, max: 20 })),
    );
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), (rows) => {
        const label = Float64Array.from(rows, (r) => r[0]);
        const p = Float64Array.from(rows, (r) => r[1] / 20);
        const known = rows.flatMap(([a, b]) => (Number.isNaN(a + b) ? [] : [{ y: a, p: b / 20 }]));
        const positives = known.filter((r) => r.y === 1).length;
        const at = (threshold: number) => {
          const alarms = known.filter((r) => r.p >= threshold);
          const hits = alarms.filter((r) => r.y === 1).length;
          return { hits, precision: hits / alarms.length, f1: (2 * hits) / (alarms.length + positives) };
        };
        const thresholds = [...new Set(known.map((r) => r.p))].sort((a, b) => b - a);
        if (positives === 0) {
          expect(scores.averagePrecision(label, p)).toBeNull();
          expect(scores.bestF1(label, p)).toBeNull();
          expect(scores.recallAtAlarmRate(label, p, 0.5)).toBeNull();
          return;
        }
        let precision = 0;
        let before = 0;
        for (const threshold of thresholds) {
          const { hits, precision: here } = at(threshold);
          precision += ((hits - before) / positives) * here;
          before = hits;
        }
        expect(scores.averagePrecision(label, p)).toBeCloseTo(precision, 12);
        const best = scores.bestF1(label, p)!;
        expect(best.f1).toBeCloseTo(Math.max(...thresholds.map((t) => at(t).f1)), 12);
        expect(scores.f1(label, p, best.threshold)).toBe(best.f1);
        expect(scores.f1(label, p, 0.5)).toBeCloseTo(at(0.5).f1, 12);
        const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
        expect(scores.brier(label, p)).toBeCloseTo(mean(known.map((r) => (r.p - r.y) ** 2)), 12);
        let gap = 0;
        for (let b = 0; b < 15; b++) {
          const bin = known.filter((r) => Math.min(14, Math.floor(r.p * 15)) === b);
          if (bin.length === 0) continue;
          gap +=
            (bin.length / known.length) * Math.abs(mean(bin.map((r) => r.p)) - mean(bin.map((r) => r.y)));
        }
        expect(scores.expectedCalibrationError(label, p)).toBeCloseTo(gap, 12);
        expect(scores.probabilityBias(label, p)).toBeCloseTo(
          mean(known.map((r) => r.p)) / mean(known.map((r) => r.y)),
          12,
        );
        for (const by of ["rows", "width"] as const) {
          const bins = scores.reliability(label, p, by);
          const sum = (of: (bin: scores.ReliabilityBin) => number) =>
            bins.reduce((total, bin) => total + of(bin), 0);
          expect(sum((bin) => bin.rows)).toBe(known.length);
          expect(sum((bin) => bin.rows * bin.came)).toBeCloseTo(positives, 9);
          for (const [i, bin] of bins.entries()) {
            const inside = known.filter((r) => r.p >= bin.from && r.p <= bin.to);
            expect(inside).toHaveLength(bin.rows);
            expect(bin.forecast).toBeCloseTo(mean(inside.map((r) => r.p)), 12);
            if (i > 0) expect(bin.from).toBeGreaterThan(bins[i - 1]!.to);
            if (by === "width")
              expect(Math.floor(10 * bin.to) - Math.floor(10 * bin.from)).toBeLessThanOrEqual(1);
          }
        }
      }),
    );
  });

  test("recall at an alarm rate counts whole alarms and shares them among ties", () => {
    const label = Float64Array.from({ length: 200 }, (_, i) => Number(i < 4));
    const ranked = Float64Array.from({ length: 200 }, (_, i) => 1 - i / 200);
    expect(scores.recallAtAlarmRate(label, ranked, 0.01)).toBe(0.5);
    expect(scores.recallAtAlarmRate(label, ranked, 0.014)).toBe(0.5);
    expect(scores.recallAtAlarmRate(label, new Float64Array(200), 0.01)).toBeCloseTo(0.01, 12);
    expect(scores.recallAtAlarmRate(label, ranked, 0)).toBe(0);
    expect(scores.atAlarmRate(scores.rankingOf(label, ranked), 0.03)).toEqual({
      recall: 1,
      precision: 4 / 6,
    });
    expect(scores.atAlarmRate(scores.rankingOf(label, ranked), 0)).toEqual({ recall: 0, precision: null });
  });

  test("reliability by rows has bins of equally many, lowest first", () => {
    const p = Float64Array.from({ length: 100 }, (_, i) => ((i * 37) % 100) / 200);
    const label = p.map((value) => (value >= 0.45 ? 1 : 0));
    const bins = scores.reliability(label, p, "rows");
    expect(bins.map(({ rows }) => rows)).toEqual(new Array(10).fill(10));
    expect(bins.map(({ came }) => came)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(bins[9]).toMatchObject({ from: 0.45, to: 0.495 });
    // Equal probabilities stay together.
    expect(scores.reliability(label, new Float64Array(100).fill(0.2), "rows")).toHaveLength(1);
  });
});

describe("scores", () => {
  test("are scikit-learn's", () => {
    const golden: Golden = JSON.parse(readFileSync(new URL("golden/scores.json", import.meta.url), "utf8"));
    const [actual, forecast, p] = [golden.y, golden.f, golden.p].map((values) => Float64Array.from(values));
    const label = Uint8Array.from(golden.label);
    const ours = {
      mape: scores.mape(actual!, forecast!),
      wape: scores.wape(actual!, forecast!),
      rmse: scores.rmse(actual!, forecast!),
      rmsle: scores.rmsle(actual!, forecast!),
      r2: scores.r2(actual!, forecast!),
      pinball10: scores.pinball(actual!, forecast!, 0.1),
      pinball90: scores.pinball(actual!, forecast!, 0.9),
      averagePrecision: scores.averagePrecision(label, p!),
      brier: scores.brier(label, p!),
      f1at30: scores.f1(label, p!, 0.3),
    };
    for (const [name, value] of Object.entries(ours))
      expect(value, name).toBeCloseTo(golden.scores[name]!, 10);
  });
});
