import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createArtifactFolder } from "../../src/registry/index.ts";
import { spawnSource } from "../core/child.ts";
import { artifactsContract } from "./artifacts-contract.ts";

artifactsContract("a folder", async () => {
  const dir = await mkdtemp(join(tmpdir(), "artifacts-"));
  return {
    artifacts: createArtifactFolder(join(dir, "artifacts")),
    damage: async (id, name, bytes) => {
      const path = join(dir, "artifacts", id, name);
      await (bytes ? writeFile(path, bytes) : rm(path));
    },
    close: () => rm(dir, { recursive: true }),
  };
});

describe("a process killed while it puts artifacts", () => {
  test("leaves whole artifacts only, and the next start clears what is left of the others", async () => {
    const dir = await mkdtemp(join(tmpdir(), "artifacts-kill-"));
    try {
      // Several at a time; it halts where it stands as soon as some are done and others half written.
      const child = spawnSource(`
        import { readdirSync, writeSync } from "node:fs";
        import { createArtifactFolder } from ${spawnSource.room("registry")};
        const dir = ${JSON.stringify(dir)};
        const artifacts = createArtifactFolder(dir);
        const put = (i) => {
          const files = Array.from({ length: 3 }, (_, k) => [\`file\${k}\`, new Uint8Array(200_000).fill(i + k)]);
          return artifacts.put(Object.fromEntries(files));
        };
        for (let i = 0; ; i += 4) {
          await Promise.race([put(i), put(i + 1), put(i + 2), put(i + 3)]);
          if (i >= 8 && readdirSync(dir).filter((name) => name.startsWith("tmp-")).length >= 2) {
            writeSync(1, "busy\\n");
            for (;;);
          }
        }
      `);
      try {
        await child.line("busy");
      } finally {
        await child.kill();
      }
      expect((await readdir(dir)).some((name) => name.startsWith("tmp-"))).toBe(true);
      const artifacts = createArtifactFolder(dir);
      const ids = await artifacts.list();
      expect(ids.length).toBeGreaterThanOrEqual(3);
      for (const id of ids) {
        expect(await artifacts.names(id)).toEqual(["file0", "file1", "file2"]);
        for (const name of ["file0", "file1", "file2"])
          expect(await artifacts.get(id, name)).toHaveLength(200_000);
      }
      const id = await artifacts.put({ after: new Uint8Array(1) });
      expect((await readdir(dir)).sort()).toEqual([...ids, id].sort());
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
