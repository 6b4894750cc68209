import { ForecastError } from "./errors.ts";
import type { Matrix } from "./matrix.ts";

/**
 * Effects of one cross: a coefficient for each combination of the codes of the `cross` columns (counter x hour
 * x day type), or with `times` one slope of that numeric column for each. An empty `cross` is one coefficient.
 */
export interface CrossedTerm {
  readonly cross: readonly string[];
  readonly times?: string;
  /**
   * Centre and unit of the numeric column: its slope is that of one unit, whatever rows were fitted on. Where it is
   * left out the rows decide.
   */
  readonly unit?: { readonly centre: number; readonly size: number };
  /** penalty on squared coefficients, above 0, in units of summed weight: the rows' worth of prior "no effect" */
  readonly penalty: number;
}

/** Centre and scale of a numeric column. */
export interface NumericScale {
  readonly name: string;
  readonly mean: number;
  readonly scale: number;
}

/**
 * The terms on one cross. The coefficients of a combination lie side by side: that of the group's term `a` and
 * combination `k` is number base + k x width + a.
 */
export interface CrossGroup {
  readonly cross: readonly string[];
  /** numeric column of each term, or null for a term without one */
  readonly times: readonly (string | null)[];
  readonly penalties: readonly number[];
  readonly base: number;
  /** terms in the group */
  readonly width: number;
  /** combinations; one more, number `size`, belongs to unseen ones and keeps coefficients of 0 */
  readonly size: number;
}

/** The rows of one matrix as a group sees them. */
export interface BoundGroup extends CrossGroup {
  /** per row the combination's number, or `size` where a code is missing or unseen */
  readonly index: Int32Array;
  /** rows x width: what each term multiplies its coefficient by; 0 where a numeric value is missing */
  readonly values: Float32Array;
}

const MAX_COMBINATIONS = 2 ** 24;

/**
 * How terms map to coefficients, grouped by cross; number 0 is the intercept. The one-hot matrix A (rows x
 * coefficients) never exists: a row is one index per cross and one value per term.
 */
export class CrossedDesign {
  readonly terms: readonly CrossedTerm[];
  /** codes of each categorical column, 0 .. size - 1 */
  readonly sizes: ReadonlyMap<string, number>;
  readonly scales: ReadonlyMap<string, NumericScale>;
  readonly groups: readonly CrossGroup[];
  /** coefficients, the intercept and the unseen ones included */
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
    const intercept: CrossedTerm = { cross: [], penalty: 0 };
    const byCross = Map.groupBy([intercept, ...terms], (term) => term.cross.join("\n"));
    let base = 0;
    this.groups = [...byCross.values()].map((members) => {
      const { cross } = members[0]!;
      const size = cross.reduce((product, name) => product * sizes.get(name)!, 1);
      if (size > MAX_COMBINATIONS) {
        const what = describe(members[0]!);
        throw new ForecastError("option", `${what} has ${size} combinations, at most ${MAX_COMBINATIONS}`);
      }
      const group = {
        cross,
        times: members.map((term) => term.times ?? null),
        penalties: members.map((term) => term.penalty),
        base,
        width: members.length,
        size,
      };
      base += (size + 1) * members.length;
      return group;
    });
    this.width = base;
  }

  /** The given rows of a matrix as the groups see them. */
  bind(matrix: Matrix, rows: Int32Array): BoundGroup[] {
    const numbers = new Map<string, Float32Array>();
    for (const [name, scale] of this.scales) numbers.set(name, scaled(matrix, rows, scale));
    return this.groups.map((group) => {
      const { width, times } = group;
      const values = new Float32Array(rows.length * width).fill(1);
      for (const [a, name] of times.entries()) {
        if (name === null) continue;
        const column = numbers.get(name)!;
        for (let i = 0; i < rows.length; i++) values[i * width + a] = column[i]!;
      }
      return { ...group, index: this.#combine(group, matrix, rows), values };
    });
  }

  #combine({ cross, size: unseen }: CrossGroup, matrix: Matrix, rows: Int32Array): Int32Array {
    const index = new Int32Array(rows.length);
    for (const name of cross) {
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

/** A v: one value per row. */
export function timesRows(groups: readonly BoundGroup[], v: Float64Array, rows: number): Float64Array {
  const out = new Float64Array(rows);
  for (const { index, values, base, width } of groups) {
    for (let i = 0; i < rows; i++) {
      const from = base + index[i]! * width;
      let sum = 0;
      for (let a = 0; a < width; a++) sum += v[from + a]! * values[i * width + a]!;
      out[i]! += sum;
    }
  }
  return out;
}

/** A' u for one value per row; `length` coefficients. */
export function timesColumns(groups: readonly BoundGroup[], u: Float64Array, length: number): Float64Array {
  const out = new Float64Array(length);
  for (const { index, values, base, width, size } of groups) {
    for (let i = 0; i < u.length; i++) {
      const from = base + index[i]! * width;
      for (let a = 0; a < width; a++) out[from + a]! += u[i]! * values[i * width + a]!;
    }
    out.fill(0, base + size * width, base + (size + 1) * width);
  }
  return out;
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
