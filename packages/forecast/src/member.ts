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
 * One model of the transformed target among those that a forecaster averages. Where it has effects, they come first
 * and it has learned what they leave.
 */
export type Member = { readonly weight: number; readonly effects?: CrossedRidge } & (
  | {
      readonly kind: "trees" | "forest";
      readonly model: Model;
      /** A column on the transformed scale to which the model's prediction is added; missing counts as 0. */
      readonly departFrom?: string;
    }
  | { readonly kind: "effects"; readonly model: Model }
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
    case "trees":
    case "forest": {
      const z = member.model.predict(matrix.columns);
      const level = levelOf(matrix, member.departFrom);
      return level ? z.map((value, i) => value + level[i]!) : z;
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
 * What the label of each row departs from; undefined where it is the expectation itself.
 *
 * @throws ForecastError `option` naming a column that is not there
 */
export function levelOf(matrix: Matrix, column: string | undefined): Float64Array | undefined {
  if (column === undefined) return undefined;
  const values = matrix.columns[matrix.names.indexOf(column)];
  if (!values) throw new ForecastError("option", `there is no column "${column}" to depart from`);
  return Float64Array.from(values, (value) => (Number.isNaN(value) ? 0 : value));
}

/** Weighted mean of the members' predictions; those that have nothing to say leave their weight to the others. */
export function predictMembers(members: readonly Member[], matrix: Matrix, lead: Int32Array): Float64Array {
  const only = members.length === 1 ? members[0] : undefined;
  if (only) return predictMember(only, matrix, lead);
  const sum = new Float64Array(matrix.rows);
  const known = new Float64Array(matrix.rows);
  for (const member of members) {
    if (member.weight === 0) continue;
    const z = predictMember(member, matrix, lead);
    for (let i = 0; i < z.length; i++) {
      if (Number.isNaN(z[i]!)) continue;
      sum[i]! += member.weight * z[i]!;
      known[i]! += member.weight;
    }
  }
  return sum.map((value, i) => value / known[i]!);
}

/** What is stored of a member beside its model's bytes. */
export function memberFields(member: Member): object {
  const { kind, weight } = member;
  return {
    kind,
    weight,
    hasEffects: member.effects ? 1 : 0,
    ...("columns" in member && { columns: member.columns }),
    ...("groups" in member && { groups: member.groups }),
    ...(isTrees(member) && { departFrom: member.departFrom ?? "" }),
  };
}

/** The member's models: its own, and then the effects where it has them. */
export const memberSections = ({ model, effects }: Member): Uint8Array[] => [
  model.toBytes(),
  ...(effects ? [effects.toBytes()] : []),
];

/**
 * Reads a member and takes its sections off the list.
 *
 * @throws ForecastError `bytes`
 */
export function readMember(fields: Fields, sections: Uint8Array[], featureNames: readonly string[]): Member {
  const hasEffects = fields.number("hasEffects") === 1;
  const section = sections.shift();
  const second = hasEffects ? sections.shift() : undefined;
  if (!section || (hasEffects && !second)) throw new ForecastError("bytes", "a member's model is not there");
  const own = readOwn(fields, section, featureNames);
  if (!second) return own;
  const effects = CrossedRidge.fromBytes(second);
  const missing = effects.columns.find((name) => !featureNames.includes(name));
  if (missing !== undefined)
    throw new ForecastError("bytes", `effects of a column "${missing}" that is not there`);
  return { ...own, effects };
}

function readOwn(fields: Fields, section: Uint8Array, featureNames: readonly string[]): Member {
  const kind = fields.string("kind");
  const weight = fields.number("weight");
  if (!(weight >= 0)) throw new ForecastError("bytes", `a member has weight ${weight}`);
  if (kind === "trees" || kind === "forest" || kind === "effects") {
    const model = readModel(section, featureNames);
    const departFrom = kind === "effects" ? "" : fields.string("departFrom");
    if (kind === "effects" || departFrom === "") return { kind, weight, model };
    if (!featureNames.includes(departFrom))
      throw new ForecastError("bytes", `a member departs from a column "${departFrom}" that is not there`);
    return { kind, weight, model, departFrom };
  }
  const given = fields.object("columns");
  const columns = { names: given.strings("names"), categorical: given.strings("categorical") };
  if (!columns.names.every((name) => featureNames.includes(name))) {
    throw new ForecastError("bytes", "a member reads columns that the forecaster has not");
  }
  if (kind === "network") {
    const model = Network.fromBytes(section);
    if (model.names.join("\n") !== columns.names.join("\n") || model.outputs !== 1) {
      throw new ForecastError("bytes", "a network is one of other columns");
    }
    return { kind, weight, columns, model };
  }
  if (kind === "ridge") {
    const group = fields.object("groups");
    const groups = { by: group.string("by"), codes: group.numbers("codes"), leads: group.number("leads") };
    const model = Ridge.fromBytes(section);
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
