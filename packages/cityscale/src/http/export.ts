import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { z } from "zod";
import type { App } from "../app/index.ts";
import type { City } from "../domain/index.ts";
import { literal } from "../lake/index.ts";
import { addEndpoint } from "./endpoint.ts";
import { createGate, type Gate } from "./gate.ts";
import { cityParams } from "./schemas.ts";

/** A column of a file; `text` comes from a publisher and is made harmless in CSV. */
interface Column {
  readonly name: string;
  readonly sql: string;
  readonly text?: boolean;
}

/** What is exported: columns, and all of the statement from its FROM on. */
interface Selection {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly from: string;
}

const formats = {
  csv: { type: "text/csv", copy: "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'" },
  parquet: { type: "application/vnd.apache.parquet", copy: "FORMAT parquet, COMPRESSION zstd" },
} as const;

export interface Exporter {
  /** Shared by exports and long lists: both read much of a lake. */
  readonly gate: Gate;
  /** Names the publishers in a header of an answer. */
  credit(reply: FastifyReply, city: City): void;
  /** Adds `path.csv` and `path.parquet`. */
  add<Query extends z.ZodType>(
    http: FastifyInstance,
    route: {
      readonly path: string;
      readonly tag: string;
      readonly summary: string;
      readonly query: Query;
      select(city: string, query: z.output<Query>): Promise<Selection>;
    },
  ): void;
}

/** Files of a lake's rows: DuckDB writes one, it is sent while it is read, and nothing of it stays. */
export function createExporter(app: App): Exporter {
  const gate = createGate("lists and exports", { running: 3, waiting: 100 });
  const files = createGate("exports", { running: 2, waiting: 10 });

  async function send(
    reply: FastifyReply,
    cityId: string,
    selection: Selection,
    format: keyof typeof formats,
  ): Promise<FastifyReply> {
    const { city } = app.city(cityId);
    const leave = await files.enter();
    try {
      const file = await write(cityId, selection, format);
      const { size } = await file.stat();
      const stream = file.createReadStream();
      stream.once("close", leave);
      reply.header("content-length", size);
      reply.header("content-disposition", `attachment; filename="${selection.name}.${format}"`);
      credit(reply, city);
      const type = format === "csv" ? "text/csv; charset=utf-8" : formats.parquet.type;
      return reply.type(type).send(stream);
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** The file, open for reading and already without a name: however the sending ends, nothing stays behind. */
  async function write(
    cityId: string,
    selection: Selection,
    format: keyof typeof formats,
  ): Promise<FileHandle> {
    const { lake, parts } = app.city(cityId);
    await mkdir(parts.temporary, { recursive: true });
    const path = join(parts.temporary, `export-${randomBytes(8).toString("hex")}.${format}`);
    const columns = selection.columns.map(
      ({ name, sql, text }) => `${text && format === "csv" ? harmless(sql) : sql} AS ${name}`,
    );
    const rows = `SELECT ${columns.join(", ")} ${selection.from}`;
    try {
      await lake.read((connection) =>
        connection.run(`COPY (${rows}) TO ${literal(path)} (${formats[format].copy})`),
      );
      return await open(path, "r");
    } finally {
      await rm(path, { force: true });
    }
  }

  return {
    gate,
    credit,
    add: (http, route) => {
      for (const format of ["csv", "parquet"] as const) {
        addEndpoint(http, {
          method: "GET",
          path: `${route.path}.${format}`,
          access: "viewer",
          tag: route.tag,
          summary: `${route.summary} as ${format === "csv" ? "CSV (instants in UTC)" : "Parquet"}`,
          params: cityParams,
          query: route.query,
          produces: formats[format].type,
          handle: async ({ params, query, reply }) =>
            await send(reply, params.city, await route.select(params.city, query), format),
        });
      }
    },
  };
}

/** A spreadsheet takes a cell that begins like this for a formula and runs it; a quotation mark makes it text. */
function harmless(sql: string): string {
  return `CASE WHEN regexp_matches(${sql}, '^[=+@\\t\\r\\n-]') THEN '''' || ${sql} ELSE ${sql} END`;
}

function credit(reply: FastifyReply, city: City): void {
  const text = city.attribution
    .map(({ publisher, licence, url }) => [publisher, licence, url].filter(Boolean).join(", "))
    .join("; ");
  // A header is ASCII: everything else is percent-encoded UTF-8, as in an address.
  if (text !== "")
    reply.header(
      "x-attribution",
      text.replace(/[^\x20-\x7e]/gu, (letter) => encodeURIComponent(letter)),
    );
}
