import { type Cell, type Expression, QueryError } from "../query/expression.ts";
import { parseCondition } from "../query/parse.ts";
import {
  countMatching,
  type Field,
  lookup,
  type Order,
  parseOrder,
  selectAll,
  selectPage,
  type View,
} from "../query/view.ts";
import { json, type Reply, type Request, type Service, text } from "./reply.ts";

const MAX_RECORDS = 2000;
const TYPES: Record<Field["type"], string> = {
  oid: "esriFieldTypeOID",
  integer: "esriFieldTypeInteger",
  double: "esriFieldTypeDouble",
  text: "esriFieldTypeString",
  date: "esriFieldTypeDate",
  datetime: "esriFieldTypeDate",
  point: "esriFieldTypeGeometry",
};

/** A hosted feature layer: layer 0 of its own service. */
export interface Layer {
  /** The service's name in the address. */
  name: string;
  /** The source it stands for. */
  source: string;
  /** The layer in the order of its ObjectIds, and in another order it keeps, if it has one. */
  byId(nowMs: number): View;
  byDate: ((nowMs: number) => View) | null;
  lastEditMs(nowMs: number): number;
  /** A position in WGS84, for a layer of points. */
  point: ((view: View) => (position: number) => { lon: number; lat: number }) | null;
}

/** An ArcGIS Online organisation's feature services. Wrong queries are HTTP 200 with an error inside, as there. */
export class ArcGis implements Service {
  readonly api = "arcgis";
  readonly #root: string;
  readonly #layers: Map<string, Layer>;

  constructor(organisation: string, layers: readonly Layer[]) {
    this.#root = `/${organisation}/arcgis/rest/services/`;
    this.#layers = new Map(layers.map((layer) => [layer.name, layer]));
  }

  source(path: string): string | null {
    if (!path.includes("/arcgis/rest/services")) return null;
    const name = path.slice(this.#root.length).split("/")[0] ?? "";
    return this.#layers.get(name)?.source ?? "arcgis";
  }

  answer(request: Request, nowMs: number): Reply {
    const { path, params } = request;
    const match = /^([^/]+)\/FeatureServer\/0(\/query)?\/?$/.exec(
      path.startsWith(this.#root) ? path.slice(this.#root.length) : "",
    );
    const layer = match === null ? undefined : this.#layers.get(match[1]!);
    if (layer === undefined) return failure(400, "Invalid URL", ["Invalid URL"]);
    const format = params.get("f") ?? "html";
    if (format === "html") {
      return text(
        200,
        "text/html",
        `<html><head><title>${layer.name}</title></head><body>${layer.name} (0)</body></html>`,
      );
    }
    if (format !== "json" && format !== "pjson" && format !== "geojson") {
      return failure(400, "Invalid or missing input parameters.", [`Output format not supported: ${format}`]);
    }
    try {
      return match![2] === undefined
        ? this.#metadata(layer, nowMs)
        : query(layer, params, format === "geojson", nowMs);
    } catch (error) {
      if (error instanceof QueryError) {
        return failure(400, "Cannot perform query. Invalid query parameters.", [error.message]);
      }
      throw error;
    }
  }

  #metadata(layer: Layer, nowMs: number): Reply {
    const view = layer.byId(nowMs);
    const lastEdit = layer.lastEditMs(nowMs);
    return json(200, {
      currentVersion: 11.4,
      id: 0,
      name: layer.name,
      type: layer.point === null ? "Table" : "Feature Layer",
      ...(layer.point === null
        ? {}
        : {
            geometryType: "esriGeometryPoint",
            extent: { spatialReference: { wkid: 102100, latestWkid: 3857 } },
          }),
      objectIdField: "ObjectId",
      uniqueIdField: { name: "ObjectId", isSystemMaintained: true },
      globalIdField: "",
      fields: view.fields.map((field) => ({
        ...describe(field),
        nullable: field.type !== "oid",
        editable: false,
      })),
      maxRecordCount: MAX_RECORDS,
      standardMaxRecordCount: MAX_RECORDS,
      supportsAdvancedQueries: true,
      advancedQueryCapabilities: {
        supportsPagination: true,
        supportsOrderBy: true,
        supportsDistinct: true,
        supportsStatistics: false,
      },
      editingInfo: Number.isNaN(lastEdit) ? {} : { lastEditDate: lastEdit, dataLastEditDate: lastEdit },
      dateFieldsTimeReference: { timeZone: "UTC", respectsDaylightSaving: false },
      supportedQueryFormats: "JSON, geoJSON",
      capabilities: "Query",
    });
  }
}

function query(layer: Layer, params: URLSearchParams, geojson: boolean, nowMs: number): Reply {
  if (params.has("outStatistics")) throw new QueryError("'outStatistics' is not supported by this layer");
  const byId = layer.byId(nowMs);
  const fields = lookup(byId, sqlInstant);
  const ids = params.get("objectIds");
  const condition = params.get("where");
  if ((condition === null || condition === "") && ids === null)
    throw new QueryError("'where' clause is required");
  let where: Expression = parseCondition(condition === null || condition === "" ? "1=1" : condition, "sql92");
  if (ids !== null) {
    const values = ids.split(",").map((id) => ({ number: wholeNumber("objectIds", id) }));
    where = { op: "and", parts: [where, { op: "in", field: "ObjectId", values }] };
  }
  const order = parseOrder(params.get("orderByFields") ?? "", fields);
  // Without an order rows come by their id.
  const sortsById = order.length === 0 || order[0]!.field === "ObjectId";
  const view = layer.byDate === null || sortsById ? byId : layer.byDate(nowMs);
  const viewFields = lookup(view, sqlInstant);
  if (flag(params, "returnCountOnly"))
    return json(200, { count: countMatching(layer, view, viewFields, where) });
  if (flag(params, "returnIdsOnly")) {
    const id = view.get("ObjectId");
    return json(200, {
      objectIdFieldName: "ObjectId",
      objectIds: selectAll(view, viewFields, where, order).map((position) => id(position)),
    });
  }
  const out = outFields(params.get("outFields"), view, fields);
  const offset = wholeNumber("resultOffset", params.get("resultOffset") ?? "0");
  const asked = params.get("resultRecordCount");
  const limit =
    asked === null || asked === ""
      ? MAX_RECORDS
      : Math.min(MAX_RECORDS, wholeNumber("resultRecordCount", asked));
  if (flag(params, "returnDistinctValues")) {
    return distinct(view, viewFields, where, order, out, offset, limit, geojson);
  }
  const page = selectPage(layer, view, viewFields, where, order, offset, limit);
  const withGeometry = layer.point !== null && (geojson || params.get("returnGeometry") !== "false");
  const wkid = geojson ? 4326 : outSpatialReference(params.get("outSR"));
  const point = withGeometry ? layer.point!(view) : null;
  const write = rowWriter(out, view);
  const id = view.get("ObjectId");
  const features = page.positions.map((position) => {
    const shape = point === null ? null : project(point(position), wkid);
    if (geojson) {
      const geometry = shape === null ? "null" : `{"type":"Point","coordinates":[${shape.x},${shape.y}]}`;
      return `{"type":"Feature","id":${id(position)},"geometry":${geometry},"properties":${write(position)}}`;
    }
    const geometry = shape === null ? "" : `,"geometry":{"x":${shape.x},"y":${shape.y}}`;
    return `{"attributes":${write(position)}${geometry}}`;
  });
  return collection(features, out, page.more, geojson, withGeometry ? wkid : null);
}

function distinct(
  view: View,
  fields: ReturnType<typeof lookup>,
  where: Expression,
  order: readonly Order[],
  out: readonly Field[],
  offset: number,
  limit: number,
  geojson: boolean,
): Reply {
  const write = rowWriter(out, view);
  const seen = new Set<string>();
  // Distinct rows come in the order asked for, else in their own.
  const wanted = order.length > 0 ? order : out.map((field) => ({ field: field.name, descending: false }));
  const firsts: number[] = [];
  for (const position of selectAll(view, fields, where, [])) {
    const row = write(position);
    if (seen.has(row)) continue;
    seen.add(row);
    firsts.push(position);
  }
  const keys = wanted.map((part) => ({ get: view.get(part.field), sign: part.descending ? -1 : 1 }));
  firsts.sort((a, b) => {
    for (const { get, sign } of keys) {
      const [left, right] = [get(a), get(b)];
      if (left !== right) return (left === null || (right !== null && left < right) ? -1 : 1) * sign;
    }
    return 0;
  });
  const rows = firsts
    .slice(offset, offset + limit)
    .map((position) =>
      geojson
        ? `{"type":"Feature","geometry":null,"properties":${write(position)}}`
        : `{"attributes":${write(position)}}`,
    );
  return collection(rows, out, firsts.length > offset + limit, geojson, null);
}

function collection(
  features: readonly string[],
  out: readonly Field[],
  more: boolean,
  geojson: boolean,
  wkid: number | null,
): Reply {
  if (geojson) {
    const properties = more ? `"properties":{"exceededTransferLimit":true},` : "";
    return text(
      200,
      "application/geo+json",
      `{"type":"FeatureCollection",${properties}"features":[${features.join(",")}]}`,
    );
  }
  const reference = wkid === 4326 ? { wkid: 4326, latestWkid: 4326 } : { wkid: 102100, latestWkid: 3857 };
  const head = JSON.stringify({
    objectIdFieldName: "ObjectId",
    uniqueIdField: { name: "ObjectId", isSystemMaintained: true },
    globalIdFieldName: "",
    ...(wkid === null ? {} : { geometryType: "esriGeometryPoint", spatialReference: reference }),
    fields: out.map(describe),
    ...(more ? { exceededTransferLimit: true } : {}),
  });
  return {
    status: 200,
    headers: { "content-type": "application/json; charset=utf-8" },
    body: `${head.slice(0, -1)},"features":[${features.join(",")}]}`,
  };
}

function describe(field: Field): Record<string, unknown> {
  return {
    name: field.name,
    type: TYPES[field.type],
    alias: field.label ?? field.name,
    sqlType: "sqlTypeOther",
    ...(field.type === "text" ? { length: 256 } : field.type === "date" ? { length: 8 } : {}),
    domain: null,
    defaultValue: null,
  };
}

/** Writes a row's fields as a JSON object; about twice as fast as building the object first. */
function rowWriter(out: readonly Field[], view: View): (position: number) => string {
  const cells = out.map((field, i) => ({
    prefix: `${i === 0 ? "{" : ","}${JSON.stringify(field.name)}:`,
    get: view.get(field.name),
  }));
  const write = (cell: Cell) => (typeof cell === "number" ? String(cell) : JSON.stringify(cell));
  return (position) => {
    let row = "";
    for (const { prefix, get } of cells) row += prefix + write(get(position));
    return `${row}}`;
  };
}

function outFields(text: string | null, view: View, fields: ReturnType<typeof lookup>): readonly Field[] {
  // Without outFields the service gives the object id only.
  if (text === null || text.trim() === "") return view.fields.filter((field) => field.type === "oid");
  if (text.trim() === "*") return view.fields;
  return text.split(",").map((part) => {
    const found = fields.field(part.trim());
    if (found === null) throw new QueryError(`'Invalid field: ${part.trim()}' parameter is invalid`);
    return view.fields.find((field) => field.name === found.name)!;
  });
}

function outSpatialReference(text: string | null): number {
  if (text === null || text === "") return 102100;
  const wkid = Number(text.startsWith("{") ? (/"wkid"\s*:\s*(\d+)/.exec(text)?.[1] ?? "x") : text);
  if (wkid === 4326) return 4326;
  if (wkid === 102100 || wkid === 3857 || wkid === 900913) return 102100;
  throw new QueryError("'outSR' parameter is invalid");
}

/** WGS84 degrees as asked for: unchanged, or in spherical Mercator metres. */
function project({ lon, lat }: { lon: number; lat: number }, wkid: number): { x: number; y: number } {
  if (wkid === 4326) return { x: lon, y: lat };
  const radius = 6_378_137;
  return {
    x: (radius * lon * Math.PI) / 180,
    y: radius * Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)),
  };
}

/** "2025-01-01 00:00:00" and the like, in UTC. NaN if it is none. */
function sqlInstant(text: string): number {
  const match =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3})\d*)?)?)?Z?$/.exec(
      text.trim(),
    );
  if (match === null) return Number.NaN;
  const [, year, month, day, hour, minute, second, milli] = match.map(Number);
  const or0 = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? 0 : value);
  return Date.UTC(year!, month! - 1, day!, or0(hour), or0(minute), or0(second), or0(milli));
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < 0)
    throw new QueryError(`'${name}' parameter is invalid`);
  return value;
}

function flag(params: URLSearchParams, name: string): boolean {
  return params.get(name)?.toLowerCase() === "true";
}

/** The API's own way to say no: HTTP 200 and an error inside. */
export function failure(code: number, message: string, details: readonly string[]): Reply {
  return json(200, { error: { code, message, details } });
}
