import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { formatLocal, weatherVariables } from "../../domain/index.ts";
import type { WhatIf } from "../../features/index.ts";
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

const body = z
  .strictObject({
    city: word.optional().describe("May be left out where one city runs"),
    target: word.optional().describe("The city's first target when left out"),
    entity: word,
    leads: z.array(z.int().min(1).max(100_000)).min(1).max(2000).optional().describe("Steps from the origin"),
    times: z.array(instant).min(1).max(2000).optional().describe("Instants, any within a step"),
    whatIf: whatIfSchema.optional(),
  })
  .refine(({ leads, times }) => leads === undefined || times === undefined, "give leads or times, not both");

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

/** Single and what-if predictions. */
export function predictRoutes(http: FastifyInstance, app: App): void {
  // A what-if runs feature SQL: a few at once, so that the batches keep their share of the machine.
  const gate = createGate("what-if predictions", { running: 2, waiting: 30 });
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
      const question = {
        target: target.name,
        entity: request.entity,
        ...(request.leads ? { leads: request.leads } : {}),
        ...(request.times ? { times: request.times.map((text) => Date.parse(text)) } : {}),
      };
      const { whatIf } = request;
      const prediction =
        whatIf === undefined
          ? await server.predict(question)
          : await gate.run(() => server.predict({ ...question, whatIf: inputsOf(whatIf) }));
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
