import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { type App, enqueueRetention, type RetentionReport, retentionPlan } from "../../app/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { createGate } from "../gate.ts";
import { cityParams, iso, time, word } from "../schemas.ts";
import { jobAnswer, jobSchema } from "./jobs.ts";

const keep = z.string().nullable().describe("A duration; null = for ever");
const reportSchema = z.object({
  city: z.string(),
  kinds: z.array(
    z.object({
      kind: z.string(),
      target: z.string().nullable(),
      keep,
      before: time.nullable().describe("What lies before it goes"),
      rows: z.int().describe("Rows that go; of dataset versions, versions"),
      holds: z.string().nullable().describe("Why some of what is old enough stays"),
    }),
  ),
  jobs: z.object({ keep, before: time, rows: z.int() }).describe("Finished jobs, of every city"),
});

const answerOf = ({ city, kinds, jobs }: RetentionReport): z.input<typeof reportSchema> => ({
  city,
  kinds: kinds.map((item) => ({ ...item, before: item.before === null ? null : iso(item.before) })),
  jobs: { ...jobs, before: iso(jobs.before) },
});

/** What is older than the city keeps it, and the job that removes it. */
export function retentionRoutes(http: FastifyInstance, app: App): void {
  const gate = createGate("retention plans", { running: 1, waiting: 5 });
  addEndpoint(http, {
    method: "GET",
    path: "/v1/cities/:city/retention",
    access: "viewer",
    tag: "system",
    summary: "What is older than it is kept, and would be removed now; nothing is",
    params: cityParams,
    answer: reportSchema,
    handle: async ({ params }) => {
      app.city(params.city);
      return answerOf(await gate.run(() => retentionPlan(app, params.city)));
    },
  });
  addEndpoint(http, {
    method: "POST",
    path: "/v1/retention",
    access: "admin",
    tag: "system",
    summary: "Removes what is older than it is kept, in a job; the job's result tells what went",
    body: z.strictObject({ city: word }),
    status: 202,
    answer: jobSchema,
    handle: async ({ body: { city }, caller }) => {
      const job = await enqueueRetention(app, city, caller.name);
      await app.audit.record({
        actor: caller.name,
        action: "job.enqueue",
        subject: job.id,
        details: { kind: "retention", city, keyId: caller.keyId },
      });
      return jobAnswer(job);
    },
  });
}
