import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { App } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { reservedNames } from "../auth.ts";
import { addEndpoint } from "../endpoint.ts";
import { isoTimes, limitOf, time, word } from "../schemas.ts";

const role = z.enum(["viewer", "operator", "admin"]);
const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  role,
  createdAt: time,
  revokedAt: time.nullable(),
  lastUsedAt: time.nullable(),
});

/** API keys and the audit log, for admins. */
export function keyRoutes(http: FastifyInstance, app: App): void {
  const access = "admin" as const;
  addEndpoint(http, {
    method: "GET",
    path: "/v1/keys",
    access,
    tag: "keys",
    summary: "API keys without their secrets, newest first",
    query: z.strictObject({ limit: limitOf(200, 1000) }),
    answer: z.object({ keys: z.array(keySchema) }),
    handle: async ({ query }) => ({
      keys: (await app.keys.list())
        .reverse()
        .slice(0, query.limit)
        .map((key) => isoTimes(key)),
    }),
  });

  addEndpoint(http, {
    method: "POST",
    path: "/v1/keys",
    access,
    tag: "keys",
    summary: "Makes an API key; its secret is in this answer and nowhere else",
    body: z.strictObject({
      name: z.string().regex(/^[\w][\w .@-]{0,63}$/, "use letters, digits, spaces and . _ @ -, at most 64"),
      role,
    }),
    status: 201,
    answer: z.object({ id: z.string(), name: z.string(), role, key: z.string() }),
    handle: async ({ body, caller }) => {
      if (reservedNames.includes(body.name.toLowerCase())) {
        throw new CityScaleError(
          "REQUEST_INVALID",
          `body.name: "${body.name}" is the name of the program itself in its logs`,
        );
      }
      const { key, id } = await app.keys.create(body);
      await app.audit.record({
        actor: caller.name,
        action: "key.create",
        subject: id,
        details: { ...body, keyId: caller.keyId },
      });
      return { id, name: body.name, role: body.role, key };
    },
  });

  addEndpoint(http, {
    method: "DELETE",
    path: "/v1/keys/:id",
    access,
    tag: "keys",
    summary: "Revokes an API key at once",
    params: z.strictObject({ id: word }),
    answer: z.object({ id: z.string(), revoked: z.literal(true) }),
    handle: async ({ params, caller }) => {
      await app.keys.revoke(params.id);
      await app.audit.record({
        actor: caller.name,
        action: "key.revoke",
        subject: params.id,
        details: { keyId: caller.keyId },
      });
      return { id: params.id, revoked: true as const };
    },
  });

  addEndpoint(http, {
    method: "GET",
    path: "/v1/audit",
    access,
    tag: "audit",
    summary: "Who did what, newest first",
    query: z.strictObject({
      subject: word.optional(),
      limit: limitOf(100, 1000),
      before: z.coerce
        .number<string>()
        .int()
        .min(1)
        .optional()
        .describe("`seq` of the last line of the page before"),
    }),
    answer: z.object({
      entries: z.array(
        z.object({
          seq: z.int(),
          at: time,
          actor: z.string(),
          action: z.string(),
          subject: z.string(),
          details: z.record(z.string(), z.unknown()),
        }),
      ),
    }),
    handle: async ({ query }) => {
      const { subject, limit, before } = query;
      const entries = await app.audit.list({
        limit,
        ...(subject === undefined ? {} : { subject }),
        ...(before === undefined ? {} : { before }),
      });
      return { entries: entries.map((entry) => isoTimes(entry)) };
    },
  });
}
