import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { claimFolder, readOwner, upgradeFolder } from "../../src/core/index.ts";
import { spawnSource } from "./child.ts";
import { withFolder } from "./folder.ts";

describe("the owner of a data folder", () => {
  test("a second claim is refused and names the owner's process and address", () =>
    withFolder(async (folder) => {
      const owner = await claimFolder(folder);
      await owner.announce("http://127.0.0.1:8080");
      await expect(claimFolder(folder)).rejects.toMatchObject({
        code: "OWNER_BUSY",
        message: expect.stringContaining(`process ${process.pid} at http://127.0.0.1:8080`),
        details: { pid: process.pid, address: "http://127.0.0.1:8080" },
      });
      expect(await readOwner(folder)).toEqual(owner.record);
      await owner.release();
      expect(await readOwner(folder)).toBeNull();
      await (await claimFolder(folder)).release();
    }));

  test("only the user can read the owner's token, and it is another one each time", () =>
    withFolder(async (folder) => {
      const tokens = new Set<string>();
      for (let i = 0; i < 2; i++) {
        const owner = await claimFolder(folder);
        if (process.platform !== "win32") {
          expect((await stat(join(folder, "owner.json"))).mode & 0o777).toBe(0o600);
        }
        tokens.add(owner.record.token);
        await owner.release();
      }
      expect(tokens.size).toBe(2);
    }));

  test("a killed owner holds nothing: its record counts no more, and the folder can be claimed at once", () =>
    withFolder(async (folder) => {
      const child = spawnSource(`
        import { claimFolder } from ${spawnSource.room("core")};
        const owner = await claimFolder(${JSON.stringify(folder)});
        await owner.announce("http://127.0.0.1:1");
        console.log("claimed");
        setInterval(() => undefined, 1_000);
      `);
      try {
        await child.line("claimed");
        expect(await readOwner(folder)).toMatchObject({ pid: child.pid, address: "http://127.0.0.1:1" });
        await expect(claimFolder(folder)).rejects.toMatchObject({
          code: "OWNER_BUSY",
          details: { pid: child.pid },
        });
      } finally {
        await child.kill();
      }
      expect(JSON.parse(await readFile(join(folder, "owner.json"), "utf8")).pid).toBe(child.pid);
      expect(await readOwner(folder)).toBeNull();
      const owner = await claimFolder(folder);
      expect((await readOwner(folder))?.pid).toBe(process.pid);
      await owner.release();
    }));

  test("a folder that nobody ever owned has no owner, and asking does not make it", () =>
    withFolder(async (folder) => {
      expect(await readOwner(join(folder, "none"))).toBeNull();
      await expect(stat(join(folder, "none"))).rejects.toMatchObject({ code: "ENOENT" });
    }));
});

describe("the format of a data folder", () => {
  const step = (format: number, run: () => Promise<void>) => ({ format, name: `to ${format}`, run });

  test("a new folder starts at the newest format, and steps run once and in order", () =>
    withFolder(async (folder) => {
      const ran: number[] = [];
      const note = (format: number) =>
        step(format, async () => {
          ran.push(format);
        });
      await upgradeFolder(folder, []);
      await upgradeFolder(folder, [note(2), note(3)]);
      await upgradeFolder(folder, [note(2), note(3)]);
      expect(ran).toEqual([2, 3]);
      expect(JSON.parse(await readFile(join(folder, "format.json"), "utf8"))).toEqual({ format: 3 });
    }));

  test("a step that fails is run again at the next start, and those before it are not", () =>
    withFolder(async (folder) => {
      const ran: number[] = [];
      let fails = true;
      const steps = [
        step(2, async () => {
          ran.push(2);
        }),
        step(3, async () => {
          ran.push(3);
          if (fails) throw new Error("planted");
        }),
      ];
      await upgradeFolder(folder, []);
      await expect(claimFolder(folder, { steps })).rejects.toThrow("planted");
      expect(await readOwner(folder)).toBeNull();
      fails = false;
      await (await claimFolder(folder, { steps })).release();
      expect(ran).toEqual([2, 3, 3]);
    }));

  test("a folder from a newer program is refused and given back", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "format.json"), '{ "format": 2 }');
      await expect(claimFolder(folder)).rejects.toMatchObject({
        code: "DATA_FOLDER_NEWER",
        details: { found: 2 },
      });
      expect(await readOwner(folder)).toBeNull();
    }));

  test.each(["", "{}", '{ "format": "1" }', "null"])(
    "an unreadable format (%s) is DATA_FOLDER_DAMAGED",
    (text) =>
      withFolder(async (folder) => {
        await writeFile(join(folder, "format.json"), text);
        await expect(upgradeFolder(folder)).rejects.toMatchObject({ code: "DATA_FOLDER_DAMAGED" });
      }),
  );
});
