/** A cell of a table. Instants are ms since the epoch. */
export type Cell = number | string | boolean | null | { lon: number; lat: number };

/** A literal as written; `text` of a date field is read as an instant when the field is known. */
export type Literal = { number: number } | { text: string } | { instant: string };

export type Comparison = "=" | "<>" | "<" | "<=" | ">" | ">=";

/** A parsed condition. */
export type Expression =
  | { op: "and" | "or"; parts: Expression[] }
  | { op: "not"; part: Expression }
  | { op: "compare"; field: string; comparison: Comparison; value: Literal }
  | { op: "in"; field: string; values: Literal[] }
  | { op: "like"; field: string; pattern: string; anywhere: boolean }
  | { op: "null"; field: string }
  | { op: "always"; value: boolean };

/** The request is wrong in a way the API tells its caller. */
export class QueryError extends Error {
  override readonly name = "QueryError";
}

export interface FieldLookup {
  /** Canonical name and whether it holds instants, or null for a field that does not exist. */
  field(name: string): { name: string; isInstant: boolean } | null;
  get(name: string): (position: number) => Cell;
  /** ms of an instant as written in the query, for a field; NaN if it is none. */
  instant(text: string, field: string): number;
}

/** Makes a condition into a function of a row's position. SQL's unknown counts as false, also under NOT. */
export function compile(expression: Expression, table: FieldLookup): (position: number) => boolean {
  const test = compileThree(expression, table);
  return (position) => test(position) === true;
}

type Three = (position: number) => boolean | null;

function compileThree(expression: Expression, table: FieldLookup): Three {
  switch (expression.op) {
    case "always":
      return () => expression.value;
    case "and": {
      const parts = expression.parts.map((part) => compileThree(part, table));
      return (position) => {
        let result: boolean | null = true;
        for (const part of parts) {
          const value = part(position);
          if (value === false) return false;
          if (value === null) result = null;
        }
        return result;
      };
    }
    case "or": {
      const parts = expression.parts.map((part) => compileThree(part, table));
      return (position) => {
        let result: boolean | null = false;
        for (const part of parts) {
          const value = part(position);
          if (value === true) return true;
          if (value === null) result = null;
        }
        return result;
      };
    }
    case "not": {
      const part = compileThree(expression.part, table);
      return (position) => {
        const value = part(position);
        return value === null ? null : !value;
      };
    }
    case "null": {
      const get = getter(expression.field, table);
      return (position) => get(position) === null;
    }
    case "like": {
      const get = getter(expression.field, table);
      const pattern = likePattern(expression.pattern, expression.anywhere);
      return (position) => {
        const value = get(position);
        return value === null ? null : pattern.test(String(value));
      };
    }
    case "in": {
      const get = getter(expression.field, table);
      const values = new Set(expression.values.map((value) => literal(value, expression.field, table)));
      return (position) => {
        const value = get(position);
        return value === null ? null : values.has(value as number | string);
      };
    }
    case "compare":
      return compare(expression, table);
  }
}

function compare(expression: Extract<Expression, { op: "compare" }>, table: FieldLookup): Three {
  const get = getter(expression.field, table);
  const right = literal(expression.value, expression.field, table);
  const make = (holds: (left: number | string, right: number | string) => boolean): Three => {
    return (position) => {
      const left = get(position);
      if (left === null || typeof left === "object") return null;
      // A number against text compares as text, as a lenient database does.
      if (typeof left === typeof right) return holds(left as number | string, right);
      return holds(String(left), String(right));
    };
  };
  switch (expression.comparison) {
    case "=":
      return make((left, value) => left === value);
    case "<>":
      return make((left, value) => left !== value);
    case "<":
      return make((left, value) => left < value);
    case "<=":
      return make((left, value) => left <= value);
    case ">":
      return make((left, value) => left > value);
    case ">=":
      return make((left, value) => left >= value);
  }
}

/**
 * Bounds that every row of a condition keeps in one field, for starting at the right place of a sorted table:
 * `[low, high]`, inclusive, infinite where there is no bound.
 */
export function bounds(expression: Expression, field: string, table: FieldLookup): [number, number] {
  if (expression.op === "and") {
    let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const part of expression.parts) {
      const [partLow, partHigh] = bounds(part, field, table);
      low = Math.max(low, partLow);
      high = Math.min(high, partHigh);
    }
    return [low, high];
  }
  if (expression.op === "compare" && table.field(expression.field)?.name === field) {
    const value = literal(expression.value, expression.field, table);
    if (typeof value === "number") {
      if (expression.comparison === "=") return [value, value];
      if (expression.comparison.startsWith(">")) return [value, Number.POSITIVE_INFINITY];
      if (expression.comparison.startsWith("<") && expression.comparison !== "<>")
        return [Number.NEGATIVE_INFINITY, value];
    }
  }
  return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
}

function getter(name: string, table: FieldLookup): (position: number) => Cell {
  const field = table.field(name);
  if (field === null) throw new QueryError(`Invalid field: ${name}`);
  return table.get(field.name);
}

function literal(value: Literal, fieldName: string, table: FieldLookup): number | string {
  if ("number" in value) return value.number;
  const isInstant = table.field(fieldName)?.isInstant === true;
  if ("instant" in value || isInstant) {
    const text = "instant" in value ? value.instant : value.text;
    const ms = table.instant(text, fieldName);
    if (Number.isNaN(ms)) throw new QueryError(`Invalid date: '${text}'`);
    if (isInstant) return ms;
    return new Date(ms).toISOString().slice(0, 10);
  }
  return value.text;
}

function likePattern(pattern: string, anywhere: boolean): RegExp {
  const body = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replaceAll("%", ".*")
    .replaceAll("_", ".");
  return anywhere ? new RegExp(body, "i") : new RegExp(`^${body}$`, "s");
}
