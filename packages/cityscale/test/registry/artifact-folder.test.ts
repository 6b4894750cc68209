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
      // Without awaiting any: at the kill many are under way, some of them done.
      const child = spawnSource(`
        import { createArtifactFolder } from ${spawnSource.room("registry")};
        const artifacts = createArtifactFolder(${JSON.stringify(dir)});
        for (let i = 0; ; i++) {
          const files = Array.from({ length: 3 }, (_, k) => [\`file\${k}\`, new Uint8Array(200_000).fill(i + k)]);
          const done = artifacts.put(Object.fromEntries(files));
          if (i % 4 === 3) await done;
          if (i === 15) console.log("busy");
        }
      `);
      try {
        await child.line("busy");
      } finally {
        await child.kill();
      }
      const artifacts = createArtifactFolder(dir);
      const ids = await artifacts.list();
      expect(ids.length).toBeGreaterThan(3);
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
