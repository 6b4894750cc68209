import { describe, expect, test } from "vitest";
import { pack, unpack } from "../src/container.ts";
import {
  DirectForecaster,
  type DirectOptions,
  ForecastError,
  fitDirect,
  type QuantityRows,
  scores,
} from "../src/index.ts";
import { generalChecks } from "./general-checks.ts";
import { quantityRows, withColumn } from "./synthetic.ts";

const trees = { numIterations: 20, numLeaves: 15, minDataInLeaf: 20, learningRate: 0.2 };
const options: DirectOptions = {
  transform: { name: "logRatio", offset: 5 },
  objective: "l1",
  levels: [0.1, 0.5, 0.9],
  calibrate: "refit",
  trees,
  quantileTrees: { numIterations: 20 },
  seed: 7,
  threads: 1,
};

/** Rows [from, to) of the general checks' matrix have this expectation and these leads. */
const sideOf = (rows: number) => ({
  expectation: new Float64Array(rows).fill(50),
  lead: Int32Array.from({ length: rows }, (_, i) => 1 + (i % 4)),
});

generalChecks({
  name: "direct",
  constant: 50,
  rows: quantityRows,
  fit: async ({ matrix, target, calibration, ...rest }) => {
    const sides = sideOf(matrix.rows);
    return adapt(await fitDirect({ matrix, target, calibration, ...sides }, { ...options, ...rest }));
  },
  fromBytes: (bytes) => adapt(DirectForecaster.fromBytes(bytes)),
});

const blend: DirectOptions["members"] = [
  { kind: "trees", weight: 2 },
  { kind: "network", weight: 1, network: { hidden: [16], epochs: 20, batch: 256, learningRate: 0.01 } },
  {
    kind: "ridge",
    weight: 1,
    alpha: 1,
    by: "entity",
    columns: { names: ["signal"], categorical: [] },
  },
];

const timeless: DirectOptions["members"] = [
  { kind: "trees", weight: 1, halfLifeDays: 60 },
  { kind: "effects", weight: 1, halfLifeDays: 60, effects: [{ cross: ["entity", "lead"], penalty: 1 }] },
  {
    kind: "network",
    weight: 1,
    halfLifeDays: 60,
    effects: [{ cross: ["entity", "lead"], penalty: 1 }],
    network: { hidden: [16], epochs: 20, batch: 256, learningRate: 0.01 },
  },
];

generalChecks({
  name: "direct, without an expectation",
  constant: 50,
  rows: quantityRows,
  fit: async ({ matrix, target, calibration, ...rest }) => {
    const ageDays = Float64Array.from({ length: matrix.rows }, (_, i) => (matrix.rows - i) / 24);
    const given = { matrix, target, calibration, ageDays, ...sideOf(matrix.rows) };
    const transform = { name: "log", offset: 1 } as const;
    return adapt(
      await fitDirect(given, { ...options, transform, objective: "l2", members: timeless, ...rest }),
    );
  },
  fromBytes: (bytes) => adapt(DirectForecaster.fromBytes(bytes)),
});

generalChecks({
  name: "direct, a blend",
  constant: 50,
  rows: quantityRows,
  fit: async ({ matrix, target, calibration, ...rest }) => {
    const given = { matrix, target, calibration, ...sideOf(matrix.rows) };
    return adapt(await fitDirect(given, { ...options, members: blend, ...rest }));
  },
  fromBytes: (bytes) => adapt(DirectForecaster.fromBytes(bytes)),
});

generalChecks({
  name: "direct, a forest",
  constant: 50,
  rows: quantityRows,
  fit: async ({ matrix, target, calibration, ...rest }) => {
    const given = { matrix, target, calibration, ...sideOf(matrix.rows) };
    return adapt(await fitDirect(given, { ...options, members: [{ kind: "forest", weight: 1 }], ...rest }));
  },
  fromBytes: (bytes) => adapt(DirectForecaster.fromBytes(bytes)),
});

function adapt(fitted: DirectForecaster) {
  return {
    toBytes: () => fitted.toBytes(),
    predict: (matrix: QuantityRows["matrix"]) => {
      const { expectation } = sideOf(matrix.rows);
      const lead = new Int32Array(matrix.rows).fill(2);
      const { point, quantiles } = fitted.predict({ matrix, expectation, lead });
      return [point, ...quantiles];
    },
  };
}

// 900 calibration rows a lead: the coverage they give has a standard deviation of about 0.013.
const rows = quantityRows(12_000, 3);
const later = quantityRows(8000, 4);

describe("the direct forecaster", () => {
  test("beats the expectation it starts from", async () => {
    const fitted = await fitDirect(rows, { ...options, levels: [] });
    const { point, quantiles } = fitted.predict(later);
    expect(quantiles).toEqual([]);
    expect(scores.wape(later.target, point)!).toBeLessThan(
      0.7 * scores.wape(later.target, later.expectation)!,
    );
    const [entity, lead, signal] = fitted.importance();
    expect(signal).toBeGreaterThan(0.5);
    expect(entity! + lead! + signal!).toBeCloseTo(1, 9);
  });

  test.each(["refit", "holdout"] as const)(
    "its intervals cover what they say at every lead (%s)",
    async (calibrate) => {
      const fitted = await fitDirect(rows, { ...options, calibrate });
      const { point, quantiles } = fitted.predict(later);
      const table = scores.groupScores(
        later.target,
        point,
        quantiles[0]!,
        quantiles[2]!,
        later.lead.map((h) => h - 1),
        4,
      );
      for (const share of table.coverage) expect(Math.abs(share - 0.8)).toBeLessThan(0.045);
      expect(table.width[3]).toBeGreaterThan(2 * table.width[0]!); // the spread is 4 times as large
    },
  );

  test("offsets by lead repair what the features cannot tell", async () => {
    const blind = (from: QuantityRows): QuantityRows => ({
      ...from,
      matrix: withColumn(from.matrix, "lead", new Float32Array(from.matrix.rows)),
    });
    const coverageByLead = async (calibrate: "none" | "refit") => {
      const fitted = await fitDirect(blind(rows), { ...options, calibrate });
      const { point, quantiles } = fitted.predict(blind(later));
      const lead = later.lead.map((h) => h - 1);
      return scores.groupScores(later.target, point, quantiles[0]!, quantiles[2]!, lead, 4).coverage;
    };
    const raw = await coverageByLead("none");
    expect(raw[0]! - raw[3]!).toBeGreaterThan(0.15);
    for (const share of await coverageByLead("refit")) expect(Math.abs(share - 0.8)).toBeLessThan(0.045);
  });

  test("the models that are corrected never saw the calibration rows", async () => {
    const moved: QuantityRows = {
      ...rows,
      target: rows.target.map((y, i) => y + (rows.calibration[i] ? 1000 : 0)),
    };
    for (const calibrate of ["refit", "holdout"] as const) {
      const plain = { ...options, calibrate, transform: { name: "identity" } } as const;
      const before = (await fitDirect(rows, plain)).offsets;
      const after = (await fitDirect(moved, plain)).offsets;
      // Had a row of the window been trained on, its move would not appear in the offsets as it is.
      after.forEach((byLead, k) => {
        byLead.forEach((offset, h) => {
          expect(offset).toBeCloseTo(before[k]![h]! + 1000, 6);
        });
      });
    }
  });

  test("a blend is the weighted mean of its members on the transformed scale, which stand alone too", async () => {
    const fitted = await fitDirect(rows, { ...options, members: blend });
    expect(fitted.kinds).toEqual(["trees", "network", "ridge"]);
    const { point } = fitted.predict(later);
    const alone = fitted.kinds.map((kind) => fitted.only(kind).predict(later));
    const z = (value: number, i: number) => Math.log(value + 5) - Math.log(later.expectation[i]! + 5);
    for (let i = 0; i < 500; i++) {
      const [trees, network, ridge] = alone.map((forecast) => z(forecast.point[i]!, i));
      if (alone.some((forecast) => forecast.point[i] === 0)) continue;
      expect(z(point[i]!, i)).toBeCloseTo((2 * trees! + network! + ridge!) / 4, 9);
    }
    for (const { point: own } of alone) {
      expect(scores.wape(later.target, own)!).toBeLessThan(
        0.8 * scores.wape(later.target, later.expectation)!,
      );
    }
    expect(() => fitted.only("trees").only("ridge")).toThrow(/no ridge among trees/);
  });

  test("weights by lead hold at their leads, and the last one beyond", async () => {
    const byLead = [
      { ...blend[0]!, weight: [0.2, 0.6] },
      { ...blend[2]!, weight: [0.8, 0.4] },
    ];
    const fitted = await fitDirect(rows, { ...options, members: byLead, levels: [] });
    const restored = DirectForecaster.fromBytes(fitted.toBytes());
    const { point } = fitted.predict(later);
    expect(restored.predict(later).point).toEqual(point);
    const [trees, ridge] = fitted.kinds.map((kind) => fitted.only(kind).predict(later).point);
    const told = fitted.explain(later, ["who", "when", "what"]);
    const leads = new Set<number>();
    for (let i = 0; i < later.matrix.rows; i++) {
      if ([point[i], trees![i], ridge![i]].includes(0)) continue;
      const lead = later.lead[i]!;
      leads.add(lead);
      const share = lead === 1 ? 0.2 : 0.6;
      const z = share * Math.log(trees![i]! + 5) + (1 - share) * Math.log(ridge![i]! + 5);
      expect(Math.log(point[i]! + 5)).toBeCloseTo(z, 9);
      const sum = told.parts.reduce((total, { contribution }) => total + contribution[i]!, told.start[i]!);
      expect(sum).toBeCloseTo(point[i]!, 6);
    }
    expect(Math.max(...leads)).toBeGreaterThan(2);
  });

  test("a level says what its column does, and nothing where that is missing", async () => {
    const level = { kind: "level" as const, weight: 1, column: "signal" };
    const fitted = await fitDirect(rows, { ...options, members: [{ ...blend[0]!, weight: 1 }, level] });
    expect(fitted.kinds).toEqual(["trees"]);
    const few = quantityRows(200, 9);
    const signal = few.matrix.columns[few.matrix.names.indexOf("signal")]!.slice();
    signal[0] = Number.NaN;
    const asked = { ...few, matrix: withColumn(few.matrix, "signal", signal) };
    const trees = fitted.only("trees").predict(asked).point;
    const { point } = fitted.predict(asked);
    const told = fitted.explain(asked, ["who", "when", "what"]);
    for (let i = 0; i < point.length; i++) {
      if (point[i] === 0 || trees[i] === 0) continue;
      const says = Math.log(few.expectation[i]! + 5) + (Number.isNaN(signal[i]!) ? 0 : signal[i]!);
      expect(Math.log(point[i]! + 5)).toBeCloseTo((Math.log(trees[i]! + 5) + says) / 2, 5);
      const sum = told.parts.reduce((total, { contribution }) => total + contribution[i]!, told.start[i]!);
      expect(sum).toBeCloseTo(point[i]!, 6);
    }
    expect(DirectForecaster.fromBytes(fitted.toBytes()).predict(asked).point).toEqual(point);
    const gone = { ...level, column: "sign" };
    await expect(fitDirect(rows, { ...options, members: [gone] })).rejects.toThrow(/no column "sign"/);
  });

  test("a member that does not know an entity leaves its weight to the others", async () => {
    const fitted = await fitDirect(rows, { ...options, members: blend, levels: [] });
    const strange = {
      ...later,
      matrix: withColumn(later.matrix, "entity", new Float32Array(later.matrix.rows).fill(77)),
    };
    expect(fitted.only("ridge").predict(strange).point.every(Number.isNaN)).toBe(true);
    expect(fitted.predict(strange).point.every(Number.isFinite)).toBe(true);
  });

  test("an explanation sums to the forecast, part by part and for trees column by column", async () => {
    const few = quantityRows(300, 9);
    const trees = { kind: "trees" as const, weight: 1 };
    const forest = { ...trees, kind: "forest" as const };
    for (const members of [blend, [trees], [forest], [{ ...trees, departFrom: "signal" }]]) {
      const fitted = await fitDirect(rows, { ...options, members, levels: [] });
      const told = fitted.explain(few, ["who", "when", "what"]);
      const { point } = fitted.predict(few);
      expect(told.point).toEqual(point);
      expect(told.start).toEqual(few.expectation);
      expect(told.parts.map(({ part }) => part)).toEqual(["who", "when", "what"]);
      for (let i = 0; i < point.length; i++) {
        const sum = told.parts.reduce((total, { contribution }) => total + contribution[i]!, told.start[i]!);
        expect(sum).toBeCloseTo(point[i]!, 6);
        if (members.length === 1) {
          expect(told.columns[1]![i]!).toBeCloseTo(told.parts[1]!.contribution[i]!, 9);
          expect(told.columns[2]![i]!).toBeCloseTo(told.parts[2]!.contribution[i]!, 9);
        }
      }
      // The signal is what the made-up counts follow.
      const size = (k: number) =>
        told.parts[k]!.contribution.reduce((sum, value) => sum + Math.abs(value), 0);
      expect(size(2)).toBeGreaterThan(2 * size(1));
    }
  });

  test("a part that is missing in ordinary times contributes what it adds, whatever the model", async () => {
    const some = quantityRows(2000, 4);
    const isNone = (i: number) => i % 3 !== 0;
    const withGaps = (set: typeof some) => ({
      ...set,
      matrix: {
        ...set.matrix,
        columns: set.matrix.columns.map((column, j) =>
          j === 2 ? column.map((value, i) => (isNone(i) ? Number.NaN : value)) : column,
        ),
      },
    });
    const few = withGaps(quantityRows(60, 9));
    const absent = few.matrix.columns.map((column, j) => (j === 2 ? column.map(() => Number.NaN) : column));
    const aged = { ...withGaps(some), ageDays: some.target.map((_, i) => i / 100) };
    const models = [];
    for (const members of [blend, timeless, [{ kind: "forest" as const, weight: 1 }]]) {
      const fitted = await fitDirect(aged, { ...options, members, levels: [] });
      models.push(fitted, ...fitted.kinds.map((kind) => fitted.only(kind)));
    }
    for (const model of models) {
      const told = model.explain(few, ["who", "when", "what"], "what");
      const { point } = model.predict(few);
      const without = model.predict({ ...few, matrix: { ...few.matrix, columns: absent } }).point;
      for (let i = 0; i < point.length; i++) {
        const sum = told.parts.reduce((total, { contribution }) => total + contribution[i]!, told.start[i]!);
        expect(sum).toBeCloseTo(point[i]!, 6);
        const adds = told.parts[2]!.contribution[i]!;
        expect(adds).toBe(point[i]! - without[i]!);
        if (isNone(i)) expect(adds).toBe(0);
        if (model.kinds.join() === "trees") expect(told.columns[2]![i]!).toBeCloseTo(adds, 6);
      }
      const none = { ...few, matrix: { ...few.matrix, columns: absent } };
      expect(new Set(model.explain(none, ["who", "when", "what"], "what").parts[2]!.contribution)).toEqual(
        new Set([0]),
      );
      // Without the part nothing of it is told, and a part that is not there is no mistake.
      expect(model.explain(few, ["who", "when", "when"], "what").point).toEqual(point);
    }
  });

  test("a ridge learns nothing from rows that inputs were taken from, and weighs the others alike", async () => {
    const ridge = { ...options, members: blend!.slice(2), levels: [] };
    const whole = await fitDirect(rows, ridge);
    const partial = Uint8Array.from(rows.target, (_, i) => (i % 3 === 0 ? 1 : 0));
    const columns = rows.matrix.columns.map((column) =>
      column.map((value, i) => (partial[i] === 1 ? value + 1 : value)),
    );
    const skipped = await fitDirect({ ...rows, matrix: { ...rows.matrix, columns }, partial }, ridge);
    const absent = rows.target.map((y, i) => (partial[i] === 1 ? Number.NaN : y));
    const without = await fitDirect({ ...rows, target: absent }, ridge);
    expect(skipped.predict(rows).point).toEqual(without.predict(rows).point);
    expect(skipped.predict(rows).point).not.toEqual(whole.predict(rows).point);
    // Expectations in other units are other weights of a log-ratio, but not of its squares.
    const scaled = {
      ...rows,
      expectation: rows.expectation.map((s, i) => (i % 2 === 0 ? s : 20 * (s + 5) - 5)),
    };
    const target = rows.target.map((y, i) => (i % 2 === 0 ? y : 20 * (y + 5) - 5));
    const [even, other] = [
      whole.predict(rows).point,
      (await fitDirect({ ...scaled, target }, ridge)).predict(rows).point,
    ];
    for (let i = 0; i < even.length; i++) expect(other[i]).toBeCloseTo(even[i]!, 6);
  });

  test("a ridge of the newest days learns nothing from older rows", async () => {
    const ageDays = Float64Array.from(rows.target, (_, i) => (i % 3 === 0 ? 101 : 100));
    const fit = (target: Float64Array, newestDays?: number) => {
      const ridge = { ...blend[2]!, ...(newestDays === undefined ? {} : { newestDays }) };
      return fitDirect({ ...rows, target, ageDays }, { ...options, members: [ridge], levels: [] });
    };
    const absent = rows.target.map((y, i) => (ageDays[i]! > 100 ? Number.NaN : y));
    const newest = (await fit(rows.target, 100)).predict(rows).point;
    expect(newest).toEqual((await fit(absent)).predict(rows).point);
    expect(newest).not.toEqual((await fit(rows.target, 101)).predict(rows).point);
    const ageless = { ...options, members: [{ ...blend[2]!, newestDays: 100 }], levels: [] };
    await expect(fitDirect(rows, ageless)).rejects.toThrow(/ages/);
  });

  test("what a network and a ridge make of a part does not depend on the order of the parts", async () => {
    const fitted = (await fitDirect(rows, { ...options, members: blend, levels: [] })).only("ridge");
    const few = quantityRows(50, 9);
    const told = fitted.explain(few, ["a", "b", "c"]);
    const other = fitted.explain(few, ["a", "b", "b"]);
    // Only the signal is read by the ridge: what is said of it does not change with its company.
    expect(other.parts[1]!.contribution[7]).toBeCloseTo(told.parts[2]!.contribution[7]!, 9);
  });

  test("members without a weight, or with one below 0, are refused", async () => {
    for (const weights of [
      [0],
      [-1, 2],
      [[]],
      [
        [1, 0],
        [0.5, 0],
      ],
      [[1, -1], 2],
    ]) {
      const members = weights.map((weight) => ({ kind: "trees" as const, weight }));
      await expect(fitDirect(rows, { ...options, members })).rejects.toThrow(/weights/);
    }
  });

  test("quantiles do not cross, are at least 0, and level 0.5 is the point", async () => {
    const levels = [0.05, 0.3, 0.45, 0.5, 0.55, 0.9];
    const fitted = await fitDirect(rows, { ...options, levels, calibrate: "holdout" });
    const { point, quantiles } = fitted.predict(later);
    expect(quantiles[3]).toEqual(point);
    for (let i = 0; i < point.length; i++) {
      expect(quantiles[0]![i]).toBeGreaterThanOrEqual(0);
      for (let k = 1; k < levels.length; k++)
        expect(quantiles[k]![i]).toBeGreaterThanOrEqual(quantiles[k - 1]![i]!);
    }
  });

  test("a row without a usable expectation is NaN and leaves the rows beside it alone", async () => {
    const fitted = await fitDirect(rows, { ...options, calibrate: "none" });
    const whole = fitted.predict(later);
    for (const bad of [Number.NaN, -3, Number.POSITIVE_INFINITY]) {
      const expectation = later.expectation.with(5, bad);
      const { point, quantiles } = fitted.predict({ ...later, expectation });
      expect(point[5]).toBeNaN();
      for (const column of quantiles) expect(column[5]).toBeNaN();
      expect(point.subarray(6)).toEqual(whole.point.subarray(6));
    }
  });

  test("rows without an expectation are skipped in fitting", async () => {
    const half = rows.expectation.map((s, i) => (i % 2 ? s : Number.NaN));
    const target = rows.target.map((y, i) => (i % 2 ? y : 12345));
    const none = { ...options, calibrate: "none" } as const;
    const a = await fitDirect({ ...rows, expectation: half, target }, none);
    const b = await fitDirect({ ...rows, expectation: half }, none);
    expect(a.toBytes()).toEqual(b.toBytes());
  });

  test("the units of the weights do not matter", async () => {
    const scale = 1024; // a power of 2 keeps every ratio exact
    const none = {
      ...options,
      calibrate: "none",
      objective: "l2", // whose leaf values lambdaL2 shrinks
      trees: { ...trees, lambdaL2: 30, minSumHessianInLeaf: 25 },
    } as const;
    const large: QuantityRows = {
      ...rows,
      target: rows.target.map((y) => y * scale),
      expectation: rows.expectation.map((s) => s * scale),
    };
    const small = (await fitDirect(rows, none)).predict(later).point;
    const fitted = await fitDirect(large, { ...none, transform: { name: "logRatio", offset: 5 * scale } });
    const expectation = later.expectation.map((s) => s * scale);
    const big = fitted.predict({ ...later, expectation }).point;
    big.forEach((value, i) => {
      expect(value / scale).toBeCloseTo(small[i]!, 6);
    });
  });

  test("values no count can have are refused with their row", async () => {
    const fit = (change: Partial<QuantityRows>) => fitDirect({ ...rows, ...change }, options);
    await expect(fit({ target: rows.target.with(3, -1) })).rejects.toThrow(/row 3 has target -1/);
    await expect(fit({ expectation: rows.expectation.with(4, -1) })).rejects.toThrow(
      /row 4 has expectation -1/,
    );
    await expect(fit({ lead: rows.lead.with(2, 0) })).rejects.toThrow(/row 2 has lead 0/);
    await expect(fit({ lead: rows.lead.with(2, 2 ** 30) })).rejects.toThrow(/row 2 has lead/);
    await expect(fit({ lead: new Int32Array(3) })).rejects.toThrow(/lead has 3 values, expected 12000/);
  });

  test("levels that do not ascend or lie outside (0, 1) are refused", async () => {
    for (const levels of [[0.9, 0.1], [0.1, 0.1], [0], [1], [Number.NaN]]) {
      await expect(fitDirect(rows, { ...options, levels })).rejects.toThrow(/level/);
    }
  });

  test("trees that depart from a level learn what lies beyond it", async () => {
    const fit = (departFrom?: string) =>
      fitDirect(rows, {
        ...options,
        levels: [],
        members: [{ kind: "trees", weight: 1, ...(departFrom && { departFrom }) }],
        objective: "l1",
      });
    const fitted = await fit("signal");
    const z = (y: number, i: number) => Math.log(y + 5) - Math.log(later.expectation[i]! + 5);
    // Trees see the signal too, so a level that is wrong by a constant factor costs little: both are near the counts.
    const wape = (f: DirectForecaster) => scores.wape(later.target, f.predict(later).point)!;
    expect(wape(fitted)).toBeLessThan(1.05 * wape(await fit()));
    // A signal beyond all that was seen moves the forecast on, which trees alone never do.
    const beyond = (value: number) => ({
      ...later,
      matrix: withColumn(later.matrix, "signal", new Float32Array(later.matrix.rows).fill(value)),
    });
    const [far, farther] = [fitted.predict(beyond(50)).point, fitted.predict(beyond(51)).point];
    expect(z(farther[0]!, 0) - z(far[0]!, 0)).toBeCloseTo(1, 6);
    // Without the level there is the expectation.
    expect(Number.isFinite(fitted.predict(beyond(Number.NaN)).point[0]!)).toBe(true);
    await expect(fit("sign")).rejects.toThrow(/no column "sign"/);
  });

  test("a lead below 1 is refused, one beyond the horizon takes the last offset", async () => {
    const fitted = await fitDirect(rows, options);
    const at = (h: number) => fitted.predict({ ...later, lead: later.lead.map(() => h) }).quantiles[2];
    expect(at(99)).toEqual(at(4));
    expect(at(1)).not.toEqual(at(4));
    expect(() => at(0)).toThrow(/row 0 has lead 0/);
  });

  test("saved bytes with a valid checksum but impossible contents are refused", async () => {
    const { sections } = unpack(
      (await fitDirect(rows, { ...options, calibrate: "none" })).toBytes(),
      "direct-forecaster/4",
    );
    const good = {
      transform: { name: "logRatio", offset: 5 },
      featureNames: ["entity", "lead", "signal"],
      levels: [0.1, 0.5, 0.9],
      members: [{ kind: "trees", weights: [1], hasEffects: 0, departFrom: "" }],
      offsets: [{ byLead: [] }, { byLead: [] }],
    };
    const load = (change: object, parts = sections) =>
      DirectForecaster.fromBytes(pack("direct-forecaster/4", { ...good, ...change }, parts));
    expect(load({}).levels).toEqual([0.1, 0.5, 0.9]);
    const hostile = [
      { levels: [0.9, 0.5, 0.1] },
      { levels: [0.1, 0.2, 0.9] },
      { levels: "0.1" },
      { offsets: [] },
      { offsets: [{ byLead: [null] }, { byLead: [] }] },
      { transform: { name: "logRatio", offset: 0 } },
      { transform: { name: "sqrt" } },
      { featureNames: ["entity", "signal", "lead"] },
      { members: [] },
      { members: [{ kind: "trees", weights: [-1], hasEffects: 0, departFrom: "" }] },
      { members: [{ kind: "trees", weights: [], hasEffects: 0, departFrom: "" }] },
      { members: [{ kind: "trees", weights: [1], hasEffects: 0, departFrom: "sign" }] },
      { members: [{ kind: "trees", weights: [1], hasEffects: 1, departFrom: "" }] },
      { members: [{ kind: "level", weights: [1], hasEffects: 0, column: "sign" }] },
      { members: [{ kind: "forest", weights: [1], hasEffects: 0, columns: { names: [], categorical: [] } }] },
      {
        members: [
          { kind: "network", weights: [1], hasEffects: 0, columns: { names: ["lead"], categorical: [] } },
        ],
      },
    ];
    const code = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        return error instanceof ForecastError ? error.code : error;
      }
      return "accepted";
    };
    for (const change of hostile) expect([change, code(() => load(change))]).toEqual([change, "bytes"]);
    expect(code(() => load({}, sections.slice(1)))).toBe("bytes");
    expect(code(() => load({}, sections.with(0, Uint8Array.of(1, 2, 3))))).toBe("bytes");
  });
});
