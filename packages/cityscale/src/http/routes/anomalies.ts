import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { anomalyRule, dateOfDay, detectorNames, localDay } from "../../domain/index.ts";
import { type Annotation, endAnnotations, foundKinds, listAnnotations } from "../../lake/index.ts";
import { judgedAnomalies } from "../../monitoring/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { entityNumber } from "../entities.ts";
import { createGate } from "../gate.ts";
import { cityParams, instantOrDate, iso, limitOf, localDate, msOf, reason, time, word } from "../schemas.ts";

const anomalySchema = z.object({
  kind: z.enum(foundKinds),
  target: z.string(),
  measure: z.string(),
  entity: z.string(),
  fromDate: z.string().describe("First local date"),
  toDate: z.string().nullable().describe("Last local date; null while a shift lasts"),
  value: z.number().nullable(),
  expected: z.number().nullable().describe("What had been forecast for the day"),
  score: z
    .number()
    .nullable()
    .describe("Signed, in the units of the detector; of a shift the logarithm of new over forecast level"),
  knownAt: time.describe("Origins before it saw nothing of this"),
  knownTo: time
    .nullable()
    .describe("Since when it holds no more: the day was completed or dismissed, or the level is back"),
  reason: z.string(),
  author: z.string().describe("The detector"),
});

/** Days that monitoring found out of the ordinary, and days judged anew by another detector. */
export function anomalyRoutes(http: FastifyInstance, app: App): void {
  const gate = createGate("anomalies judged anew", { running: 2, waiting: 20 });
  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/anomalies",
    access: "viewer",
    tag: "cities",
    summary:
      "Days out of the ordinary, newest first: odd ones, half-loaded ones, lasting shifts of the level",
    params: cityParams,
    query: z.strictObject({
      target: word.optional(),
      entity: word.optional(),
      kind: z.enum(foundKinds).optional(),
      from: instantOrDate.optional().describe("Days that begin at or after it"),
      to: instantOrDate.optional().describe("Days up to it; a date is included"),
      detector: z
        .enum(detectorNames)
        .optional()
        .describe("Judge the live forecasts of the last 90 days, or from `from` on, anew; nothing is stored"),
      limit: limitOf(200, 10_000),
    }),
    answer: z.object({
      city: z.string(),
      target: z.string(),
      detector: z.enum(detectorNames),
      threshold: z.number(),
      faultThreshold: z.number().nullable(),
      anomalies: z.array(anomalySchema),
    }),
    handle: async ({ params, query }) => {
      const { runtime, target } = app.target(params.city, query.target);
      const { city, lake } = runtime;
      const { timeZone } = city;
      const { entity, kind, limit, detector } = query;
      const from = query.from === undefined ? undefined : msOf(query.from, timeZone);
      // A date stands for the whole day.
      const lastDay = query.to === undefined ? undefined : localDay(timeZone, msOf(query.to, timeZone));
      if (from !== undefined && lastDay !== undefined && lastDay < localDay(timeZone, from)) {
        throw new CityScaleError(
          "REQUEST_INVALID",
          `the period ends (${query.to}) before it begins (${query.from})`,
        );
      }
      const rule = detector
        ? anomalyRule({ detector }, city.measures[target.measure]!.kind === "log")
        : target.anomalies;
      const ask = async (): Promise<Annotation[]> => {
        if (!detector) {
          const filter = {
            target: target.name,
            limit,
            ...(entity === undefined ? {} : { entity }),
            ...(kind ? { kind } : {}),
          };
          const until = lastDay === undefined ? {} : { to: startOf(lastDay + 1) };
          return await lake.read((connection) =>
            listAnnotations(connection, { ...filter, ...(from === undefined ? {} : { from }), ...until }),
          );
        }
        const now = app.clock.now();
        const today = localDay(timeZone, now);
        const { anomalies } = await gate.run(() =>
          lake.read((connection) =>
            judgedAnomalies(
              connection,
              city,
              { ...target, anomalies: rule },
              {
                fromDay: from === undefined ? today - 90 : localDay(timeZone, from),
                toDay: lastDay ?? today,
                now,
              },
            ),
          ),
        );
        return anomalies
          .filter(
            (found) => (entity === undefined || found.entity === entity) && (!kind || found.kind === kind),
          )
          .slice(0, limit);
      };
      const startOf = (day: number) => msOf(dateOfDay(day), timeZone);
      const date = (ms: number) => dateOfDay(localDay(timeZone, ms));
      return {
        city: city.id,
        target: target.name,
        ...rule,
        anomalies: (await ask()).map(({ fromAt, untilAt, knownAt, knownTo, ...found }) => ({
          ...found,
          fromDate: date(fromAt),
          toDate: untilAt === null ? null : date(untilAt - 1),
          knownAt: iso(knownAt),
          knownTo: knownTo === null ? null : iso(knownTo),
        })),
      };
    },
  });
  addEndpoint(http, {
    method: "POST",
    path: "/v1/cities/:city/anomalies/dismiss",
    access: "operator",
    tag: "cities",
    summary:
      "Says that a half-loaded day is whole: its values are held back no more, for origins from now on",
    params: cityParams,
    body: z.strictObject({
      target: word.optional(),
      date: localDate,
      entity: word.optional().describe("All that are held back on the date when left out"),
      reason,
    }),
    answer: z.object({
      city: z.string(),
      target: z.string(),
      date: z.string(),
      entities: z.array(z.string()).describe("Whose values are seen again"),
      knownTo: time,
    }),
    handle: async ({ params, body, caller }) => {
      const { runtime, target } = app.target(params.city, body.target);
      const { city, lake, parts } = runtime;
      const { entity, date } = body;
      if (entity !== undefined) await entityNumber(lake, entity);
      const fromAt = msOf(date, city.timeZone);
      const untilAt = msOf(dateOfDay(localDay(city.timeZone, fromAt) + 1), city.timeZone);
      const now = Math.floor(app.clock.now());
      const entities = await lake.write(async (connection) => {
        const held = await listAnnotations(connection, {
          target: target.name,
          kind: "half-loaded",
          from: fromAt,
          to: untilAt,
          open: true,
          limit: 1_000_000,
          ...(entity === undefined ? {} : { entity }),
        });
        const which = { kinds: ["half-loaded"], target: target.name, fromAt, untilAt } as const;
        for (const found of held) await endAnnotations(connection, { ...which, entity: found.entity }, now);
        return held.map((found) => found.entity);
      });
      if (entities.length === 0) {
        throw new CityScaleError(
          "CONFLICT",
          `no half-loaded ${date}${entity === undefined ? "" : ` of ${entity}`} is held back for ${target.name} of ${city.id}`,
        );
      }
      await parts.partitions.touch(city.id, "outcomes", fromAt, untilAt);
      await app.audit.record({
        actor: caller.name,
        action: "anomaly.dismiss",
        subject: `${city.id}/${target.name}/${date}`,
        details: { reason: body.reason, entities, keyId: caller.keyId },
      });
      return { city: city.id, target: target.name, date, entities, knownTo: iso(now) };
    },
  });
}
