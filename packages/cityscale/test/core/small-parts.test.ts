import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  atomicWrite,
  createEvents,
  createMetrics,
  type Log,
  sha256,
  sha256File,
  silentLog,
} from "../../src/core/index.ts";
import { withFolder } from "./folder.ts";

describe("files", () => {
  test("a write replaces the old file, takes its mode, and leaves nothing else behind", () =>
    withFolder(async (folder) => {
      const path = join(folder, "a", "file.json");
      await atomicWrite(path, "old");
      await atomicWrite(path, "new", { mode: 0o600 });
      expect(await readdir(join(folder, "a"))).toEqual(["file.json"]);
      expect(await sha256File(path)).toBe(sha256("new"));
      if (process.platform !== "win32") expect((await stat(path)).mode & 0o777).toBe(0o600);
    }));

  test("a write that fails leaves the old file and nothing else", () =>
    withFolder(async (folder) => {
      await atomicWrite(join(folder, "taken", "file"), "kept");
      await expect(atomicWrite(join(folder, "taken"), "new")).rejects.toThrow();
      expect(await readdir(folder)).toEqual(["taken"]);
    }));

  test("SHA-256 is that of the standard's example", async () => {
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(sha256("abc")).toBe(abc);
    await withFolder(async (folder) => {
      await writeFile(join(folder, "abc"), "abc");
      expect(await sha256File(join(folder, "abc"))).toBe(abc);
    });
  });
});

describe("metrics", () => {
  test("every metric carries the platform's prefix and a help text, and two sets do not meet", async () => {
    const [one, two] = [createMetrics(), createMetrics()];
    one.ingestedRows.inc({ city: "paris", source: "counts" }, 7);
    const line = 'cityscale_ingested_rows_total{city="paris",source="counts"} 7';
    expect(await one.text()).toContain(line);
    expect(await two.text()).not.toContain(line);
    const names = (await one.text()).match(/^# HELP \S+ \S+/gm) ?? [];
    expect(names.length).toBeGreaterThanOrEqual(10);
    for (const name of names) expect(name).toMatch(/^# HELP cityscale_[a-z_]+ \S/);
  });
});

describe("events", () => {
  test("listeners hear in order until they leave, and one that throws is logged and skipped", () => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (fields) => errors.push(String(fields["error"])) };
    const events = createEvents<{ said: string }>(log);
    const heard: string[] = [];
    const off = events.on("said", (word) => heard.push(`1 ${word}`));
    events.on("said", () => {
      throw new Error("planted");
    });
    events.on("said", (word) => heard.push(`2 ${word}`));
    events.emit("said", "a");
    off();
    events.emit("said", "b");
    expect(heard).toEqual(["1 a", "2 a", "2 b"]);
    expect(errors).toEqual(["planted", "planted"]);
  });
});
