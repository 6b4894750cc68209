import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { formatLocal } from "../../domain/index.ts";
import { attributionOf } from "../city-facts.ts";
import { forecastsFrom } from "../data-queries.ts";
import { addEndpoint } from "../endpoint.ts";
import { entityNumber } from "../entities.ts";
import type { Exporter } from "../export.ts";
import {
  attribution,
  cityParams,
  cursorText,
  instant,
  instantOrDate,
  iso,
  limitOf,
  localTime,
  numbersOf,
  periodOf,
  time,
  word,
} from "../schemas.ts";

const filter = {
  target: word.optional().describe("The city's first target when left out"),
  entity: word.optional(),
  origin: z
    .union([z.enum(["latest", "all"]), instant])
    .default("latest")
    .describe("An origin's instant, latest, or all"),
  from: instantOrDate.optional().describe("Steps that start at or after it"),
  to: instantOrDate.optional().describe("Steps that start before it"),
};
type Filter = z.output<z.ZodObject<typeof filter>>;

const madeSchema = z.object({
  batch: z.string(),
  originAt: time,
  originAtLocal: localTime,
  issuedAt: time,
  ageMs: z.number().describe("Age of the origin at the city's clock"),
  modelVersion: z.int().describe("0 is the naive forecast"),
  modelKind: z.string(),
  datasetVersion: z.string().nullable(),
  weather: z.enum(["issued", "none"]),
  weatherIssuedAt: time.nullable(),
  countsAgeMs: z.number(),
  fellBack: z.boolean(),
  notes: z.array(z.string()),
});
const forecastSchema = z.object({
  batch: z.string().describe("How it was made: its batch below `batches`"),
  entity: z.string(),
  originAt: time,
  validAt: time,
  validAtLocal: localTime,
  lead: z.int(),
  point: z.number(),
  p10: z.number().nullable(),
  p50: z.number().nullable(),
  p90: z.number().nullable(),
  naive: z.number().nullable(),
  coldStart: z.boolean().describe("The entity is new: pooled from others, and scored apart"),
  modelVersion: z.int(),
});

interface Row {
  readonly batch: string;
  readonly e: number;
  readonly t: number;
  readonly entity: string;
  readonly start_at: number;
  readonly lead: number;
  readonly point: number;
  readonly low: number | null;
  readonly median: number | null;
  readonly high: number | null;
  readonly naive: number | null;
  readonly cold_start: boolean;
  readonly version: number;
  readonly origin_at: number;
  readonly issued_at: number;
  readonly weather: "issued" | "none";
  readonly weather_issued_at: number | null;
  readonly counts_age_ms: number;
  readonly fell_back: boolean;
  readonly notes: string;
}

/** Stored forecasts, each with how it was made, page by page or as a file. */
export function forecastRoutes(http: FastifyInstance, app: App, exporter: Exporter): void {
  const select = async (cityId: string, query: Filter) => {
    const { runtime, target } = app.target(cityId, query.target);
    const { city, lake } = runtime;
    const origin =
      query.origin === "latest" || query.origin === "all" ? query.origin : Date.parse(query.origin);
    const e = query.entity === undefined ? {} : { e: await entityNumber(lake, query.entity) };
    return {
      city,
      lake,
      target,
      from: forecastsFrom(city, { target, origin, ...e, ...periodOf(query, city.timeZone) }),
    };
  };

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/forecasts",
    access: "viewer",
    tag: "forecasts",
    summary:
      "Stored forecasts with how they were made; those of the newest origin unless another is asked for",
    params: cityParams,
    query: z.strictObject({ ...filter, limit: limitOf(2000, 10_000), cursor: cursorText(3).optional() }),
    answer: z.object({
      city: z.string(),
      target: z.string(),
      timeZone: z.string(),
      batches: z.array(madeSchema),
      forecasts: z.array(forecastSchema),
      nextCursor: z.string().nullable(),
      attribution,
    }),
    handle: async ({ params, query, reply }) => {
      const { city, lake, target, from } = await select(params.city, query);
      const [origin, e, t] = query.cursor === undefined ? [] : numbersOf(query.cursor);
      const after = origin === undefined ? "" : `AND (f.origin_at, f.e, f.t) > (${origin}, ${e}, ${t})`;
      const rows = await exporter.gate.run(() =>
        lake.read((connection) =>
          connection.rows<Row>(
            `SELECT f.batch, f.e, f.t, n.entity, s.start_at, f.lead, f.point, f.low, f.median, f.high, f.naive, f.cold_start, f.version, f.origin_at,
               b.issued_at, b.weather, b.weather_issued_at, b.counts_age_ms, b.fell_back, b.notes
             ${from} ${after} ORDER BY f.origin_at, f.e, f.t LIMIT ${query.limit + 1}`,
          ),
        ),
      );
      const page = rows.slice(0, query.limit);
      const last = page.at(-1);
      const now = app.clock.now();
      const batches = await Promise.all(
        [...new Map(page.map((row) => [row.batch, row])).values()].map(async (row) => {
          const model = await modelOf(city.id, target.name, row.version);
          return {
            batch: row.batch,
            originAt: iso(row.origin_at),
            originAtLocal: formatLocal(city.timeZone, row.origin_at),
            issuedAt: iso(row.issued_at),
            ageMs: Math.max(0, now - row.origin_at),
            modelVersion: row.version,
            modelKind: model.kind,
            datasetVersion: model.datasetVersion,
            weather: row.weather,
            weatherIssuedAt: row.weather_issued_at === null ? null : iso(row.weather_issued_at),
            countsAgeMs: row.counts_age_ms,
            fellBack: row.fell_back,
            notes: JSON.parse(row.notes) as string[],
          };
        }),
      );
      exporter.credit(reply, city);
      return {
        city: city.id,
        target: target.name,
        timeZone: city.timeZone,
        batches,
        forecasts: page.map((row) => ({
          batch: row.batch,
          entity: row.entity,
          originAt: iso(row.origin_at),
          validAt: iso(row.start_at),
          validAtLocal: formatLocal(city.timeZone, row.start_at),
          lead: row.lead,
          point: row.point,
          p10: row.low,
          p50: row.median,
          p90: row.high,
          naive: row.naive,
          coldStart: row.cold_start,
          modelVersion: row.version,
        })),
        nextCursor: rows.length > query.limit && last ? `${last.origin_at}.${last.e}.${last.t}` : null,
        attribution: attributionOf(city),
      };
    },
  });

  /** A version's kind and data; one whose record is gone (a restored, older database) is told as unknown. */
  const modelOf = async (city: string, target: string, version: number) => {
    try {
      return await app.registry.versions.get(city, target, version);
    } catch (error) {
      if (error instanceof CityScaleError && error.code === "MODEL_UNKNOWN")
        return { kind: "unknown", datasetVersion: null };
      throw error;
    }
  };

  exporter.add(http, {
    path: "/v1/cities/:city/forecasts",
    tag: "forecasts",
    summary: "Forecasts",
    query: z.strictObject(filter),
    select: async (cityId, query) => {
      const { city, target, from } = await select(cityId, query);
      const timestamp = (sql: string) => `make_timestamptz(${sql} * 1000)`;
      return {
        name: `${city.id}-${target.name}-forecasts`,
        columns: [
          { name: "target", sql: "f.target", text: true },
          { name: "entity", sql: "n.entity", text: true },
          { name: "origin_at", sql: timestamp("f.origin_at") },
          { name: "valid_at", sql: timestamp("s.start_at") },
          { name: "lead", sql: "f.lead" },
          { name: "point", sql: "f.point" },
          { name: "p10", sql: "f.low" },
          { name: "p50", sql: "f.median" },
          { name: "p90", sql: "f.high" },
          { name: "naive", sql: "f.naive" },
          { name: "model_version", sql: "f.version" },
          { name: "weather", sql: "b.weather", text: true },
          { name: "weather_issued_at", sql: timestamp("b.weather_issued_at") },
          { name: "fell_back", sql: "b.fell_back" },
          { name: "cold_start", sql: "f.cold_start" },
          { name: "issued_at", sql: timestamp("b.issued_at") },
          { name: "batch", sql: "f.batch", text: true },
        ],
        from: `${from} ORDER BY f.origin_at, b.issued_at, f.e, f.t`,
      };
    },
  });
}
