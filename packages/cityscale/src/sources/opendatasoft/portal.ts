import { CityScaleError } from "../../core/index.ts";
import { type HttpClient, tornBody } from "../http.ts";

export type Row = Readonly<Record<string, unknown>>;

/** Most rows of one `records` answer, and the largest sum of offset and limit that it takes. */
export const recordsLimit = 100;
export const recordsReach = 10_000;

export interface Query {
  readonly select: string;
  readonly where?: string;
  readonly order_by?: string;
  readonly group_by?: string;
}

/** One dataset of an Explore API v2.1. All times are asked for and returned in UTC. */
export function createDataset(address: string, http: HttpClient, signal: AbortSignal) {
  const addressWith = (path: string, query: Query, more: Record<string, string>) => {
    const parameters = new URLSearchParams({ ...query, ...more, timezone: "UTC" });
    return `${address}${path}?${parameters}`;
  };
  return {
    /** Fields and their types. */
    async fields(): Promise<Record<string, string>> {
      const body = (await http.json(address, { signal })) as { fields?: unknown } | null;
      if (!Array.isArray(body?.fields)) throw malformed(address, 'a dataset with "fields"');
      const fields: Record<string, string> = {};
      for (const field of body.fields as { name?: unknown; type?: unknown }[]) {
        if (typeof field?.name === "string") fields[field.name] = String(field.type ?? "unknown");
      }
      return fields;
    },

    async records(
      query: Query,
      offset: number,
      limit = recordsLimit,
    ): Promise<{ total: number; rows: Row[] }> {
      if (offset + limit > recordsReach && query.group_by === undefined) {
        throw new CityScaleError(
          "SOURCE_REFUSED",
          `${address}: more than ${recordsReach - limit} rows share one time, which /records cannot page through`,
          { details: { address } },
        );
      }
      const url = addressWith("/records", query, { limit: String(limit), offset: String(offset) });
      const body = (await http.json(url, { signal })) as { total_count?: unknown; results?: unknown } | null;
      if (!Array.isArray(body?.results)) throw malformed(url, 'an object with "results"');
      const rows = body.results.filter((row) => typeof row === "object" && row !== null) as Row[];
      return { total: typeof body.total_count === "number" ? body.total_count : rows.length, rows };
    },

    /**
     * Streams all rows of a query into `begin()`'s function, line by line. An export that fails midway still has
     * status 200, so it counts only when every line is a row and at least `expected` came; else it is repeated,
     * and `begin` is called again.
     */
    export<T>(query: Query, expected: number, begin: () => { add(row: Row): void; end(): T }): Promise<T> {
      const url = addressWith("/exports/jsonl", query, { limit: "-1" });
      return http.stream(url, { signal }, async (chunks) => {
        const reader = begin();
        let rows = 0;
        for await (const line of linesOf(chunks)) {
          if (line.trim() === "") continue;
          let row: unknown;
          try {
            row = JSON.parse(line);
          } catch {
            throw tornBody(`row ${rows + 1} of the export is not JSON: ${line.trim().slice(0, 120)}`);
          }
          if (typeof row !== "object" || row === null)
            throw tornBody(`expected a row, received ${line.slice(0, 120)}`);
          const words = (row as { error_code?: unknown; message?: unknown }).error_code;
          if (words !== undefined && rows === 0) throw tornBody(`the export failed: ${line.slice(0, 120)}`);
          rows += 1;
          reader.add(row as Row);
        }
        if (rows < expected) throw tornBody(`the export ended after ${rows} of ${expected} rows`);
        return reader.end();
      });
    },
  };
}

export type Dataset = ReturnType<typeof createDataset>;

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function malformed(url: string, expected: string): CityScaleError {
  return new CityScaleError("SOURCE_MALFORMED", `${url} (1 attempt): expected ${expected}`, {
    details: { url },
  });
}
