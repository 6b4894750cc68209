import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  ForecastError,
  fitRidge,
  type Matrix,
  Ridge,
  type RidgeBends,
  type RidgeRows,
} from "../src/index.ts";
import { randomOf, withColumn } from "./synthetic.ts";

interface Golden {
  columns: (number | null)[][];
  day: number[];
  group: number[];
  target: number[];
  weight: number[];
  cases: {
    alpha: number;
    clip: number;
    weighted: boolean;
    huber?: number;
    bends?: RidgeBends;
    forecast: number[];
  }[];
}
const golden: Golden = JSON.parse(readFileSync(new URL("golden/ridge.json", import.meta.url), "utf8"));

const matrix: Matrix = {
  rows: golden.day.length,
  names: ["a", "b", "c", "day"],
  columns: [
    ...golden.columns.map((column) => Float32Array.from(column, (v) => v ?? Number.NaN)),
    Float32Array.from(golden.day),
  ],
  categorical: ["day"],
};
const rows = {
  matrix,
  target: Float64Array.from(golden.target),
  group: Int32Array.from(golden.group),
  weight: Float64Array.from(golden.weight),
} satisfies RidgeRows;
const fit = (change: Partial<RidgeRows> = {}, alpha = 3) => fitRidge({ ...rows, ...change }, { alpha });

describe("ridge", () => {
  test.each(golden.cases)("agrees with its oracle at alpha $alpha, clip $clip, huber $huber", (wanted) => {
    const { weight, ...unweighted } = rows;
    const { huber, bends } = wanted;
    const fitted = fitRidge(wanted.weighted ? { ...unweighted, weight } : unweighted, {
      alpha: wanted.alpha,
      clipInputs: wanted.clip,
      clipTarget: wanted.clip,
      ...(huber !== undefined && { huber }),
      ...(bends && { bends }),
    });
    const forecast = fitted.predict(matrix, rows.group);
    const digits = huber === undefined ? 8 : 3; // two ways to a minimum, each until it is near enough
    for (let i = 0; i < forecast.length; i++) expect(forecast[i]).toBeCloseTo(wanted.forecast[i]!, digits);
  });

  test("a model per group is the model of the group's rows alone, on the common scale", () => {
    const many = fit();
    const alone = fit({ weight: rows.weight.map((w, i) => (rows.group[i] === 1 ? w : 1e-300)) });
    const forecast = many.predict(matrix, rows.group);
    const other = alone.predict(matrix, rows.group);
    for (let i = 1; i < forecast.length; i += 2) expect(forecast[i]).toBeCloseTo(other[i]!, 10);
  });

  test("with Huber's loss an error that grows moves nothing further", () => {
    const withError = (z: number, huber?: number) => {
      const target = rows.target.map((value, i) => (i === 8 ? z : value));
      const options = { alpha: 3, ...(huber !== undefined && { huber }) };
      return fitRidge({ ...rows, target }, options).predict(matrix, rows.group)[10]!;
    };
    expect(Math.abs(withError(1000, 0.2) - withError(50, 0.2))).toBeLessThan(0.01);
    expect(Math.abs(withError(1000) - withError(50))).toBeGreaterThan(1);
    // Where no error is beyond the bound it is least squares.
    expect(withError(2, 1e6)).toBeCloseTo(withError(2), 12);
  });

  test("a line that bends follows what bends where it may, and only there", () => {
    const x = Float32Array.from({ length: 200 }, (_, i) => (i - 100) / 50);
    const one: Matrix = { rows: 200, names: ["x"], columns: [x], categorical: [] };
    const target = Float64Array.from(x, (value) => Math.abs(value - x[150]!));
    const sd = Math.sqrt(x.reduce((sum, value) => sum + (value + 0.01) ** 2, 0) / 200);
    const errorWith = (knots: number[]) => {
      const fitted = fitRidge({ matrix: one, target }, { alpha: 1e-9, bends: { columns: ["x"], knots } });
      return Math.max(...fitted.predict(one).map((value, i) => Math.abs(value - target[i]!)));
    };
    expect(errorWith([(x[150]! + 0.01) / sd])).toBeLessThan(1e-4);
    expect(errorWith([0])).toBeGreaterThan(0.1);
    for (const [columns, knots] of [
      [["y"], [0]],
      [["x"], [Number.NaN]],
    ] as const)
      expect(() => fitRidge({ matrix: one, target }, { alpha: 1, bends: { columns, knots } })).toThrow(
        /bend/,
      );
    expect(() => fitRidge(rows, { alpha: 1, bends: { columns: ["day"], knots: [0] } })).toThrow(
      'no numeric column "day" to bend',
    );
  });

  test("a weight of 2 counts as the row twice", () => {
    const index = [...Array(90).keys(), 7];
    const twice: Matrix = {
      ...matrix,
      rows: 91,
      columns: matrix.columns.map((column) => Float32Array.from(index, (i) => column[i]!)),
    };
    // The scaling statistics are unweighted, so the row that is doubled is given the column means.
    for (const column of twice.columns) column[7] = column[90] = Number.NaN;
    const single = { ...matrix, columns: twice.columns.map((column) => column.slice(0, 90)) };
    const weight = new Float64Array(90).fill(1);
    weight[7] = 2;
    const a = fitRidge({ matrix: single, target: rows.target, weight }, { alpha: 2 });
    const target = Float64Array.from(index, (i) => rows.target[i]!);
    const b = fitRidge({ matrix: twice, target }, { alpha: 2 });
    a.predict(matrix).forEach((value, i) => {
      expect(b.predict(matrix)[i]).toBeCloseTo(value, 10);
    });
  });

  test("saved and loaded it gives equal forecasts and equal bytes; damage is refused", () => {
    const bends = { columns: ["a", "c"], knots: [-0.5, 1] };
    for (const fitted of [fit(), fitRidge(rows, { alpha: 3, bends })]) {
      const bytes = fitted.toBytes();
      const loaded = Ridge.fromBytes(bytes);
      expect(loaded.predict(matrix, rows.group)).toEqual(fitted.predict(matrix, rows.group));
      expect(loaded.toBytes()).toEqual(bytes);
    }
    const bytes = fit().toBytes();
    const altered = bytes.slice();
    altered[bytes.length >> 1]! ^= 1;
    for (const bad of [new Uint8Array(0), bytes.subarray(1), altered]) {
      expect(() => Ridge.fromBytes(bad)).toThrow(ForecastError);
    }
  });

  test("a group without rows, or one that is not there, is forecast as unknown", () => {
    const fitted = fit({ group: rows.group.map((g) => g * 2) });
    expect(fitted.groups).toBe(3);
    const forecast = fitted.predict(
      matrix,
      Int32Array.from(rows.group, (_, i) => i % 5),
    );
    expect([...forecast.subarray(0, 5)].map(Number.isFinite)).toEqual([true, false, true, false, false]);
  });

  test("a constant target, one row, an empty column and an unseen code do no harm", () => {
    const constant = fit({ target: new Float64Array(90).fill(4) });
    for (const value of constant.predict(matrix, rows.group)) expect(value).toBeCloseTo(4, 12);
    const one = fit({ target: rows.target.map((z, i) => (i === 3 ? z : Number.NaN)) });
    expect(one.predict(matrix, new Int32Array(90).fill(1))[20]).toBeCloseTo(rows.target[3]!, 12);
    const missing = new Float32Array(90).fill(Number.NaN);
    const empty = fit({ matrix: withColumn(matrix, "b", missing) });
    expect(empty.predict(matrix, rows.group).every(Number.isFinite)).toBe(true);
    const unseen = fit().predict(withColumn(matrix, "day", new Float32Array(90).fill(99)), rows.group);
    expect(unseen).toEqual(fit().predict(withColumn(matrix, "day", missing), rows.group));
  });

  test("inputs are not changed, and rows with an unknown target teach nothing", () => {
    const before = structuredClone(rows);
    const target = rows.target.map((z, i) => (i % 3 === 0 ? Number.NaN : z));
    const bytes = fit({ target }).toBytes();
    expect(rows).toEqual(before);
    const other = structuredClone(matrix);
    for (const column of other.columns) for (let i = 0; i < 90; i += 3) column[i] = 3;
    expect(fit({ target, matrix: other }).toBytes()).toEqual(bytes);
  });

  test("a batch of more rows than are taken at once is forecast row by row alike", () => {
    const random = randomOf(2);
    const big: Matrix = {
      ...matrix,
      rows: 9000,
      columns: matrix.names.map(() => Float32Array.from({ length: 9000 }, () => Math.floor(random() * 4))),
    };
    const group = new Int32Array(9000);
    const all = fit().predict(big, group);
    const tail = { ...big, rows: 10, columns: big.columns.map((column) => column.subarray(8990)) };
    expect(fit().predict(tail, new Int32Array(10))).toEqual(all.slice(8990));
  });

  test("what cannot be fitted is said", () => {
    expect(() => fit({}, -1)).toThrow(/alpha is -1/);
    expect(() => fit({}, 0)).toThrow(/depend on each other/); // the codes of a day add up to 1
    expect(() => fit({ target: new Float64Array(90).fill(Number.NaN) })).toThrow(/none of 90 rows/);
    expect(() => fit({ weight: new Float64Array(90).fill(-1) })).toThrow(/row 0 has weight -1/);
    expect(() => fitRidge(rows, { alpha: 1, huber: 0 })).toThrow(/huber is 0/);
    expect(() => fitRidge(rows, { alpha: 1, clipTarget: 0.5 })).toThrow(/clipTarget is 0.5/);
    expect(() => fit().predict(matrix)).toThrow(/2 groups, but no group/);
    expect(() => fit().predict({ ...matrix, names: ["b", "a", "c", "day"] }, rows.group)).toThrow(/column 0/);
  });
});
