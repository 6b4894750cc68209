import type { Matrix, NetworkRows } from "../../src/index.ts";
import { randomOf } from "../synthetic.ts";

/** Numbers with gaps, an infinity, a constant and two categorical columns; the label is no sum of them. */
export function madeRows(rows: number, seed: number, numeric = 9): Required<NetworkRows> {
  const random = randomOf(seed);
  const columns = Array.from({ length: numeric }, () => new Float32Array(rows));
  const site = new Float32Array(rows);
  const day = new Float32Array(rows);
  const label = new Float64Array(rows);
  const weight = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    for (const [k, column] of columns.entries()) column[i] = k === 3 ? 7 : 4 * random() - 2;
    site[i] = Math.floor(random() * 5) * 3;
    day[i] = Math.floor(random() * 7);
    label[i] = Math.sin(2 * columns[0]![i]!) * columns[1]![i]! + 0.3 * site[i]! + 10;
    weight[i] = 0.5 + random();
    if (random() < 0.1) columns[2]![i] = Number.NaN;
    if (random() < 0.05) day[i] = Number.NaN;
  }
  columns[4]![1] = Number.POSITIVE_INFINITY;
  const names = [...columns.map((_, k) => `x${k}`), "site", "day"];
  return { matrix: matrixWith(names, [...columns, site, day], ["site", "day"]), label, weight };
}

export function matrixWith(
  names: readonly string[],
  columns: readonly Float32Array[],
  categorical: readonly string[] = [],
): Matrix {
  return { rows: columns[0]!.length, names, columns, categorical };
}

export function meanError(label: Float64Array, predicted: Float64Array): number {
  return label.reduce((sum, value, i) => sum + Math.abs(value - predicted[i]!), 0) / label.length;
}
