import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { formatLocal } from "../../domain/index.ts";
import { liveScores, qualityReport } from "../../monitoring/index.ts";
import { cityOverview, citySchema, freshnessOf, freshnessSchema } from "../city-facts.ts";
import { addEndpoint } from "../endpoint.ts";
import { entitySchema, listEntities } from "../entities.ts";
import { createGate } from "../gate.ts";
import { cityParams, isoTimes, limitOf, localTime, time, word } from "../schemas.ts";

const batchSchema = z.object({
  batch: z.string(),
  target: z.string(),
  originAt: time,
  originAtLocal: localTime,
  issuedAt: time,
  version: z.int().describe("Model version; 0 is the naive forecast"),
  rows: z.int(),
  entities: z.int(),
  weather: z.enum(["issued", "none"]),
  weatherIssuedAt: time.nullable(),
  countsAgeMs: z.number().describe("Age of the newest count behind it"),
  fellBack: z.boolean(),
  notes: z.array(z.string()),
  tookMs: z.number(),
});

const liveScoreSchema = z.object({
  target: z.string(),
  date: z.string().describe("Local date of the forecast steps"),
  version: z.int(),
  rows: z.int(),
  wape: z.number().nullable(),
  naiveWape: z.number().nullable(),
  coverage80: z.number().nullable(),
  coldStart: z
    .object({
      rows: z.int(),
      wape: z.number().nullable(),
      naiveWape: z.number().nullable(),
      coverage80: z.number().nullable(),
    })
    .nullable()
    .describe("Forecasts of new entities, which the scores beside it leave out"),
  provisional: z.boolean(),
});

const age = z.number().nullable();
const qualitySchema = z.object({
  city: z.string(),
  at: time,
  ok: z.boolean(),
  problems: z.array(z.string()),
  sources: z.array(
    z.object({
      source: z.string(),
      state: z.enum(["ok", "failing", "never-read"]),
      ageMs: age,
      lastError: z.string().nullable(),
      failingSinceMs: age,
    }),
  ),
  measures: z.array(
    z.object({
      measure: z.string(),
      rows: z.int(),
      firstAt: time.nullable(),
      newestAt: time.nullable(),
      staleMs: age,
      fresh: z.boolean(),
      completeness: z.number().nullable(),
      complete: z.boolean(),
      corrected: z.int(),
      late: z.int(),
    }),
  ),
  deadCounters: z.array(
    z.object({
      entity: z.string(),
      name: z.string().nullable(),
      measure: z.string(),
      fromAt: time,
      toAt: time,
      steps: z.int(),
      ongoing: z.boolean(),
    }),
  ),
  silent: z.array(z.object({ entity: z.string(), name: z.string().nullable(), newestAt: time.nullable() })),
  quarantine: z.array(
    z.object({
      source: z.string(),
      stream: z.string(),
      reason: z.string(),
      rows: z.int(),
      example: z.string().nullable(),
      newestAt: time,
    }),
  ),
  schemaChanges: z.array(z.object({ source: z.string(), at: time, change: z.string() })),
  entityChanges: z.array(
    z.object({
      entity: z.string(),
      at: time,
      field: z.string(),
      from: z.string().nullable(),
      to: z.string().nullable(),
    }),
  ),
});

const targetQuery = z.strictObject({ target: word.optional(), limit: limitOf(30, 1000) });

/** Cities and how they are doing. */
export function cityRoutes(http: FastifyInstance, app: App): void {
  const tag = "cities";
  const access = "viewer" as const;
  // It reads all observations of a city.
  const gate = createGate("quality reports", { running: 2, waiting: 20 });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities",
    access,
    tag,
    summary: "Every city that runs here",
    answer: z.object({ cities: z.array(citySchema) }),
    handle: async () => ({
      cities: await Promise.all([...app.cities.values()].map((runtime) => cityOverview(app, runtime))),
    }),
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city",
    access,
    tag,
    summary: "One city: its measures, sources and targets",
    params: cityParams,
    answer: citySchema,
    handle: async ({ params }) => await cityOverview(app, app.city(params.city)),
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/entities",
    access,
    tag,
    summary: "Entities with their attributes, places and lives, in the order of their ids",
    params: cityParams,
    query: z.strictObject({
      limit: limitOf(1000, 10_000),
      cursor: word.optional().describe("`nextCursor` of the page before"),
    }),
    answer: z.object({
      city: z.string(),
      entities: z.array(entitySchema),
      nextCursor: z.string().nullable(),
    }),
    handle: async ({ params, query }) => {
      const { city, lake } = app.city(params.city);
      const rows = await listEntities(lake, query.limit + 1, query.cursor);
      const entities = rows.slice(0, query.limit);
      return {
        city: city.id,
        entities,
        nextCursor: rows.length > query.limit ? entities.at(-1)!.entity : null,
      };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/batches",
    access,
    tag,
    summary: "Batches of a target with their heartbeats, newest first",
    params: cityParams,
    query: targetQuery,
    answer: z.object({ city: z.string(), target: z.string(), batches: z.array(batchSchema) }),
    handle: async ({ params, query }) => {
      const { runtime, target } = app.target(params.city, query.target);
      const batches = await runtime.server.batches(target.name, query.limit);
      return {
        city: runtime.city.id,
        target: target.name,
        batches: batches.map((batch) => ({
          ...isoTimes(batch),
          originAtLocal: formatLocal(runtime.city.timeZone, batch.originAt),
        })),
      };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/live-scores",
    access,
    tag,
    summary: "Scores of forecasts that came true, day by day, beside the naive forecast on the same rows",
    params: cityParams,
    query: targetQuery,
    answer: z.object({ city: z.string(), target: z.string(), liveScores: z.array(liveScoreSchema) }),
    handle: async ({ params, query }) => {
      const { runtime, target } = app.target(params.city, query.target);
      const scores = await runtime.lake.read((connection) =>
        liveScores(connection, target.name, query.limit),
      );
      return { city: runtime.city.id, target: target.name, liveScores: scores };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/quality",
    access,
    tag,
    summary: "What the contract and the sources say of the data",
    params: cityParams,
    answer: qualitySchema,
    handle: async ({ params }) => {
      const { city, lake, parts } = app.city(params.city);
      const report = await gate.run(() => qualityReport(lake, city, parts.lagMs, app.clock.now()));
      // A dead counter a day for years would be a long list.
      return isoTimes({
        ...report,
        deadCounters: report.deadCounters.slice(0, 500),
        silent: report.silent.slice(0, 500),
      });
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/freshness",
    access,
    tag,
    summary: "How old the sources, the observations and the forecasts are",
    params: cityParams,
    answer: freshnessSchema,
    handle: async ({ params }) => await freshnessOf(app, app.city(params.city)),
  });
}
