import { ForecastError } from "../errors.ts";
import { checkColumns, type Matrix } from "../matrix.ts";

/** Numbers further from the mean count as this many standard deviations: forecasts stay bounded. */
const CLIP = 4;

const MAX_CATEGORIES = 10_000;

/**
 * How columns become inputs of a network: numbers are standardised and clipped, missing is 0 (the mean); a category
 * is one of `categoryCount` places, missing and unseen ones are none (-1).
 */
export interface InputParts {
  readonly names: readonly string[];
  readonly categorical: readonly string[];
  /** of each numeric column */
  readonly means: Float64Array;
  /** 1 / standard deviation of each numeric column, 0 for a constant one */
  readonly factors: Float64Array;
  /** codes of each categorical column, ascending */
  readonly categories: readonly Float64Array[];
}

export class Inputs {
  readonly parts: InputParts;
  readonly numericCount: number;
  readonly categoricalCount: number;
  readonly categoryCount: number;
  readonly #numeric: Int32Array;
  readonly #categorical: Int32Array;
  /** place of each code among all categories, by categorical column */
  readonly #places: readonly ReadonlyMap<number, number>[];

  constructor(parts: InputParts) {
    this.parts = parts;
    const isCategorical = parts.names.map((name) => parts.categorical.includes(name));
    const columns = Int32Array.from(parts.names, (_, j) => j);
    this.#numeric = columns.filter((j) => !isCategorical[j]);
    this.#categorical = columns.filter((j) => isCategorical[j]);
    let place = 0;
    this.#places = parts.categories.map((codes) => new Map(Array.from(codes, (code) => [code, place++])));
    this.numericCount = this.#numeric.length;
    this.categoricalCount = this.#categorical.length;
    this.categoryCount = place;
  }

  /**
   * Learns means, spreads and categories from the given rows.
   *
   * @param pause awaited between columns
   * @throws ForecastError `data` on a code that is no whole number from 0, or too many of them
   */
  static async fit(matrix: Matrix, rows: Int32Array, pause: () => Promise<void>): Promise<Inputs> {
    const means: number[] = [];
    const factors: number[] = [];
    const categories: Float64Array[] = [];
    let count = 0;
    for (const [j, column] of matrix.columns.entries()) {
      await pause();
      if (matrix.categorical.includes(matrix.names[j]!)) {
        const codes = codesOf(column, rows, matrix.names[j]!);
        count += codes.length;
        categories.push(codes);
      } else {
        const { mean, deviation } = spreadOf(column, rows);
        means.push(mean);
        factors.push(deviation > 0 ? 1 / deviation : 0);
      }
    }
    if (count > MAX_CATEGORIES) {
      throw new ForecastError("data", `${count} categories in all, expected at most ${MAX_CATEGORIES}`);
    }
    return new Inputs({
      names: [...matrix.names],
      categorical: matrix.names.filter((name) => matrix.categorical.includes(name)),
      means: Float64Array.from(means),
      factors: Float64Array.from(factors),
      categories,
    });
  }

  /** @throws ForecastError `shape` naming the first column that differs from those fitted on */
  check(matrix: Matrix): void {
    checkColumns(matrix, this.parts.names);
  }

  /**
   * Writes the inputs of `count` rows, row by row.
   *
   * @param rows which rows of the matrix; undefined: all
   * @param from first of them
   * @param values rows x stride, numeric inputs
   * @param codes rows x categoricalCount, places
   */
  write(
    matrix: Matrix,
    rows: Int32Array | undefined,
    from: number,
    count: number,
    values: Float32Array,
    stride: number,
    codes: Int32Array,
  ): void {
    const { means, factors } = this.parts;
    for (let k = 0; k < this.numericCount; k++) {
      const column = matrix.columns[this.#numeric[k]!]!;
      const mean = means[k]!;
      const factor = factors[k]!;
      for (let i = 0, at = k; i < count; i++, at += stride) {
        const value = (column[rows ? rows[from + i]! : from + i]! - mean) * factor;
        // NaN is neither above nor below; an infinity times 0 is NaN too.
        values[at] = value > -CLIP ? (value < CLIP ? value : CLIP) : value <= -CLIP ? -CLIP : 0;
      }
    }
    for (let k = 0; k < this.categoricalCount; k++) {
      const column = matrix.columns[this.#categorical[k]!]!;
      const places = this.#places[k]!;
      for (let i = 0, at = k; i < count; i++, at += this.categoricalCount) {
        codes[at] = places.get(column[rows ? rows[from + i]! : from + i]!) ?? -1;
      }
    }
  }
}

/** Mean and standard deviation of the finite values; 0 and 0 where there are none. */
function spreadOf(column: Float32Array, rows: Int32Array): { mean: number; deviation: number } {
  let n = 0;
  let sum = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const row of rows) {
    const value = column[row]!;
    if (!Number.isFinite(value)) continue;
    n++;
    sum += value;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  // A constant has no spread, whatever rounding leaves of it.
  if (least >= most || n === 0) return { mean: n === 0 ? 0 : least, deviation: 0 };
  const mean = sum / n;
  let squares = 0;
  for (const row of rows) {
    const distance = column[row]! - mean;
    if (Number.isFinite(distance)) squares += distance * distance;
  }
  return { mean, deviation: Math.sqrt(squares / n) };
}

function codesOf(column: Float32Array, rows: Int32Array, name: string): Float64Array {
  const seen = new Set<number>();
  for (const row of rows) {
    const code = column[row]!;
    if (Number.isNaN(code) || seen.has(code)) continue;
    if (!Number.isInteger(code) || code < 0) {
      throw new ForecastError(
        "data",
        `categorical column "${name}" has the code ${code} in row ${row}, expected a whole number from 0`,
      );
    }
    seen.add(code);
  }
  return Float64Array.from(seen).sort();
}
