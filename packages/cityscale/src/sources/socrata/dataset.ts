import { CityScaleError } from "../../core/index.ts";
import type { HttpClient } from "../http.ts";
import type { FieldTypes } from "../schema-changes.ts";

export type Row = Readonly<Record<string, unknown>>;

/** SoQL clauses by name, without the dollar. */
export type Query = Readonly<
  Partial<Record<"select" | "where" | "group" | "order" | "limit" | "offset", string | number>>
>;

export interface DatasetInfo {
  readonly fields: FieldTypes;
  /** When the publisher last loaded rows, ms UTC; null when the metadata do not say. */
  readonly loadedAt: number | null;
}

/** One dataset of a SODA 2.1 API. Every scalar comes as text, and a field without a value does not come at all. */
export function createDataset(
  addresses: { readonly address: string; readonly metadata: string },
  http: HttpClient,
  request: { readonly signal: AbortSignal; readonly headers: Readonly<Record<string, string>> },
) {
  const ask = async (url: string): Promise<unknown> => {
    try {
      return await http.json(url, { ...request, errorIn });
    } catch (error) {
      if (error instanceof CityScaleError && error.code === "SOURCE_REFUSED" && gone.test(error.message)) {
        throw new CityScaleError("SOURCE_SCHEMA_CHANGED", error.message, {
          cause: error,
          details: error.details,
        });
      }
      throw error;
    }
  };
  return {
    async info(): Promise<DatasetInfo> {
      const body = (await ask(addresses.metadata)) as { columns?: unknown; rowsUpdatedAt?: unknown } | null;
      if (!Array.isArray(body?.columns)) throw malformed(addresses.metadata, 'an object with "columns"');
      const fields: Record<string, string> = {};
      for (const column of body.columns as { fieldName?: unknown; dataTypeName?: unknown }[]) {
        if (typeof column?.fieldName === "string")
          fields[column.fieldName] = String(column.dataTypeName ?? "unknown");
      }
      const at = body.rowsUpdatedAt;
      return { fields, loadedAt: typeof at === "number" && Number.isFinite(at) ? at * 1000 : null };
    },

    async rows(query: Query): Promise<Row[]> {
      const parameters = new URLSearchParams();
      for (const [name, value] of Object.entries(query)) parameters.set(`$${name}`, String(value));
      const url = `${addresses.address}?${parameters}`;
      const body = await ask(url);
      if (!Array.isArray(body)) throw malformed(url, "an array of rows");
      return body.filter((row) => typeof row === "object" && row !== null) as Row[];
    },
  };
}

export type Dataset = ReturnType<typeof createDataset>;

const gone = /no-such-column|No such column/;

/** Errors in an answer with status 200: an object in place of the array. What is wrong with a query stays wrong. */
function errorIn(body: unknown): { status: number; message: string } | null {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return null;
  const { error, code, errorCode, message } = body as Record<string, unknown>;
  const stable = [errorCode, code].find((value) => typeof value === "string") as string | undefined;
  if (error !== true && (stable === undefined || typeof message !== "string")) return null;
  const words = typeof message === "string" ? message : (stable ?? "an error");
  return { status: /^(query|permission)/.test(stable ?? "") ? 400 : 500, message: words };
}

function malformed(url: string, expected: string): CityScaleError {
  return new CityScaleError("SOURCE_MALFORMED", `${url} (1 attempt): expected ${expected}`, {
    details: { url },
  });
}
