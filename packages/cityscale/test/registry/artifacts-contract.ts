import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Artifacts } from "../../src/registry/index.ts";

/** One store under test: `damage` changes or (null) removes a stored file behind the adapter's back. */
export interface ArtifactsUnderTest {
  readonly artifacts: Artifacts;
  damage(id: string, name: string, bytes: Uint8Array | null): Promise<void>;
  close(): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** What every artifact store must do. An adapter's test file calls this with a way to make an empty store. */
export function artifactsContract(name: string, make: () => Promise<ArtifactsUnderTest>): void {
  const withStore = async (body: (store: ArtifactsUnderTest) => Promise<void>) => {
    const store = await make();
    try {
      await body(store);
    } finally {
      await store.close();
    }
  };

  describe(`artifacts in ${name}`, () => {
    test("what was put is got back, byte for byte", () =>
      withStore(async ({ artifacts }) => {
        const file = fc.tuple(
          fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,10}$/),
          fc.uint8Array({ maxLength: 200 }),
        );
        await fc.assert(
          fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 4 }), async (list) => {
            const files = Object.fromEntries(list);
            fc.pre(!("manifest.json" in files));
            const id = await artifacts.put(files);
            expect(await artifacts.names(id)).toEqual(Object.keys(files).sort());
            for (const [file, content] of Object.entries(files)) {
              expect(Buffer.from(await artifacts.get(id, file))).toEqual(Buffer.from(content));
            }
          }),
          { numRuns: 15 },
        );
      }));

    test("an empty store lists nothing", () =>
      withStore(async ({ artifacts }) => {
        expect(await artifacts.list()).toEqual([]);
      }));

    test("the same files have the same id and are stored once, also when put at the same time", () =>
      withStore(async ({ artifacts }) => {
        const ids = await Promise.all([
          artifacts.put({ a: bytes("1"), b: bytes("2") }),
          artifacts.put({ b: bytes("2"), a: bytes("1") }),
          artifacts.put({ a: bytes("1"), b: bytes("2") }),
        ]);
        expect(new Set(ids).size).toBe(1);
        expect(await artifacts.list()).toEqual([ids[0]]);
      }));

    test("another name or content is another artifact", () =>
      withStore(async ({ artifacts }) => {
        const ids = new Set([
          await artifacts.put({ a: bytes("1") }),
          await artifacts.put({ b: bytes("1") }),
          await artifacts.put({ a: bytes("2") }),
        ]);
        expect(await artifacts.list()).toEqual([...ids].sort());
        expect(ids.size).toBe(3);
      }));

    test("a changed or missing file is ARTIFACT_DAMAGED, and the others are still given", () =>
      withStore(async ({ artifacts, damage }) => {
        const id = await artifacts.put({ model: bytes("trees"), note: bytes("hello") });
        await damage(id, "model", bytes("treeS"));
        await expect(artifacts.get(id, "model")).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
        expect(Buffer.from(await artifacts.get(id, "note")).toString()).toBe("hello");
        await damage(id, "note", null);
        await expect(artifacts.get(id, "note")).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
      }));

    test("putting the good files again heals a damaged artifact", () =>
      withStore(async ({ artifacts, damage }) => {
        const files = { model: bytes("trees"), note: bytes("hello") };
        const id = await artifacts.put(files);
        await damage(id, "model", bytes("treeS"));
        expect(await artifacts.put(files)).toBe(id);
        expect(Buffer.from(await artifacts.get(id, "model")).toString()).toBe("trees");
        expect(await artifacts.list()).toEqual([id]);
      }));

    test("what was never stored is ARTIFACT_DAMAGED, not an empty answer", () =>
      withStore(async ({ artifacts }) => {
        const id = await artifacts.put({ a: bytes("1") });
        for (const [wrongId, file] of [
          [id, "b"],
          ["0".repeat(64), "a"],
          ["../../etc", "passwd"],
        ] as const) {
          await expect(artifacts.get(wrongId, file)).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
        }
      }));

    test("a deleted artifact is gone, and deleting it again is no error", () =>
      withStore(async ({ artifacts }) => {
        const id = await artifacts.put({ a: bytes("1") });
        await artifacts.delete(id);
        await artifacts.delete(id);
        expect(await artifacts.list()).toEqual([]);
        await expect(artifacts.get(id, "a")).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
      }));

    test("names that could leave the store, and an artifact without files, are refused", () =>
      withStore(async ({ artifacts }) => {
        for (const wrong of ["../a", "a/b", "", ".a", "A", "manifest.json"]) {
          await expect(artifacts.put({ [wrong]: bytes("1") }), wrong).rejects.toMatchObject({
            code: "REQUEST_INVALID",
          });
        }
        await expect(artifacts.put({})).rejects.toMatchObject({ code: "REQUEST_INVALID" });
        expect(await artifacts.list()).toEqual([]);
      }));
  });
}
