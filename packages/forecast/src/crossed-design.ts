import { ForecastError } from "./errors.ts";
import type { Matrix } from "./matrix.ts";

/**
 * Effects of one cross: a coefficient for each combination of the codes of the `cross` columns (counter x hour
 * x day type), or with `times` one slope of that numeric column for each. An empty `cross` is one coefficient.
 */
export interface CrossedTerm {
  readonly cross: readonly string[];
  readonly times?: string;
  /** penalty on squared coefficients, above 0, in units of summed weight: the rows' worth of prior "no effect" */
  readonly penalty: number;
}

/** Centre and scale of a numeric column. */
export interface NumericScale {
  readonly name: string;
  readonly mean: number;
  readonly scale: number;
}

/** What a term refers to in the rows of one matrix. */
interface BoundTerm {
  /** per row the combination's number, or `size` where a code is missing or unseen */
  readonly index: Int32Array;
  /** per row the numeric value, 0 where it is missing; null for a term without one */
  readonly times: Float32Array | null;
  /** of the term's first coefficient; the one after its last belongs to unseen combinations and stays 0 */
  readonly offset: number;
  readonly size: number;
}

const MAX_COMBINATIONS = 2 ** 24;

/** Rows that are worked on together, so that what is computed for them stays in the cache. */
const BLOCK = 2048;

/**
 * How terms map to coefficients: the intercept first, then each term's combinations and one slot for unseen
 * ones. The one-hot matrix itself never exists; a row is one index per cross.
 */
export class CrossedDesign {
  readonly terms: readonly CrossedTerm[];
  /** codes of each categorical column, 0 .. size - 1 */
  readonly sizes: ReadonlyMap<string, number>;
  readonly scales: ReadonlyMap<string, NumericScale>;
  readonly offsets: readonly number[];
  /** coefficients, the intercept and the unseen slots included */
  readonly width: number;

  /** @throws ForecastError `option` on a term whose combinations are too many to hold */
  constructor(
    terms: readonly CrossedTerm[],
    sizes: ReadonlyMap<string, number>,
    scales: ReadonlyMap<string, NumericScale>,
  ) {
    this.terms = terms;
    this.sizes = sizes;
    this.scales = scales;
    const offsets: number[] = [];
    let width = 1;
    for (const term of terms) {
      const size = this.combinations(term);
      if (size > MAX_COMBINATIONS) {
        throw new ForecastError(
          "option",
          `${describe(term)} has ${size} combinations, at most ${MAX_COMBINATIONS}`,
        );
      }
      offsets.push(width);
      width += size + 1;
    }
    this.offsets = offsets;
    this.width = width;
  }

  combinations(term: CrossedTerm): number {
    return term.cross.reduce((product, name) => product * this.sizes.get(name)!, 1);
  }

  /** The given rows of a matrix, ready for the products below. */
  bind(matrix: Matrix, rows: Int32Array): BoundRows {
    const indices = new Map<string, Int32Array>();
    const numbers = new Map<string, Float32Array>();
    const terms = this.terms.map((term, t) => {
      const key = term.cross.join("\n");
      let index = indices.get(key);
      if (index === undefined) {
        index = this.#combine(term, matrix, rows);
        indices.set(key, index);
      }
      const offset = this.offsets[t]!;
      const size = this.combinations(term);
      if (term.times === undefined) return { index, times: null, offset, size };
      let times = numbers.get(term.times);
      if (times === undefined) {
        times = scaled(matrix, rows, this.scales.get(term.times)!);
        numbers.set(term.times, times);
      }
      return { index, times, offset, size };
    });
    return new BoundRows(rows.length, this.width, terms);
  }

  #combine(term: CrossedTerm, matrix: Matrix, rows: Int32Array): Int32Array {
    const unseen = this.combinations(term);
    const index = new Int32Array(rows.length);
    for (const name of term.cross) {
      const codes = columnOf(matrix, name);
      const size = this.sizes.get(name)!;
      for (let i = 0; i < rows.length; i++) {
        const code = codes[rows[i]!]!;
        const isSeen = code >= 0 && code < size && Number.isInteger(code);
        if (isSeen && index[i] !== unseen) index[i] = index[i]! * size + code;
        else index[i] = unseen;
      }
    }
    return index;
  }
}

/** Products with the one-hot matrix A (rows x width) of some rows. */
export class BoundRows {
  readonly rows: number;
  readonly #width: number;
  readonly #terms: readonly BoundTerm[];
  readonly #block = new Float64Array(BLOCK);

  constructor(rows: number, width: number, terms: readonly BoundTerm[]) {
    this.rows = rows;
    this.#width = width;
    this.#terms = terms;
  }

  /** A v: one value per row. */
  times(v: Float64Array): Float64Array {
    const out = new Float64Array(this.rows);
    for (let from = 0; from < this.rows; from += BLOCK) {
      const n = Math.min(BLOCK, this.rows - from);
      this.#gather(v, from, n);
      out.set(this.#block.subarray(0, n), from);
    }
    return out;
  }

  /** A' u for one value per row. */
  transposeTimes(u: Float64Array): Float64Array {
    const out = new Float64Array(this.#width);
    for (let from = 0; from < this.rows; from += BLOCK) {
      const n = Math.min(BLOCK, this.rows - from);
      this.#block.set(u.subarray(from, from + n));
      this.#scatter(out, from, n);
    }
    return this.#withoutUnseen(out);
  }

  /** A' W A v, in one walk over the rows. */
  gramTimes(v: Float64Array, weight: Float64Array): Float64Array {
    const out = new Float64Array(this.#width);
    const block = this.#block;
    for (let from = 0; from < this.rows; from += BLOCK) {
      const n = Math.min(BLOCK, this.rows - from);
      this.#gather(v, from, n);
      for (let i = 0; i < n; i++) block[i]! *= weight[from + i]!;
      this.#scatter(out, from, n);
    }
    return this.#withoutUnseen(out);
  }

  /**
   * The blocks of A' W A that belong to terms on one cross: for each combination a terms x terms matrix of
   * which the lower triangle is filled.
   */
  gramBlocks(terms: readonly number[], weight: Float64Array): Float64Array {
    const m = terms.length;
    const bound = terms.map((t) => this.#terms[t]!);
    const { index, size } = bound[0]!;
    const out = new Float64Array((size + 1) * m * m);
    for (let a = 0; a < m; a++) {
      for (let b = 0; b <= a; b++) {
        const x = bound[a]!.times;
        const y = bound[b]!.times;
        for (let i = 0; i < this.rows; i++) {
          const product = (x === null ? 1 : x[i]!) * (y === null ? 1 : y[i]!);
          out[index[i]! * m * m + a * m + b]! += weight[i]! * product;
        }
      }
    }
    return out;
  }

  #gather(v: Float64Array, from: number, n: number): void {
    const block = this.#block;
    block.fill(v[0]!, 0, n);
    for (const { index, times, offset } of this.#terms) {
      if (times === null) for (let i = 0; i < n; i++) block[i]! += v[offset + index[from + i]!]!;
      else for (let i = 0; i < n; i++) block[i]! += v[offset + index[from + i]!]! * times[from + i]!;
    }
  }

  #scatter(out: Float64Array, from: number, n: number): void {
    const block = this.#block;
    for (let i = 0; i < n; i++) out[0]! += block[i]!;
    for (const { index, times, offset } of this.#terms) {
      if (times === null) for (let i = 0; i < n; i++) out[offset + index[from + i]!]! += block[i]!;
      else for (let i = 0; i < n; i++) out[offset + index[from + i]!]! += block[i]! * times[from + i]!;
    }
  }

  #withoutUnseen(out: Float64Array): Float64Array {
    for (const { offset, size } of this.#terms) out[offset + size] = 0;
    return out;
  }
}

export function describe(term: CrossedTerm): string {
  const cross = term.cross.join(" x ") || "all rows";
  return `term "${term.times === undefined ? cross : `${cross} times ${term.times}`}"`;
}

/** @throws ForecastError `shape` where the matrix has no such column */
export function columnOf(matrix: Matrix, name: string): Float32Array {
  const column = matrix.columns[matrix.names.indexOf(name)];
  if (column === undefined) throw new ForecastError("shape", `the matrix has no column "${name}"`);
  return column;
}

function scaled(matrix: Matrix, rows: Int32Array, { name, mean, scale }: NumericScale): Float32Array {
  const column = columnOf(matrix, name);
  const out = new Float32Array(rows.length);
  for (let i = 0; i < out.length; i++) {
    const value = (column[rows[i]!]! - mean) / scale;
    out[i] = Number.isFinite(value) ? value : 0;
  }
  return out;
}
