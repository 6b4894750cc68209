import { choleskyFactor, substitute } from "./cholesky.ts";
import { floatsOf, pack, sectionOf, unpack } from "./container.ts";
import { ForecastError, requireLength } from "./errors.ts";
import { checkColumns, checkMatrix, type Matrix, rowsWhere } from "./matrix.ts";
import { quantileSorted } from "./quantile.ts";
import { Standardiser } from "./standardiser.ts";

/** Rows to fit on; a row with an unknown target, a weight of 0 or a negative group teaches nothing. */
export interface RidgeRows {
  readonly matrix: Matrix;
  /** usually on a transformed scale; NaN is unknown */
  readonly target: Float64Array;
  /** model of the row, 0 up: one per series and lead, say; all rows share one model where it is left out */
  readonly group?: Int32Array;
  /** at least 0; 1 where it is left out */
  readonly weight?: Float64Array;
}

export interface RidgeOptions {
  /** penalty on squared coefficients of standardised columns, in units of summed weight; the intercept has none */
  readonly alpha: number;
  /** numeric columns are clipped to their quantiles at this level and its opposite; default 0, no clipping */
  readonly clipInputs?: number;
  /** the target of each group is clipped to its quantiles at this level and its opposite; default 0 */
  readonly clipTarget?: number;
  /** errors beyond this (on the scale of the target) count by their size, not by their square; default none */
  readonly huber?: number;
  /** numeric columns whose effect may bend; default none */
  readonly bends?: RidgeBends;
}

/** The effect of each of these columns is a line that may bend at each of the knots: standard deviations from the mean. */
export interface RidgeBends {
  readonly columns: readonly string[];
  readonly knots: readonly number[];
}

const KIND = "ridge/1";

/** Both have settled long before. */
const MAX_REWEIGHTINGS = 20;
const MAX_STEPS = 300;
const SETTLED = 1e-5;
/** Errors move the penalty of Huber's loss; by less than so much it is the same. */
const SAME_PENALTY = 1e-3;

/** Bounds the memory of a forecast: the standardised rows of a whole city would not fit. */
const ROWS_AT_ONCE = 4096;

/**
 * One ridge regression per group (Hoerl and Kennard 1970): minimises sum w (z - a - x'b)^2 + alpha |b|^2 over
 * the group's rows, exactly, by a Cholesky factor of the normal equations. Columns are standardised once, by
 * all training rows, so that alpha means the same in every group; categorical columns enter as one 0/1 column
 * per code; missing counts as the mean.
 *
 * With `bends` a column x has a further one for each knot, max(0, x - knot) of its standardised value: a linear spline
 * (Hastie, Tibshirani and Friedman 2009, section 5.2), whose bends the penalty holds down as it does all else.
 *
 * With `huber` the square is Huber's loss (1964). It is scaled as least squares are that have its weights, scaled to the
 * sum of the rows' own, so that the penalty keeps its say whatever the size of the errors.
 *
 * @throws ForecastError `shape` on unequal lengths; `option` on an alpha below 0, a `huber` not above 0, a clip level
 * outside [0, 0.5) or a bend of no numeric column or at no finite knot; `data` on a negative weight, or with alpha 0
 * where columns depend on each other; `noRows` where no row can be learned from
 */
export function fitRidge(rows: RidgeRows, options: RidgeOptions): Ridge {
  const { matrix, target, group, weight } = rows;
  const { alpha, clipInputs = 0, clipTarget = 0, huber, bends } = options;
  checkMatrix(matrix);
  requireLength("target", target.length, matrix.rows);
  if (group) requireLength("group", group.length, matrix.rows);
  if (weight) requireLength("weight", weight.length, matrix.rows);
  if (!(alpha >= 0 && Number.isFinite(alpha))) throw new ForecastError("option", `alpha is ${alpha}`);
  if (huber !== undefined && !(huber > 0)) throw new ForecastError("option", `huber is ${huber}`);
  for (const [name, level] of Object.entries({ clipInputs, clipTarget })) {
    if (!(level >= 0 && level < 0.5)) {
      throw new ForecastError("option", `${name} is ${level}, expected 0 to below 0.5`);
    }
  }
  const badWeight = weight?.findIndex((w) => !(w >= 0 && Number.isFinite(w))) ?? -1;
  if (badWeight >= 0) throw new ForecastError("data", `row ${badWeight} has weight ${weight![badWeight]}`);

  const usable = rowsWhere(
    matrix.rows,
    (i) => Number.isFinite(target[i]!) && (group?.[i] ?? 0) >= 0 && (weight?.[i] ?? 1) > 0,
  );
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target and a weight`);
  }
  const design = new Design(Standardiser.fit(matrix, usable, clipInputs), bends);
  const byGroup = rowsByGroup(usable, group);
  const { width } = design;
  const coefficients = new Float64Array(byGroup.length * (width + 1)).fill(Number.NaN);
  for (const [g, members] of byGroup.entries()) {
    if (members.length === 0) continue;
    const x = design.transform(matrix, members);
    const z = Float64Array.from(members, (row) => target[row]!);
    clip(z, clipTarget);
    const w = Float64Array.from(members, (row) => weight?.[row] ?? 1);
    const problem = { x, z, width, alpha };
    const solved = huber === undefined ? solve(problem, w) : solveHuber(problem, w, huber);
    if (solved === null) {
      throw new ForecastError(
        "data",
        `group ${g}: columns depend on each other, which needs an alpha above 0`,
      );
    }
    coefficients.set(solved, g * (width + 1));
  }
  return new Ridge(design, coefficients);
}

const straight: RidgeBends = { columns: [], knots: [] };

/** The columns that coefficients are of: the standardised ones, and then those of the bends, knot after knot. */
class Design {
  readonly standardiser: Standardiser;
  readonly bends: RidgeBends;
  /** of each bend the place of its column among the standardised ones, and its knot */
  readonly #places: readonly { readonly place: number; readonly knot: number }[];

  constructor(standardiser: Standardiser, bends = straight) {
    const { columns, knots } = bends;
    this.standardiser = standardiser;
    this.bends = bends;
    const places = columns.map((name) => standardiser.placeOf(name));
    const unknown = columns.find((_, i) => places[i]! < 0);
    if (unknown !== undefined) throw new ForecastError("option", `no numeric column "${unknown}" to bend`);
    if (!knots.every(Number.isFinite)) throw new ForecastError("option", `bends at ${knots}`);
    this.#places = knots.flatMap((knot) => places.map((place) => ({ place, knot })));
  }

  get width(): number {
    return this.standardiser.width + this.#places.length;
  }

  /** The given rows: width x rows.length, column after column. */
  transform(matrix: Matrix, rows: Int32Array): Float64Array {
    const x = this.standardiser.transform(matrix, rows);
    if (this.#places.length === 0) return x;
    const n = rows.length;
    const out = new Float64Array(this.width * n);
    out.set(x);
    for (const [k, { place, knot }] of this.#places.entries()) {
      const [from, to] = [place * n, x.length + k * n];
      for (let i = 0; i < n; i++) out[to + i] = Math.max(0, x[from + i]! - knot);
    }
    return out;
  }
}

/** Fitted ridge regressions; made by `fitRidge` or `fromBytes`. Immutable. */
export class Ridge {
  readonly #design: Design;
  /** per group the coefficients of the design and then the intercept; NaN for a group without rows */
  readonly #coefficients: Float64Array;

  constructor(design: Design, coefficients: Float64Array) {
    this.#design = design;
    this.#coefficients = coefficients;
  }

  /** Columns that `predict` expects, in order. */
  get featureNames(): readonly string[] {
    return this.#design.standardiser.featureNames;
  }

  get groups(): number {
    return this.#coefficients.length / (this.#design.width + 1);
  }

  /**
   * On the scale of the target. NaN for a group that had no rows to learn from, or that is not there.
   *
   * @param group of each row; may be left out where there is one group
   * @throws ForecastError `shape` on other columns than those fitted on, or without `group` where there are several
   */
  predict(matrix: Matrix, group?: Int32Array): Float64Array {
    const { width } = this.#design;
    if (group) requireLength("group", group.length, matrix.rows);
    else if (this.groups > 1)
      throw new ForecastError("shape", `${this.groups} groups, but no group of each row`);
    checkColumns(matrix, this.featureNames);
    const out = new Float64Array(matrix.rows);
    for (let from = 0; from < out.length; from += ROWS_AT_ONCE) {
      const rows = Int32Array.from({ length: Math.min(ROWS_AT_ONCE, out.length - from) }, (_, k) => from + k);
      const x = this.#design.transform(matrix, rows);
      for (let k = 0; k < rows.length; k++) {
        const g = group?.[from + k] ?? 0;
        if (g < 0 || g >= this.groups) {
          out[from + k] = Number.NaN;
          continue;
        }
        const start = g * (width + 1);
        let sum = this.#coefficients[start + width]!;
        for (let j = 0; j < width; j++) sum += x[j * rows.length + k]! * this.#coefficients[start + j]!;
        out[from + k] = sum;
      }
    }
    return out;
  }

  /** The same model gives the same bytes. */
  toBytes(): Uint8Array {
    const { standardiser, bends } = this.#design;
    const { fields, numbers } = standardiser.toParts();
    const sections = [sectionOf(numbers), sectionOf(this.#coefficients)];
    if (bends.columns.length === 0) return pack(KIND, fields, sections);
    const knots = sectionOf(Float64Array.from(bends.knots));
    return pack(KIND, { ...fields, bends: bends.columns }, [...sections, knots]);
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written */
  static fromBytes(bytes: Uint8Array): Ridge {
    const { fields, sections } = unpack(bytes, KIND);
    if (sections.length !== 2 && sections.length !== 3)
      throw new ForecastError("bytes", `${sections.length} sections, expected 2 or 3`);
    const [numbers, coefficients, knots] = sections.map(floatsOf);
    const design = readDesign(
      Standardiser.fromParts(fields, numbers!),
      knots ? { columns: fields.strings("bends"), knots: [...knots] } : straight,
    );
    if (coefficients!.length === 0 || coefficients!.length % (design.width + 1) !== 0) {
      throw new ForecastError("bytes", `${coefficients!.length} coefficients for ${design.width} columns`);
    }
    return new Ridge(design, coefficients!);
  }
}

function readDesign(standardiser: Standardiser, bends: RidgeBends): Design {
  try {
    return new Design(standardiser, bends);
  } catch (cause) {
    throw new ForecastError("bytes", "saved with bends that no fit accepts", { cause });
  }
}

/** Row indices of each group, 0 up to the highest that occurs. */
function rowsByGroup(usable: Int32Array, group: Int32Array | undefined): Int32Array[] {
  if (group === undefined) return [usable];
  let groups = 0;
  for (const row of usable) groups = Math.max(groups, group[row]! + 1);
  const counts = new Int32Array(groups);
  for (const row of usable) counts[group[row]!]! += 1;
  const members = Array.from(counts, (count) => new Int32Array(count));
  const filled = new Int32Array(groups);
  for (const row of usable) {
    const g = group[row]!;
    members[g]![filled[g]!] = row;
    filled[g]! += 1;
  }
  return members;
}

/** Clips in place to the quantiles at `level` and 1 - `level`. */
function clip(values: Float64Array, level: number): void {
  if (level === 0) return;
  const ascending = values.toSorted();
  const low = quantileSorted(ascending, level);
  const high = quantileSorted(ascending, 1 - level);
  for (let i = 0; i < values.length; i++) values[i] = Math.min(high, Math.max(low, values[i]!));
}

/** Rows of one group: `x` is width x rows, column after column. */
interface Problem {
  readonly x: Float64Array;
  readonly z: Float64Array;
  readonly width: number;
  readonly alpha: number;
}

/** Coefficients, then the intercept; null where the normal equations have no single solution. */
function solve(problem: Problem, w: Float64Array): Float64Array | null {
  const normal = new NormalEquations(problem, w);
  return normal.factor(problem.alpha) ? normal.solve(problem.z) : null;
}

/**
 * Huber's loss by modified residuals (Huber 1981, section 7.8): least squares of the fit plus the errors cut at the
 * bound, until the coefficients stay as they are. The equations' matrix stays the same, so that a step costs little.
 * The penalty is the one that least squares with weights w * min(1, huber / |error|), scaled to the sum of w, would
 * have; those weights are found with the errors, and the matrix is factored anew when they have moved it.
 */
function solveHuber(problem: Problem, w: Float64Array, huber: number): Float64Array | null {
  const { z, alpha } = problem;
  const total = sumOf(w);
  const normal = new NormalEquations(problem, w);
  if (!normal.factor(alpha)) return null;
  let solved = nearHuber(problem, w, huber, normal.solve(z));
  if (solved === null) return null;
  let penalty = 0;
  for (let step = 0; step < MAX_STEPS; step++) {
    const before: Float64Array = solved;
    const fitted = fittedBy(problem, before);
    const due = (alpha * sumOf(lightened(problem, w, huber, fitted))) / total;
    if (Math.abs(due - penalty) > SAME_PENALTY * penalty) {
      penalty = due;
      if (!normal.factor(penalty)) return null;
    }
    solved = normal.solve(fitted.map((value, i) => value + Math.max(-huber, Math.min(huber, z[i]! - value))));
    if (isWithin(SETTLED, solved, before)) break;
  }
  return solved;
}

/**
 * Least squares that are weighted by the errors of the fit before, until it moves by less than the bound: what is left
 * is for steps that cost less, but are no longer than the bound.
 */
function nearHuber(problem: Problem, w: Float64Array, huber: number, first: Float64Array) {
  const total = sumOf(w);
  let solved: Float64Array | null = first;
  for (let step = 0; solved !== null && step < MAX_REWEIGHTINGS; step++) {
    const before: Float64Array = solved;
    const light = lightened(problem, w, huber, fittedBy(problem, before));
    const scale = total / sumOf(light);
    solved = solve(
      problem,
      light.map((weight) => weight * scale),
    );
    if (solved !== null && isWithin(huber, solved, before)) break;
  }
  return solved;
}

/** w * min(1, huber / |error|) */
function lightened({ z }: Problem, w: Float64Array, huber: number, fitted: Float64Array): Float64Array {
  return w.map((weight, i) => weight * Math.min(1, huber / Math.abs(z[i]! - fitted[i]!)));
}

const isWithin = (bound: number, a: Float64Array, b: Float64Array) =>
  a.every((value, i) => Math.abs(value - b[i]!) <= bound);

const sumOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0);

function fittedBy({ x, z, width }: Problem, solved: Float64Array): Float64Array {
  const n = z.length;
  const fitted = new Float64Array(n).fill(solved[width]!);
  for (let j = 0; j < width; j++) {
    const coefficient = solved[j]!;
    const start = j * n;
    for (let i = 0; i < n; i++) fitted[i]! += coefficient * x[start + i]!;
  }
  return fitted;
}

/**
 * Weighted least squares on the columns of a problem, for any target. Centring by weighted means is what leaves the
 * intercept without penalty.
 */
class NormalEquations {
  readonly #rows: number;
  readonly #width: number;
  readonly #w: Float64Array;
  readonly #total: number;
  readonly #means: Float64Array;
  /** x less its mean, times the root of the weight */
  readonly #centred: Float64Array;
  readonly #root: Float64Array;
  /** lower triangle, without penalty */
  readonly #gram: Float64Array;
  #factor = new Float64Array(0);
  /** columns that do not vary (in this group): their coefficients are 0, with or without a penalty */
  readonly #constant: number[] = [];

  constructor({ x, z, width }: Problem, w: Float64Array) {
    const n = z.length;
    this.#rows = n;
    this.#width = width;
    this.#w = w;
    this.#total = sumOf(w);
    this.#root = w.map(Math.sqrt);
    this.#means = new Float64Array(width);
    this.#centred = new Float64Array(x.length);
    for (let j = 0; j < width; j++) {
      const mean = dot(w, 0, x, j * n, n) / this.#total;
      this.#means[j] = mean;
      for (let i = 0; i < n; i++) this.#centred[j * n + i] = this.#root[i]! * (x[j * n + i]! - mean);
    }
    this.#gram = new Float64Array(width * width);
    for (let j = 0; j < width; j++) {
      for (let k = 0; k <= j; k++)
        this.#gram[j * width + k] = dot(this.#centred, j * n, this.#centred, k * n, n);
      if (this.#gram[j * width + j]! <= 1e-18 * this.#total) this.#constant.push(j);
    }
    for (const j of this.#constant) {
      for (let k = 0; k < width; k++) this.#gram[Math.max(j, k) * width + Math.min(j, k)] = 0;
      this.#gram[j * width + j] = 1;
    }
  }

  /** With a penalty; false where there is no single solution. */
  factor(alpha: number): boolean {
    const width = this.#width;
    this.#factor = this.#gram.slice();
    for (let j = 0; j < width; j++) this.#factor[j * width + j]! += alpha;
    return choleskyFactor(this.#factor, width);
  }

  /** Coefficients, then the intercept. */
  solve(target: Float64Array): Float64Array {
    const [n, width] = [this.#rows, this.#width];
    const mean = dot(this.#w, 0, target, 0, n) / this.#total;
    const residual = target.map((value, i) => this.#root[i]! * (value - mean));
    const solved = new Float64Array(width);
    for (let j = 0; j < width; j++) solved[j] = dot(this.#centred, j * n, residual, 0, n);
    for (const j of this.#constant) solved[j] = 0;
    substitute(this.#factor, solved);
    const out = new Float64Array(width + 1);
    out.set(solved);
    out[width] = mean - dot(solved, 0, this.#means, 0, width);
    return out;
  }
}

function dot(a: Float64Array, fromA: number, b: Float64Array, fromB: number, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[fromA + i]! * b[fromB + i]!;
  return sum;
}
