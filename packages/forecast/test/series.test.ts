import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { conformalQuantile, leadOffsets } from "../src/conformal.ts";
import { baselines, ForecastError, splits, type TransformSpec, transformOf } from "../src/index.ts";

const hour = 3_600_000;

describe("naive forecasts", () => {
  test("skip what is unknown, within a fixed window", () => {
    const past = [Number.NaN, 4, 10, Number.NaN, 1, 100];
    expect(baselines.lastSeason(past)).toBe(4);
    expect(baselines.meanOf(past, 4)).toBe(7);
    expect(baselines.medianOf(past, 5)).toBe(4);
    expect(baselines.medianOf(past, 4)).toBe(7);
    expect(baselines.quantileOf(past, 6, 0.25)).toBeCloseTo(3.25, 12);
    expect(past[1]).toBe(4);
  });

  test("are NaN where nothing is known", () => {
    for (const past of [[], [Number.NaN, Number.NaN]]) {
      expect(baselines.lastSeason(past)).toBeNaN();
      expect(baselines.meanOf(past, 2)).toBeNaN();
      expect(baselines.medianOf(past, 2)).toBeNaN();
    }
    expect(baselines.meanOf([Number.NaN, 5], 1)).toBeNaN();
  });

  test("quantiles lie between the extremes and rise with the level", () => {
    const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(values, (past) => {
        const at = [0, 0.1, 0.5, 0.9, 1].map((tau) => baselines.quantileOf(past, past.length, tau));
        expect(at[0]! - Math.min(...past)).toBe(0); // -0 and 0 are one value here
        expect(at[4]! - Math.max(...past)).toBe(0);
        for (let k = 1; k < at.length; k++) expect(at[k]).toBeGreaterThanOrEqual(at[k - 1]!);
      }),
    );
  });
});

describe("splits", () => {
  test("rolling origins leave out the end", () => {
    expect(splits.rollingOrigins({ fromMs: 0, toMs: 3 * hour, everyMs: hour })).toEqual([0, hour, 2 * hour]);
    expect(splits.rollingOrigins({ fromMs: 5, toMs: 5, everyMs: hour })).toEqual([]);
    expect(() => splits.rollingOrigins({ fromMs: 0, toMs: 1, everyMs: 0 })).toThrow(ForecastError);
  });

  test("a refit comes at the first origin after its time, and every origin has one fit", () => {
    const origins = [0, 10, 20, 45, 50, 80];
    const plan = splits.expandingWindows(origins, { refitEveryMs: 20 });
    expect(plan.map((split) => split.origins)).toEqual([[0, 10], [20], [45, 50], [80]]);
  });

  test("nothing is trained on that was not known at the first origin of its fit", () => {
    const [split] = splits.expandingWindows([100 * hour], {
      refitEveryMs: 24 * hour,
      knownAfterMs: 3 * hour,
    });
    expect(97 * hour < split!.trainBefore).toBe(true); // known at 100 h exactly
    expect(97 * hour + 1 < split!.trainBefore).toBe(false);
  });

  test("origins must ascend", () => {
    expect(() => splits.expandingWindows([2, 1], { refitEveryMs: 1 })).toThrow(
      /origin 1 does not come after 2/,
    );
  });

  test("the calibration window is the last stretch before the end of training", () => {
    const mask = splits.calibrationMask(Float64Array.of(0, 5, 6, 9, 10), { trainBefore: 10, windowMs: 4 });
    expect([...mask]).toEqual([0, 0, 1, 1, 0]);
  });
});

describe("transforms", () => {
  const specs: TransformSpec[] = [
    { name: "logRatio", offset: 5 },
    { name: "log1pResidual" },
    { name: "identity" },
  ];

  test.each(specs)("$name comes back to the count and rises with it", (spec) => {
    const transform = transformOf(spec);
    const count = fc.double({ min: 0, max: 1e5, noNaN: true });
    fc.assert(
      fc.property(count, count, count, (a, b, s) => {
        expect(transform.inverse(transform.forward(a, s), s)).toBeCloseTo(a, 5);
        if (a < b) expect(transform.forward(a, s)).toBeLessThanOrEqual(transform.forward(b, s));
        expect(transform.inverse(-20, s)).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test("the log-ratio is the recipe's", () => {
    const transform = transformOf({ name: "logRatio", offset: 5 });
    expect(transform.forward(10, 25)).toBeCloseTo(Math.log(15 / 30), 12);
    expect(transform.weight(25)).toBe(30);
    expect(transform.forward(Number.NaN, 25)).toBeNaN();
    expect(transform.inverse(0, Number.NaN)).toBeNaN();
  });

  test("an offset of 0 is refused: a count of 0 would have no logarithm", () => {
    expect(() => transformOf({ name: "logRatio", offset: 0 })).toThrow(ForecastError);
  });
});

describe("conformal offsets", () => {
  test("take the reference's order statistic", () => {
    const residuals = Float64Array.of(0.2, 0.3, 0.5, 0.7, 0.9, 1.1, 1.2, 1.5, 2.0);
    expect(conformalQuantile(residuals, 0.9)).toBe(2);
    expect(conformalQuantile(residuals.subarray(0, 8), 0.9)).toBe(Number.POSITIVE_INFINITY);
    expect(conformalQuantile(residuals, 0.1)).toBe(0.2);
    expect(conformalQuantile(residuals.subarray(0, 8), 0.1)).toBe(Number.NEGATIVE_INFINITY);
  });

  test("are each lead's own where it has enough residuals", () => {
    const lead = Int32Array.from({ length: 30 }, (_, i) => (i % 2) + 1);
    const residuals = Float64Array.from(lead, (h, i) => h * 100 + i);
    const offsets = leadOffsets(residuals, lead, 0.9, 10);
    expect([...offsets]).toEqual([128, 229]);
  });

  test("pool a poor lead with its neighbours, and reach a lead that was never seen", () => {
    const lead = Int32Array.from([...Array(20).fill(1), 2, ...Array(20).fill(5)]);
    const residuals = Float64Array.from(lead, (h) => h);
    const offsets = leadOffsets(residuals, lead, 0.9, 10);
    expect(offsets[0]).toBe(1);
    expect(offsets[1]).toBe(1); // with lead 1 (and 3, empty)
    expect(offsets[2]).toBe(5); // leads 1 .. 5
    expect(offsets[3]).toBe(5); // lead 5 (and 3)
    expect(offsets[4]).toBe(5);
  });

  test("say how many rows are missing where all leads together are too few", () => {
    expect(() => leadOffsets(Float64Array.of(1, 2, Number.NaN), Int32Array.of(1, 1, 1), 0.9)).toThrow(
      /2 calibration rows with a known target, level 0.9 needs at least 9/,
    );
    expect(() => leadOffsets(new Float64Array(0), new Int32Array(0), 0.1)).toThrow(ForecastError);
  });
});
