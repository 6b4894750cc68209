import { ForecastError } from "./errors.ts";
import { type Matrix, rowsWhere, takeRows } from "./matrix.ts";
import { hasSay, isTrees, levelOf, type Member, predictMember, weightAt } from "./member.ts";

/** Why forecasts are what they are, in counts: `start` and all of `parts` sum to the point forecast of each row. */
export interface Explanation {
  readonly point: Float64Array;
  /** The expectation of each row; 0 where the transform reads none. */
  readonly start: Float64Array;
  /** By part of the columns, in the order asked for; what the model says of any row goes to the first. */
  readonly parts: readonly { readonly part: string; readonly contribution: Float64Array }[];
  /**
   * By column, what the trees contribute: for trees alone those of a part sum to the part's, but for the first
   * part, which has also what the model says of any row. Empty where there are no trees.
   */
  readonly columns: readonly Float64Array[];
}

/** Contributions on the transformed scale. */
export interface RawContributions {
  readonly base: Float64Array;
  readonly parts: readonly Float64Array[];
  readonly columns: readonly Float64Array[];
}

/** All coalitions of so many parts are predicted: 2 to this power. */
const MOST_PARTS = 10;

/**
 * Shapley values of parts of the columns: for trees the sums of the columns' own exact values (TreeSHAP), for other
 * members over all coalitions of parts, where a column outside the coalition is missing, that is, its mean
 * (Shapley 1953; Lundberg and Lee 2017). A member that has nothing to say of a row leaves its weight to the others.
 *
 * @param partOf part number of each column
 * @throws ForecastError `option` on too many parts
 */
export function contributionsOf(
  members: readonly Member[],
  matrix: Matrix,
  lead: Int32Array,
  partOf: readonly number[],
  parts: number,
): RawContributions {
  if (parts > MOST_PARTS) throw new ForecastError("option", `${parts} parts, expected at most ${MOST_PARTS}`);
  const { rows } = matrix;
  const base = new Float64Array(rows);
  const byPart = Array.from({ length: parts }, () => new Float64Array(rows));
  const hasTrees = members.some((member) => isTrees(member) && hasSay(member.weight) && !member.effects);
  const byColumn = hasTrees ? matrix.names.map(() => new Float64Array(rows)) : [];
  const known = new Float64Array(rows);
  for (const member of members) {
    if (!hasSay(member.weight)) continue;
    const weightOf = (i: number) => weightAt(member.weight, lead[i]!);
    if (isTrees(member) && !member.effects) {
      const width = matrix.names.length + 1;
      const values = member.model.predictContributions(matrix.columns);
      if (member.departFrom !== undefined) {
        const level = levelOf(matrix, member.departFrom);
        const own = matrix.names.indexOf(member.departFrom);
        for (let i = 0; i < rows; i++) values[i * width + own]! += level[i]!;
      }
      for (let i = 0; i < rows; i++) {
        const weight = weightOf(i);
        known[i]! += weight;
        base[i]! += weight * values[i * width + width - 1]!;
        for (let j = 0; j < width - 1; j++) {
          const value = weight * values[i * width + j]!;
          byColumn[j]![i]! += value;
          byPart[partOf[j]!]![i]! += value;
        }
      }
      continue;
    }
    const { coalitions, sizes } = predictCoalitions(member, matrix, lead, partOf, parts);
    const values = byPart.map((_, part) => shapleyValues(coalitions, sizes, part, parts));
    for (let i = 0; i < rows; i++) {
      if (Number.isNaN(coalitions[0]![i]!)) continue;
      const weight = weightOf(i);
      known[i]! += weight;
      base[i]! += weight * coalitions[0]![i]!;
      for (let part = 0; part < parts; part++) byPart[part]![i]! += weight * values[part]![i]!;
    }
  }
  for (const values of [base, ...byPart, ...byColumn]) {
    for (let i = 0; i < rows; i++) values[i]! /= known[i]!;
  }
  return { base, parts: byPart, columns: byColumn };
}

/**
 * What each of some columns adds to the trees' prediction, all other columns being known: exact Shapley values on the
 * transformed scale, in the order of `columns`; empty where there are no trees.
 *
 * @throws ForecastError `option` on too many columns
 */
export function columnsAdded(
  columns: readonly number[],
  members: readonly Member[],
  matrix: Matrix,
  lead: Int32Array,
): Float64Array[] {
  if (columns.length > MOST_PARTS)
    throw new ForecastError("option", `${columns.length} columns of a part, expected at most ${MOST_PARTS}`);
  const said = members.filter(({ weight }) => hasSay(weight));
  if (!said.some((member) => isTrees(member) && !member.effects)) return [];
  const sums = columns.map(() => new Float64Array(matrix.rows));
  const isKnown = (j: number, i: number) => !Number.isNaN(matrix.columns[j]![i]!);
  // Hardly any row has some, and none has all: each column more doubles the work.
  const index = rowsWhere(matrix.rows, (i) => columns.some((j) => isKnown(j, i)));
  if (index.length === 0) return sums;
  const present = columns.filter((j) => index.some((i) => isKnown(j, i)));
  const rows = { ...matrix, rows: index.length, columns: takeRows(matrix, index) };
  const leads = index.map((i) => lead[i]!);
  const partOf = matrix.names.map((_, j) => present.indexOf(j));
  const known = new Float64Array(index.length);
  for (const member of said) {
    const weightOf = (r: number) => weightAt(member.weight, leads[r]!);
    if (!isTrees(member) || member.effects) {
      const own = predictMember(member, rows, leads);
      for (let r = 0; r < index.length; r++) if (!Number.isNaN(own[r]!)) known[r]! += weightOf(r);
      continue;
    }
    const { coalitions, sizes } = predictCoalitions(member, rows, leads, partOf, present.length);
    for (const [k, j] of present.entries()) {
      const values = shapleyValues(coalitions, sizes, k, present.length);
      const sum = sums[columns.indexOf(j)]!;
      for (let r = 0; r < index.length; r++) sum[index[r]!]! += weightOf(r) * values[r]!;
    }
    for (let r = 0; r < index.length; r++) known[r]! += weightOf(r);
  }
  for (const sum of sums) for (let r = 0; r < index.length; r++) sum[index[r]!]! /= known[r]!;
  return sums;
}

/** What a part adds to each set of the others, weighted by how many orders bring it after that set. */
function shapleyValues(
  coalitions: readonly Float64Array[],
  sizes: readonly number[],
  part: number,
  parts: number,
): Float64Array {
  const share = shapleyWeights(parts);
  return coalitions[0]!.map((_, i) => {
    let value = 0;
    for (let set = 0; set < coalitions.length; set++) {
      if (set & (1 << part)) continue;
      value += share[sizes[set]!]! * (coalitions[set | (1 << part)]![i]! - coalitions[set]![i]!);
    }
    return value;
  });
}

/**
 * The member's prediction for every set of parts that may be known; `sizes` has how many parts each set has. Columns of
 * part -1 are always known.
 */
function predictCoalitions(
  member: Member,
  matrix: Matrix,
  lead: Int32Array,
  partOf: readonly number[],
  parts: number,
) {
  const missing = new Float32Array(matrix.rows).fill(Number.NaN);
  const always = member.kind === "ridge" ? matrix.names.indexOf(member.groups.by) : -1;
  const coalitions: Float64Array[] = [];
  const sizes: number[] = [];
  for (let set = 0; set < 1 << parts; set++) {
    const columns = matrix.columns.map((column, j) =>
      j === always || partOf[j] === -1 || set & (1 << partOf[j]!) ? column : missing,
    );
    coalitions.push(predictMember(member, { ...matrix, columns }, lead));
    sizes.push(Array.from({ length: parts }, (_, k) => (set >> k) & 1).reduce((a, b) => a + b, 0));
  }
  return { coalitions, sizes };
}

/** By the size of a set without the part: size! (parts - size - 1)! / parts! */
function shapleyWeights(parts: number): number[] {
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
  return Array.from(
    { length: parts },
    (_, size) => (factorial(size) * factorial(parts - size - 1)) / factorial(parts),
  );
}
