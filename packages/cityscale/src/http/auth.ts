import { timingSafeEqual } from "node:crypto";
import type { FastifyInstance } from "fastify";
import type { App } from "../app/index.ts";
import { CityScaleError } from "../core/index.ts";
import type { Role } from "../domain/index.ts";
import { type Access, type Caller, setCaller } from "./endpoint.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may call the route; every route says so. */
    access?: Access;
  }
}

const rank: Readonly<Record<Role, number>> = { viewer: 1, operator: 2, admin: 3 };

/** Names of callers that no key may take: a log of decisions must not lie about who took them. */
export const reservedNames = ["local", "system", "anonymous"];

/** Checks the key of every request to a route that is not open, before anything else of it is read. */
export function guard(http: FastifyInstance, app: App): void {
  const token = Buffer.from(app.owner.record.token);
  const identify = async (key: string): Promise<Caller | null> => {
    const given = Buffer.from(key);
    if (given.length === token.length && timingSafeEqual(given, token)) {
      return { name: "local", role: "admin", keyId: null };
    }
    const holder = await app.keys.verify(key);
    return holder && { name: holder.name, role: holder.role, keyId: holder.id };
  };
  http.addHook("onRequest", async (request) => {
    const access = request.routeOptions.config.access;
    if (request.is404 || access === "open") return;
    // A route that forgot to say who may call it is nobody's but an admin's.
    const needed = access ?? "admin";
    const { authorization } = request.headers;
    const single = request.headers["x-api-key"];
    const key = authorization === undefined ? single : /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (key === undefined && authorization === undefined) {
      throw new CityScaleError("UNAUTHENTICATED", "this needs an API key");
    }
    const caller = typeof key === "string" ? await identify(key) : null;
    if (!caller) throw new CityScaleError("UNAUTHENTICATED", "that is no valid API key");
    if (rank[caller.role] < rank[needed]) {
      throw new CityScaleError(
        "FORBIDDEN",
        `this needs the role ${needed}; the key "${caller.name}" has the role ${caller.role}`,
      );
    }
    setCaller(request, caller);
  });
}

/** Makes an admin's key the first time a data folder is used and returns it, to be shown once; null afterwards. */
export async function ensureFirstKey(app: App): Promise<string | null> {
  if ((await app.keys.list()).length > 0) return null;
  const { key, id } = await app.keys.create({ name: "first-admin", role: "admin" });
  await app.audit.record({
    actor: "system",
    action: "key.create",
    subject: id,
    details: { name: "first-admin", role: "admin" },
  });
  return key;
}
