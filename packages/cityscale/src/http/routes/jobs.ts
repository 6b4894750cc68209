import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { type App, enqueueAsset } from "../../app/index.ts";
import { CityScaleError, type ErrorCode, errorCodes } from "../../core/index.ts";
import { type Job, lanes } from "../../jobs/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { brief, instantOrDate, iso, isoTimes, limitOf, periodOf, time, word } from "../schemas.ts";

const states = ["queued", "running", "succeeded", "failed", "cancelled"] as const;
const errorCode = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]);
const failure = z.object({ code: errorCode, message: z.string() }).nullable();

export const jobSchema = z.object({
  id: z.string(),
  kind: z.string().describe("The asset it makes, or retention"),
  lane: z.enum(lanes),
  key: z.string().nullable(),
  schedule: z.string().nullable(),
  payload: z.unknown(),
  priority: z.number(),
  state: z.enum(states),
  attempt: z.int(),
  maxAttempts: z.int(),
  actor: z.string(),
  progress: z.number().describe("0 to 1"),
  message: z.string().nullable(),
  result: z.unknown(),
  error: failure,
  runAt: time,
  createdAt: time,
  startedAt: time.nullable(),
  heartbeatAt: time.nullable(),
  finishedAt: time.nullable(),
});

const runSchema = z.object({
  id: z.string(),
  city: z.string(),
  target: z.string(),
  kind: z.enum(["train", "tune", "backtest"]),
  state: z.enum(["running", "succeeded", "failed"]),
  params: z.unknown(),
  scores: z.unknown(),
  datasetVersion: z.string().nullable(),
  codeVersion: z.string(),
  actor: z.string(),
  startedAt: time,
  finishedAt: time.nullable(),
  error: failure,
});

const idParams = z.strictObject({ id: word });
/** A backfill's longest period: longer ones are asked for in parts. */
const longestMs = 10 * 366 * 86_400_000;

/** Drops what is undefined: filters are exact about what they are given. */
function given<T extends object>(query: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

/** A backfill's period as text, like every other instant. */
export function jobAnswer(job: Job): z.input<typeof jobSchema> {
  const payload = job.payload as { from?: number; to?: number } | null;
  const period =
    typeof payload?.from === "number" && typeof payload.to === "number"
      ? { from: iso(payload.from), to: iso(payload.to) }
      : {};
  return { ...isoTimes(job), payload: payload === null ? null : { ...isoTimes(payload), ...period } };
}

/** Jobs of the engine, and the runs that training left. */
export function jobRoutes(http: FastifyInstance, app: App): void {
  addEndpoint(http, {
    method: "GET",
    path: "/v1/jobs",
    access: "viewer",
    tag: "jobs",
    summary: "Jobs, newest first",
    query: z.strictObject({
      state: z.enum(states).optional(),
      kind: word.optional(),
      lane: z.enum(lanes).optional(),
      schedule: word.optional(),
      limit: limitOf(50, 500),
      before: word.optional().describe("Id of the last job of the page before"),
    }),
    answer: z.object({ jobs: z.array(jobSchema) }),
    handle: async ({ query }) => ({
      jobs: (await app.jobs.list(given(query))).map((job) => brief(jobAnswer(job))),
    }),
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/jobs/:id",
    access: "viewer",
    tag: "jobs",
    summary: "One job with its progress",
    params: idParams,
    answer: jobSchema,
    handle: async ({ params }) => jobAnswer(await app.jobs.get(params.id)),
  });

  addEndpoint(http, {
    method: "POST",
    path: "/v1/jobs",
    access: "operator",
    tag: "jobs",
    summary:
      "Makes an asset: now, or for a past period (a backfill). One that waits or runs already is returned",
    body: z.strictObject({
      asset: word.describe("observations, model, forecasts or outcomes"),
      city: word,
      target: word.optional(),
      from: instantOrDate.optional(),
      to: instantOrDate.optional(),
    }),
    status: 202,
    answer: jobSchema,
    handle: async ({ body, caller }) => {
      const { city } = app.city(body.city);
      if ((body.from === undefined) !== (body.to === undefined)) {
        throw new CityScaleError("REQUEST_INVALID", "body: give both from and to, or neither");
      }
      const period = periodOf(body, city.timeZone);
      if (period.from !== undefined && period.to !== undefined) {
        if (body.asset === "model")
          throw new CityScaleError(
            "REQUEST_INVALID",
            "body.from: a model is trained on all that is known; it has no period",
          );
        if (period.to - period.from > longestMs)
          throw new CityScaleError("REQUEST_INVALID", "body.from: backfill at most ten years at once");
      }
      const target = body.target === undefined ? {} : { target: body.target };
      const job = await enqueueAsset(app, body.asset, {
        city: city.id,
        ...target,
        ...period,
        actor: caller.name,
      });
      await app.audit.record({
        actor: caller.name,
        action: "job.enqueue",
        subject: job.id,
        details: {
          asset: body.asset,
          city: city.id,
          ...given({ target: body.target, from: body.from, to: body.to }),
          keyId: caller.keyId,
        },
      });
      return jobAnswer(job);
    },
  });

  addEndpoint(http, {
    method: "DELETE",
    path: "/v1/jobs/:id",
    access: "operator",
    tag: "jobs",
    summary: "Cancels a job; one that runs is stopped",
    params: idParams,
    answer: jobSchema,
    handle: async ({ params, caller }) => {
      const job = await app.jobs.cancel(params.id);
      await app.audit.record({
        actor: caller.name,
        action: "job.cancel",
        subject: job.id,
        details: { keyId: caller.keyId },
      });
      return jobAnswer(job);
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/runs",
    access: "viewer",
    tag: "runs",
    summary: "Training, tuning and backtest runs, newest first",
    query: z.strictObject({
      city: word.optional(),
      target: word.optional(),
      kind: z.enum(["train", "tune", "backtest"]).optional(),
      state: z.enum(["running", "succeeded", "failed"]).optional(),
      limit: limitOf(50, 500),
      before: word.optional().describe("Id of the last run of the page before"),
    }),
    answer: z.object({ runs: z.array(runSchema) }),
    handle: async ({ query }) => ({
      runs: (await app.registry.runs.list(given(query))).map((run) => brief(isoTimes(run))),
    }),
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/runs/:id",
    access: "viewer",
    tag: "runs",
    summary: "One run: parameters, scores, dataset version, code version",
    params: idParams,
    answer: runSchema,
    handle: async ({ params }) => isoTimes(await app.registry.runs.get(params.id)),
  });
}
