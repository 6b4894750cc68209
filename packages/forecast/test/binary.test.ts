import { describe, expect, test } from "vitest";
import {
  BinaryForecaster,
  type BinaryOptions,
  type BinaryRows,
  DirectForecaster,
  fitBinary,
  type HeldOut,
  scores,
} from "../src/index.ts";
import { applyMap, chooseMap, fitIsotonic } from "../src/probability-map.ts";
import { generalChecks } from "./general-checks.ts";
import { binaryRows, randomOf, rowsOf } from "./synthetic.ts";

const options: BinaryOptions = {
  calibrate: "refit",
  trees: {
    numIterations: 40,
    learningRate: 0.1,
    numLeaves: 8,
    minDataInLeaf: 40,
    baggingFraction: 0.8,
    baggingFreq: 1,
  },
  seed: 7,
  threads: 1,
};

generalChecks({
  name: "binary",
  constant: 0,
  rows: binaryRows,
  fit: async ({ matrix, target, calibration, ...rest }) =>
    adapt(await fitBinary({ matrix, target, calibration }, { ...options, ...rest })),
  fromBytes: (bytes) => adapt(BinaryForecaster.fromBytes(bytes)),
});

function adapt(fitted: BinaryForecaster) {
  return {
    toBytes: () => fitted.toBytes(),
    predict: (matrix: BinaryRows["matrix"]) => [fitted.predict(matrix)],
  };
}

describe("the choice of a probability map", () => {
  /** Four quarters of rows whose true odds are those told times a factor of each quarter. */
  const told = (factors: readonly number[]) => {
    const random = randomOf(2);
    const p = Float64Array.from({ length: 20_000 }, () => 0.02 + 0.4 * random());
    const y = p.map((value, i) => (random() < value * factors[Math.floor((4 * i) / p.length)]! ? 1 : 0));
    return { y, p, weight: new Float64Array(p.length).fill(1) };
  };

  test("corrects what is wrong in every quarter of the rows", () => {
    expect(chooseMap(told([2, 2, 2, 2])).kind).not.toBe("identity");
  });

  test("leaves alone what is right, and what one quarter has otherwise", () => {
    const right = Float64Array.from({ length: 8 }, (_, i) => 0.03 + 0.05 * i);
    const kept = applyMap(chooseMap(told([1, 1, 1, 1])), right.slice());
    for (const [i, value] of right.entries()) expect(Math.abs(kept[i]! - value)).toBeLessThan(0.04);
    expect(chooseMap(told([2, 2, 2, 0.5])).kind).toBe("identity");
  });
});

describe("isotonic correction", () => {
  test("moves log-odds by as much beyond its knots as at them, and ties nothing", () => {
    const map = { kind: "isotonic", x: [0.1, 0.2, 0.5], y: [0.2, 0.25, 0.5] } as const;
    const at = Float64Array.from({ length: 99 }, (_, i) => (i + 1) / 100);
    const corrected = applyMap(map, at.slice());
    for (let i = 1; i < at.length; i++) expect(corrected[i]).toBeGreaterThan(corrected[i - 1]!);
    for (const [k, x] of map.x.entries()) expect(applyMap(map, Float64Array.of(x))[0]).toBeCloseTo(map.y[k]!);
    const odds = (p: number) => p / (1 - p);
    expect(odds(corrected[1]!) / odds(0.02)).toBeCloseTo(odds(0.2) / odds(0.1));
    expect(corrected[89]).toBeCloseTo(0.9);
    expect(applyMap(map, Float64Array.of(Number.NaN))[0]).toBeNaN();
  });

  test("pools a twentieth of the weight at least, so that a lucky few do not bend it", () => {
    const random = randomOf(4);
    const p = Float64Array.from({ length: 10_000 }, () => 0.01 + 0.3 * random());
    const y = p.map((value, i) => (i < 40 ? 1 : random() < value ? 1 : 0));
    for (let i = 0; i < 40; i++) p[i] = 0.01;
    const weight = new Float64Array(p.length).fill(1);
    const map = fitIsotonic({ y, p, weight });
    expect(map.kind === "isotonic" && map.x.length).toBeGreaterThan(5);
    expect(map.kind === "isotonic" && map.x.length).toBeLessThanOrEqual(20);
    expect(applyMap(map, Float64Array.of(0.01))[0]).toBeLessThan(0.15);
  });
});

const rows = binaryRows(8000, 5);
const later = binaryRows(8000, 6);

describe("the binary forecaster", () => {
  test.each(["none", "holdout", "refit"] as const)("ranks and is calibrated (%s)", async (calibrate) => {
    const fitted = await fitBinary(rows, { ...options, calibrate });
    const p = fitted.predict(later.matrix);
    const share = later.target.reduce((sum, y) => sum + y, 0) / later.target.length;
    expect(scores.averagePrecision(later.target, p)!).toBeGreaterThan(1.5 * share);
    expect(scores.brier(later.target, p)!).toBeLessThan(0.85 * share * (1 - share));
    expect(scores.expectedCalibrationError(later.target, p)!).toBeLessThan(0.03);
    expect(fitted.importance()[2]).toBeGreaterThan(0.5);
  });

  test("weights undo a sampling of the negatives; without them the risk is overstated", async () => {
    const random = randomOf(9);
    const kept = Array.from({ length: rows.matrix.rows }, (_, i) => i).filter(
      (i) => rows.target[i] || random() < 0.2,
    );
    const pick = (values: Float64Array) => Float64Array.from(kept, (i) => values[i]!);
    const sampled: BinaryRows = {
      matrix: {
        ...rowsOf(rows.matrix, 0, kept.length),
        columns: rows.matrix.columns.map((column) => Float32Array.from(kept, (i) => column[i]!)),
      },
      target: pick(rows.target),
      calibration: Uint8Array.from(kept, (i) => rows.calibration[i]!),
    };
    const weight = sampled.target.map((y) => (y ? 1 : 5));
    const mean = (p: Float64Array) => p.reduce((sum, value) => sum + value, 0) / p.length;
    const truth = mean(later.target);
    const weighted = await fitBinary({ ...sampled, weight }, options);
    expect(Math.abs(mean(weighted.predict(later.matrix)) / truth - 1)).toBeLessThan(0.08);
    const unweighted = await fitBinary(sampled, options);
    expect(mean(unweighted.predict(later.matrix)) / truth).toBeGreaterThan(1.3);
  });

  test("a model that overfits is corrected on the calibration rows", async () => {
    const wild = { numIterations: 150, numLeaves: 63, minDataInLeaf: 5, learningRate: 0.2, lambdaL2: 0 };
    const errorOf = async (calibrate: "none" | "holdout") => {
      const fitted = await fitBinary(rows, { ...options, calibrate, trees: wild });
      return scores.expectedCalibrationError(later.target, fitted.predict(later.matrix))!;
    };
    expect(await errorOf("holdout")).toBeLessThan(0.4 * (await errorOf("none")));
  });

  test("thresholds of alarms are chosen on the eligible calibration rows, and saved", async () => {
    const eligible = rows.matrix.columns[0]!.map((value) => (value > 0 ? 1 : 0));
    const asked = { ...rows, eligible: Uint8Array.from(eligible) };
    const fitted = await fitBinary(asked, { ...options, alarmRate: 0.1 });
    const late = [...asked.eligible.keys()].filter(
      (i) => asked.eligible[i] === 1 && rows.calibration[i] === 1,
    );
    const early = await fitBinary(asked, { ...options, calibrate: "holdout", alarmRate: 0.1 });
    expect(early.thresholds).toEqual(fitted.thresholds);
    const p = early.predict(rows.matrix);
    const onLate = Float64Array.from(late, (i) => p[i]!);
    const label = Float64Array.from(late, (i) => rows.target[i]!);
    const { budget, f1 } = early.thresholds!;
    const alarmed = onLate.filter((value) => value >= budget).length;
    expect(alarmed).toBeLessThanOrEqual(0.1 * late.length);
    expect(alarmed).toBeGreaterThan(0.09 * late.length);
    expect(f1).toBe(scores.bestF1(label, onLate)!.threshold);
    expect(BinaryForecaster.fromBytes(fitted.toBytes()).thresholds).toEqual(fitted.thresholds);
    expect((await fitBinary(rows, { ...options, calibrate: "none" })).thresholds).toBeNull();
  });

  test("calibrated anew it ranks as before, says what comes of newer rows, and is saved", async () => {
    const heard: HeldOut[] = [];
    const fitted = await fitBinary(rows, { ...options, onHeldOut: (held) => heard.push(held) });
    const [held] = heard;
    expect([...held!.index]).toEqual([...rows.calibration.keys()].filter((i) => rows.calibration[i] === 1));
    expect([...held!.y]).toEqual([...held!.index].map((i) => rows.target[i]));
    const own = fitted.uncalibrated();
    expect(own.map.kind).toBe("identity");
    const p = own.predict(later.matrix);
    // Half of what came then comes now.
    const random = randomOf(3);
    const fewer = later.target.map((y) => (random() < 0.5 ? y : 0));
    const weight = new Float64Array(p.length).fill(1);
    const anew = fitted.recalibrated({ y: fewer, p, weight }, 0.1);
    const now = anew.predict(later.matrix);
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    expect(sum(fitted.predict(later.matrix)) / sum(fewer)).toBeGreaterThan(1.7);
    expect(sum(now) / sum(fewer)).toBeCloseTo(1, 1);
    const ranked = (of: Float64Array) => [...of.keys()].sort((a, b) => of[a]! - of[b]! || a - b);
    expect(ranked(now)).toEqual(ranked(p));
    expect(now.filter((value) => value >= anew.thresholds!.budget).length).toBeCloseTo(0.1 * now.length, -1);
    expect(anew.calibrate(p.slice())).toEqual(now);
    expect(BinaryForecaster.fromBytes(anew.toBytes()).predict(later.matrix)).toEqual(now);
  });

  test("targets and weights that cannot be are refused with their row", async () => {
    await expect(fitBinary({ ...rows, target: rows.target.with(1, 2) }, options)).rejects.toThrow(
      /row 1 has target 2/,
    );
    const weight = new Float64Array(rows.matrix.rows).fill(1).with(6, 0);
    await expect(fitBinary({ ...rows, weight }, options)).rejects.toThrow(/row 6 has weight 0/);
  });

  test("one kind does not load the other's bytes", async () => {
    const bytes = (await fitBinary(rows, { ...options, calibrate: "none" })).toBytes();
    expect(() => DirectForecaster.fromBytes(bytes)).toThrow(
      /"binary-forecaster\/3", expected a "direct-forecaster\/4"/,
    );
  });
});
