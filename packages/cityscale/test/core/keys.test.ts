import { describe, expect, test } from "vitest";
import {
  type ApiKeys,
  createApiKeys,
  createManualClock,
  type Db,
  type ManualClock,
  openDatabase,
} from "../../src/core/index.ts";

async function withKeys(body: (keys: ApiKeys, clock: ManualClock, db: Db) => Promise<void>): Promise<void> {
  const clock = createManualClock(1_000_000);
  const { db, close } = await openDatabase(":memory:");
  try {
    await body(createApiKeys({ db, clock }), clock, db);
  } finally {
    await close();
  }
}

describe("API keys", () => {
  test("a key says who holds it, and nothing that is stored contains its secret", () =>
    withKeys(async (keys, _clock, db) => {
      const { key, id } = await keys.create({ name: "console", role: "operator" });
      expect(key).toMatch(/^cs_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
      expect(await keys.verify(key)).toEqual({ id, name: "console", role: "operator" });
      const stored = JSON.stringify(await db.selectFrom("api_keys").selectAll().execute());
      expect(stored).not.toContain(key.split("_").slice(2).join("_"));
    }));

  test("what differs from a key in any letter is no key", () =>
    withKeys(async (keys) => {
      const { key } = await keys.create({ name: "a", role: "viewer" });
      const other = await keys.create({ name: "b", role: "admin" });
      const swapped = `${other.key.slice(0, 16)}${key.slice(16)}`;
      const last = key.endsWith("A") ? "Q" : "A";
      for (const wrong of [
        "",
        "cs_",
        swapped,
        key.slice(0, -1) + last,
        `${key}A`,
        ` ${key}`,
        key.toUpperCase(),
      ]) {
        expect(await keys.verify(wrong), wrong).toBeNull();
      }
      expect(await keys.verify(key)).not.toBeNull();
    }));

  test("a revoked key is refused at once, also while it is being looked up or in the cache", () =>
    withKeys(async (keys) => {
      for (const cached of [true, false]) {
        const { key, id } = await keys.create({ name: "a", role: "viewer" });
        if (cached) await keys.verify(key);
        const during = keys.verify(key);
        const revoked = keys.revoke(id);
        await Promise.all([during, revoked]);
        expect(await keys.verify(key)).toBeNull();
      }
      expect((await keys.list()).every(({ revokedAt }) => revokedAt === 1_000_000)).toBe(true);
    }));

  test("revoking one key harms no other, and an unknown one is an error", () =>
    withKeys(async (keys) => {
      const [a, b] = [
        await keys.create({ name: "a", role: "viewer" }),
        await keys.create({ name: "b", role: "viewer" }),
      ];
      const asked = keys.verify(b.key);
      await keys.revoke(a.id);
      expect(await asked).toMatchObject({ name: "b" });
      await expect(keys.revoke("0123456789ab")).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    }));

  test("the last use is kept to the minute", () =>
    withKeys(async (keys, clock) => {
      const { key } = await keys.create({ name: "a", role: "viewer" });
      const lastUsedAt = async () => (await keys.list())[0]?.lastUsedAt;
      expect(await lastUsedAt()).toBeNull();
      await keys.verify(key);
      clock.advance(59_999);
      await keys.verify(key);
      expect(await lastUsedAt()).toBe(1_000_000);
      clock.advance(1);
      await keys.verify(key);
      expect(await lastUsedAt()).toBe(1_060_000);
    }));
});
