import { createHash } from "node:crypto";
import { type Cell, compile, type Expression, type FieldLookup, QueryError } from "../query/expression.ts";
import { parseCondition } from "../query/parse.ts";
import { type FieldType, lookup, type View } from "../query/view.ts";
import { json, type Reply, type Request, type Service } from "./reply.ts";
import { type Column, Fold, NoSuchColumn, parseColumn, splitList, truncated } from "./soda-query.ts";

/** A column and the type that the API says it has. */
export interface SodaField {
  name: string;
  type: "text" | "number" | "floating_timestamp" | "fixed_timestamp" | "row_identifier";
}

/** A table of units: each stands for `weight` records that differ only in the fields named in `single`. */
export interface SodaView {
  readonly fields: readonly SodaField[];
  /** Changes whenever other rows or values would be seen. */
  readonly version: string;
  readonly units: number;
  weight(unit: number): number;
  /** Fields whose value is known of single records only, not of a unit. */
  readonly single: ReadonlySet<string>;
  /** A cell of record number `i` of a unit; wall times of floating timestamps as if they were UTC, ms. */
  get(field: string): (unit: number, i: number) => Cell;
}

export interface SodaDataset {
  id: string;
  title: string;
  source: string;
  view(nowMs: number): SodaView;
  /** When rows were last loaded, ms; NaN before the first. */
  loadedMs(nowMs: number): number;
}

/** Records that one query may look at one by one. */
const MOST_RECORDS = 400_000;
const CLAUSES = new Set(["$select", "$where", "$group", "$order", "$limit", "$offset", "$$app_token"]);
const SYSTEM = /^:/;
const TYPES: Record<SodaField["type"], FieldType> = {
  text: "text",
  number: "double",
  floating_timestamp: "datetime",
  fixed_timestamp: "datetime",
  row_identifier: "text",
};

class BadQuery extends Error {
  override readonly name = "BadQuery";
  readonly code: string;
  readonly data: Record<string, unknown>;
  constructor(code: string, message: string, data: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** Socrata's SODA 2.1 over some datasets: $select, $where, $group, $order, $limit and $offset, in JSON. */
export class Socrata implements Service {
  readonly api = "socrata";
  readonly #datasets: Map<string, SodaDataset>;
  /** Records in the order of the last queries, so that a page does not sort them all again. */
  readonly #sorted = new Map<string, { unit: number; i: number }[]>();

  constructor(datasets: readonly SodaDataset[]) {
    this.#datasets = new Map(datasets.map((dataset) => [dataset.id, dataset]));
  }

  source(path: string): string | null {
    const id = /^\/(?:resource|api\/views)\/([a-z0-9]{4}-[a-z0-9]{4})\.\w+$/.exec(path)?.[1];
    if (id === undefined) return null;
    return this.#datasets.get(id)?.source ?? "catalog";
  }

  answer(request: Request, nowMs: number): Reply {
    const [, kind, id, format] = /^\/(resource|api\/views)\/([^.]+)\.(\w+)$/.exec(request.path)!;
    const dataset = this.#datasets.get(id!);
    if (dataset === undefined)
      return json(404, { code: "dataset.missing", error: true, message: "Not found" });
    if (request.method !== "GET")
      return json(405, { code: "method_not_allowed", error: true, message: "Method not allowed" });
    const token = request.headers["x-app-token"] ?? request.params.get("$$app_token");
    if (token !== undefined && token !== null && !/^[A-Za-z0-9]{25}$/.test(token)) {
      return json(403, { code: "permission_denied", error: true, message: "Invalid app_token specified" });
    }
    if (format !== "json")
      return json(406, { code: "not_acceptable", error: true, message: "Only JSON is served here" });
    const view = dataset.view(nowMs);
    const loadedMs = dataset.loadedMs(nowMs);
    if (kind === "api/views") return json(200, metadata(dataset, view, loadedMs));
    const etag = `"${createHash("md5").update(`${id} ${view.version} ${request.params}`).digest("hex")}"`;
    if (request.headers["if-none-match"] === etag) return { status: 304, headers: { etag }, body: "" };
    try {
      const { rows, columns } = this.#query(dataset, view, request.params);
      const loaded = Number.isNaN(loadedMs) ? new Date(0) : new Date(loadedMs);
      return json(200, rows, {
        etag,
        "last-modified": loaded.toUTCString(),
        "x-soda2-fields": JSON.stringify(columns.map(({ name }) => name)),
        "x-soda2-types": JSON.stringify(columns.map(({ type }) => type)),
        "x-soda2-truth-last-modified": loaded.toUTCString(),
        "x-soda2-data-out-of-date": "false",
      });
    } catch (error) {
      if (error instanceof NoSuchColumn) return refused(noSuchColumn(error.column));
      if (error instanceof BadQuery) return refused(error);
      if (!(error instanceof QueryError)) throw error;
      const isType = /^Invalid date|^Type mismatch/.test(error.message);
      return refused(
        new BadQuery(isType ? "query.soql.type-mismatch" : "query.compiler.malformed", error.message),
      );
    }
  }

  #query(dataset: SodaDataset, view: SodaView, params: URLSearchParams) {
    for (const name of params.keys()) {
      if (name.startsWith("$") && !CLAUSES.has(name))
        throw new BadQuery("query.compiler.malformed", `Unrecognized arguments [${name}]`);
    }
    const types = new Map(view.fields.map((field) => [field.name, field.type]));
    const resolve = (name: string) => (types.has(name.toLowerCase()) ? name.toLowerCase() : null);
    const list = (clause: string) => {
      const text = params.get(clause)?.trim() ?? "";
      return text === "" ? [] : splitList(text);
    };
    const own = (text: string): Column[] =>
      view.fields
        .filter(({ name }) => SYSTEM.test(name) === (text === ":*"))
        .map(({ name }) => ({ name, kind: "field", field: name, unit: null }));
    const select = (params.get("$select") === null ? ["*"] : list("$select")).flatMap((text) =>
      text === "*" || text === ":*" ? own(text) : [parseColumn(text, resolve)],
    );
    const conditions: Expression[] = [];
    if (params.get("$where")) conditions.push(parseCondition(params.get("$where")!, "soql"));
    for (const [name, text] of params) {
      if (name.startsWith("$")) continue;
      if (resolve(name) === null) throw new NoSuchColumn(name);
      conditions.push({ op: "compare", field: name, comparison: "=", value: { text } });
    }
    for (const condition of conditions) {
      for (const name of fieldsOf(condition)) if (resolve(name) === null) throw new NoSuchColumn(name);
    }
    const where: Expression = conditions.length === 1 ? conditions[0]! : { op: "and", parts: conditions };
    const limit = whole(params, "$limit", 1000);
    const offset = whole(params, "$offset", 0);
    const shown = (column: Column) => {
      const type =
        column.kind === "field"
          ? types.get(column.field)!
          : column.field === null || column.aggregate === "count"
            ? "number"
            : types.get(column.field)!;
      return { name: column.name, type };
    };
    const columns = select.map(shown);
    const grouped = params.has("$group") || select.some((column) => column.kind === "aggregate");
    const records = grouped
      ? this.#groups(view, where, select, list("$group"), list("$order"), resolve)
      : this.#records(dataset, view, where, select, list("$order"), resolve, offset, limit);
    const page = grouped ? records.slice(offset, offset + limit) : records;
    const rows = page.map((cells) =>
      Object.fromEntries(
        cells.flatMap((cell, c) => {
          const { name, type } = columns[c]!;
          return cell === null ? [] : [[name, written(cell, type)]];
        }),
      ),
    );
    return { rows, columns };
  }

  #groups(
    view: SodaView,
    where: Expression,
    select: readonly Column[],
    group: readonly string[],
    order: readonly string[],
    resolve: (name: string) => string | null,
  ): Cell[][] {
    const aliases = new Map(select.map((column) => [column.name, column]));
    const keys = group.map((text) => aliases.get(text) ?? parseColumn(text, resolve));
    for (const column of select) {
      const isKey = keys.some(
        (key) =>
          key.kind === "field" &&
          column.kind === "field" &&
          key.field === column.field &&
          key.unit === column.unit,
      );
      if (column.kind === "field" && !isKey) {
        throw new BadQuery(
          "query.soql.column-not-in-group-bys",
          `Column ${column.name} is neither grouped nor aggregated`,
        );
      }
    }
    const used = [...select, ...keys].flatMap((column) => (column.field === null ? [] : [column.field]));
    const byUnit = isUnitWise(view, where, used);
    const get = new Map(used.map((field) => [field, view.get(field)]));
    const groups = new Map<string, { cells: Cell[]; folds: (Fold | null)[] }>();
    // Of a unit's records the first and the last stand for all where the least or the largest is asked for.
    const add = (unit: number, i: number, weight: number, last = i) => {
      const values = keys.map((key) =>
        key.kind === "field" ? truncated(get.get(key.field)!(unit, i), key.unit) : null,
      );
      const id = JSON.stringify(values);
      let found = groups.get(id);
      if (found === undefined) {
        found = {
          cells: select.map((column) =>
            column.kind === "field" ? truncated(get.get(column.field)!(unit, i), column.unit) : null,
          ),
          folds: select.map((column) => (column.kind === "aggregate" ? new Fold(column.aggregate) : null)),
        };
        groups.set(id, found);
      }
      for (const [c, fold] of found.folds.entries()) {
        const field = select[c]!.field;
        const column = select[c]!;
        const at = column.kind === "aggregate" && column.aggregate === "max" ? last : i;
        fold?.add(field === null ? 1 : get.get(field)!(unit, at), weight);
      }
    };
    if (byUnit) {
      const test = compile(where, unitTable(view, 0));
      for (let unit = 0; unit < view.units; unit++)
        if (test(unit)) add(unit, 0, view.weight(unit), Math.max(0, view.weight(unit) - 1));
    } else for (const { unit, i } of expand(view, where)) add(unit, i, 1);
    if (keys.length === 0 && groups.size === 0) {
      groups.set("", {
        cells: select.map(() => null),
        folds: select.map((column) => (column.kind === "aggregate" ? new Fold(column.aggregate) : null)),
      });
    }
    const rows = [...groups.values()].map(({ cells, folds }) =>
      cells.map((cell, c) => folds[c]?.value ?? cell),
    );
    const sorts = order.map((text) => {
      const { name, sign } = direction(text);
      const at = select.findIndex((column) => column.name === name);
      if (at < 0) throw new NoSuchColumn(name);
      return { at, sign };
    });
    return rows.sort((a, b) => {
      for (const { at, sign } of sorts) {
        const by = compared(a[at]!, b[at]!) * sign;
        if (by !== 0) return by;
      }
      return 0;
    });
  }

  #records(
    dataset: SodaDataset,
    view: SodaView,
    where: Expression,
    select: readonly Column[],
    order: readonly string[],
    resolve: (name: string) => string | null,
    offset: number,
    limit: number,
  ): Cell[][] {
    const cells = select.map((column) => {
      if (column.kind === "aggregate") throw new QueryError("an aggregate without a group");
      return { get: view.get(column.field), unit: column.unit };
    });
    const shown = (places: readonly { unit: number; i: number }[]) =>
      places.map(({ unit, i }) => cells.map((cell) => truncated(cell.get(unit, i), cell.unit)));
    // Without an order the table's own will do, and no more of it than is asked for.
    if (order.length === 0) return shown(expand(view, where, offset + limit).slice(offset));
    const id = JSON.stringify([dataset.id, view.version, where, order]);
    let sorted = this.#sorted.get(id);
    if (sorted === undefined) {
      const sorts = order.map((text) => {
        const { name, sign } = direction(text);
        const field = resolve(name);
        if (field === null) throw new NoSuchColumn(name);
        return { get: view.get(field), sign };
      });
      const found = expand(view, where).map((place) => ({
        ...place,
        keys: sorts.map(({ get }) => get(place.unit, place.i)),
      }));
      sorted = found.sort((a, b) => {
        for (const [s, { sign }] of sorts.entries()) {
          const by = compared(a.keys[s]!, b.keys[s]!) * sign;
          if (by !== 0) return by;
        }
        return a.unit - b.unit || a.i - b.i;
      });
      this.#sorted.set(id, sorted);
      if (this.#sorted.size > 3) this.#sorted.delete(this.#sorted.keys().next().value!);
    }
    return shown(sorted.slice(offset, offset + limit));
  }
}

/** The first `most` records that match, one by one. @throws BadQuery when too many have to be looked at */
function expand(
  view: SodaView,
  where: Expression,
  most = Number.POSITIVE_INFINITY,
): { unit: number; i: number }[] {
  // Conditions that hold for all of a unit or for none are asked of the unit.
  const parts = where.op === "and" ? where.parts : [where];
  const early: Expression = { op: "and", parts: parts.filter((part) => isUnitWise(view, part, [])) };
  const ofUnit = compile(early, unitTable(view, 0));
  const place = { i: 0 };
  const ofRecord = compile(where, unitTable(view, place));
  const found: { unit: number; i: number }[] = [];
  let looked = 0;
  for (let unit = 0; unit < view.units; unit++) {
    const count = view.weight(unit);
    if (count <= 0 || !ofUnit(unit)) continue;
    if (looked > MOST_RECORDS) {
      throw new BadQuery(
        "query.execution.queryTooComplex",
        "The query looks at more records than are served one by one here; narrow it, or group",
      );
    }
    for (let i = 0; i < count; i++, looked++) {
      place.i = i;
      if (!ofRecord(unit)) continue;
      found.push({ unit, i });
      if (found.length >= most) return found;
    }
  }
  return found;
}

/** Whether a condition holds for all records of a unit or for none: times only at midnight, no ids. */
function isUnitWise(view: SodaView, expression: Expression, fields: readonly string[]): boolean {
  if (fields.some((field) => view.single.has(field))) return false;
  switch (expression.op) {
    case "and":
    case "or":
      return expression.parts.every((part) => isUnitWise(view, part, []));
    case "not":
      return isUnitWise(view, expression.part, []);
    case "always":
      return true;
    case "compare": {
      if (view.single.has(expression.field.toLowerCase())) return false;
      const type = view.fields.find(({ name }) => name === expression.field.toLowerCase())?.type;
      if (type !== "floating_timestamp") return true;
      const ms = "text" in expression.value ? instant(expression.value.text) : Number.NaN;
      return ms % 86_400_000 === 0 && [">=", "<"].includes(expression.comparison);
    }
    default:
      return !view.single.has(expression.field.toLowerCase());
  }
}

function unitTable(view: SodaView, place: { i: number } | 0): FieldLookup {
  const fields = view.fields.map(({ name, type }) => ({ name, type: TYPES[type] }));
  const shape: View = {
    fields,
    version: view.version,
    length: view.units,
    isVisible: null,
    get: (field) => {
      const get = view.get(field);
      return (unit) => get(unit, place === 0 ? 0 : place.i);
    },
    sorted: null,
  };
  return lookup(shape, (text) => instant(text));
}

function fieldsOf(expression: Expression): string[] {
  if (expression.op === "and" || expression.op === "or") return expression.parts.flatMap(fieldsOf);
  if (expression.op === "not") return fieldsOf(expression.part);
  return "field" in expression ? [expression.field] : [];
}

/** ms of an ISO text; without an offset a wall time as if it were UTC. NaN for anything else. */
function instant(text: string): number {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?$/.test(text))
    return Number.NaN;
  return Date.parse(/[Z+]|T.*-/.test(text) || !text.includes("T") ? text : `${text}Z`);
}

function written(cell: Cell, type: SodaField["type"]): Cell {
  if (typeof cell !== "number") return cell;
  const isTime = type === "floating_timestamp" || type === "fixed_timestamp";
  if (!isTime) return String(cell);
  const text = new Date(cell).toISOString();
  return type === "fixed_timestamp" ? text : text.slice(0, 23);
}

function direction(text: string): { name: string; sign: number } {
  const match = /^(.+?)(?:\s+(asc|desc))?$/i.exec(text)!;
  return { name: match[1]!.trim(), sign: match[2]?.toLowerCase() === "desc" ? -1 : 1 };
}

/** Nulls come last. */
function compared(a: Cell, b: Cell): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return a < b ? -1 : 1;
}

function whole(params: URLSearchParams, name: string, otherwise: number): number {
  const text = params.get(name);
  if (text === null) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || text.trim() === "")
    throw new BadQuery("query.compiler.malformed", `Invalid ${name}: ${text}`);
  return value;
}

function noSuchColumn(column: string): BadQuery {
  const position = `Map(row -> 1, column -> 8, line -> "SELECT \`${column}\`")`;
  return new BadQuery(
    "query.soql.no-such-column",
    `query.soql.no-such-column; No such column: ${column}; position: ${position}`,
    { column },
  );
}

const refused = (error: BadQuery): Reply =>
  json(400, { message: error.message, errorCode: error.code, data: error.data });

function metadata(dataset: SodaDataset, view: SodaView, loadedMs: number): Record<string, unknown> {
  return {
    id: dataset.id,
    name: dataset.title,
    ...(Number.isNaN(loadedMs) ? {} : { rowsUpdatedAt: Math.floor(loadedMs / 1000) }),
    columns: view.fields
      .filter(({ name }) => !SYSTEM.test(name))
      .map(({ name, type }) => ({
        fieldName: name,
        name,
        dataTypeName: type === "floating_timestamp" ? "calendar_date" : type,
      })),
  };
}
