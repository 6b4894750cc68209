import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CityScaleError } from "./errors.ts";
import { atomicWrite } from "./files.ts";
import { type FolderStep, upgradeFolder } from "./folder.ts";

/** Who owns a data folder, for the command line that wants to talk to it. */
export interface OwnerRecord {
  readonly pid: number;
  /** Where its server listens, e.g. http://127.0.0.1:8080; null until it does. */
  readonly address: string | null;
  /** Admin's token for requests from this machine's user; the file can be read by nobody else. */
  readonly token: string;
  /** Wall clock. */
  readonly startedAt: number;
}

export interface Owner {
  readonly home: string;
  readonly record: OwnerRecord;
  /** Tells the command line where the server listens. */
  announce(address: string): Promise<void>;
  /** Gives the folder back. */
  release(): Promise<void>;
}

/** Belongs to the living owner: a backup leaves these out, and so does a restore. */
export const ownerFiles = ["owner.sqlite", "owner.json"] as const;

/**
 * Makes this process the one owner of a data folder, and brings the folder's format up to date.
 * The lock is SQLite's exclusive lock on `owner.sqlite`: the operating system releases it however the process
 * ends, and no other process's id is ever mistaken for it. (On POSIX systems, closing any other handle of that
 * file within this process would release it too: nothing else may open it.)
 * Throws OWNER_BUSY with the owner's pid and address, and what `upgradeFolder` throws.
 */
export async function claimFolder(
  home: string,
  options: { steps?: readonly FolderStep[] } = {},
): Promise<Owner> {
  const folder = resolve(home);
  await mkdir(folder, { recursive: true });
  // Waits a moment: `readOwner` in another process holds the lock for an instant.
  const lock = lockFolder(folder, 300);
  if (!lock) {
    const owner = await readRecord(folder);
    const who = owner
      ? `process ${owner.pid}${owner.address ? ` at ${owner.address}` : ""}`
      : "another process";
    throw new CityScaleError("OWNER_BUSY", `${folder} is in use by ${who}`, {
      details: { home: folder, pid: owner?.pid ?? null, address: owner?.address ?? null },
    });
  }
  const path = join(folder, "owner.json");
  const write = (record: OwnerRecord) =>
    atomicWrite(path, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  try {
    let record: OwnerRecord = {
      pid: process.pid,
      address: null,
      token: randomBytes(32).toString("base64url"),
      startedAt: Date.now(),
    };
    // First of all, so that nobody takes the record of an owner that was killed for this one's.
    await write(record);
    // A process that was killed within `atomicWrite` has left its temporary file.
    for (const name of await readdir(folder)) {
      if (/^\..+\.[0-9a-f]{12}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
    }
    await upgradeFolder(folder, options.steps);
    let released = false;
    return {
      home: folder,
      get record() {
        return record;
      },
      announce: async (address) => {
        record = { ...record, address };
        await write(record);
      },
      release: async () => {
        if (released) return;
        released = true;
        await rm(path, { force: true });
        lock.close();
      },
    };
  } catch (error) {
    await rm(path, { force: true });
    lock.close();
    throw error;
  }
}

/** The living owner of a data folder; null when nobody owns it, whatever files a killed one has left. */
export async function readOwner(home: string): Promise<OwnerRecord | null> {
  const folder = resolve(home);
  const record = await readRecord(folder);
  if (!record) return null;
  const lock = lockFolder(folder, 0);
  lock?.close();
  return lock ? null : record;
}

async function readRecord(folder: string): Promise<OwnerRecord | null> {
  try {
    return JSON.parse(await readFile(join(folder, "owner.json"), "utf8")) as OwnerRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new CityScaleError("DATA_FOLDER_DAMAGED", `${join(folder, "owner.json")} cannot be read`, {
      cause: error,
    });
  }
}

/** The lock, held until it is closed; null when another has it after `waitMs`. */
function lockFolder(folder: string, waitMs: number): DatabaseSync | null {
  const lock = new DatabaseSync(join(folder, "owner.sqlite"), { timeout: waitMs });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    const busy = 5; // SQLITE_BUSY
    if ((error as { errcode?: unknown }).errcode === busy) return null;
    throw new CityScaleError("DATA_FOLDER_DAMAGED", `${folder} cannot be locked`, { cause: error });
  }
}
