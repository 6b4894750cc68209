import { z } from "zod";
import type { App, CityRuntime } from "../app/index.ts";
import { attribution, iso, time } from "./schemas.ts";

export const citySchema = z.object({
  id: z.string(),
  name: z.string(),
  timeZone: z.string(),
  location: z.object({ lat: z.number(), lon: z.number() }),
  step: z.string(),
  entity: z.string().describe("What an entity is called here"),
  entities: z.int().describe("How many there are"),
  sources: z.array(z.object({ source: z.string(), kind: z.string() })),
  measures: z.array(
    z.object({ measure: z.string(), kind: z.string(), from: z.string(), absence: z.string() }),
  ),
  targets: z.array(
    z.object({
      target: z.string(),
      measure: z.string(),
      kind: z.string(),
      horizon: z.string(),
      horizonSteps: z.int(),
      schedule: z.object({ ingest: z.string(), forecast: z.string(), review: z.string() }),
      champion: z.int().nullable().describe("Model version; 0 is the naive forecast"),
      newestOriginAt: time.nullable(),
      forecastAgeMs: z.number().nullable(),
    }),
  ),
  attribution,
});

/** A city as people see it: nothing of it is secret (addresses of sources may carry keys and stay out). */
export async function cityOverview(
  app: App,
  { city, lake, server }: CityRuntime,
): Promise<z.infer<typeof citySchema>> {
  const now = app.clock.now();
  const counted = await lake.read((connection) =>
    connection.first<{ count: number }>("SELECT count(*) AS count FROM entities"),
  );
  const targets = await Promise.all(
    Object.values(city.targets).map(async (target) => {
      const [newest] = await server.batches(target.name, 1);
      const { champion } = await app.registry.promotions.aliases(city.id, target.name);
      return {
        target: target.name,
        measure: target.measure,
        kind: target.kind,
        horizon: target.horizon,
        horizonSteps: target.horizonSteps,
        schedule: target.schedule,
        champion,
        newestOriginAt: newest ? iso(newest.originAt) : null,
        forecastAgeMs: newest ? Math.max(0, now - newest.originAt) : null,
      };
    }),
  );
  return {
    id: city.id,
    name: city.name,
    timeZone: city.timeZone,
    location: city.location,
    step: city.step,
    entity: city.entity,
    entities: counted?.count ?? 0,
    sources: Object.entries(city.sources).map(([source, { kind }]) => ({ source, kind })),
    measures: Object.entries(city.measures).map(([measure, { kind, from, absence }]) => ({
      measure,
      kind,
      from,
      absence,
    })),
    targets,
    attribution: attributionOf(city),
  };
}

/** The publishers of a city's data, to be shown wherever the data are. */
export function attributionOf(city: CityRuntime["city"]): z.infer<typeof attribution> {
  return city.attribution.map(({ publisher, licence, url }) => ({
    publisher,
    licence,
    ...(url === undefined ? {} : { url }),
  }));
}

const age = z.number().nullable().describe("ms at the city's clock");
export const freshnessSchema = z.object({
  city: z.string(),
  at: time,
  sources: z.array(
    z.object({
      source: z.string(),
      state: z.enum(["ok", "failing", "never-read"]),
      lastReadAt: time.nullable(),
      lastSuccessAt: time.nullable(),
      ageMs: age,
      lastError: z.string().nullable(),
    }),
  ),
  measures: z.array(z.object({ measure: z.string(), newestAt: time.nullable(), ageMs: age })),
  targets: z.array(
    z.object({
      target: z.string(),
      originAt: time.nullable(),
      ageMs: age,
      version: z.int().nullable(),
      notes: z.array(z.string()),
    }),
  ),
});

/** Ages of what a city reads and of what it serves. */
export async function freshnessOf(
  app: App,
  { city, lake, server }: CityRuntime,
): Promise<z.infer<typeof freshnessSchema>> {
  const now = app.clock.now();
  const isoOrNull = (ms: number | null | undefined) => (ms == null ? null : iso(ms));
  const ageOf = (ms: number | null | undefined) => (ms == null ? null : Math.max(0, now - ms));
  const states = new Map((await lake.sourceStates()).map((state) => [state.source, state]));
  const newest = new Map(
    (
      await lake.read((connection) =>
        connection.rows<{ measure: string; at: number }>(
          "SELECT n.measure, s.end_at AS at FROM (SELECT measure, max(t) AS t FROM observations GROUP BY measure) n JOIN steps s USING (t)",
        ),
      )
    ).map(({ measure, at }) => [measure, at]),
  );
  const levels = Object.entries(city.measures).filter(([, { kind }]) => kind === "level");
  if (levels.length > 0) {
    const snapshot = await lake.read((connection) =>
      connection.first<{ at: number | null }>('SELECT max("at") AS "at" FROM snapshots'),
    );
    if (snapshot?.at != null) for (const [measure] of levels) newest.set(measure, snapshot.at);
  }
  const targets = await Promise.all(
    Object.keys(city.targets).map(async (target) => {
      const [batch] = await server.batches(target, 1);
      return {
        target,
        originAt: isoOrNull(batch?.originAt),
        ageMs: ageOf(batch?.originAt),
        version: batch?.version ?? null,
        notes: [...(batch?.notes ?? [])],
      };
    }),
  );
  return {
    city: city.id,
    at: iso(now),
    sources: Object.keys(city.sources).map((source) => {
      const state = states.get(source);
      return {
        source,
        state: !state
          ? ("never-read" as const)
          : state.lastError === null
            ? ("ok" as const)
            : ("failing" as const),
        lastReadAt: isoOrNull(state?.lastReadAt),
        lastSuccessAt: isoOrNull(state?.lastSuccessAt),
        ageMs: ageOf(state?.lastSuccessAt),
        lastError: state?.lastError ?? null,
      };
    }),
    measures: Object.keys(city.measures).map((measure) => ({
      measure,
      newestAt: isoOrNull(newest.get(measure)),
      ageMs: ageOf(newest.get(measure)),
    })),
    targets,
  };
}
