import type { Cell } from "../query/expression.ts";
import { QueryError } from "../query/expression.ts";

export type Aggregate = "count" | "min" | "max" | "sum" | "avg";

/** One column of a result. */
export type Column = { name: string } & (
  | { kind: "field"; field: string; unit: "y" | "ym" | "ymd" | null }
  | { kind: "aggregate"; aggregate: Aggregate; field: string | null }
);

/** A name that the dataset lacks. */
export class NoSuchColumn extends QueryError {
  override readonly name = "NoSuchColumn" as "QueryError";
  readonly column: string;
  constructor(column: string) {
    super(`No such column: ${column}`);
    this.column = column;
  }
}

const FIELD = ":?@?[A-Za-z_]\\w*";
const ITEM = new RegExp(
  `^(?:(count|min|max|sum|avg|date_trunc_y|date_trunc_ym|date_trunc_ymd)\\s*\\(\\s*(\\*|${FIELD})\\s*\\)|(${FIELD}))(?:\\s+as\\s+\`?([A-Za-z_]\\w*)\`?)?$`,
  "i",
);

/** Text between commas that are in no brackets and no quotes. */
export function splitList(text: string): string[] {
  const parts: string[] = [];
  let [depth, quoted, start] = [0, false, 0];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "'") quoted = !quoted;
    else if (quoted) continue;
    else if (char === "(") depth++;
    else if (char === ")") depth--;
    else if (char === "," && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts;
}

/**
 * One item of $select, $group or $order.
 * @throws QueryError for anything outside of the subset, NoSuchColumn for an unknown field
 */
export function parseColumn(text: string, resolve: (name: string) => string | null): Column {
  const match = ITEM.exec(text);
  if (match === null) throw new QueryError(`Expected an expression, but got ${text}`);
  const [, made, of, plain, alias] = match;
  const known = (name: string) => {
    const field = resolve(name);
    if (field === null) throw new NoSuchColumn(name);
    return field;
  };
  if (plain !== undefined) {
    return { name: alias ?? known(plain), kind: "field", field: known(plain), unit: null };
  }
  const word = made!.toLowerCase();
  const name = alias ?? `${word}${of === "*" ? "" : `_${of}`}`;
  if (word.startsWith("date_trunc_")) {
    if (of === "*") throw new QueryError(`Type mismatch for ${word}`);
    return { name, kind: "field", field: known(of!), unit: word.slice(11) as "y" | "ym" | "ymd" };
  }
  if (of === "*" && word !== "count") throw new QueryError(`Type mismatch for ${word}`);
  return {
    name,
    kind: "aggregate",
    aggregate: word as Aggregate,
    field: of === "*" ? null : known(of!),
  };
}

/** A wall time cut to its year, month or day. */
export function truncated(value: Cell, unit: "y" | "ym" | "ymd" | null): Cell {
  if (unit === null || typeof value !== "number") return value;
  const date = new Date(value);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  return Date.UTC(year, unit === "y" ? 0 : month, unit === "ymd" ? day : 1);
}

/** Adds up the values of one aggregate; a unit stands for `weight` equal records. */
export class Fold {
  readonly #kind: Aggregate;
  #weight = 0;
  #sum = 0;
  #best: Cell = null;
  constructor(kind: Aggregate) {
    this.#kind = kind;
  }
  add(value: Cell, weight: number): void {
    if (value === null) return;
    this.#weight += weight;
    this.#sum += Number(value) * weight;
    if (this.#best === null || (this.#kind === "min" ? value < this.#best : value > this.#best))
      this.#best = value;
  }
  get value(): Cell {
    switch (this.#kind) {
      case "count":
        return this.#weight;
      case "sum":
        return this.#weight === 0 ? null : this.#sum;
      case "avg":
        return this.#weight === 0 ? null : this.#sum / this.#weight;
      default:
        return this.#best;
    }
  }
}
