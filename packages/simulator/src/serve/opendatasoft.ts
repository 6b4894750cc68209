import { type Cell, compile, type Expression, type FieldLookup, QueryError } from "../query/expression.ts";
import { parseCondition } from "../query/parse.ts";
import {
  countMatching,
  type Field,
  type FieldType,
  lookup,
  parseOrder,
  selectAll,
  selectPage,
  type View,
} from "../query/view.ts";
import { offsetText, Zone } from "../zone.ts";
import { aggregate, hasAggregates } from "./ods-groups.ts";
import { json, type Reply, type Request, type Service } from "./reply.ts";

const BASE = "/api/explore/v2.1/catalog/datasets";
const MAX_SUM = 10_000;
const PIECE_ROWS = 2000;

export interface Dataset {
  id: string;
  title: string;
  source: string;
  view(nowMs: number): View;
  /** When it was last processed, ms. */
  processedMs(nowMs: number): number;
}

/** A parameter is outside what the API takes. */
class ParameterError extends Error {
  override readonly name = "ParameterError";
}

/** Opendatasoft's Explore API v2.1 over some datasets. */
export class Opendatasoft implements Service {
  readonly api = "opendatasoft";
  readonly #datasets: Map<string, Dataset>;

  constructor(datasets: readonly Dataset[]) {
    this.#datasets = new Map(datasets.map((dataset) => [dataset.id, dataset]));
  }

  source(path: string): string | null {
    if (!path.startsWith(BASE)) return null;
    return this.#datasets.get(path.slice(BASE.length + 1).split("/")[0] ?? "")?.source ?? "catalog";
  }

  answer(request: Request, nowMs: number): Reply {
    const [id, action, format] = request.path.slice(BASE.length).split("/").slice(1);
    if (request.method !== "GET")
      return json(405, { error_code: "MethodNotAllowed", message: "Method Not Allowed" });
    if (id === undefined || id === "") {
      const results = [...this.#datasets.values()].map((dataset) => metadata(dataset, nowMs));
      return json(200, { total_count: results.length, results });
    }
    const dataset = this.#datasets.get(id);
    if (dataset === undefined) {
      return json(404, {
        error_code: "NotFoundError",
        message: `The requested dataset '${id}' does not exist.`,
      });
    }
    try {
      if (action === undefined) return json(200, metadata(dataset, nowMs));
      if (action === "records" && format === undefined) return records(dataset, request.params, nowMs);
      if (action === "exports" && format !== undefined)
        return exportAll(dataset, format, request.params, nowMs);
    } catch (error) {
      if (error instanceof ParameterError) {
        return json(400, { error_code: "InvalidRESTParameterError", message: error.message });
      }
      if (error instanceof QueryError) {
        return json(400, { error_code: "ODSQLError", message: `ODSQL query is malformed: ${error.message}` });
      }
      throw error;
    }
    return json(404, { error_code: "NotFoundError", message: `Nothing is found at ${request.path}` });
  }
}

function metadata(dataset: Dataset, nowMs: number): Record<string, unknown> {
  const view = dataset.view(nowMs);
  const processed = dataset.processedMs(nowMs);
  const at = Number.isNaN(processed) ? null : new Date(processed).toISOString().replace(".000Z", "+00:00");
  const all: Expression = { op: "always", value: true };
  return {
    dataset_id: dataset.id,
    has_records: true,
    fields: view.fields.map((field) => ({
      name: field.name,
      label: field.label ?? field.name,
      type: typeName(field.type),
      description: null,
      annotations: {},
    })),
    metas: {
      default: {
        title: dataset.title,
        modified: at,
        data_processed: at,
        records_count: countMatching(
          dataset,
          view,
          lookup(view, () => Number.NaN),
          all,
        ),
        license: "Open Database License (ODbL)",
        timezone: null,
      },
    },
  };
}

interface Asked {
  view: View;
  fields: FieldLookup;
  where: Expression;
  zone: Zone;
}

function ask(dataset: Dataset, params: URLSearchParams, nowMs: number): Asked {
  const view = dataset.view(nowMs);
  const zone = timeZone(params.get("timezone"));
  const fields = lookup(view, (text, type) => instant(text, type, zone));
  const parts: Expression[] = [];
  // Several where parameters hold together.
  for (const where of params.getAll("where"))
    if (where.trim() !== "") parts.push(parseCondition(where, "odsql"));
  for (const refine of params.getAll("refine")) {
    const colon = refine.indexOf(":");
    if (colon < 1) throw new ParameterError(`Invalid value for refine API parameter: ${refine} was found.`);
    const [name, value] = [refine.slice(0, colon), refine.slice(colon + 1).replace(/^"(.*)"$/, "$1")];
    const known = fields.field(name);
    if (known === null) throw new QueryError(`Unknown field: ${name}.`);
    parts.push({ op: "compare", field: known.name, comparison: "=", value: { text: value } });
  }
  const where: Expression = parts.length === 1 ? parts[0]! : { op: "and", parts };
  // An unknown field is an error even where no row would be looked at.
  compile(where, fields);
  return { view, fields, where, zone };
}

function records(dataset: Dataset, params: URLSearchParams, nowMs: number): Reply {
  const groupBy = params.get("group_by") ?? "";
  const grouped = groupBy !== "";
  const mostRows = grouped ? 20_000 : 100;
  const mostSum = grouped ? 30_000 : MAX_SUM;
  const limit = whole(params, "limit", 10, -1, mostRows);
  const offset = whole(params, "offset", 0, 0, null);
  const rows = limit === -1 ? mostRows : limit;
  checkSum(offset + Math.max(limit, 0), mostSum);
  const { view, fields, where, zone } = ask(dataset, params, nowMs);
  const select = params.get("select") ?? "";
  const orderBy = params.get("order_by") ?? "";
  if (grouped || hasAggregates(select)) {
    const all = aggregate(view, selectAll(view, fields, where, []), groupBy, select, orderBy, fields);
    const results = all.slice(offset, offset + rows).map((row) => {
      const shown = Object.entries(row).map(
        ([name, { value, type }]) => [name, cellValue(value, type, zone)] as const,
      );
      return Object.fromEntries(shown);
    });
    return json(200, { total_count: all.length, results });
  }
  const out = selected(select, view, fields);
  const page = selectPage(dataset, view, fields, where, parseOrder(orderBy, fields), offset, rows);
  const write = rowWriter(out, view, zone);
  const results = page.positions.map(write).join(",");
  const total = countMatching(dataset, view, fields, where);
  return {
    status: 200,
    headers: { "content-type": "application/json; charset=utf-8" },
    body: `{"total_count":${total},"results":[${results}]}`,
  };
}

function exportAll(dataset: Dataset, format: string, params: URLSearchParams, nowMs: number): Reply {
  if (!["json", "jsonl", "csv"].includes(format)) {
    throw new ParameterError(
      `Invalid value for format API parameter: ${format} was found but json, jsonl or csv is expected.`,
    );
  }
  const limit = whole(params, "limit", -1, -1, null);
  const offset = whole(params, "offset", 0, 0, null);
  // The sum is bounded only where rows are skipped.
  if (offset > 0) checkSum(offset + Math.max(limit, 0), MAX_SUM);
  const { view, fields, where, zone } = ask(dataset, params, nowMs);
  const out = selected(params.get("select") ?? "", view, fields);
  const order = parseOrder(params.get("order_by") ?? "", fields);
  const positions = selectAll(view, fields, where, order);
  const end = limit === -1 ? positions.length : offset + limit;
  const rows = positions.slice(offset, end);
  if (format === "csv") {
    return {
      status: 200,
      headers: { "content-type": "text/csv; charset=utf-8" },
      body: csvPieces(rows, out, view, zone, params),
    };
  }
  const write = rowWriter(out, view, zone);
  const lines = format === "jsonl";
  return {
    status: 200,
    headers: {
      "content-type": lines ? "application/jsonl; charset=utf-8" : "application/json; charset=utf-8",
    },
    body: jsonPieces(rows, write, lines),
  };
}

function* jsonPieces(
  rows: readonly number[],
  write: (position: number) => string,
  lines: boolean,
): Generator<string> {
  if (!lines) yield "[";
  for (let i = 0; i < rows.length; i += PIECE_ROWS) {
    const piece = rows.slice(i, i + PIECE_ROWS).map(write);
    if (lines) yield `${piece.join("\n")}\n`;
    else yield (i === 0 ? "" : ",") + piece.join(",");
  }
  if (!lines) yield "]";
}

function* csvPieces(
  rows: readonly number[],
  out: readonly Field[],
  view: View,
  zone: Zone,
  params: URLSearchParams,
): Generator<string> {
  const delimiter = params.get("delimiter") ?? ";";
  const labels = params.get("use_labels") === "true";
  const bom = params.get("with_bom") === "false" ? "" : "\uFEFF";
  const quoteAll = params.get("quote_all") === "true";
  const quote = (text: string) =>
    quoteAll || text.includes(delimiter) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const columns = out.map((field) => ({ get: view.get(field.name), type: field.type }));
  yield `${bom}${out.map((field) => quote(labels ? (field.label ?? field.name) : field.name)).join(delimiter)}\r\n`;
  for (let i = 0; i < rows.length; i += PIECE_ROWS) {
    yield rows
      .slice(i, i + PIECE_ROWS)
      .map((position) => {
        const cells = columns.map(({ get, type }) => {
          const cell = get(position);
          if (cell === null) return "";
          if (typeof cell === "object") return quote(`${cell.lat}, ${cell.lon}`);
          return quote(String(cellValue(cell, type, zone)));
        });
        return `${cells.join(delimiter)}\r\n`;
      })
      .join("");
  }
}

function rowWriter(out: readonly Field[], view: View, zone: Zone): (position: number) => string {
  const columns = out.map((field, i) => ({
    prefix: `${i === 0 ? "{" : ","}${JSON.stringify(field.name)}:`,
    get: view.get(field.name),
    type: field.type,
    // Neighbouring rows repeat most cells, times above all.
    last: undefined as Cell | undefined,
    written: "",
  }));
  return (position) => {
    let row = "";
    for (const column of columns) {
      const cell = column.get(position);
      if (cell !== column.last) {
        column.last = cell;
        column.written =
          typeof cell === "number" && column.type !== "datetime" && column.type !== "date"
            ? String(cell)
            : JSON.stringify(cellValue(cell, column.type, zone));
      }
      row += column.prefix + column.written;
    }
    return `${row}}`;
  };
}

function cellValue(cell: Cell, type: FieldType, zone: Zone): Cell {
  if (typeof cell !== "number") return cell;
  if (type === "date") return new Date(cell).toISOString().slice(0, 10);
  if (type !== "datetime") return cell;
  const offset = zone.offsetMs(cell);
  return new Date(cell + offset).toISOString().slice(0, 19) + offsetText(offset);
}

function selected(select: string, view: View, fields: FieldLookup): readonly Field[] {
  if (select.trim() === "" || select.trim() === "*") return view.fields;
  return select.split(",").map((part) => {
    const match = /^\s*`?([A-Za-z_]\w*)`?(?:\s+as\s+([A-Za-z_]\w*))?\s*$/i.exec(part);
    const known = match === null ? null : fields.field(match[1]!);
    if (match === null || known === null)
      throw new QueryError(`Unknown field: ${part.trim()}. Clause(s) containing the error(s): select.`);
    const field = view.fields.find((candidate) => candidate.name === known.name)!;
    if (match[2] !== undefined && match[2] !== field.name) {
      throw new QueryError(`renaming a field is not supported here: ${part.trim()}.`);
    }
    return field;
  });
}

function whole(
  params: URLSearchParams,
  name: string,
  otherwise: number,
  low: number,
  high: number | null,
): number {
  const text = params.get(name);
  if (text === null || text === "") return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || (high !== null && value > high)) {
    const range = high === null ? `>= ${low}` : `${low} <= ${name} <= ${high}`;
    throw new ParameterError(
      `Invalid value for ${name} API parameter: ${text} was found but ${range} is expected.`,
    );
  }
  return value;
}

function checkSum(sum: number, most: number): void {
  if (sum > most) {
    throw new ParameterError(
      `Invalid value for sum of offset + limit API parameter: ${sum} was found but <= ${most} is expected.`,
    );
  }
}

const zones = new Map<string, Zone>();

function timeZone(name: string | null): Zone {
  const key = name === null || name === "" ? "UTC" : name;
  let zone = zones.get(key);
  if (zone === undefined) {
    try {
      zone = new Zone(key);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ParameterError(`Invalid value for timezone API parameter: ${key} was found.`);
    }
    zones.set(key, zone);
  }
  return zone;
}

/** ISO dates and times; without an offset they are in the request's zone, plain dates of day fields in none. */
function instant(text: string, type: FieldType, zone: Zone): number {
  const match =
    /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/.exec(
      text.trim(),
    );
  if (match === null) return Number.NaN;
  const part = (i: number) => Number(match[i] ?? 0);
  const wall = Date.UTC(part(1), part(2) - 1, part(3), part(4), part(5), part(6));
  const offset = match[7];
  if (offset === undefined) return type === "date" ? wall : zone.toUtcMs(wall);
  if (offset === "Z") return wall;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2));
  return wall - (offset.startsWith("-") ? -minutes : minutes) * 60_000;
}

function typeName(type: FieldType): string {
  if (type === "oid" || type === "integer") return "int";
  return type === "point" ? "geo_point_2d" : type;
}
