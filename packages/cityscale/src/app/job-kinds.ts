import { CityScaleError } from "../core/index.ts";
import { batchTargetOf, batchTargets } from "../domain/index.ts";
import type { Job, JobContext, Jobs } from "../jobs/index.ts";
import {
  type Asset,
  assets,
  backfillForecasts,
  forecast,
  ingest,
  outcomes,
  profiles,
  profilesDue,
  recalibrate,
  riskOutcomesDue,
  train,
} from "../pipeline/index.ts";
import type { App } from "./app.ts";
import type { CityRuntime } from "./city-runtime.ts";

/** What an asset's job is told. `from` and `to` (ms UTC) make it a backfill of that period. */
export interface AssetPayload {
  readonly city: string;
  readonly target?: string;
  readonly from?: number;
  readonly to?: number;
  /** Set by schedules. */
  readonly scheduledAt?: number;
}

/**
 * Each asset is made by one kind of job of the same name. Two more are made for batches: profiles, and calibrations of
 * champions on newer outcomes.
 */
export function defineJobs(jobs: Jobs, cities: ReadonlyMap<string, CityRuntime>): void {
  const find = (payload: AssetPayload) => {
    const runtime = cities.get(payload.city);
    if (!runtime)
      throw new CityScaleError("CITY_UNKNOWN", `this process does not run the city "${payload.city}"`);
    return {
      parts: runtime.parts,
      target: runtime.server.target(payload.target ?? Object.keys(runtime.city.targets)[0]!),
    };
  };
  const range = ({ from, to }: AssetPayload) =>
    from === undefined || to === undefined ? undefined : { from, to };

  jobs.define<AssetPayload>(
    "observations",
    async (context: JobContext<AssetPayload>) => {
      const { parts } = find(context.payload);
      const period = range(context.payload);
      const report = await ingest(parts, context, period ? { range: period } : {});
      // What is new may be the outcome of a forecast.
      for (const target of batchTargets(parts.city)) {
        if (target.kind === "binary" && !(await riskOutcomesDue(parts))) continue;
        await jobs.enqueue(
          "outcomes",
          { city: parts.city.id, target: target.name },
          { key: `outcomes/${parts.city.id}/${target.name}` },
        );
      }
      return report;
    },
    { lane: "ingest", retries: 5, timeoutMs: 6 * 3_600_000 },
  );
  jobs.define<AssetPayload>(
    "model",
    async (context) => {
      const { parts, target } = find(context.payload);
      return await train(parts, target, context, context.job.actor);
    },
    { lane: "train", retries: 1, timeoutMs: 12 * 3_600_000 },
  );
  jobs.define<AssetPayload>(
    "recalibration",
    async (context) => await recalibrate(find(context.payload).parts, context),
    // What fails is done on the next day.
    { lane: "train", retries: 1, timeoutMs: 3_600_000 },
  );
  jobs.define<AssetPayload>(
    "forecasts",
    async (context) => {
      const { parts, target } = find(context.payload);
      const period = range(context.payload);
      if (period) return { origins: await backfillForecasts(parts, target, period.from, period.to, context) };
      const batches = await forecast(parts, target, context, context.payload.scheduledAt);
      if (target.kind !== "binary") return batches[0];
      if (await profilesDue(parts)) {
        const city = parts.city.id;
        await jobs.enqueue("profiles", { city }, { key: `profiles/${city}` });
      }
      return batches;
    },
    { lane: "forecast", retries: 3, timeoutMs: 3 * 3_600_000 },
  );
  jobs.define<AssetPayload>(
    "profiles",
    async (context) => await profiles(find(context.payload).parts, context),
    // No batch waits for them, nor they for a training. What fails is asked for again by the next batch.
    { lane: "ingest", retries: 1 },
  );
  jobs.define<AssetPayload>(
    "outcomes",
    async (context) => {
      const { parts, target } = find(context.payload);
      return await outcomes(parts, target, context, range(context.payload));
    },
    // A batch never waits until the hour's forecasts are scored.
    { lane: "ingest", retries: 3 },
  );
}

/** Enqueues a calibration of a city's champions; one that already waits or runs is returned. */
export const enqueueRecalibration = (app: App, city: string): Promise<Job> =>
  app.jobs.enqueue("recalibration", { city }, { key: `recalibration/${city}` });

/** Enqueues the making of an asset; one that already waits or runs is returned. Throws ASSET_UNKNOWN, CITY_UNKNOWN, TARGET_UNKNOWN. */
export async function enqueueAsset(
  app: App,
  asset: string,
  options: AssetPayload & { actor: string },
): Promise<Job> {
  if (!assets.includes(asset as Asset)) {
    throw new CityScaleError(
      "ASSET_UNKNOWN",
      `there is no asset "${asset.slice(0, 40)}"; there are ${assets.join(", ")}`,
    );
  }
  const { actor, ...payload } = options;
  const { runtime, target: asked } = app.target(payload.city, payload.target);
  const target = asset === "forecasts" || asset === "outcomes" ? batchTargetOf(runtime.city, asked) : asked;
  const full = asset === "observations" ? payload : { ...payload, target: target.name };
  const period = payload.from === undefined ? "" : `/${payload.from}-${payload.to}`;
  return await app.jobs.enqueue(asset, full, {
    key: `${asset}/${runtime.city.id}/${asset === "observations" ? "" : target.name}${period}`,
    actor,
  });
}
