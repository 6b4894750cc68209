import type { Model } from "@cityscale/trees";
import { type Fields, pack, unpack } from "./container.ts";
import { ForecastError, requireLength } from "./errors.ts";
import { columnsAdded, contributionsOf, type Explanation } from "./explanation.ts";
import { checkColumns, type Matrix } from "./matrix.ts";
import {
  hasSay,
  isTrees,
  type Member,
  type MemberKind,
  memberFields,
  memberSections,
  predictMembers,
  readMember,
} from "./member.ts";
import { gainShares, readModel } from "./stored-model.ts";
import { readsExpectation, type Transform, type TransformSpec, transformOf } from "./transform.ts";

/** Rows to forecast; as the training rows, without what is not known yet. */
export interface ForecastRows {
  readonly matrix: Matrix;
  readonly expectation: Float64Array;
  readonly lead: Int32Array;
}

/** In counts, at least 0; NaN where the expectation is missing (and the transform needs it). */
export interface Forecasts {
  readonly point: Float64Array;
  /** One array per level. They do not cross, and the point lies between the levels below and above 0.5. */
  readonly quantiles: Float64Array[];
}

/** What a fit leaves behind. */
export interface DirectParts {
  readonly transform: TransformSpec;
  readonly featureNames: readonly string[];
  readonly levels: readonly number[];
  /** The point forecast is their weighted mean on the transformed scale. */
  readonly members: readonly Member[];
  /** One per level other than 0.5, ascending. */
  readonly quantiles: readonly Model[];
  /** As `quantiles`: on the transformed scale, by lead - 1; empty without calibration. */
  readonly offsets: readonly Float64Array[];
}

const KIND = "direct-forecaster/4";

/** A fitted forecaster of a quantity; made by `fitDirect` or `fromBytes`. Immutable. */
export class DirectForecaster {
  readonly #parts: DirectParts;
  readonly #transform: Transform;

  constructor(parts: DirectParts) {
    this.#parts = parts;
    this.#transform = transformOf(parts.transform);
  }

  /** Columns that `predict` expects, in order. */
  get featureNames(): readonly string[] {
    return this.#parts.featureNames;
  }

  get levels(): readonly number[] {
    return this.#parts.levels;
  }

  /** Kinds of the models that the point forecast is made of, each once; a level is none. */
  get kinds(): readonly Exclude<MemberKind, "level">[] {
    return [...new Set(this.#parts.members.flatMap(({ kind }) => (kind === "level" ? [] : [kind])))];
  }

  /** The same intervals around the point of the members of one kind alone. */
  only(kind: MemberKind): DirectForecaster {
    const members = this.#parts.members.filter((member) => member.kind === kind);
    if (members.length === 0) throw new ForecastError("option", `there is no ${kind} among ${this.kinds}`);
    // They have a say even where the blend gives them none.
    const weighted = members.some(({ weight }) => hasSay(weight));
    return new DirectForecaster({
      ...this.#parts,
      members: weighted ? members : members.map((member) => ({ ...member, weight: 1 })),
    });
  }

  /** Conformal offsets on the transformed scale, by level other than 0.5 and lead - 1; for inspection. */
  get offsets(): readonly Float64Array[] {
    return this.#parts.offsets;
  }

  /**
   * Forecasts of any number of rows. A lead beyond those seen in calibration takes the offset of the last.
   *
   * @throws ForecastError `shape` on other columns than those fitted on, `data` on a lead below 1
   */
  predict(rows: ForecastRows): Forecasts {
    const { featureNames, levels, members, quantiles: models, offsets } = this.#parts;
    const { matrix, expectation, lead } = rows;
    checkColumns(matrix, featureNames);
    requireLength("expectation", expectation.length, matrix.rows);
    requireLength("lead", lead.length, matrix.rows);
    if (matrix.rows === 0) {
      return { point: new Float64Array(0), quantiles: levels.map(() => new Float64Array(0)) };
    }
    const point = predictMembers(members, matrix, lead);
    this.#toCounts(point, expectation);
    let next = 0;
    const quantiles = levels.map((level) => {
      if (level === 0.5) return point.slice();
      const values = models[next]!.predict(matrix.columns);
      addOffsets(values, offsets[next++]!, lead);
      return this.#toCounts(values, expectation);
    });
    uncross(levels, quantiles, point);
    return { point, quantiles };
  }

  /**
   * Why the point forecasts are what they are, in counts.
   *
   * @param parts the part of each column, in the order of `featureNames`
   * @param added a part whose columns are missing where there is none of it: it contributes what it adds to the
   * forecast of the same row without it
   * @throws ForecastError as `predict`; `option` on more than 10 parts, or columns of the part added
   */
  explain(rows: ForecastRows, parts: readonly string[], added?: string): Explanation {
    const { featureNames, members, transform } = this.#parts;
    const { matrix, expectation, lead } = rows;
    checkColumns(matrix, featureNames);
    requireLength("parts", parts.length, featureNames.length);
    const names = [...new Set(parts)];
    const partOf = parts.map((part) => names.indexOf(part));
    if (added !== undefined && names.includes(added)) return this.#explainAdded(rows, parts, added);
    const raw = contributionsOf(members, matrix, lead, partOf, names.length);
    const point = this.#pointOf(rows);
    const start = readsExpectation(transform) ? expectation.slice() : new Float64Array(matrix.rows);
    // What the forecast departs from the start, shared in proportion: exact, where the transform is no sum.
    const factor = point.map((value, i) => {
      let z = raw.base[i]!;
      for (const values of raw.parts) z += values[i]!;
      if (Math.abs(z) < 1e-9) return this.#transform.weight(expectation[i]!);
      return (value - start[i]!) / z;
    });
    const counts = (values: Float64Array) => values.map((value, i) => value * factor[i]!);
    const columns = raw.columns.map(counts);
    return {
      point,
      start,
      parts: names.map((part, k) => {
        const values = raw.parts[k]!;
        return {
          part,
          contribution: counts(k === 0 ? values.map((value, i) => value + raw.base[i]!) : values),
        };
      }),
      columns,
    };
  }

  /** The row without the part is explained, and then what the part adds to it. */
  #explainAdded(rows: ForecastRows, parts: readonly string[], added: string): Explanation {
    const { matrix, lead, expectation } = rows;
    const { members } = this.#parts;
    const own = parts.flatMap((part, j) => (part === added ? [j] : []));
    const missing = new Float32Array(matrix.rows).fill(Number.NaN);
    const columns = matrix.columns.map((column, j) => (own.includes(j) ? missing : column));
    const rest = { ...rows, matrix: { ...matrix, columns } };
    const without = this.explain(rest, parts);
    const point = this.#pointOf(rows);
    const adds = point.map((value, i) => value - without.point[i]!);
    // What the model makes of there being none of it holds for any ordinary row.
    const absence = without.parts.find(({ part }) => part === added)!.contribution;
    const first = without.parts.findIndex(({ part }) => part !== added);
    const contributionOf = (part: string, k: number, values: Float64Array) => {
      if (part === added) return adds;
      return k === first ? values.map((value, i) => value + absence[i]!) : values;
    };
    const before = predictMembers(members, rest.matrix, lead);
    const after = predictMembers(members, matrix, lead);
    const factor = adds.map((value, i) => {
      const z = after[i]! - before[i]!;
      return Math.abs(z) < 1e-9 ? this.#transform.weight(expectation[i]!) : value / z;
    });
    const told = [...without.columns];
    for (const [k, values] of columnsAdded(own, members, matrix, lead).entries())
      told[own[k]!] = values.map((value, i) => value * factor[i]!);
    return {
      point,
      start: without.start,
      parts: without.parts.map(({ part, contribution }, k) => ({
        part,
        contribution: contributionOf(part, k, contribution),
      })),
      columns: told,
    };
  }

  #pointOf(rows: ForecastRows): Float64Array {
    return new DirectForecaster({ ...this.#parts, levels: [], quantiles: [], offsets: [] }).predict(rows)
      .point;
  }

  /**
   * Share of the total gain of the point's first trees by feature, in the order of `featureNames`; sums to 1, or is
   * all 0 where they have no splits, or there are none.
   */
  importance(): Float64Array {
    const trees = this.#parts.members.find(isTrees);
    return trees ? gainShares(trees.model) : new Float64Array(this.featureNames.length);
  }

  /** The same forecaster gives the same bytes. */
  toBytes(): Uint8Array {
    const { transform, featureNames, levels, members, quantiles, offsets } = this.#parts;
    return pack(
      KIND,
      {
        transform,
        featureNames,
        levels,
        members: members.map(memberFields),
        offsets: offsets.map((byLead) => ({ byLead: [...byLead] })),
      },
      [...members.flatMap(memberSections), ...quantiles.map((model) => model.toBytes())],
    );
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written. */
  static fromBytes(bytes: Uint8Array): DirectForecaster {
    const { fields, sections } = unpack(bytes, KIND);
    const levels = fields.numbers("levels");
    const offsets = fields.objects("offsets").map((entry) => Float64Array.from(entry.numbers("byLead")));
    const outer = levels.filter((level) => level !== 0.5).length;
    const featureNames = fields.strings("featureNames");
    const rest = [...sections];
    const members = fields.objects("members").map((member) => readMember(member, rest, featureNames));
    if (members.length === 0 || rest.length !== outer || offsets.length !== outer) {
      throw new ForecastError(
        "bytes",
        `${rest.length} quantile models and ${offsets.length} offsets for ${members.length} members and ${outer} outer levels`,
      );
    }
    const quantiles = rest.map((section) => readModel(section, featureNames));
    const transform = readTransform(fields.object("transform"));
    try {
      checkLevels(levels);
      transformOf(transform);
    } catch (cause) {
      throw new ForecastError("bytes", "saved with options that no fit accepts", { cause });
    }
    return new DirectForecaster({
      transform,
      featureNames,
      levels,
      members,
      quantiles,
      offsets,
    });
  }

  /** In place; a negative or infinite expectation is as good as none, and spares the rows beside it. */
  #toCounts(z: Float64Array, expectation: Float64Array): Float64Array {
    for (let i = 0; i < z.length; i++) {
      const s = expectation[i]!;
      z[i] = this.#transform.inverse(z[i]!, s >= 0 && s < Number.POSITIVE_INFINITY ? s : Number.NaN);
    }
    return z;
  }
}

/** @throws ForecastError `option` unless levels ascend inside (0, 1). */
export function checkLevels(levels: readonly number[]): void {
  for (const [k, level] of levels.entries()) {
    if (!(level > 0 && level < 1)) throw new ForecastError("option", `level ${level} is not inside (0, 1)`);
    if (k > 0 && level <= levels[k - 1]!) throw new ForecastError("option", "levels must ascend");
  }
}

function readTransform(fields: Fields): TransformSpec {
  const name = fields.string("name");
  if (name === "logRatio" || name === "log") return { name, offset: fields.number("offset") };
  if (name === "log1pResidual" || name === "identity") return { name };
  throw new ForecastError("bytes", `unknown transform "${name}"`);
}

function addOffsets(values: Float64Array, byLead: Float64Array, lead: Int32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (lead[i]! < 1) throw new ForecastError("data", `row ${i} has lead ${lead[i]}, expected at least 1`);
    if (byLead.length > 0) values[i]! += byLead[Math.min(lead[i]!, byLead.length) - 1]!;
  }
}

/**
 * Sorts each row's quantiles in place and keeps those below 0.5 at or below the point and those above at or
 * above it. For the outermost levels this is plain sorting; the point itself never moves, as it is what the
 * accuracy scores judge.
 */
function uncross(levels: readonly number[], quantiles: readonly Float64Array[], point: Float64Array): void {
  for (let i = 0; i < point.length; i++) {
    if (Number.isNaN(point[i]!)) continue;
    // Insertion sort: a handful of levels, nearly always in order already.
    for (let k = 1; k < quantiles.length; k++) {
      const value = quantiles[k]![i]!;
      let j = k;
      for (; j > 0 && quantiles[j - 1]![i]! > value; j--) quantiles[j]![i] = quantiles[j - 1]![i]!;
      quantiles[j]![i] = value;
    }
    for (let k = 0; k < quantiles.length; k++) {
      const column = quantiles[k]!;
      if (levels[k]! === 0.5) column[i] = point[i]!;
      else if (levels[k]! < 0.5) column[i] = Math.min(column[i]!, point[i]!);
      else column[i] = Math.max(column[i]!, point[i]!);
    }
  }
}
