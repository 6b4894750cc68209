import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { formatLocal, levelNames } from "../../domain/index.ts";
import { expectedShortfall, suggestMoves } from "../../models/index.ts";
import { riskPeriods, riskScores } from "../../monitoring/index.ts";
import type { RiskOutlook } from "../../serving/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { cityParams, iso, limitOf, localTime, time, word } from "../schemas.ts";

const trajectory = z
  .array(z.object({ minutes: z.number(), probability: z.number() }))
  .describe("Probability of a stock-out within so many minutes of the origin, soonest first");

const moveSchema = z.object({
  station: z.string(),
  name: z.string().nullable(),
  measure: z.enum(levelNames).describe("What it will run out of"),
  count: z.number().describe("How many of it are there now"),
  capacity: z.number().nullable(),
  urgency: z.number().describe("Mean of the probabilities by lead"),
  risk: z.number().describe("Probability within the longest lead"),
  trajectory,
  shortfall: z.number().describe("How many are expected to be missing below the bound"),
  bikes: z.number().describe("Bikes to bring; below 0, to take away; 0 where no station near can help"),
  partner: z.string().nullable().describe("Where they come from, or go to"),
  partnerName: z.string().nullable(),
  distanceKm: z.number().nullable(),
});

const issued = {
  city: z.string(),
  originAt: time,
  originAtLocal: localTime,
  issuedAt: time,
  ageMs: z.number().describe("Since the origin, at the city's clock"),
  below: z.int().describe("Fewer than so many is a stock-out"),
  versions: z.record(z.string(), z.int()).describe("Model version by target; 0 is persistence"),
  notes: z.array(z.string()),
};

const side = z
  .object({ count: z.number(), trajectory, shortfall: z.number().nullable() })
  .nullable()
  .describe("Null where the station is out of service or not in the newest snapshot");

const scoreSchema = z.object({
  target: z.string(),
  period: z.enum(riskPeriods).describe("Origins of a local day, or of the newest 24 hours"),
  date: z.string(),
  version: z.int(),
  judged: z.enum(["forecast", "persistence"]),
  on: z.enum(["all", "onset"]).describe("All rows, or those not short at the origin"),
  provisional: z.boolean(),
  scores: z.record(z.string(), z.number().nullable()),
});

/** Stations about to run out, what to move, and how such forecasts came true. */
export function riskRoutes(http: FastifyInstance, app: App): void {
  const tag = "forecasts";
  const access = "viewer" as const;
  const outlookOf = async (cityId: string) => {
    const { city, parts } = app.city(cityId);
    if (!parts.risk)
      throw new CityScaleError("TARGET_UNKNOWN", `${city.id} has no binary target: no risk is forecast`);
    const outlook = await parts.risk.outlook();
    const { originAt, issuedAt, below, versions, notes } = outlook;
    return {
      outlook,
      told: {
        ...{ city: city.id, below, versions, notes: [...notes] },
        ...{ originAt: iso(originAt), issuedAt: iso(issuedAt) },
        originAtLocal: formatLocal(city.timeZone, originAt),
        ageMs: Math.max(0, app.clock.now() - originAt),
      },
    };
  };

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/risk",
    access,
    tag,
    summary: "Stations likeliest to run out that have not yet, each with a move that would help",
    params: cityParams,
    query: z.strictObject({ top: limitOf(10, 1000) }),
    answer: z.object({ ...issued, moves: z.array(moveSchema) }),
    handle: async ({ params, query }) => {
      const { outlook, told } = await outlookOf(params.city);
      const stations = new Map(outlook.stations.map((station) => [station.station, station]));
      const moves = suggestMoves(outlook.stations, { top: query.top, below: outlook.below });
      return {
        ...told,
        moves: moves.map((move) => {
          const station = stations.get(move.station)!;
          return {
            ...move,
            name: outlook.names.get(move.station) ?? null,
            partnerName: move.partner === null ? null : (outlook.names.get(move.partner) ?? null),
            count: station[move.measure].count,
            capacity: finite(station.capacity),
            trajectory: trajectoryOf(outlook, station, move.measure),
          };
        }),
      };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/risk/stations",
    access,
    tag,
    summary: "Probabilities of every station by lead: bikes and docks",
    params: cityParams,
    query: z.strictObject({ station: word.optional() }),
    answer: z.object({
      ...issued,
      stations: z.array(
        z.object({
          station: z.string(),
          name: z.string().nullable(),
          lat: z.number().nullable(),
          lon: z.number().nullable(),
          capacity: z.number().nullable(),
          bikes: side,
          docks: side,
        }),
      ),
    }),
    handle: async ({ params, query }) => {
      const { outlook, told } = await outlookOf(params.city);
      const wanted = outlook.stations.filter(
        ({ station }) => query.station === undefined || station === query.station,
      );
      if (query.station !== undefined && wanted.length === 0)
        throw new CityScaleError(
          "ENTITY_UNKNOWN",
          `${told.city} has no station "${query.station.slice(0, 80)}"`,
        );
      const sideOf = (station: (typeof wanted)[number], measure: "bikes" | "docks") => {
        const { count } = station[measure];
        if (Number.isNaN(count)) return null;
        return {
          ...{ count, trajectory: trajectoryOf(outlook, station, measure) },
          shortfall: finite(expectedShortfall(station[measure], outlook.below)),
        };
      };
      return {
        ...told,
        stations: wanted.map((station) => ({
          ...{ station: station.station, name: outlook.names.get(station.station) ?? null },
          ...{ lat: finite(station.lat), lon: finite(station.lon), capacity: finite(station.capacity) },
          ...{ bikes: sideOf(station, "bikes"), docks: sideOf(station, "docks") },
        })),
      };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/risk/scores",
    access,
    tag,
    summary: "Scores of stock-outs forecast that came, or did not, beside persistence on the same rows",
    params: cityParams,
    query: z.strictObject({ target: word.optional(), limit: limitOf(100, 10_000) }),
    answer: z.object({ city: z.string(), target: z.string(), scores: z.array(scoreSchema) }),
    handle: async ({ params, query }) => {
      const { runtime, target } = app.target(params.city, query.target);
      const { city, lake, parts } = runtime;
      if (!parts.risk)
        throw new CityScaleError("TARGET_UNKNOWN", `${city.id} has no binary target: no risk is forecast`);
      const scores = await lake.read((connection) => riskScores(connection, target.name, query.limit));
      return {
        ...{ city: city.id, target: target.name },
        scores: scores.map((score) => ({ ...score, scores: { ...score.scores } })),
      };
    },
  });
}

const finite = (value: number) => (Number.isFinite(value) ? value : null);

function trajectoryOf(
  outlook: RiskOutlook,
  station: RiskOutlook["stations"][number],
  measure: "bikes" | "docks",
) {
  return outlook.leads[measure].map((minutes, i) => ({
    minutes,
    probability: station[measure].risks[i]!,
  }));
}
