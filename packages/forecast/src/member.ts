import type { Model } from "@cityscale/trees";
import type { Fields } from "./container.ts";
import { CrossedRidge } from "./crossed-ridge.ts";
import { ForecastError } from "./errors.ts";
import type { Matrix } from "./matrix.ts";
import { Network } from "./network/network.ts";
import { Ridge } from "./ridge.ts";
import { readModel } from "./stored-model.ts";

/** Columns that a member reads, and which of them it takes as categories: others' numbers may be its categories. */
export interface MemberColumns {
  readonly names: readonly string[];
  readonly categorical: readonly string[];
}

/**
 * A member's share of the point forecast, at least 0 and in any unit: the same at every lead, or by lead - 1, where
 * leads beyond take the last. What is known at the origin says less of a later target, and who makes most of it
 * should have less to say there.
 */
export type LeadWeight = number | readonly number[];

export const weightAt = (weight: LeadWeight, lead: number): number =>
  typeof weight === "number" ? weight : weight[Math.min(lead, weight.length) - 1]!;

/** The shares by lead - 1; one, where it is the same at every lead. */
export const sharesOf = (weight: LeadWeight): readonly number[] =>
  typeof weight === "number" ? [weight] : weight;

/** Whether a member says anything at all. */
export const hasSay = (weight: LeadWeight): boolean => sharesOf(weight).some((share) => share > 0);

/**
 * One model of the transformed target among those that a forecaster averages. Where it has effects, they come first
 * and it has learned what they leave.
 */
export type Member = { readonly weight: LeadWeight; readonly effects?: CrossedRidge } & (
  | {
      readonly kind: "trees" | "forest";
      readonly model: Model;
      /** A column on the transformed scale to which the model's prediction is added; missing counts as 0. */
      readonly departFrom?: string;
    }
  | { readonly kind: "effects"; readonly model: Model }
  /** What a column on the transformed scale says, as it is; missing counts as 0, the expectation itself. */
  | { readonly kind: "level"; readonly column: string }
  | { readonly kind: "network"; readonly model: Network; readonly columns: MemberColumns }
  | {
      readonly kind: "ridge";
      readonly model: Ridge;
      readonly columns: MemberColumns;
      readonly groups: LeadGroups;
    }
);
export type MemberKind = Member["kind"];

/** Boosted trees, or a forest: they read the matrix's own columns, and tell what each contributes. */
export const isTrees = (member: Member): member is Extract<Member, { kind: "trees" | "forest" }> =>
  member.kind === "trees" || member.kind === "forest";

/** Numbers the pairs of an entity (the code in a column) and a lead, for models of one pair each. */
export interface LeadGroups {
  readonly by: string;
  /** codes seen in fitting, ascending */
  readonly codes: readonly number[];
  readonly leads: number;
}

/** Group of each row; -1 for an entity or a lead that was not there in fitting. */
export function groupsOf(matrix: Matrix, lead: Int32Array, { by, codes, leads }: LeadGroups): Int32Array {
  const column = matrix.columns[matrix.names.indexOf(by)]!;
  const numbers = new Map(codes.map((code, n) => [code, n]));
  return lead.map((h, i) => {
    const n = numbers.get(column[i]!);
    return n === undefined || h > leads ? -1 : n * leads + h - 1;
  });
}

/** @throws ForecastError `shape` naming a column that is not there */
export function selectColumns(matrix: Matrix, { names, categorical }: MemberColumns): Matrix {
  const columns = names.map((name) => {
    const at = matrix.names.indexOf(name);
    if (at < 0) throw new ForecastError("shape", `there is no column "${name}" for a member`);
    return matrix.columns[at]!;
  });
  return { rows: matrix.rows, names, columns, categorical };
}

/** The member's prediction of the transformed target; NaN where it has nothing to say. */
export function predictMember(member: Member, matrix: Matrix, lead: Int32Array): Float64Array {
  const z = predictOwn(member, matrix, lead);
  if (!member.effects) return z;
  const first = member.effects.predict(matrix);
  for (let i = 0; i < z.length; i++) z[i]! += first[i]!;
  return z;
}

function predictOwn(member: Member, matrix: Matrix, lead: Int32Array): Float64Array {
  switch (member.kind) {
    case "effects":
      return member.model.predict(matrix.columns);
    case "level":
      return levelOf(matrix, member.column);
    case "trees":
    case "forest": {
      const z = member.model.predict(matrix.columns);
      if (member.departFrom === undefined) return z;
      const level = levelOf(matrix, member.departFrom);
      return z.map((value, i) => value + level[i]!);
    }
    case "network":
      return member.model.predict(selectColumns(matrix, member.columns))[0]!;
    case "ridge":
      return member.model.predict(
        selectColumns(matrix, member.columns),
        groupsOf(matrix, lead, member.groups),
      );
  }
}

/**
 * A column on the transformed scale, where missing is 0: the expectation itself.
 *
 * @throws ForecastError `option` naming a column that is not there
 */
export function levelOf(matrix: Matrix, column: string): Float64Array {
  const values = matrix.columns[matrix.names.indexOf(column)];
  if (!values) throw new ForecastError("option", `there is no column "${column}" to take a level from`);
  return Float64Array.from(values, (value) => (Number.isNaN(value) ? 0 : value));
}

/** Weighted mean of the members' predictions; those that have nothing to say leave their weight to the others. */
export function predictMembers(members: readonly Member[], matrix: Matrix, lead: Int32Array): Float64Array {
  const only = members.length === 1 ? members[0] : undefined;
  if (only) return predictMember(only, matrix, lead);
  const sum = new Float64Array(matrix.rows);
  const known = new Float64Array(matrix.rows);
  for (const member of members) {
    if (!hasSay(member.weight)) continue;
    const z = predictMember(member, matrix, lead);
    for (let i = 0; i < z.length; i++) {
      if (Number.isNaN(z[i]!)) continue;
      const weight = weightAt(member.weight, lead[i]!);
      sum[i]! += weight * z[i]!;
      known[i]! += weight;
    }
  }
  return sum.map((value, i) => value / known[i]!);
}

/** What is stored of a member beside its model's bytes. */
export function memberFields(member: Member): object {
  const { kind, weight } = member;
  return {
    kind,
    weights: sharesOf(weight),
    hasEffects: member.effects ? 1 : 0,
    ...("columns" in member && { columns: member.columns }),
    ...("groups" in member && { groups: member.groups }),
    ...(isTrees(member) && { departFrom: member.departFrom ?? "" }),
    ...(kind === "level" && { column: member.column }),
  };
}

/** The member's models: its own where it has one, and then the effects where it has them. */
export const memberSections = (member: Member): Uint8Array[] => [
  ...("model" in member ? [member.model.toBytes()] : []),
  ...(member.effects ? [member.effects.toBytes()] : []),
];

/**
 * Reads a member and takes its sections off the list.
 *
 * @throws ForecastError `bytes`
 */
export function readMember(fields: Fields, sections: Uint8Array[], featureNames: readonly string[]): Member {
  const hasEffects = fields.number("hasEffects") === 1;
  const next = () => {
    const section = sections.shift();
    if (!section) throw new ForecastError("bytes", "a member's model is not there");
    return section;
  };
  const own = readOwn(fields, next, featureNames);
  if (!hasEffects) return own;
  const second = next();
  const effects = CrossedRidge.fromBytes(second);
  const missing = effects.columns.find((name) => !featureNames.includes(name));
  if (missing !== undefined)
    throw new ForecastError("bytes", `effects of a column "${missing}" that is not there`);
  return { ...own, effects };
}

function readOwn(fields: Fields, next: () => Uint8Array, featureNames: readonly string[]): Member {
  const kind = fields.string("kind");
  const weights = fields.numbers("weights");
  if (weights.length === 0 || !weights.every((share) => share >= 0))
    throw new ForecastError("bytes", `a member has the weights [${weights}]`);
  const weight = weights.length === 1 ? weights[0]! : weights;
  const known = (column: string) => {
    if (featureNames.includes(column)) return column;
    throw new ForecastError("bytes", `a member reads a column "${column}" that is not there`);
  };
  if (kind === "level") return { kind, weight, column: known(fields.string("column")) };
  if (kind === "trees" || kind === "forest" || kind === "effects") {
    const model = readModel(next(), featureNames);
    const departFrom = kind === "effects" ? "" : fields.string("departFrom");
    if (kind === "effects" || departFrom === "") return { kind, weight, model };
    return { kind, weight, model, departFrom: known(departFrom) };
  }
  const given = fields.object("columns");
  const columns = { names: given.strings("names"), categorical: given.strings("categorical") };
  columns.names.forEach(known);
  if (kind === "network") {
    const model = Network.fromBytes(next());
    if (model.names.join("\n") !== columns.names.join("\n") || model.outputs !== 1) {
      throw new ForecastError("bytes", "a network is one of other columns");
    }
    return { kind, weight, columns, model };
  }
  if (kind === "ridge") {
    const group = fields.object("groups");
    const groups = { by: group.string("by"), codes: group.numbers("codes"), leads: group.number("leads") };
    const model = Ridge.fromBytes(next());
    if (
      model.featureNames.join("\n") !== columns.names.join("\n") ||
      !featureNames.includes(groups.by) ||
      model.groups > groups.codes.length * groups.leads
    ) {
      throw new ForecastError("bytes", "a ridge regression is one of other columns or groups");
    }
    return { kind, weight, columns, groups, model };
  }
  throw new ForecastError("bytes", `unknown kind of member "${kind}"`);
}
