import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import type { ModelVersion, StoredCalibration } from "../../registry/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { brief, instantOrDate, iso, isoTimes, limitOf, msOf, reason, time, word } from "../schemas.ts";

const versionSchema = z.object({
  city: z.string(),
  target: z.string(),
  version: z.int().describe("From 1; 0 is the best naive forecast"),
  kind: z.string(),
  aliases: z.array(z.enum(["champion", "challenger", "previous"])),
  champion: z.boolean(),
  viewId: z.string().nullable(),
  datasetVersion: z.string().nullable(),
  runId: z.string().nullable(),
  artifactId: z.string().nullable(),
  createdAt: time,
  calibratedAt: time.nullable().describe("Since when its probabilities are calibrated on newer outcomes"),
  scores: z.record(z.string(), z.unknown()).describe("Its score table, naive forecasts included"),
});
const fullVersionSchema = versionSchema.extend({
  columns: z.array(z.string()),
  types: z.array(z.string()),
  categories: z.record(z.string(), z.array(z.string())),
  calibration: z.unknown().describe("What its probabilities are corrected by since then; its own where null"),
});
const promotionSchema = z.object({
  seq: z.int(),
  at: time,
  city: z.string(),
  target: z.string(),
  alias: z.enum(["champion", "challenger"]),
  action: z.enum(["promote", "rollback", "withdraw"]),
  version: z.int().nullable().describe("What the alias names from then on"),
  fromVersion: z.int().nullable(),
  actor: z.string(),
  reason: z.string(),
  verdict: z.unknown().describe("The evidence: values, bounds, waivers"),
});
const versionNumber = z.coerce.number<string>().int().min(0).max(1_000_000_000);
const cityAndTarget = { city: word.optional(), target: word.optional() };

/** Versions, who is champion, who was, and moving the alias. */
export function modelRoutes(http: FastifyInstance, app: App): void {
  const tag = "models";
  const { registry } = app;

  /** The filter, its names checked; a target needs its city. */
  const filterOf = (query: { city?: string | undefined; target?: string | undefined }) => {
    if (query.target !== undefined && query.city === undefined)
      throw new CityScaleError("REQUEST_INVALID", "query.city: name the target's city too");
    if (query.city !== undefined) app.target(query.city, query.target);
    return {
      ...(query.city === undefined ? {} : { city: query.city }),
      ...(query.target === undefined ? {} : { target: query.target }),
    };
  };
  const calibrationOf = ({ city, target, version }: ModelVersion) =>
    registry.calibrations.inForce(city, target, version);
  const describe = async (model: ModelVersion, calibration: StoredCalibration | null) => {
    const aliases = await registry.promotions.aliases(model.city, model.target);
    const names = (["champion", "challenger", "previous"] as const).filter(
      (alias) => aliases[alias] === model.version,
    );
    const { city, target, version, kind, viewId, datasetVersion, runId, artifactId, scores } = model;
    return {
      city,
      target,
      version,
      kind,
      aliases: names,
      champion: names.includes("champion"),
      viewId,
      datasetVersion,
      runId,
      artifactId,
      createdAt: iso(model.createdAt),
      calibratedAt: calibration && iso(calibration.at),
      scores: isoTimes(scores),
    };
  };

  addEndpoint(http, {
    method: "GET",
    path: "/v1/models",
    access: "viewer",
    tag,
    summary:
      "Model versions with their aliases and scores (by lead and entity: ask for one version), newest first",
    query: z.strictObject({ ...cityAndTarget, limit: limitOf(50, 1000) }),
    answer: z.object({ models: z.array(versionSchema) }),
    handle: async ({ query }) => {
      const versions = await registry.versions.list({ ...filterOf(query), limit: query.limit });
      const described = versions.map(async (model) =>
        brief(await describe(model, await calibrationOf(model))),
      );
      return { models: await Promise.all(described) };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/models/:city/:target/:version",
    access: "viewer",
    tag,
    summary: "One model version with all that is needed to predict with it again",
    params: z.strictObject({ city: word, target: word, version: versionNumber }),
    answer: fullVersionSchema,
    handle: async ({ params }) => {
      app.target(params.city, params.target);
      const model = await registry.versions.get(params.city, params.target, params.version);
      const categories = Object.fromEntries(
        Object.entries(model.categories).map(([name, values]) => [name, [...values]]),
      );
      const calibration = await calibrationOf(model);
      return {
        ...(await describe(model, calibration)),
        ...{ columns: [...model.columns], types: [...model.types], categories },
        calibration: calibration?.calibration ?? null,
      };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/models/history",
    access: "viewer",
    tag,
    summary: "The promotion log, newest first",
    query: z.strictObject({
      ...cityAndTarget,
      limit: limitOf(50, 1000),
      before: z.coerce
        .number<string>()
        .int()
        .min(1)
        .optional()
        .describe("`seq` of the last line of the page before"),
    }),
    answer: z.object({ promotions: z.array(promotionSchema) }),
    handle: async ({ query }) => {
      const before = query.before === undefined ? {} : { before: query.before };
      const lines = await registry.promotions.history({ ...filterOf(query), limit: query.limit, ...before });
      return { promotions: lines.map((line) => isoTimes(line)) };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/models/champion",
    access: "viewer",
    tag,
    summary: "Which version was champion at an instant; now when none is given",
    query: z.strictObject({ city: word, target: word.optional(), at: instantOrDate.optional() }),
    answer: z.object({ city: z.string(), target: z.string(), at: time, version: z.int().nullable() }),
    handle: async ({ query }) => {
      const { runtime, target } = app.target(query.city, query.target);
      const at = query.at === undefined ? Math.floor(app.clock.now()) : msOf(query.at, runtime.city.timeZone);
      return {
        city: query.city,
        target: target.name,
        at: iso(at),
        version: await registry.promotions.championAt(query.city, target.name, at),
      };
    },
  });

  addEndpoint(http, {
    method: "POST",
    path: "/v1/models/promote",
    access: "operator",
    tag,
    summary: "Makes a version champion",
    body: z.strictObject({
      city: word,
      target: word.optional(),
      version: z.int().min(0).max(1_000_000_000),
      reason,
    }),
    answer: promotionSchema,
    handle: async ({ body, caller }) => {
      const { runtime, target } = app.target(body.city, body.target);
      const model = await registry.versions.get(body.city, target.name, body.version);
      const view = runtime.server.view(target).id;
      if (model.viewId !== null && model.viewId !== view) {
        throw new CityScaleError(
          "CONFLICT",
          `version ${body.version} wants features ${model.viewId}, the city file now defines ${view}: train anew`,
        );
      }
      const at = { city: body.city, target: target.name, actor: caller.name, reason: body.reason };
      const line = await registry.promotions.promote({ ...at, version: body.version, alias: "champion" });
      await app.audit.record({
        actor: caller.name,
        action: "model.promote",
        subject: `${body.city}/${target.name}/${body.version}`,
        details: { reason: body.reason, promotion: line.seq, keyId: caller.keyId },
      });
      return isoTimes(line);
    },
  });

  addEndpoint(http, {
    method: "POST",
    path: "/v1/models/rollback",
    access: "operator",
    tag,
    summary: "Makes the champion before this one champion again",
    body: z.strictObject({ city: word, target: word.optional(), reason }),
    answer: promotionSchema,
    handle: async ({ body, caller }) => {
      const { target } = app.target(body.city, body.target);
      const line = await registry.promotions.rollback({
        city: body.city,
        target: target.name,
        actor: caller.name,
        reason: body.reason,
      });
      await app.audit.record({
        actor: caller.name,
        action: "model.rollback",
        subject: `${body.city}/${target.name}/${line.version}`,
        details: { reason: body.reason, promotion: line.seq, keyId: caller.keyId },
      });
      return isoTimes(line);
    },
  });
}
