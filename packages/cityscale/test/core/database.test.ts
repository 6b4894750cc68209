import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  createAuditLog,
  createManualClock,
  type Migration,
  migrations,
  openDatabase,
} from "../../src/core/index.ts";
import { spawnSource } from "./child.ts";
import { withFolder } from "./folder.ts";

const clock = createManualClock(1_000);

describe("the metadata database", () => {
  test("opening it twice migrates once and keeps what was written", () =>
    withFolder(async (folder) => {
      const path = join(folder, "deep", "metadata.sqlite");
      for (const value of ["1", "2"]) {
        const { db, close } = await openDatabase(path);
        await db.insertInto("settings").values({ name: value, value, updated_at: 0 }).execute();
        await close();
      }
      const { db, close } = await openDatabase(path);
      expect((await db.selectFrom("settings").select("name").execute()).map(({ name }) => name)).toEqual([
        "1",
        "2",
      ]);
      await close();
    }));

  test("migration numbers count up from 1 without a gap", () => {
    expect(migrations.map(({ id }) => id)).toEqual(migrations.map((_, index) => index + 1));
  });

  test("a database from a newer program is refused and left as it is", () =>
    withFolder(async (folder) => {
      const path = join(folder, "metadata.sqlite");
      const newer = { id: migrations.length + 1, name: "from the future", up: async () => undefined };
      await (await openDatabase(path, { migrations: [...migrations, newer] })).close();
      await expect(openDatabase(path)).rejects.toMatchObject({
        code: "DATA_FOLDER_NEWER",
        details: { found: migrations.length + 1, known: migrations.length },
      });
    }));

  test("a migration that fails leaves nothing behind, and the corrected one runs from the start", () =>
    withFolder(async (folder) => {
      const path = join(folder, "metadata.sqlite");
      await (await openDatabase(path)).close();
      const step = (fails: boolean): Migration => ({
        id: migrations.length + 1,
        name: "a table",
        up: async (db) => {
          await db.schema.createTable("extra").addColumn("id", "integer").execute();
          if (fails) throw new Error("planted");
        },
      });
      await expect(openDatabase(path, { migrations: [...migrations, step(true)] })).rejects.toThrow(
        "planted",
      );
      await (await openDatabase(path, { migrations: [...migrations, step(false)] })).close();
    }));

  test("a file that is no database is DATA_FOLDER_DAMAGED", () =>
    withFolder(async (folder) => {
      const path = join(folder, "metadata.sqlite");
      await writeFile(path, "no database, ".repeat(1_000));
      await expect(openDatabase(path)).rejects.toMatchObject({ code: "DATA_FOLDER_DAMAGED" });
    }));

  test("a transaction that throws takes everything back, and others wait for it", async () => {
    const { db, close } = await openDatabase(":memory:");
    const row = (name: string) => ({ name, value: "1", updated_at: 0 });
    const failing = db.transaction().execute(async (trx) => {
      await trx.insertInto("settings").values(row("lost")).execute();
      throw new Error("planted");
    });
    const other = db.insertInto("settings").values(row("kept")).execute();
    await expect(failing).rejects.toThrow("planted");
    await other;
    expect(await db.selectFrom("settings").select("name").execute()).toEqual([{ name: "kept" }]);
    await close();
  });

  test("what was committed survives a kill of the process, and half a transaction does not", () =>
    withFolder(async (folder) => {
      const path = join(folder, "metadata.sqlite");
      const child = spawnSource(`
        import { openDatabase } from ${spawnSource.room("core")};
        const { db } = await openDatabase(${JSON.stringify(path)});
        for (let i = 0; ; i++) {
          await db.transaction().execute(async (trx) => {
            for (const half of ["a", "b"]) {
              await trx.insertInto("settings").values({ name: half + i, value: "1", updated_at: i }).execute();
            }
          });
          if (i >= 30) console.log("committed", i);
        }
      `);
      await child.line("committed 60").finally(() => child.kill());
      const { db, close } = await openDatabase(path);
      const rows = await db.selectFrom("settings").select("updated_at").execute();
      const counts = Map.groupBy(rows, (row) => row.updated_at);
      expect(counts.size).toBeGreaterThan(60);
      expect([...counts.values()].every((pair) => pair.length === 2)).toBe(true);
      await close();
    }));
});

describe("the audit log", () => {
  test("keeps who did what, newest first, in pages", async () => {
    const { db, close } = await openDatabase(":memory:");
    const audit = createAuditLog({ db, clock });
    for (const subject of ["a", "b", "c"])
      await audit.record({ actor: "alice", action: "key.create", subject });
    const [newest, second] = await audit.list({ limit: 2 });
    expect(newest).toEqual({
      seq: 3,
      at: 1_000,
      actor: "alice",
      action: "key.create",
      subject: "c",
      details: {},
    });
    expect((await audit.list({ before: second!.seq })).map(({ subject }) => subject)).toEqual(["a"]);
    expect(await audit.list({ subject: "b" })).toEqual([second]);
    await close();
  });

  test("cannot be changed or shortened", async () => {
    const { db, close } = await openDatabase(":memory:");
    await createAuditLog({ db, clock }).record({
      actor: "alice",
      action: "a",
      subject: "b",
      details: { x: 1 },
    });
    await expect(db.updateTable("audit_log").set({ actor: "bob" }).execute()).rejects.toThrow(/append-only/);
    await expect(db.deleteFrom("audit_log").execute()).rejects.toThrow(/append-only/);
    await close();
  });
});
