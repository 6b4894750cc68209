import { expect, test } from "vitest";
import { addRows } from "../src/histogram.ts";
import { Dataset, Model, type Params, trainSync } from "../src/index.ts";
import { makeKernels } from "../src/kernels.ts";
import { kernelArguments, planMemory } from "../src/memory.ts";
import { resolveParams } from "../src/params.ts";
import { madeData } from "./made-data.ts";
import { naiveBoosting } from "./oracle.ts";

const { columns, label, weight } = madeData(400, 11);
const fitted = (p: Float64Array, y: Float64Array): number =>
  Math.sqrt(y.reduce((sum, v, i) => sum + (v - p[i]!) ** 2, 0) / y.length);

test("trees are those of a naive boosting that sums in float64", () => {
  const some = columns.map((c) => c.slice(0, 150));
  const y = label.slice(0, 150);
  const dataset = Dataset.fromColumns(some, { maxBin: 20, minDataInBin: 1 });
  const want = naiveBoosting(dataset, y, { rounds: 4, leaves: 6, rate: 0.3, minData: 8, lambda: 0.5 });
  const model = trainSync(
    { dataset, label: y },
    { numIterations: 4, numLeaves: 6, learningRate: 0.3, minDataInLeaf: 8, lambdaL2: 0.5 },
  );
  const got = model.predict(some);
  got.forEach((p, i) => {
    expect(Math.abs(p - want[i]!)).toBeLessThan(1e-6);
  });
});

test.each([true, false])(
  "the WebAssembly kernel, the plain one and float64 sums agree (constant hessian: %s)",
  (constant) => {
    const dataset = Dataset.fromColumns(columns, { categorical: [2] });
    const params = resolveParams({}, dataset.columns);
    const plan = {
      data: dataset.parts(),
      params,
      label,
      weight: undefined,
      validation: undefined,
      workers: 1,
      shared: false,
      constantHessian: constant,
      renewsQuantile: false,
    };
    const sums = [true, false].map((plainKernels) => {
      const memory = planMemory({ ...plan, plainKernels });
      const { records } = memory;
      for (let i = 0; i < 400; i++) {
        records.ints[i * records.stride + records.binWords] = Math.imul(i, 7919) % 1000;
        if (!constant) records.ints[i * records.stride + records.binWords + 1] = i % 50;
        memory.rows[i] = (i * 7) % 400;
      }
      if (plainKernels) addRows(records, memory.rows, 13, 390, memory.scratch);
      else {
        const kernel = makeKernels(kernelArguments(memory, 0, 0, dataset.rows, undefined));
        kernel.addRows(13, 40);
        // Masked and whole kernels are one sum where every byte is in use in one of the calls.
        kernel.use(new Set([0]));
        kernel.addRows(40, 390);
        kernel.use(new Set(records.layout.bytes.map((_, b) => b).slice(1)));
        kernel.addRows(40, 390);
      }
      return records.layout.bytes.map((byte) => [...memory.scratch.subarray(byte.at, byte.at + byte.size)]);
    });
    expect(sums[1]).toEqual(sums[0]);
    const memory = planMemory({ ...plan, plainKernels: true });
    const { layout } = memory.records;
    const naive = layout.bytes.map((byte) => new Array<number>(byte.size).fill(0));
    const bytes = new Uint8Array(memory.records.words.buffer);
    for (let j = 13; j < 390; j++) {
      const i = (j * 7) % 400;
      const h = constant ? 1 : i % 50;
      layout.bytes.forEach((_, b) => {
        const bin = bytes[i * memory.records.stride * 4 + b]!;
        naive[b]![bin]! += (Math.imul(i, 7919) % 1000) * memory.records.unit + h;
      });
    }
    expect(sums[0]).toEqual(naive);
  },
);

test("a tree that draws few columns still knows all of its rows", () => {
  const dataset = Dataset.fromColumns(columns, { categorical: [2] });
  const model = trainSync(
    { dataset, label },
    { numIterations: 30, featureFraction: 0.2, learningRate: 0.01 },
  );
  for (const tree of model.data.trees) {
    expect(tree.leafWeight.reduce((a, b) => a + b, 0)).toBe(400);
    if (tree.leaves > 1) expect(tree.nodeWeight[0]).toBe(400);
    const sum = tree.leafValue.reduce((s, v, i) => s + v * tree.leafCount[i]!, 0);
    expect(Math.abs(sum)).toBeLessThan(0.5);
  }
});

const continued: Record<string, Params> = {
  l2: { objective: "l2" },
  quantile: { objective: "quantile", alpha: 0.7 },
  "binary in bags": { objective: "binary", baggingFraction: 0.7, baggingFreq: 3, featureFraction: 0.6 },
  classes: { objective: "multiclass", numClass: 2 },
  forest: { boosting: "rf", baggingFraction: 0.7, baggingFreq: 1 },
};
test.each(Object.keys(continued))("%s: training on from a model equals training in one go", (name) => {
  const params = { numLeaves: 7, ...continued[name]! };
  const dataset = Dataset.fromColumns(columns, { categorical: [2] });
  const y = name.startsWith("binary") || name === "classes" ? label.map((v) => (v > 4 ? 1 : 0)) : label;
  const whole = trainSync({ dataset, label: y, weight }, { ...params, numIterations: 12 });
  const half = trainSync({ dataset, label: y, weight }, { ...params, numIterations: 6 });
  const both = trainSync({ dataset, label: y, weight }, { ...params, numIterations: 6 }, { initModel: half });
  expect(both.toBytes()).toEqual(whole.toBytes());
});

test("early stopping ends at the round that a plain loop over rounds finds best", () => {
  const held = madeData(200, 12);
  const dataset = Dataset.fromColumns(columns);
  const params = { learningRate: 0.5, numLeaves: 15, minDataInLeaf: 5 };
  const losses = Array.from({ length: 60 }, (_, i) =>
    fitted(
      trainSync({ dataset, label }, { ...params, numIterations: i + 1 }).predict(held.columns),
      held.label,
    ),
  );
  let best = 0;
  let at = 0;
  for (; at < losses.length && at - best <= 10; at++) if (losses[at]! < losses[best]!) best = at;
  const validation = { columns: held.columns, label: held.label };
  const seen: number[] = [];
  const model = trainSync(
    { dataset, label },
    { ...params, numIterations: 60 },
    { validation, earlyStoppingRounds: 10, metric: "rmse", onProgress: (p) => seen.push(p.metric!) },
  );
  expect(model.iterations).toBe(best + 1);
  seen.forEach((loss, i) => {
    expect(Math.abs(loss - losses[i]!)).toBeLessThan(1e-9);
  });
});

test("predictions follow a monotone constraint wherever the row is", () => {
  const dataset = Dataset.fromColumns(columns);
  const noisy = label.map((y, i) => y - columns[1]![i]! * 20 * Math.sin(columns[0]![i]!));
  for (const direction of [1, -1]) {
    const monotoneConstraints = [0, direction, 0, 0, 0, 0];
    const model = trainSync(
      { dataset, label: noisy },
      { numIterations: 40, minDataInLeaf: 5, monotoneConstraints },
    );
    expect(model.featureImportance("split")[1]).toBeGreaterThan(0);
    for (let i = 0; i < 30; i++) {
      let last = -Infinity;
      for (let x = -0.5; x <= 0.5; x += 0.02) {
        const row = Float64Array.from(columns, (c) => c[i]!);
        row[1] = x;
        const p = model.predictRow(row) * direction;
        expect(p).toBeGreaterThanOrEqual(last);
        last = p;
      }
    }
  }
});

test("L1 and quantile leaves hold the quantiles of their residuals", () => {
  const dataset = Dataset.fromColumns([new Float32Array(101)]);
  const y = Float64Array.from({ length: 101 }, (_, i) => (i * 37) % 101);
  const at = (params: Params): number =>
    trainSync({ dataset, label: y }, { numIterations: 0, ...params }).predictRow(new Float32Array(1));
  // LightGBM's interpolation: between the 50th and 51st from the top.
  expect(at({ objective: "l1" })).toBe(50.5);
  expect(at({ objective: "quantile", alpha: 0.9 })).toBeCloseTo(90.9, 9);
  const renewed = trainSync(
    { dataset: Dataset.fromColumns(columns), label },
    { objective: "quantile", alpha: 0.8, numIterations: 100 },
  ).predict(columns);
  const below = renewed.reduce((n, p, i) => n + (label[i]! <= p ? 1 : 0), 0) / label.length;
  expect(Math.abs(below - 0.8)).toBeLessThan(0.05);
});

test("weights count as rows do", () => {
  const twice = columns.map((c) => Float64Array.from([...c, ...c]));
  const a = trainSync(
    {
      dataset: Dataset.fromColumns(twice, { minDataInBin: 1 }),
      label: Float64Array.from([...label, ...label]),
    },
    { numIterations: 5, minDataInLeaf: 1, minSumHessianInLeaf: 40 },
  );
  const b = trainSync(
    {
      dataset: Dataset.fromColumns(columns, { minDataInBin: 1 }),
      label,
      weight: new Float64Array(400).fill(2),
    },
    { numIterations: 5, minDataInLeaf: 1, minSumHessianInLeaf: 40 },
  );
  expect(Math.abs(fitted(a.predict(columns), label) - fitted(b.predict(columns), label))).toBeLessThan(0.02);
});

test("a custom objective that is squared error gives the model of squared error", () => {
  const dataset = Dataset.fromColumns(columns);
  const start = new Float64Array(400);
  const plain = trainSync({ dataset, label, initScore: start }, { numIterations: 10 });
  const custom = trainSync(
    { dataset, label, initScore: start },
    {
      numIterations: 10,
      objective: (scores, y, g, h) => {
        for (let i = 0; i < y.length; i++) {
          g[i] = scores[i]! - y[i]!;
          h[i] = 1;
        }
      },
    },
  );
  expect(
    Math.abs(fitted(custom.predict(columns), label) - fitted(plain.predict(columns), label)),
  ).toBeLessThan(0.02);
});

test("extra-trees and a forest learn too, and their seeds matter", () => {
  const dataset = Dataset.fromColumns(columns, { categorical: [2] });
  const kinds: Params[] = [
    { extraTrees: true, numIterations: 60 },
    { boosting: "rf", baggingFraction: 0.6, baggingFreq: 1, featureFractionByNode: 0.5, minDataInLeaf: 5 },
  ];
  const spread = fitted(new Float64Array(400).fill(label.reduce((a, b) => a + b, 0) / 400), label);
  for (const params of kinds) {
    const model = trainSync({ dataset, label }, { ...params, seed: 1 });
    expect(fitted(model.predict(columns), label)).toBeLessThan(spread * 0.7);
    expect(trainSync({ dataset, label }, { ...params, seed: 1 }).toBytes()).toEqual(model.toBytes());
    expect(trainSync({ dataset, label }, { ...params, seed: 2 }).toBytes()).not.toEqual(model.toBytes());
  }
});

test("a model that splits between this dataset's bins says what to do instead", () => {
  const other = madeData(300, 13);
  const model = trainSync(
    { dataset: Dataset.fromColumns(other.columns), label: other.label },
    { numIterations: 3 },
  );
  const again = Model.fromBytes(model.toBytes());
  const dataset = Dataset.fromColumns(columns);
  expect(() => trainSync({ dataset, label }, { numIterations: 1 }, { initModel: again })).toThrow(
    /initScore/,
  );
});
