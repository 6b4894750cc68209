import { ForecastError, requireLength } from "./errors.ts";

/**
 * Features, rows x names.length, by column. NaN is missing; a categorical column holds whole codes from 0
 * up, and a code the model has not seen counts as missing.
 */
export interface Matrix {
  readonly rows: number;
  readonly names: readonly string[];
  readonly columns: readonly Float32Array[];
  /** names of the categorical columns */
  readonly categorical: readonly string[];
}

/** @throws ForecastError `shape` where columns, names and rows do not fit together. */
export function checkMatrix(matrix: Matrix): void {
  requireLength("matrix.columns", matrix.columns.length, matrix.names.length);
  if (matrix.names.length === 0) throw new ForecastError("shape", "the matrix has no columns");
  if (new Set(matrix.names).size !== matrix.names.length) {
    throw new ForecastError("shape", "two columns of the matrix have the same name");
  }
  for (const [j, column] of matrix.columns.entries()) {
    requireLength(`column "${matrix.names[j]}"`, column.length, matrix.rows);
  }
  for (const name of matrix.categorical) {
    if (!matrix.names.includes(name)) {
      throw new ForecastError("shape", `categorical column "${name}" is not among the columns`);
    }
  }
}

/**
 * That `matrix` has exactly the columns a model was fitted on, in their order: a swapped pair of columns
 * would give forecasts that look plausible.
 *
 * @throws ForecastError `shape` naming the first column that differs
 */
export function checkColumns(matrix: Matrix, expected: readonly string[]): void {
  requireLength("matrix.columns", matrix.columns.length, expected.length);
  for (let j = 0; j < expected.length; j++) {
    if (matrix.names[j] !== expected[j]) {
      throw new ForecastError("shape", `column ${j} is "${matrix.names[j]}", expected "${expected[j]}"`);
    }
    requireLength(`column "${expected[j]}"`, matrix.columns[j]!.length, matrix.rows);
  }
}

/** The given rows of every column; the columns themselves where `index` takes all `rows` of them. */
export function takeRows(matrix: Matrix, index: Int32Array): readonly Float32Array[] {
  if (index.length === matrix.rows) return matrix.columns;
  return matrix.columns.map((column) => {
    const taken = new Float32Array(index.length);
    for (let k = 0; k < taken.length; k++) taken[k] = column[index[k]!]!;
    return taken;
  });
}

/** The given values, in that order. */
export function take(values: Float64Array, index: Int32Array): Float64Array {
  const taken = new Float64Array(index.length);
  for (let k = 0; k < taken.length; k++) taken[k] = values[index[k]!]!;
  return taken;
}

/** The indices below `rows` that `keep` accepts. */
export function rowsWhere(rows: number, keep: (row: number) => boolean): Int32Array {
  const index = new Int32Array(rows);
  let n = 0;
  for (let i = 0; i < rows; i++) if (keep(i)) index[n++] = i;
  return index.slice(0, n);
}
