import { bounds, type Cell, compile, type Expression, type FieldLookup, QueryError } from "./expression.ts";

export type FieldType = "oid" | "integer" | "double" | "text" | "date" | "datetime" | "point";

export interface Field {
  name: string;
  type: FieldType;
  label?: string;
}

/** A table as it stands at one instant. Positions are whole numbers from 0. */
export interface View {
  readonly fields: readonly Field[];
  /** Changes whenever other rows or values would be seen. */
  readonly version: string;
  readonly length: number;
  /** Whether the row at a position is there at all; null when all are. */
  readonly isVisible: ((position: number) => boolean) | null;
  get(field: string): (position: number) => Cell;
  /** The fields by which positions ascend, and the first position at or after a value of the first of them. */
  readonly sorted: { by: readonly string[]; first(value: number): number } | null;
}

export interface Order {
  field: string;
  descending: boolean;
}

/** Fields by any case, as both APIs are forgiving there. */
export function lookup(view: View, instant: (text: string, type: FieldType) => number): FieldLookup {
  const byName = new Map(view.fields.map((field) => [field.name.toLowerCase(), field]));
  return {
    field(name) {
      const field = byName.get(name.toLowerCase());
      if (field === undefined) return null;
      return { name: field.name, isInstant: field.type === "date" || field.type === "datetime" };
    },
    get: (name) => view.get(name),
    instant: (text, name) => instant(text, byName.get(name.toLowerCase())?.type ?? "text"),
  };
}

/** Parses "a, b DESC". @throws QueryError for an unknown field or word */
export function parseOrder(text: string, fields: FieldLookup): Order[] {
  if (text.trim() === "") return [];
  return text.split(",").map((part) => {
    const match = /^\s*([A-Za-z_]\w*)(?:\s+(asc|desc))?\s*$/i.exec(part);
    const field = match === null ? null : fields.field(match[1]!);
    if (match === null || field === null) throw new QueryError(`Invalid field: ${part.trim()}`);
    return { field: field.name, descending: match[2]?.toLowerCase() === "desc" };
  });
}

interface Page {
  positions: number[];
  /** Whether rows follow after the page. */
  more: boolean;
}

/** Where the page after the last one begins, so that paging through a million rows does not start over each time. */
const resume = new WeakMap<object, Map<string, { offset: number; position: number }>>();

/**
 * The rows of a page. Walks the table in its own order when that is the order asked for, else sorts what matches.
 * @param owner what the view is of, for remembering where pages ended
 */
export function selectPage(
  owner: object,
  view: View,
  fields: FieldLookup,
  where: Expression,
  order: readonly Order[],
  offset: number,
  limit: number,
): Page {
  const test = compile(where, fields);
  const walk = direction(view, order);
  const [from, to] = span(view, where, fields);
  if (walk === 0) {
    const sorted = sortPositions(view, collect(view, test, from, to), order);
    return { positions: sorted.slice(offset, offset + limit), more: sorted.length > offset + limit };
  }
  const key = `${view.version} ${walk} ${JSON.stringify(where)}`;
  let known = resume.get(owner);
  if (known === undefined) {
    known = new Map();
    resume.set(owner, known);
  }
  const before = known.get(key);
  const isNext = before !== undefined && before.offset <= offset;
  let toSkip = isNext ? offset - before.offset : offset;
  let at = isNext ? before.position : walk === 1 ? from : to - 1;
  const positions: number[] = [];
  const visible = view.isVisible;
  let more = false;
  let resumeAt = at;
  for (; at >= from && at < to; at += walk) {
    if (visible !== null && !visible(at)) continue;
    if (!test(at)) continue;
    if (toSkip > 0) toSkip--;
    else if (positions.length < limit) positions.push(at);
    else {
      more = true;
      break;
    }
  }
  resumeAt = at;
  known.delete(key);
  if (more) {
    known.set(key, { offset: offset + positions.length, position: resumeAt });
    if (known.size > 64) known.delete(known.keys().next().value!);
  }
  return { positions, more };
}

/** All matching positions in the order asked for. */
export function selectAll(
  view: View,
  fields: FieldLookup,
  where: Expression,
  order: readonly Order[],
): number[] {
  const test = compile(where, fields);
  const [from, to] = span(view, where, fields);
  const found = collect(view, test, from, to);
  const walk = direction(view, order);
  if (walk === 1) return found;
  return walk === -1 ? found.reverse() : sortPositions(view, found, order);
}

const counted = new WeakMap<object, { version: string; counts: Map<string, number> }>();

/** How many rows match; remembered while the view stays the same, as every page of a query asks again. */
export function countMatching(owner: object, view: View, fields: FieldLookup, where: Expression): number {
  let known = counted.get(owner);
  if (known?.version !== view.version) {
    known = { version: view.version, counts: new Map() };
    counted.set(owner, known);
  }
  const key = JSON.stringify(where);
  let count = known.counts.get(key);
  if (count === undefined) {
    count = countRows(view, fields, where);
    if (known.counts.size >= 64) known.counts.clear();
    known.counts.set(key, count);
  }
  return count;
}

function countRows(view: View, fields: FieldLookup, where: Expression): number {
  const test = compile(where, fields);
  const [from, to] = span(view, where, fields);
  const visible = view.isVisible;
  let count = 0;
  for (let p = from; p < to; p++) if ((visible === null || visible(p)) && test(p)) count++;
  return count;
}

/** 1 or -1 when the order is the table's own or its reverse, 0 when rows must be sorted. */
function direction(view: View, order: readonly Order[]): -1 | 0 | 1 {
  if (order.length === 0) return 1;
  const by = view.sorted?.by ?? [];
  if (order.length > by.length || !order.every((part, i) => part.field === by[i])) return 0;
  if (order.every((part) => !part.descending)) return 1;
  return order.every((part) => part.descending) ? -1 : 0;
}

function span(view: View, where: Expression, fields: FieldLookup): [number, number] {
  const sorted = view.sorted;
  if (sorted === null) return [0, view.length];
  const [low, high] = bounds(where, sorted.by[0]!, fields);
  const from = low === Number.NEGATIVE_INFINITY ? 0 : sorted.first(low);
  const to = high === Number.POSITIVE_INFINITY ? view.length : sorted.first(high + 1);
  return [from, Math.max(from, to)];
}

function collect(view: View, test: (position: number) => boolean, from: number, to: number): number[] {
  const visible = view.isVisible;
  const found: number[] = [];
  for (let p = from; p < to; p++) if ((visible === null || visible(p)) && test(p)) found.push(p);
  return found;
}

function sortPositions(view: View, positions: number[], order: readonly Order[]): number[] {
  const keys = order.map((part) => ({ get: view.get(part.field), sign: part.descending ? -1 : 1 }));
  return positions.sort((a, b) => {
    for (const { get, sign } of keys) {
      const [left, right] = [get(a), get(b)];
      if (left === right) continue;
      // Nulls come last in either direction.
      if (left === null) return 1;
      if (right === null) return -1;
      return (left < right ? -1 : 1) * sign;
    }
    return a - b;
  });
}
