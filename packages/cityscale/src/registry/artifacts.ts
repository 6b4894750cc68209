import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { CityScaleError, messageOf, sha256, syncFolder, writeDurably } from "../core/index.ts";

/** Where trained models' files are kept. Every adapter passes the contract suite of the tests. */
export interface Artifacts {
  /**
   * Stores files (name -> bytes) as one artifact and returns its id, which is the hash of names and contents:
   * the same files have the same id and are stored once. Whoever is killed meanwhile leaves no half artifact.
   * Names are lower-case letters, digits, dots, dashes and underscores; REQUEST_INVALID for others, or no file.
   */
  put(files: Readonly<Record<string, Uint8Array>>): Promise<string>;
  /** One file's bytes, checked against the id. Throws ARTIFACT_DAMAGED when it is not, or not whole, there. */
  get(id: string, name: string): Promise<Uint8Array>;
  /** Names of an artifact's files, in order. Throws ARTIFACT_DAMAGED. */
  names(id: string): Promise<string[]>;
  /** Ids of all artifacts, in order. */
  list(): Promise<string[]>;
  /** Forgets an artifact; one that is not there is no error. */
  delete(id: string): Promise<void>;
}

interface Entry {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

const manifestName = "manifest.json";
const idPattern = /^[0-9a-f]{64}$/;

/** Artifacts in a folder: one folder each, named by its id, with a manifest whose hash is the id. */
export function createArtifactFolder(dir: string): Artifacts {
  const folderOf = (id: string) => join(dir, id);
  const temporary = () => join(dir, `tmp-${randomBytes(8).toString("hex")}`);

  // The data folder has one owner: temporary folders that are there before the first write are a dead one's.
  let swept: Promise<void> | undefined;
  async function sweep(): Promise<void> {
    await mkdir(dir, { recursive: true });
    for (const name of await readdir(dir)) {
      if (name.startsWith("tmp-")) await rm(join(dir, name), { recursive: true, force: true });
    }
  }

  async function manifestOf(id: string): Promise<Entry[]> {
    const text = await readPart(id, manifestName);
    if (sha256(text) !== id) throw damaged(id, "its manifest does not match its id");
    return JSON.parse(Buffer.from(text).toString("utf8")) as Entry[];
  }

  async function readPart(id: string, name: string): Promise<Uint8Array> {
    if (!idPattern.test(id)) throw damaged(id, "that is no artifact's id");
    try {
      return await readFile(join(folderOf(id), name));
    } catch (error) {
      throw damaged(id, `${name} cannot be read`, error);
    }
  }

  async function get(id: string, name: string): Promise<Uint8Array> {
    const entry = (await manifestOf(id)).find((candidate) => candidate.name === name);
    if (!entry) throw damaged(id, `it has no file ${name}`);
    const bytes = await readPart(id, name);
    if (sha256(bytes) !== entry.sha256) throw damaged(id, `${name} does not match its checksum`);
    return bytes;
  }

  async function isWhole(id: string): Promise<boolean> {
    try {
      for (const { name } of await manifestOf(id)) await get(id, name);
      return true;
    } catch (error) {
      if (error instanceof CityScaleError && error.code === "ARTIFACT_DAMAGED") return false;
      throw error;
    }
  }

  async function remove(id: string): Promise<void> {
    if (!idPattern.test(id)) return;
    const away = temporary();
    try {
      // Out of sight first: an artifact that is half deleted would look damaged.
      await rename(folderOf(id), away);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await syncFolder(dir);
    await rm(away, { recursive: true, force: true });
  }

  return {
    get,
    delete: remove,
    names: async (id) => (await manifestOf(id)).map(({ name }) => name),

    put: async (files) => {
      const names = Object.keys(files).sort();
      const wrong = names.find((name) => !/^[a-z0-9][a-z0-9._-]*$/.test(name) || name === manifestName);
      if (wrong !== undefined || names.length === 0) {
        const what =
          wrong === undefined ? "an artifact needs a file" : `"${wrong}" cannot be an artifact's file name`;
        throw new CityScaleError("REQUEST_INVALID", what);
      }
      const entries: Entry[] = names.map((name) => {
        const bytes = files[name]!;
        return { name, size: bytes.byteLength, sha256: sha256(bytes) };
      });
      const manifest = JSON.stringify(entries);
      const id = sha256(manifest);
      swept ??= sweep();
      await swept;
      const target = folderOf(id);
      const folder = temporary();
      try {
        await mkdir(folder);
        for (const name of names) await writeDurably(join(folder, name), files[name]!);
        await writeDurably(join(folder, manifestName), manifest);
        await syncFolder(folder);
        if (!(await moved(folder, target))) {
          if (await isWhole(id)) return id;
          // What is there has been damaged since: put the good copy in its place.
          await remove(id);
          if (!(await moved(folder, target)) && !(await isWhole(id))) {
            throw new Error(`artifact ${id} cannot be replaced`);
          }
        }
        await syncFolder(dir);
        return id;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    list: async () => {
      try {
        return (await readdir(dir)).filter((name) => idPattern.test(name)).sort();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    },
  };
}

/** Renames a folder; false when there is one of that name already. */
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    // Windows says EPERM.
    if (["EEXIST", "ENOTEMPTY", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

function damaged(id: string, what: string, cause?: unknown): CityScaleError {
  const reason = cause === undefined ? what : `${what} (${messageOf(cause)})`;
  return new CityScaleError("ARTIFACT_DAMAGED", `artifact ${id}: ${reason}`, { cause, details: { id } });
}
