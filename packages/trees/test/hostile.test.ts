import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readXGBoost } from "../src/formats/xgboost.ts";
import { type Column, Dataset, Model, type Params, TreesError, trainSync } from "../src/index.ts";
import { madeData } from "./made-data.ts";

const finite = (p: Float64Array): boolean => p.every(Number.isFinite);

describe("odd data trains and predicts finite numbers", () => {
  const value = fc.oneof(
    fc.constantFrom(Number.NaN, Infinity, -Infinity, 0, -0, 1e308, -1e308, 5e-324),
    fc.double(),
    fc.integer({ min: -3, max: 3 }),
  );
  test("any column of doubles, any scale of label, weights of zero", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(value, value, fc.double({ noNaN: true, min: -1, max: 1 }), fc.constantFrom(0, 1, 0.5)),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        fc.constantFrom(1e-200, 1e-30, 1, 1e30, 1e200),
        fc.constantFrom<Params>(
          { objective: "l2" },
          { objective: "l1" },
          { objective: "quantile", alpha: 0.3 },
          { objective: "huber" },
          { objective: "l2", lambdaL1: 0.5, lambdaL2: 1 },
          { objective: "l2", extraTrees: true, featureFractionByNode: 0.5 },
          { objective: "l2", monotoneConstraints: [1, -1] },
        ),
        fc.boolean(),
        (rows, scale, params, weighted) => {
          const columns = [Float64Array.from(rows, (r) => r[0]), Float32Array.from(rows, (r) => r[1])];
          const label = Float64Array.from(rows, (r) => r[2] * scale);
          const weight = weighted ? { weight: Float64Array.from(rows, (r) => r[3]) } : {};
          const model = trainSync(
            { dataset: Dataset.fromColumns(columns, { minDataInBin: 1 }), label, ...weight },
            { numIterations: 3, minDataInLeaf: 1, minSumHessianInLeaf: 0, ...params },
          );
          const p = model.predict(columns);
          expect(finite(p)).toBe(true);
          expect(Model.fromBytes(model.toBytes()).predict(columns)).toEqual(p);
          if (!weighted && params.objective === "l2" && params.extraTrees === undefined) {
            const worst = (at: (i: number) => number): number =>
              label.reduce((sum, y, i) => sum + ((y - at(i)) / scale) ** 2, 0);
            const mean = label.reduce((a, b) => a + b / rows.length, 0);
            expect(worst((i) => p[i]!)).toBeLessThanOrEqual(worst(() => mean) * (1 + 1e-6) + 1e-12);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a constant target is predicted as it is", () => {
    const { columns } = madeData(50, 31);
    for (const objective of ["l2", "l1", "quantile", "huber", "poisson", "gamma", "tweedie"] as const) {
      const model = trainSync(
        { dataset: Dataset.fromColumns(columns), label: new Float64Array(50).fill(7) },
        { objective },
      );
      for (const p of model.predict(columns)) expect(p).toBeCloseTo(7, 9);
    }
  });

  test("one row, one distinct value, a column with nothing in it", () => {
    const one = trainSync(
      { dataset: Dataset.fromColumns([Float32Array.of(3)]), label: Float64Array.of(5) },
      {},
    );
    expect(one.predictRow(Float32Array.of(-1))).toBe(5);
    const empty = [new Float32Array(60).fill(Number.NaN), Float32Array.from({ length: 60 }, (_, i) => i)];
    const label = Float64Array.from({ length: 60 }, (_, i) => (i < 30 ? 0 : 1));
    const model = trainSync(
      { dataset: Dataset.fromColumns(empty), label },
      { numIterations: 50, learningRate: 0.5 },
    );
    expect([...model.featureImportance("split")].map((n) => n > 0)).toEqual([false, true]);
    expect(model.predictRow(Float32Array.of(Number.NaN, 50))).toBeCloseTo(1, 3);
    const dull = trainSync(
      { dataset: Dataset.fromColumns([new Float32Array(60)]), label },
      { numIterations: 3 },
    );
    expect(dull.predictRow(Float32Array.of(9))).toBe(0.5);
  });

  test("missing against present is a split of its own", () => {
    const column = Float32Array.from({ length: 100 }, (_, i) => (i % 2 ? Number.NaN : 1));
    const label = Float64Array.from({ length: 100 }, (_, i) => (i % 2 ? 10 : -10));
    const model = trainSync(
      { dataset: Dataset.fromColumns([column]), label },
      { numIterations: 30, learningRate: 0.5 },
    );
    expect(model.predictRow(Float32Array.of(Number.NaN))).toBeCloseTo(10, 3);
    expect(model.predictRow(Float32Array.of(1))).toBeCloseTo(-10, 3);
  });

  test("ten thousand categories, and categories never seen", () => {
    const n = 20_000;
    const column = Int32Array.from({ length: n }, (_, i) => (i % 2 ? i % 20 : i % 10_000));
    const label = Float64Array.from({ length: n }, (_, i) => (i % 2 ? (i % 20) - 10 : 0));
    const dataset = Dataset.fromColumns([column], { categorical: [0] });
    const model = trainSync({ dataset, label }, { numIterations: 30 });
    expect(model.predictRow(Float64Array.of(19))).toBeGreaterThan(model.predictRow(Float64Array.of(1)) + 5);
    const unseen = model.predictRow(Float64Array.of(123_456));
    expect(unseen).toBe(model.predictRow(Float64Array.of(Number.NaN)));
    expect(unseen).toBe(model.predictRow(Float64Array.of(-5)));
    expect(Model.fromLightGBM(model.toLightGBM()).predict([column])).toEqual(model.predict([column]));
  });
});

describe("mistakes are named", () => {
  const { columns, label } = madeData(50, 32);
  const dataset = Dataset.fromColumns(columns);
  const cases: [string, () => unknown, RegExp][] = [
    ["no columns", () => Dataset.fromColumns([]), /non-empty/],
    [
      "columns of unequal length",
      () => Dataset.fromColumns([new Float32Array(2), new Float32Array(3)]),
      /column 1 has 3 rows/,
    ],
    ["an ordinary array", () => Dataset.fromColumns([[1, 2] as unknown as Column]), /column 0 must be a/],
    [
      "two columns of one name",
      () => Dataset.fromColumns(columns.slice(0, 2), { names: ["a", "a"] }),
      /unique/,
    ],
    [
      "an unknown categorical column",
      () => Dataset.fromColumns(columns, { categorical: ["x"] }),
      /no categorical column x/,
    ],
    [
      "a category code too large",
      () => Dataset.fromColumns([Float64Array.of(2 ** 24)], { categorical: [0] }),
      /category codes must be below/,
    ],
    ["too many bins", () => Dataset.fromColumns(columns, { maxBin: 256 }), /maxBin/],
    [
      "a label too short",
      () => trainSync({ dataset, label: label.slice(1) }, {}),
      /label has 49 numbers for 50 rows/,
    ],
    [
      "a label that is NaN",
      () => trainSync({ dataset, label: label.map(() => Number.NaN) }, {}),
      /label 0 is NaN/,
    ],
    [
      "a negative weight",
      () => trainSync({ dataset, label, weight: label.map(() => -1) }, {}),
      /weight 0 is -1/,
    ],
    [
      "a negative count",
      () => trainSync({ dataset, label: label.map(() => -1) }, { objective: "poisson" }),
      /not be negative/,
    ],
    [
      "a label beyond 1",
      () => trainSync({ dataset, label: label.map(() => 2) }, { objective: "binary" }),
      /from 0 to 1/,
    ],
    [
      "half a class",
      () => trainSync({ dataset, label: label.map(() => 0.5) }, { objective: "multiclass", numClass: 3 }),
      /class from 0 to 2/,
    ],
    [
      "an unknown objective",
      () => trainSync({ dataset, label }, { objective: "rank" as "l2" }),
      /objective must be one of/,
    ],
    [
      "an unknown parameter",
      () => trainSync({ dataset, label }, { leaves: 3 } as Params),
      /no parameter "leaves"/,
    ],
    ["one leaf", () => trainSync({ dataset, label }, { numLeaves: 1 }), /numLeaves/],
    ["a forest without bags", () => trainSync({ dataset, label }, { boosting: "rf" }), /baggingFraction/],
    [
      "too few constraints",
      () => trainSync({ dataset, label }, { monotoneConstraints: [1] }),
      /monotoneConstraints/,
    ],
    [
      "early stopping on nothing",
      () => trainSync({ dataset, label }, {}, { earlyStoppingRounds: 3 }),
      /validation/,
    ],
    [
      "a validation set of other bins",
      () =>
        trainSync({ dataset, label }, {}, { validation: { dataset: Dataset.fromColumns(columns), label } }),
      /reference/,
    ],
    [
      "a row too short",
      () => trainSync({ dataset, label }, { numIterations: 1 }).predictRow(new Float32Array(2)),
      /6 columns, got 2/,
    ],
  ];
  test.each(cases)("%s", (_, act, message) => {
    expect(act).toThrow(TreesError);
    expect(act).toThrow(message);
  });
});

describe("a damaged model file is an error, or a model that predicts", () => {
  const { columns, label } = madeData(300, 33);
  const model = trainSync(
    { dataset: Dataset.fromColumns(columns, { categorical: [2] }), label },
    { numIterations: 3, numLeaves: 6, minDataPerGroup: 10 },
  );
  const some = columns.map((c) => c.slice(0, 5));
  const survives = (read: () => Model): void => {
    let read1: Model;
    try {
      read1 = read();
    } catch (error) {
      expect(error).toBeInstanceOf(TreesError);
      return;
    }
    const width = read1.featureNames.length;
    const rows = Array.from({ length: width }, (_, f) => some[f % some.length]!);
    if (width < 1000 && read1.outputs < 1000) read1.predict(rows);
  };

  test("own form: any flipped byte and any cut is found", () => {
    const bytes = model.toBytes();
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.nat(bytes.length - 1),
        (at, flip, cut) => {
          const damaged = bytes.slice();
          damaged[at]! ^= flip;
          expect(() => Model.fromBytes(damaged)).toThrow(TreesError);
          expect(() => Model.fromBytes(bytes.slice(0, cut))).toThrow(TreesError);
        },
      ),
    );
  });

  test("own form with a right checksum over wrong bytes", () => {
    const bytes = model.toBytes();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 5), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (edits) => {
          const damaged = bytes.slice();
          for (const [at, v] of edits) damaged[at] = v;
          new DataView(damaged.buffer).setUint32(damaged.length - 4, crc(damaged.subarray(0, -4)), true);
          survives(() => Model.fromBytes(damaged));
        },
      ),
      { numRuns: 400 },
    );
  });

  const golden = (name: string): string => readFileSync(new URL(`./golden/${name}`, import.meta.url), "utf8");
  const texts: [string, string, (text: string) => Model][] = [
    ["LightGBM", golden("lightgbm-multiclass.txt"), Model.fromLightGBM],
    ["XGBoost", golden("xgboost-multiclass.model"), Model.fromXGBoost],
  ];
  test.each(texts)("%s: edited, cut and shuffled text", (_, text, read) => {
    const piece = fc.constantFrom(
      "",
      "-1",
      "0",
      "1e999",
      "NaN",
      "99999999",
      "=",
      "\n",
      " ",
      "{}",
      "[",
      "null",
      '"',
      "-",
      "4294967295",
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(text.length), fc.nat(12), piece), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(text.length), { nil: undefined, freq: 8 }),
        (edits, cut) => {
          let damaged = text;
          for (const [at, length, insert] of edits) {
            damaged = damaged.slice(0, at) + insert + damaged.slice(at + length);
          }
          survives(() => read(cut === undefined ? damaged : damaged.slice(0, cut)));
        },
      ),
      { numRuns: 400 },
    );
  });

  test("XGBoost in UBJSON: edited and cut bytes", () => {
    const bytes = readFileSync(new URL("./golden/xgboost-multiclass.ubj", import.meta.url));
    const marks = fc.constantFrom(..."{}[]$#iUIlLdDSCZTFNH\x00\x7f\xff").map((c) => c.charCodeAt(0));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.oneof(marks, fc.nat(255))), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.option(fc.nat(bytes.length), { nil: undefined, freq: 8 }),
        (edits, cut) => {
          const damaged = Uint8Array.from(bytes);
          for (const [at, v] of edits) damaged[at] = v;
          survives(() => new Model(readXGBoost(damaged.subarray(0, cut))));
        },
      ),
      { numRuns: 1000 },
    );
  });

  const lie: [string, string, RegExp][] = [
    ["a count beyond the bytes", "{#L\x7f\xff\xff\xff\xff\xff\xff\xff", /out of range/],
    ["more numbers than bytes", "{i\x01a[$d#l\x7f\xff\xff\xff", /end too early/],
    ["a string longer than the file", "{i\x01aSl\x7f\xff\xff\xff", /end too early/],
    ["a negative length", "{i\x01aSi\xff", /negative/],
    ["a typed container without a count", "{i\x01a[$d", /end too early|no count/],
    ["values that take no bytes, without end", "{i\x01a[$Z#l\x7f\xff\xff\xff", /type "Z" is not supported/],
    ["nesting without end", `{i\x01a${"[".repeat(100_000)}`, /deeper than 100/],
    ["a container without an end", "{i\x01a[ZZZ", /end too early/],
    ["a key that is no UTF-8", "{i\x01\xff", /UTF-8/],
    ["bytes behind its end", "{#i\x00}", /behind its end/],
    ["an object without a learner", "{i\x09__proto__{i\x07learner{}}}", /no learner/],
  ];
  test.each(lie)("UBJSON with %s", (_, text, message) => {
    const read = () => readXGBoost(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    expect(read).toThrow(TreesError);
    expect(read).toThrow(message);
  });

  test("XGBoost in JSON: nesting without end, and few bytes for much memory", () => {
    const text = golden("xgboost-l2.model");
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    for (const key of ["split_conditions", "base_score", "name", "num_feature", "feature_names", "trees"]) {
      const damaged = text.replaceAll(new RegExp(`"${key}":("[^"]*"|\\[)`, "g"), (_match, value) =>
        value === "[" ? `"${key}":[${deep},` : `"${key}":${deep}`,
      );
      expect(damaged).not.toBe(text);
      expect(() => Model.fromXGBoost(damaged)).toThrow(TreesError);
    }
    const wide = text
      .replace(/"categories":\[[^\]]+/, `"categories":[${Array(100).fill(2 ** 24 - 1)}`)
      .replace(/"categories_nodes":\[[^\]]+/, `"categories_nodes":[${Array(100).fill(0)}`)
      .replace(
        /"categories_segments":\[[^\]]+/,
        `"categories_segments":[${Array.from({ length: 100 }, (_, i) => i)}`,
      )
      .replace(/"categories_sizes":\[[^\]]+/, `"categories_sizes":[${Array(100).fill(1)}`);
    expect(() => Model.fromXGBoost(wide)).toThrow(/more than 16777216 words/);
  });
});

function crc(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  }
  return (c ^ 0xffffffff) >>> 0;
}
