import { describe, expect, test } from "vitest";
import { choleskySolve } from "../src/cholesky.ts";
import { CrossedRidge, type CrossedTerm, ForecastError, fitCrossedRidge, type Matrix } from "../src/index.ts";
import { randomOf } from "./synthetic.ts";

const random = randomOf(5);
const count = 600;
const draw = (levels: number) => Float32Array.from({ length: count }, () => Math.floor(random() * levels));
const matrix: Matrix = {
  rows: count,
  names: ["counter", "hour", "dayType", "temperature", "holiday", "unused"],
  columns: [
    draw(5),
    draw(6),
    draw(3),
    Float32Array.from({ length: count }, () => (random() < 0.05 ? Number.NaN : 12 + 16 * (random() - 0.5))),
    draw(2),
    draw(9),
  ],
  categorical: ["counter", "hour", "dayType"],
};
const [counter, hour, dayType, temperature, holiday] = matrix.columns as Float32Array[];
const target = Float64Array.from({ length: count }, (_, i) => {
  const slope = Number.isNaN(temperature![i]!) ? 0 : 0.02 * counter![i]! * (temperature![i]! - 12);
  return 3 + counter![i]! * 0.5 + Math.sin(hour![i]! + counter![i]!) - 0.4 * holiday![i]! + slope + random();
});
const weight = Float64Array.from({ length: count }, () => 0.2 + random());
const terms: CrossedTerm[] = [
  { cross: ["counter"], penalty: 1 },
  { cross: ["counter", "hour", "dayType"], penalty: 3 },
  { cross: ["hour"], times: "temperature", penalty: 10 },
  { cross: ["counter"], times: "temperature", penalty: 4 },
  { cross: ["dayType"], times: "holiday", penalty: 5 },
  { cross: [], times: "temperature", penalty: 0.5 },
];
const exact = { terms, tolerance: 1e-12 };
const fit = () => fitCrossedRidge({ matrix, target, weight }, exact);

/** The same regression with the one-hot matrix written out, solved as dense normal equations. */
function denseForecast(unit?: { centre: number; size: number }): Float64Array {
  const known = [...temperature!].filter((v) => !Number.isNaN(v));
  const mean = unit?.centre ?? known.reduce((a, b) => a + b, 0) / known.length;
  const scale = unit?.size ?? Math.sqrt(known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length);
  const t = Float64Array.from(temperature!, (v) => (Number.isNaN(v) ? 0 : Math.fround((v - mean) / scale)));
  const blocks = [
    { size: 5, penalty: 1, at: (i: number) => counter![i]!, x: () => 1 },
    {
      size: 90,
      penalty: 3,
      at: (i: number) => counter![i]! + 5 * (hour![i]! + 6 * dayType![i]!),
      x: () => 1,
    },
    { size: 6, penalty: 10, at: (i: number) => hour![i]!, x: (i: number) => t[i]! },
    { size: 5, penalty: 4, at: (i: number) => counter![i]!, x: (i: number) => t[i]! },
    { size: 3, penalty: 5, at: (i: number) => dayType![i]!, x: (i: number) => holiday![i]! },
    { size: 1, penalty: 0.5, at: () => 0, x: (i: number) => t[i]! },
  ];
  const width = 1 + blocks.reduce((sum, block) => sum + block.size, 0);
  const rows = Array.from({ length: count }, (_, i) => {
    const row = new Float64Array(width);
    row[0] = 1;
    let from = 1;
    for (const block of blocks) {
      row[from + block.at(i)]! += block.x(i);
      from += block.size;
    }
    return row;
  });
  const gram = new Float64Array(width * width);
  const right = new Float64Array(width);
  for (const [i, row] of rows.entries()) {
    for (let j = 0; j < width; j++) {
      right[j]! += weight[i]! * row[j]! * target[i]!;
      for (let k = 0; k < width; k++) gram[j * width + k]! += weight[i]! * row[j]! * row[k]!;
    }
  }
  let j = 1;
  for (const block of blocks) for (let k = 0; k < block.size; k++) gram[j * width + j++]! += block.penalty;
  expect(choleskySolve(gram, right)).toBe(true);
  return Float64Array.from(rows, (row) => row.reduce((sum, value, k) => sum + value * right[k]!, 0));
}

describe("the ridge on crossed effects", () => {
  test("agrees with the dense normal equations", () => {
    const fitted = fit();
    expect(fitted.residual).toBeLessThan(1e-12);
    const forecast = fitted.predict(matrix);
    denseForecast().forEach((value, i) => {
      expect(forecast[i]).toBeCloseTo(value, 7);
    });
  });

  test("a combination that was not seen has the effects of its parts alone", () => {
    const later: Matrix = { ...matrix, rows: 2, columns: matrix.columns.map((c) => c.slice(0, 2)) };
    for (const column of later.columns) column[1] = column[0]!;
    later.columns[1]![0] = 77; // no such hour
    later.columns[1]![1] = Number.NaN;
    const [unseen, missing] = fit().predict(later);
    expect(unseen).toBe(missing);
    expect(unseen).toBeGreaterThan(2);
  });

  test("a higher penalty pulls an effect towards none", () => {
    const spread = (penalty: number) => {
      const fitted = fitCrossedRidge({ matrix, target }, { terms: [{ cross: ["counter"], penalty }] });
      const forecast = fitted.predict(matrix);
      return Math.max(...forecast) - Math.min(...forecast);
    };
    expect(spread(1)).toBeGreaterThan(1.5);
    expect(spread(100)).toBeLessThan(spread(1));
    expect(spread(1e9)).toBeLessThan(1e-4);
  });

  test("numeric columns are taken as they are where they are not to be standardised", () => {
    const term = { cross: [], times: "temperature", penalty: 1e-9 };
    const slope = (standardise: boolean) => {
      const fitted = fitCrossedRidge({ matrix, target }, { terms: [term], standardise, tolerance: 1e-12 });
      const two = { ...matrix, rows: 2, columns: matrix.columns.map((c) => c.slice(0, 2)) };
      two.columns[3]!.set([0, 1]);
      const [a, b] = fitted.predict(two);
      two.columns[3]!.fill(Number.NaN);
      return { slope: b! - a!, zero: a! - fitted.predict(two)[0]! };
    };
    // Missing is the mean of the column once it is centred, 0 degrees where it is not.
    expect(slope(false).zero).toBe(0);
    expect(slope(true).zero).not.toBe(0);
  });

  test("a column with a unit has slopes of that unit, whatever rows were fitted on", () => {
    const unit = { centre: 20, size: 5 };
    const withUnit = terms.map((term) => (term.times === "temperature" ? { ...term, unit } : term));
    const fitted = fitCrossedRidge({ matrix, target, weight }, { ...exact, terms: withUnit });
    const dense = denseForecast(unit);
    for (const [i, value] of fitted.predict(matrix).entries()) expect(value).toBeCloseTo(dense[i]!, 6);
    expect(CrossedRidge.fromBytes(fitted.toBytes()).predict(matrix)).toEqual(fitted.predict(matrix));
  });

  test("saved and loaded it gives equal forecasts and equal bytes; damage is refused", () => {
    const bytes = fit().toBytes();
    const loaded = CrossedRidge.fromBytes(bytes);
    expect(loaded.predict(matrix)).toEqual(fit().predict(matrix));
    expect(loaded.toBytes()).toEqual(bytes);
    const altered = bytes.slice();
    altered[bytes.length >> 1]! ^= 1;
    for (const bad of [new Uint8Array(0), bytes.subarray(1), altered]) {
      expect(() => CrossedRidge.fromBytes(bad)).toThrow(ForecastError);
    }
  });

  test("a constant target, one row and an empty column do no harm; inputs are not changed", () => {
    const before = structuredClone({ matrix, target, weight });
    const constant = fitCrossedRidge({ matrix, target: new Float64Array(count).fill(4) }, { terms });
    for (const value of constant.predict(matrix)) expect(value).toBeCloseTo(4, 4);
    const one = target.map((z, i) => (i === 3 ? z : Number.NaN));
    expect(fitCrossedRidge({ matrix, target: one }, exact).predict(matrix)[3]).toBeCloseTo(target[3]!, 9);
    const missing = new Float32Array(count).fill(Number.NaN);
    for (const name of ["temperature", "hour"]) {
      const columns = matrix.columns.map((c, j) => (matrix.names[j] === name ? missing : c));
      const fitted = fitCrossedRidge({ matrix: { ...matrix, columns }, target }, { terms });
      expect(fitted.predict(matrix).every(Number.isFinite)).toBe(true);
    }
    expect({ matrix, target, weight }).toEqual(before);
  });

  test("what cannot be fitted is said", () => {
    const withTerm = (term: CrossedTerm) => () => fitCrossedRidge({ matrix, target }, { terms: [term] });
    expect(withTerm({ cross: ["temperature"], penalty: 1 })).toThrow(
      /"temperature", which is not categorical/,
    );
    expect(withTerm({ cross: ["nothing"], penalty: 1 })).toThrow(/no column "nothing"/);
    expect(withTerm({ cross: ["hour"], penalty: 0 })).toThrow(/term "hour" has penalty 0/);
    const heat = { cross: [], times: "temperature", penalty: 1 };
    expect(withTerm({ ...heat, unit: { centre: 0, size: 0 } })).toThrow(/has the unit 0 about 0/);
    const twice = [heat, { ...heat, cross: ["hour"], unit: { centre: 0, size: 5 } }];
    expect(() => fitCrossedRidge({ matrix, target }, { terms: twice })).toThrow(/several units/);
    const unknown = new Float64Array(count).fill(Number.NaN);
    expect(() => fitCrossedRidge({ matrix, target: unknown }, { terms })).toThrow(/none of 600 rows/);
    const wide = { ...matrix, columns: matrix.columns.map((c) => c.map((v) => v * 1000)) };
    expect(() => fitCrossedRidge({ matrix: wide, target }, { terms })).toThrow(/combinations, at most/);
  });
});
