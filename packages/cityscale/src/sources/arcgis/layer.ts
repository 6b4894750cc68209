import { CityScaleError } from "../../core/index.ts";
import type { HttpClient } from "../http.ts";
import type { FieldTypes } from "../schema-changes.ts";

/** What a FeatureServer layer says of itself. */
export interface LayerInfo {
  readonly fields: Record<string, string>;
  readonly objectId: string;
  /** Most rows that one query returns. */
  readonly pageSize: number;
}

export interface Feature {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly geometry?: { readonly x?: unknown; readonly y?: unknown } | null;
}

export interface FeaturePage {
  readonly features: readonly Feature[];
  /** The server has more rows; it may say so even of a page that is shorter than asked. */
  readonly more: boolean;
  /** The fields that this answer says it has, where it says so. */
  readonly fields: FieldTypes | null;
}

/** One layer of an ArcGIS FeatureServer. Every answer is checked for the errors that come with status 200. */
export function createLayer(address: string, http: HttpClient, signal: AbortSignal) {
  const ask = async (url: string): Promise<Record<string, unknown>> => {
    const body = await http.json(url, { signal, errorIn });
    if (typeof body !== "object" || body === null) throw malformed(url, "an object");
    return body as Record<string, unknown>;
  };
  return {
    async info(): Promise<LayerInfo> {
      const body = await ask(`${address}?f=json`);
      const fields = fieldsOf(body["fields"]);
      if (Object.keys(fields).length === 0) throw malformed(address, 'a layer with "fields"');
      const named = body["objectIdField"];
      const objectId =
        typeof named === "string" && named !== ""
          ? named
          : Object.keys(fields).find((name) => fields[name] === "OID");
      if (!objectId) throw malformed(address, 'a layer with "objectIdField"');
      const limit = body["maxRecordCount"];
      return { fields, objectId, pageSize: typeof limit === "number" && limit >= 1 ? limit : 1000 };
    },

    async query(parameters: Readonly<Record<string, string | number>>, asked: number): Promise<FeaturePage> {
      const query = new URLSearchParams({ f: "json" });
      for (const [name, value] of Object.entries(parameters)) query.set(name, String(value));
      query.set("resultRecordCount", String(asked));
      const url = `${address}/query?${query}`;
      const body = await ask(url);
      const features = body["features"];
      if (!Array.isArray(features)) throw malformed(url, 'an object with "features"');
      const flag = body["exceededTransferLimit"];
      // A full page without the flag may be the end; asking once more costs little and cannot lose rows.
      const more = flag === true || (flag !== false && features.length >= asked);
      if (flag === true && features.length === 0)
        throw malformed(url, "rows, since it says that there are more");
      const fields = Array.isArray(body["fields"]) ? fieldsOf(body["fields"]) : null;
      return { features: features as Feature[], more, fields };
    },
  };
}

function errorIn(body: unknown): { status: number; message: string } | null {
  const error = (body as { error?: unknown } | null)?.error;
  if (typeof error !== "object" || error === null) return null;
  const { code, message, details } = error as { code?: unknown; message?: unknown; details?: unknown };
  const words = [message, ...(Array.isArray(details) ? details : [])].filter(
    (word) => typeof word === "string",
  );
  return {
    status: typeof code === "number" ? code : 500,
    message: [...new Set(words)].join(" ") || "an error",
  };
}

function malformed(url: string, expected: string): CityScaleError {
  return new CityScaleError("SOURCE_MALFORMED", `${url} (1 attempt): expected ${expected}`, {
    details: { url },
  });
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "object" && item !== null) : [];
}

function fieldsOf(list: unknown): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const field of listOf(list)) {
    if (typeof field["name"] === "string") fields[field["name"]] = shortType(field["type"]);
  }
  return fields;
}

function shortType(type: unknown): string {
  return typeof type === "string" ? type.replace(/^esriFieldType/, "") : "unknown";
}
