import type { BinaryRows, Matrix, QuantityRows } from "../src/index.ts";
import { normalOf, randomOf } from "../src/random.ts";

export { randomOf };

/** An own buffer for each array, so that a test can change one without another. */
export function quantityRows(count: number, seed: number, leads = 4): QuantityRows {
  const random = randomOf(seed);
  const normal = normalOf(random);
  const columns = [0, 1, 2].map(() => new Float32Array(count));
  const expectation = new Float64Array(count);
  const lead = new Int32Array(count);
  const target = new Float64Array(count);
  const calibration = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const entity = Math.floor(random() * 6);
    lead[i] = 1 + (i % leads);
    expectation[i] = 20 + 80 * entity * random();
    const signal = normal();
    columns[0]![i] = entity;
    columns[1]![i] = lead[i]!;
    columns[2]![i] = random() < 0.05 ? Number.NaN : signal;
    // The spread grows with the lead: only offsets by lead can be right for each.
    const z = 0.4 * signal + 0.1 * lead[i]! * normal();
    target[i] = Math.max(0, Math.round((expectation[i]! + 5) * Math.exp(z) - 5));
    if (i >= count * 0.7) calibration[i] = 1;
  }
  return { matrix: matrixOf(["entity", "lead", "signal"], columns), expectation, lead, target, calibration };
}

export function binaryRows(count: number, seed: number): BinaryRows {
  const random = randomOf(seed);
  const normal = normalOf(random);
  const columns = [0, 1, 2].map(() => new Float32Array(count));
  const target = new Float64Array(count);
  const calibration = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const entity = Math.floor(random() * 6);
    const signal = normal();
    columns[0]![i] = entity;
    columns[1]![i] = random();
    columns[2]![i] = signal;
    target[i] = Number(random() < 1 / (1 + Math.exp(2 - 1.5 * signal - 0.3 * entity)));
    if (i >= count * 0.7) calibration[i] = 1;
  }
  return { matrix: matrixOf(["entity", "noise", "signal"], columns), target, calibration };
}

export function matrixOf(names: readonly string[], columns: readonly Float32Array[]): Matrix {
  return { rows: columns[0]!.length, names, columns, categorical: names.filter((name) => name === "entity") };
}

/** The rows [from, to) of a matrix, as views. */
export function rowsOf(matrix: Matrix, from: number, to: number): Matrix {
  return { ...matrix, rows: to - from, columns: matrix.columns.map((column) => column.subarray(from, to)) };
}

/** The matrix with one column replaced. */
export function withColumn(matrix: Matrix, name: string, column: Float32Array): Matrix {
  return { ...matrix, columns: matrix.columns.map((c, j) => (matrix.names[j] === name ? column : c)) };
}
