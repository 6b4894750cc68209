import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { type City, formatLocal } from "../../domain/index.ts";
import { attributionOf } from "../city-facts.ts";
import { observationsFrom } from "../data-queries.ts";
import { addEndpoint } from "../endpoint.ts";
import { entityNumber } from "../entities.ts";
import type { Exporter } from "../export.ts";
import {
  attribution,
  cityParams,
  cursorText,
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
  entity: word.optional(),
  measure: word.optional().describe("The city's first measure when left out"),
  from: instantOrDate.optional().describe("Steps that start at or after it"),
  to: instantOrDate.optional().describe("Steps that start before it"),
};
type Filter = z.output<z.ZodObject<typeof filter>>;

const observationSchema = z.object({
  entity: z.string(),
  measure: z.string(),
  validAt: time.describe("Start of the step, ISO 8601 UTC"),
  validAtLocal: localTime,
  value: z.number().nullable(),
  knownAt: time.describe("When it could be known"),
  knownBasis: z.enum(["observed", "published", "assumed"]),
});

/** Clean observations as they stand now, page by page or as a file. */
export function observationRoutes(http: FastifyInstance, app: App, exporter: Exporter): void {
  const select = async (cityId: string, query: Filter) => {
    const { city, lake } = app.city(cityId);
    const measure = measureOf(city, query.measure);
    const e = query.entity === undefined ? {} : { e: await entityNumber(lake, query.entity) };
    return {
      city,
      lake,
      measure,
      from: observationsFrom(city, { measure, ...e, ...periodOf(query, city.timeZone) }),
    };
  };

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/observations",
    access: "viewer",
    tag: "observations",
    summary: "Observations in the order of time, with when they could be known",
    params: cityParams,
    query: z.strictObject({ ...filter, limit: limitOf(1000, 10_000), cursor: cursorText(2).optional() }),
    answer: z.object({
      city: z.string(),
      timeZone: z.string(),
      observations: z.array(observationSchema),
      nextCursor: z.string().nullable(),
      attribution,
    }),
    handle: async ({ params, query, reply }) => {
      const { city, lake, measure, from } = await select(params.city, query);
      const [t, e] = query.cursor === undefined ? [] : numbersOf(query.cursor);
      const after = t === undefined ? "" : `AND (o.t > ${t} OR (o.t = ${t} AND o.e > ${e}))`;
      const rows = await exporter.gate.run(() =>
        lake.read((connection) =>
          connection.rows<{
            t: number;
            e: number;
            entity: string;
            start_at: number;
            value: number | null;
            known_at: number;
            basis: "observed" | "published" | "assumed";
          }>(
            `SELECT o.t, o.e, n.entity, s.start_at, o.value, o.known_at, o.basis ${from} ${after} ORDER BY o.t, o.e LIMIT ${query.limit + 1}`,
          ),
        ),
      );
      const page = rows.slice(0, query.limit);
      const last = page.at(-1);
      exporter.credit(reply, city);
      return {
        city: city.id,
        timeZone: city.timeZone,
        observations: page.map((row) => ({
          entity: row.entity,
          measure,
          validAt: iso(row.start_at),
          validAtLocal: formatLocal(city.timeZone, row.start_at),
          value: row.value,
          knownAt: iso(row.known_at),
          knownBasis: row.basis,
        })),
        nextCursor: rows.length > query.limit && last ? `${last.t}.${last.e}` : null,
        attribution: attributionOf(city),
      };
    },
  });

  exporter.add(http, {
    path: "/v1/cities/:city/observations",
    tag: "observations",
    summary: "Observations",
    query: z.strictObject(filter),
    select: async (cityId, query) => {
      const { city, measure, from } = await select(cityId, query);
      return {
        name: `${city.id}-${measure}-observations`,
        columns: [
          { name: "entity", sql: "n.entity", text: true },
          { name: "measure", sql: "o.measure", text: true },
          { name: "valid_at", sql: "make_timestamptz(s.start_at * 1000)" },
          { name: "value", sql: "o.value" },
          { name: "known_at", sql: "make_timestamptz(o.known_at * 1000)" },
          { name: "known_basis", sql: "o.basis", text: true },
        ],
        from: `${from} ORDER BY o.t, o.e`,
      };
    },
  });
}

function measureOf(city: City, name: string | undefined): string {
  const names = Object.keys(city.measures);
  const measure = name ?? names[0]!;
  if (names.includes(measure)) return measure;
  throw new CityScaleError(
    "REQUEST_INVALID",
    `query.measure: ${city.id} has no measure "${measure.slice(0, 80)}"; it has ${names.join(", ")}`,
  );
}
