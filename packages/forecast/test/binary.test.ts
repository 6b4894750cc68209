import { describe, expect, test } from "vitest";
import {
  BinaryForecaster,
  type BinaryOptions,
  type BinaryRows,
  DirectForecaster,
  fitBinary,
  scores,
} from "../src/index.ts";
import { chooseMap } from "../src/probability-map.ts";
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
    expect(chooseMap(told([1, 1, 1, 1])).kind).toBe("identity");
    expect(chooseMap(told([2, 2, 2, 0.5])).kind).toBe("identity");
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
      /"binary-forecaster\/2", expected a "direct-forecaster\/4"/,
    );
  });
});
