import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Role } from "../domain/index.ts";
import type { Clock } from "./clock.ts";
import type { Db } from "./database.ts";
import { CityScaleError } from "./errors.ts";

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: number;
  readonly revokedAt: number | null;
  readonly lastUsedAt: number | null;
}

export interface ApiKeys {
  /** The key `cs_<id>_<secret>` is in this answer and nowhere else: only its salted hash is kept. */
  create(options: { name: string; role: Role }): Promise<{ key: string; id: string }>;
  /** Who holds the key; null for anything that is not a living key. */
  verify(key: string): Promise<{ id: string; name: string; role: Role } | null>;
  /** Takes effect at once. Throws REQUEST_INVALID when there is no such key. */
  revoke(id: string): Promise<void>;
  list(): Promise<ApiKey[]>;
}

interface Known {
  readonly name: string;
  readonly role: Role;
  readonly hash: string;
  readonly readAt: number;
  usedAt: number;
}

/** Another process on the same database may revoke a key: what was read is trusted for this long. */
const cacheMs = 5_000;
/** `last_used_at` is exact to this much, so that requests do not each write. */
const usedMs = 60_000;
const cacheSize = 1_000;

/**
 * API keys. The secret has 256 random bits, so a fast keyed hash is enough: there is nothing to guess that a
 * slow hash would protect, and every request pays for it.
 */
export function createApiKeys({ db, clock }: { db: Db; clock: Clock }): ApiKeys {
  const cache = new Map<string, Known>();
  // Wins over the cache, and over a look-up that was under way during the revocation.
  const revoked = new Set<string>();

  async function find(id: string): Promise<Known | undefined> {
    const cached = cache.get(id);
    if (cached && performance.now() - cached.readAt < cacheMs) return cached;
    cache.delete(id);
    const row = await db
      .selectFrom("api_keys")
      .select(["name", "role", "hash", "last_used_at"])
      .where("id", "=", id)
      .where("revoked_at", "is", null)
      .executeTakeFirst();
    if (!row) return undefined;
    const known = {
      name: row.name,
      role: row.role,
      hash: row.hash,
      readAt: performance.now(),
      usedAt: row.last_used_at ?? Number.NEGATIVE_INFINITY,
    };
    if (cache.size >= cacheSize) cache.clear();
    cache.set(id, known);
    return known;
  }

  return {
    create: async ({ name, role }) => {
      const id = randomBytes(6).toString("hex");
      const secret = randomBytes(32).toString("base64url");
      await db
        .insertInto("api_keys")
        .values({
          id,
          name,
          role,
          hash: hashOf(secret, randomBytes(16).toString("hex")),
          created_at: Math.round(clock.now()),
          revoked_at: null,
          last_used_at: null,
        })
        .execute();
      return { key: `cs_${id}_${secret}`, id };
    },

    verify: async (key) => {
      const match = /^cs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/.exec(key);
      if (!match) return null;
      const [, id, secret] = match as unknown as [string, string, string];
      const known = await find(id);
      if (!known) return null;
      const expected = Buffer.from(known.hash);
      const actual = Buffer.from(hashOf(secret, known.hash.split("$")[1] ?? ""));
      if (expected.length !== actual.length || !timingSafeEqual(expected, actual)) return null;
      const now = Math.round(clock.now());
      if (Math.abs(now - known.usedAt) >= usedMs) {
        known.usedAt = now;
        await db.updateTable("api_keys").set({ last_used_at: now }).where("id", "=", id).execute();
      }
      if (revoked.has(id)) return null;
      return { id, name: known.name, role: known.role };
    },

    revoke: async (id) => {
      const { numUpdatedRows } = await db
        .updateTable("api_keys")
        .set((e) => ({ revoked_at: e.fn.coalesce("revoked_at", e.val(Math.round(clock.now()))) }))
        .where("id", "=", id)
        .executeTakeFirst();
      revoked.add(id);
      if (numUpdatedRows === 0n)
        throw new CityScaleError("REQUEST_INVALID", `there is no key with the id ${id}`);
    },

    list: async () => {
      const rows = await db.selectFrom("api_keys").selectAll().orderBy("created_at").orderBy("id").execute();
      return rows.map((row) => ({
        id: row.id,
        name: row.name,
        role: row.role,
        createdAt: row.created_at,
        revokedAt: row.revoked_at,
        lastUsedAt: row.last_used_at,
      }));
    },
  };
}

function hashOf(secret: string, salt: string): string {
  return `hmac-sha256$${salt}$${createHmac("sha256", Buffer.from(salt, "hex")).update(secret).digest("hex")}`;
}
