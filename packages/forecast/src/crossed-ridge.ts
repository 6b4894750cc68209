import { type Fields, floatsOf, pack, sectionOf, unpack } from "./container.ts";
import {
  type BoundGroup,
  CrossedDesign,
  type CrossedTerm,
  columnOf,
  describe,
  type NumericScale,
  timesColumns,
  timesRows,
} from "./crossed-design.ts";
import { CrossedGram } from "./crossed-gram.ts";
import { ForecastError, requireLength } from "./errors.ts";
import { checkMatrix, type Matrix, rowsWhere, take } from "./matrix.ts";

/** Rows to fit on; a row with an unknown target or a weight of 0 teaches nothing. */
export interface CrossedRows {
  /** the terms pick their columns by name; others are not read */
  readonly matrix: Matrix;
  readonly target: Float64Array;
  /** at least 0; 1 where it is left out */
  readonly weight?: Float64Array;
}

export interface CrossedRidgeOptions {
  readonly terms: readonly CrossedTerm[];
  /**
   * Centre and scale numeric columns by the training rows, so that penalties mean the same for all (default).
   * A column that holds only 0 and 1 stays as it is: a flag has no effect where it is 0. With false the
   * columns are taken as they are, which must then be of about unit size. Missing is 0 either way. A column
   * with a unit has that.
   */
  readonly standardise?: boolean;
  /** stop where the residual of the normal equations is this small against their right-hand side; default 1e-4 */
  readonly tolerance?: number;
  /** or after so many iterations; default 500 */
  readonly maxIterations?: number;
}

const KIND = "crossed-ridge/1";

/** Bounds the memory of a forecast. */
const ROWS_AT_ONCE = 4096;

/**
 * A sparse ridge regression on crossed effects: minimises sum w (z - a - effects)^2 + sum over terms of
 * penalty |coefficients|^2, by conjugate gradients on the normal equations with their diagonal blocks
 * as preconditioner (Hestenes and Stiefel 1952; Golub and Van Loan, Matrix Computations, 11.5). The memory is
 * 4 bytes per row and term, and 8 per pair of coefficients that some row has both of.
 *
 * @throws ForecastError `shape` on unequal lengths or a column that is not there; `option` on a term that
 * crosses a numeric column, a penalty or a unit not above 0, two units of one column, or too many combinations; `data` on a negative weight;
 * `noRows` where no row can be learned from
 */
export function fitCrossedRidge(rows: CrossedRows, options: CrossedRidgeOptions): CrossedRidge {
  const { matrix, target, weight } = rows;
  const { terms, standardise = true, tolerance = 1e-4, maxIterations = 500 } = options;
  checkMatrix(matrix);
  requireLength("target", target.length, matrix.rows);
  if (weight) requireLength("weight", weight.length, matrix.rows);
  checkTerms(terms, matrix);
  if (!(tolerance > 0)) throw new ForecastError("option", `tolerance is ${tolerance}, expected above 0`);
  if (!(maxIterations >= 1)) throw new ForecastError("option", `maxIterations is ${maxIterations}`);
  const badWeight = weight?.findIndex((w) => !(w >= 0 && Number.isFinite(w))) ?? -1;
  if (badWeight >= 0) throw new ForecastError("data", `row ${badWeight} has weight ${weight![badWeight]}`);
  const usable = rowsWhere(matrix.rows, (i) => Number.isFinite(target[i]!) && (weight?.[i] ?? 1) > 0);
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target and a weight`);
  }

  const sizes = new Map<string, number>();
  const scales = new Map<string, NumericScale>();
  for (const { cross, times, unit } of terms) {
    for (const name of cross) if (!sizes.has(name)) sizes.set(name, codesOf(matrix, name, usable));
    if (times === undefined || scales.has(times)) continue;
    if (unit) scales.set(times, { name: times, mean: unit.centre, scale: unit.size });
    else scales.set(times, standardise ? scaleOf(matrix, times, usable) : { name: times, mean: 0, scale: 1 });
  }
  const design = new CrossedDesign(terms, sizes, scales);
  const groups = design.bind(matrix, usable);
  const w = weight ? take(weight, usable) : new Float64Array(usable.length).fill(1);
  const solution = solve(design, groups, take(target, usable), w, tolerance, maxIterations);
  return new CrossedRidge(design, solution);
}

interface Solution {
  readonly coefficients: Float64Array;
  readonly iterations: number;
  /** |residual| / |right-hand side| of the normal equations where the iteration stopped */
  readonly residual: number;
}

/** A fitted ridge on crossed effects; made by `fitCrossedRidge` or `fromBytes`. Immutable. */
export class CrossedRidge {
  readonly #design: CrossedDesign;
  readonly #solution: Solution;

  constructor(design: CrossedDesign, solution: Solution) {
    this.#design = design;
    this.#solution = solution;
  }

  /** Columns that `predict` reads. */
  get columns(): readonly string[] {
    return [...this.#design.sizes.keys(), ...this.#design.scales.keys()];
  }

  get iterations(): number {
    return this.#solution.iterations;
  }

  /** Where the iteration stopped, relative to the right-hand side; above `tolerance` it ran out of iterations. */
  get residual(): number {
    return this.#solution.residual;
  }

  /**
   * On the scale of the target. A combination that was not seen in training has no effect.
   *
   * @throws ForecastError `shape` where a column of a term is not there
   */
  predict(matrix: Matrix): Float64Array {
    const out = new Float64Array(matrix.rows);
    for (let from = 0; from < out.length; from += ROWS_AT_ONCE) {
      const rows = Int32Array.from({ length: Math.min(ROWS_AT_ONCE, out.length - from) }, (_, k) => from + k);
      const groups = this.#design.bind(matrix, rows);
      out.set(timesRows(groups, this.#solution.coefficients, rows.length), from);
    }
    return out;
  }

  /** The same model gives the same bytes. */
  toBytes(): Uint8Array {
    const { terms, sizes, scales } = this.#design;
    const { coefficients, iterations, residual } = this.#solution;
    const fields = {
      terms: terms.map(({ cross, times, penalty }) => ({ cross, times: times ?? "", penalty })),
      sizes: [...sizes].map(([name, size]) => ({ name, size })),
      scales: [...scales.values()],
      iterations,
      residual,
    };
    return pack(KIND, fields, [sectionOf(coefficients)]);
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written */
  static fromBytes(bytes: Uint8Array): CrossedRidge {
    const { fields, sections } = unpack(bytes, KIND);
    const design = readDesign(fields);
    if (sections.length !== 1) throw new ForecastError("bytes", `${sections.length} sections, expected 1`);
    const coefficients = floatsOf(sections[0]!);
    if (coefficients.length !== design.width || !coefficients.every(Number.isFinite)) {
      throw new ForecastError("bytes", `${coefficients.length} coefficients, the terms have ${design.width}`);
    }
    const [iterations, residual] = [fields.number("iterations"), fields.number("residual")];
    return new CrossedRidge(design, { coefficients, iterations, residual });
  }
}

function readDesign(fields: Fields): CrossedDesign {
  const terms = fields.objects("terms").map((term) => {
    const times = term.string("times");
    const rest = { cross: term.strings("cross"), penalty: term.number("penalty") };
    return times === "" ? rest : { ...rest, times };
  });
  const sizes = new Map(fields.objects("sizes").map((entry) => [entry.string("name"), entry.number("size")]));
  const scales = new Map(
    fields.objects("scales").map((entry) => {
      const name = entry.string("name");
      return [name, { name, mean: entry.number("mean"), scale: entry.number("scale") }];
    }),
  );
  const isWhole = [...sizes.values()].every((size) => Number.isInteger(size) && size >= 0);
  const isKnown = terms.every(
    (term) => term.cross.every((name) => sizes.has(name)) && (!("times" in term) || scales.has(term.times)),
  );
  if (!isWhole || !isKnown)
    throw new ForecastError("bytes", "the terms refer to columns without a size or scale");
  try {
    return new CrossedDesign(terms, sizes, scales);
  } catch (cause) {
    throw new ForecastError("bytes", "saved with terms that no fit accepts", { cause });
  }
}

function checkTerms(terms: readonly CrossedTerm[], matrix: Matrix): void {
  if (terms.length === 0) throw new ForecastError("option", "no terms");
  const units = new Map<string, string>();
  for (const term of terms) {
    for (const name of term.cross) {
      columnOf(matrix, name);
      if (!matrix.categorical.includes(name)) {
        throw new ForecastError("option", `${describe(term)} crosses "${name}", which is not categorical`);
      }
    }
    if (term.times !== undefined) {
      columnOf(matrix, term.times);
      const { centre, size } = term.unit ?? { centre: 0, size: 1 };
      if (!(Number.isFinite(centre) && size > 0 && Number.isFinite(size)))
        throw new ForecastError("option", `${describe(term)} has the unit ${size} about ${centre}`);
      const unit = JSON.stringify(term.unit ?? null);
      if ((units.get(term.times) ?? unit) !== unit)
        throw new ForecastError("option", `terms have several units of "${term.times}"`);
      units.set(term.times, unit);
    }
    if (!(term.penalty > 0 && Number.isFinite(term.penalty))) {
      throw new ForecastError("option", `${describe(term)} has penalty ${term.penalty}, expected above 0`);
    }
  }
}

function codesOf(matrix: Matrix, name: string, rows: Int32Array): number {
  const codes = columnOf(matrix, name);
  let highest = -1;
  for (const row of rows) if (codes[row]! > highest) highest = codes[row]!;
  return Math.floor(highest) + 1;
}

function scaleOf(matrix: Matrix, name: string, rows: Int32Array): NumericScale {
  const values = Float64Array.from(rows, (row) => columnOf(matrix, name)[row]!).filter(Number.isFinite);
  if (values.every((value) => value === 0 || value === 1)) return { name, mean: 0, scale: 1 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { name, mean, scale: Math.sqrt(variance) > 1e-9 * Math.abs(mean) ? Math.sqrt(variance) : 1 };
}

/** Conjugate gradients about the mean, so that the tolerance speaks of the effects and not of the intercept. */
function solve(
  design: CrossedDesign,
  groups: readonly BoundGroup[],
  z: Float64Array,
  w: Float64Array,
  tolerance: number,
  maxIterations: number,
): Solution {
  const { width } = design;
  const gram = new CrossedGram(groups, w, width);
  const precondition = gram.preconditioner();
  const total = w.reduce((sum, value) => sum + value, 0);
  const mean = z.reduce((sum, value, i) => sum + value * w[i]!, 0) / total;
  const weighted = z.map((value, i) => (value - mean) * w[i]!);
  const right = timesColumns(groups, weighted, width).map((value, j) => value * gram.scale[j]!);

  const g = new Float64Array(width);
  const residual = right.slice();
  const bar = tolerance * Math.sqrt(dot(right, right));
  let towards = precondition(residual);
  let rho = dot(residual, towards);
  let iterations = 0;
  let size = Math.sqrt(dot(residual, residual));
  while (size > bar && iterations < maxIterations) {
    const image = gram.times(towards);
    const step = rho / dot(towards, image);
    for (let j = 0; j < width; j++) {
      g[j]! += step * towards[j]!;
      residual[j]! -= step * image[j]!;
    }
    const conditioned = precondition(residual);
    const next = dot(residual, conditioned);
    for (let j = 0; j < width; j++) conditioned[j]! += (next / rho) * towards[j]!;
    towards = conditioned;
    rho = next;
    size = Math.sqrt(dot(residual, residual));
    iterations++;
  }
  const relative = bar > 0 ? (size / bar) * tolerance : 0;
  const coefficients = g.map((value, j) => value * gram.scale[j]!);
  coefficients[0]! += mean;
  return { coefficients, iterations, residual: relative };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
