import { type Cell, type FieldLookup, QueryError } from "../query/expression.ts";
import type { FieldType, View } from "../query/view.ts";

type Function = "count" | "min" | "max" | "sum" | "avg";
interface Column {
  name: string;
  type: FieldType;
  /** A grouped field, or an aggregate of a field (null: of rows). */
  make: { group: number } | { aggregate: Function; field: string | null };
}

/** A row of groups: values with their types, by output name. */
export type GroupRow = Record<string, { value: Cell; type: FieldType }>;

const AGGREGATE = /^\s*(count|min|max|sum|avg)\s*\(\s*(\*|[A-Za-z_]\w*)\s*\)(?:\s+as\s+([A-Za-z_]\w*))?\s*$/i;

export function hasAggregates(select: string): boolean {
  return /\b(count|min|max|sum|avg)\s*\(/i.test(select);
}

/**
 * Groups rows by plain fields: `group_by=id,name` with `select=id, count(*) as n, max(date)`. Without `group_by` all
 * rows make one group.
 * @throws QueryError for anything else
 */
export function aggregate(
  view: View,
  positions: readonly number[],
  groupBy: string,
  select: string,
  orderBy: string,
  fields: FieldLookup,
): GroupRow[] {
  const typeOf = new Map(view.fields.map((field) => [field.name, field.type]));
  const resolve = (name: string): string => {
    const known = fields.field(name.trim());
    if (known === null)
      throw new QueryError(`Unknown field: ${name.trim()}. Clause(s) containing the error(s): group_by.`);
    return known.name;
  };
  const keys = groupBy === "" ? [] : groupBy.split(",").map(resolve);
  const columns: Column[] = keys.map((name, group) => ({ name, type: typeOf.get(name)!, make: { group } }));
  for (const part of select === "" ? [] : select.split(",")) {
    const match = AGGREGATE.exec(part);
    if (match === null) {
      // A grouped field may be named again.
      if (keys.includes(resolve(part))) continue;
      throw new QueryError(
        `${part.trim()} is neither grouped nor aggregated. Clause(s) containing the error(s): select.`,
      );
    }
    const kind = match[1]!.toLowerCase() as Function;
    const field = match[2] === "*" ? null : resolve(match[2]!);
    if (field === null && kind !== "count") throw new QueryError(`${kind}(*) has no meaning.`);
    const type =
      kind === "count" ? "integer" : kind === "min" || kind === "max" ? typeOf.get(field!)! : "double";
    columns.push({ name: match[3] ?? `${kind}(${match[2]})`, type, make: { aggregate: kind, field } });
  }
  const getKeys = keys.map((key) => view.get(key));
  const groups = new Map<string, number[]>();
  for (const position of positions) {
    const key = JSON.stringify(getKeys.map((get) => get(position)));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [position]);
    else group.push(position);
  }
  if (keys.length === 0 && groups.size === 0) groups.set("[]", []);
  const rows = [...groups.values()].map((group) => {
    const row: GroupRow = {};
    for (const { name, type, make } of columns) {
      const value =
        "group" in make ? getKeys[make.group]!(group[0]!) : fold(make.aggregate, make.field, group, view);
      row[name] = { value, type };
    }
    return row;
  });
  return sortRows(rows, orderBy, columns);
}

function fold(kind: Function, field: string | null, group: readonly number[], view: View): Cell {
  if (field === null) return group.length;
  const get = view.get(field);
  const values = group.map(get).filter((value) => value !== null);
  if (kind === "count") return values.length;
  if (values.length === 0) return null;
  if (kind === "min") return values.reduce((best, value) => (value < best ? value : best));
  if (kind === "max") return values.reduce((best, value) => (value > best ? value : best));
  const sum = values.reduce((total: number, value) => total + Number(value), 0);
  return kind === "sum" ? sum : sum / values.length;
}

function sortRows(rows: GroupRow[], orderBy: string, columns: readonly Column[]): GroupRow[] {
  if (orderBy.trim() === "") return rows;
  const keys = orderBy.split(",").map((part) => {
    const match = /^\s*(.+?)(?:\s+(asc|desc))?\s*$/i.exec(part);
    const name = match?.[1]?.replace(/\s/g, "") ?? "";
    if (!columns.some((column) => column.name === name)) {
      throw new QueryError(`Unknown field: ${name}. Clause(s) containing the error(s): order_by.`);
    }
    return { name, sign: match?.[2]?.toLowerCase() === "desc" ? -1 : 1 };
  });
  return rows.sort((a, b) => {
    for (const { name, sign } of keys) {
      const [left, right] = [a[name]!.value, b[name]!.value];
      if (left === right) continue;
      if (left === null) return 1;
      if (right === null) return -1;
      return (left < right ? -1 : 1) * sign;
    }
    return 0;
  });
}
