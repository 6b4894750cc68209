import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { formatLocal, weatherVariables } from "../../domain/index.ts";
import { viewParts, type WhatIf } from "../../features/index.ts";
import type { PredictRequest } from "../../serving/index.ts";
import { attributionOf } from "../city-facts.ts";
import { addEndpoint } from "../endpoint.ts";
import { createGate } from "../gate.ts";
import { attribution, instant, iso, localTime, time, word } from "../schemas.ts";

/** Values that no weather has ever had are refused; what lies inside is the asker's business. */
const bounds: Readonly<Record<keyof typeof weatherVariables, readonly [number, number]>> = {
  temperature: [-90, 60],
  dewPoint: [-90, 60],
  humidity: [0, 100],
  rain: [0, 500],
  wind: [0, 120],
  cloud: [0, 100],
  pressure: [800, 1100],
  radiation: [0, 1500],
};
const weather = z.strictObject(
  Object.fromEntries(
    Object.entries(weatherVariables).map(([name, unit]) => {
      const [low, high] = bounds[name as keyof typeof bounds];
      return [name, z.number().min(low).max(high).optional().describe(unit)];
    }),
  ) as Record<keyof typeof weatherVariables, z.ZodOptional<z.ZodNumber>>,
);

const whatIfSchema = z
  .strictObject({
    weather: weather.optional().describe("Values for every hour from the origin on"),
    holidays: z
      .record(z.iso.date(), z.boolean())
      .refine((days) => Object.keys(days).length <= 60, "name at most 60 days")
      .optional()
      .describe("Local dates that are, or are not, public holidays"),
    event: z
      .strictObject({
        start: instant,
        end: instant,
        lat: z.number().min(-90).max(90),
        lon: z.number().min(-180).max(180),
        attendance: z.number().min(0).max(5_000_000),
      })
      .refine(({ start, end }) => Date.parse(end) > Date.parse(start), "the event ends before it begins")
      .optional(),
  })
  .describe("Inputs replaced for this question; its answer is not stored and enters no score");

/** What is asked of one entity, at most so many leads or times of it. */
const questionOf = (most: number) =>
  z.strictObject({
    city: word.optional().describe("May be left out where one city runs"),
    target: word.optional().describe("The city's first target when left out"),
    entity: word,
    leads: z.array(z.int().min(1).max(100_000)).min(1).max(most).optional().describe("Steps from the origin"),
    times: z.array(instant).min(1).max(most).optional().describe("Instants, any within a step"),
  });
const oneOf = ({ leads, times }: { leads?: unknown; times?: unknown }) =>
  leads === undefined || times === undefined;
const notBoth = "give leads or times, not both";
const body = questionOf(2000).extend({ whatIf: whatIfSchema.optional() }).refine(oneOf, notBoth);
const explainBody = questionOf(200).refine(oneOf, notBoth);

const explanationSchema = z.object({
  city: z.string(),
  target: z.string(),
  entity: z.string(),
  timeZone: z.string(),
  originAt: time,
  originAtLocal: localTime,
  modelVersion: z.int(),
  modelKind: z.string(),
  forecasts: z.array(
    z.object({
      lead: z.int(),
      validAt: time,
      validAtLocal: localTime,
      point: z.number(),
      expectation: z.number().describe("Where the explanation starts: with all parts it sums to the point"),
      parts: z.array(z.object({ part: z.enum(viewParts), contribution: z.number() })),
      columns: z
        .array(
          z.object({
            column: z.string(),
            part: z.enum(viewParts),
            value: z.number().nullable(),
            contribution: z.number(),
          }),
        )
        .describe("Columns that moved the model's trees most"),
    }),
  ),
  attribution,
});

const predictionSchema = z.object({
  city: z.string(),
  target: z.string(),
  entity: z.string(),
  timeZone: z.string(),
  originAt: time,
  originAtLocal: localTime,
  modelVersion: z.int().describe("0 is the naive forecast"),
  modelKind: z.string(),
  datasetVersion: z.string().nullable(),
  viewId: z.string(),
  inputsAgeMs: z.number().describe("Age of the features at the city's clock"),
  countsAgeMs: z
    .number()
    .describe("Age of the newest count behind them; it grows while counts cannot be read"),
  weather: z.enum(["issued", "none"]),
  weatherIssuedAt: time.nullable(),
  fellBack: z.boolean().describe("A naive forecast stands in for the champion"),
  coldStart: z.boolean().describe("The entity is new: its forecast is pooled from others"),
  whatIf: z.boolean(),
  notes: z.array(z.string()),
  forecasts: z.array(
    z.object({
      lead: z.int(),
      validAt: time,
      validAtLocal: localTime,
      point: z.number(),
      p10: z.number().nullable(),
      p50: z.number(),
      p90: z.number().nullable(),
      naive: z.number().nullable(),
    }),
  ),
  attribution,
});

/** Single and what-if predictions, and what they are made of. */
export function predictRoutes(http: FastifyInstance, app: App): void {
  // A what-if runs feature SQL: a few at once, so that the batches keep their share of the machine.
  const gate = createGate("what-if predictions and explanations", { running: 2, waiting: 30 });
  addEndpoint(http, {
    method: "POST",
    path: "/v1/predict",
    access: "viewer",
    tag: "forecasts",
    summary: "Forecasts of one entity from the newest origin, also under other weather, holidays or an event",
    body,
    answer: predictionSchema,
    handle: async ({ body: request }) => {
      const { runtime, target } = app.target(request.city ?? onlyCity(app), request.target);
      const { city, server } = runtime;
      const asked = askedOf(target.name, request);
      const { whatIf } = request;
      const prediction =
        whatIf === undefined
          ? await server.predict(asked)
          : await gate.run(() => server.predict({ ...asked, whatIf: inputsOf(whatIf) }));
      const { originAt, weatherIssuedAt, forecasts, notes, ...made } = prediction;
      return {
        ...made,
        timeZone: city.timeZone,
        originAt: iso(originAt),
        originAtLocal: formatLocal(city.timeZone, originAt),
        weatherIssuedAt: weatherIssuedAt === null ? null : iso(weatherIssuedAt),
        notes: [...notes],
        forecasts: forecasts.map(({ lead, validAt, ...values }) => ({
          lead,
          validAt: iso(validAt),
          validAtLocal: formatLocal(city.timeZone, validAt),
          ...values,
        })),
        attribution: attributionOf(city),
      };
    },
  });
  addEndpoint(http, {
    method: "POST",
    path: "/v1/explain",
    access: "viewer",
    tag: "forecasts",
    summary: "Why one entity's forecasts from the newest origin are what they are",
    body: explainBody,
    answer: explanationSchema,
    handle: async ({ body: request }) => {
      const { runtime, target } = app.target(request.city ?? onlyCity(app), request.target);
      const { city, server } = runtime;
      const { originAt, forecasts, ...told } = await gate.run(() =>
        server.explain(askedOf(target.name, request)),
      );
      return {
        ...told,
        timeZone: city.timeZone,
        originAt: iso(originAt),
        originAtLocal: formatLocal(city.timeZone, originAt),
        forecasts: forecasts.map(({ lead, validAt, parts, columns, ...values }) => ({
          lead,
          validAt: iso(validAt),
          validAtLocal: formatLocal(city.timeZone, validAt),
          ...values,
          parts: [...parts],
          columns: [...columns],
        })),
        attribution: attributionOf(city),
      };
    },
  });
}

function askedOf(
  target: string,
  request: { entity: string; leads?: number[] | undefined; times?: string[] | undefined },
): PredictRequest {
  return {
    target,
    entity: request.entity,
    ...(request.leads ? { leads: request.leads } : {}),
    ...(request.times ? { times: request.times.map((text) => Date.parse(text)) } : {}),
  };
}

function onlyCity(app: App): string {
  const ids = [...app.cities.keys()];
  if (ids.length !== 1)
    throw new CityScaleError("REQUEST_INVALID", `body.city: say which of ${ids.join(", ")}`);
  return ids[0]!;
}

function inputsOf(whatIf: z.output<typeof whatIfSchema>): WhatIf {
  const { weather, holidays, event } = whatIf;
  return {
    ...(weather
      ? {
          weather: Object.fromEntries(
            Object.entries(weather).filter(([, value]) => value !== undefined),
          ) as Record<string, number>,
        }
      : {}),
    ...(holidays ? { holidays } : {}),
    ...(event
      ? {
          event: {
            startAt: Date.parse(event.start),
            endAt: Date.parse(event.end),
            lat: event.lat,
            lon: event.lon,
            attendance: event.attendance,
          },
        }
      : {}),
  };
}
