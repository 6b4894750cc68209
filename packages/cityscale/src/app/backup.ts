import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { backup as backupSqlite, DatabaseSync } from "node:sqlite";
import { CityScaleError, claimFolder, openDatabase, readOwner } from "../core/index.ts";
import { literal } from "../lake/index.ts";
import type { App } from "./app.ts";
import { type Member, readArchive, writeArchive } from "./tar.ts";

export interface BackupReport {
  /** On the machine of the owner. */
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
}

/** Folders of the data folder whose files are written once and never changed. */
const immutable = ["artifacts", "datasets", "cities"];

/**
 * Copies a data folder, while everything goes on, into `HOME/backups/NAME.tar.gz`.
 * The registry is copied first and what it names afterwards: a version always finds its artifact. Databases are
 * copied as one moment of theirs; what is between the moments is written again by key, as after a kill.
 * Throws REQUEST_INVALID for a name that is none, CONFLICT when there is a backup of that name.
 */
export async function createBackup(app: App, name: string): Promise<BackupReport> {
  if (!/^[\w][\w.-]{0,80}$/.test(name))
    throw new CityScaleError("REQUEST_INVALID", "a backup's name has letters, digits, dots and dashes");
  const { home } = app.config;
  const path = join(home, "backups", `${name}.tar.gz`);
  if (existsSync(path)) throw new CityScaleError("CONFLICT", `there is a backup ${path} already`);
  const staging = join(home, "backups", `.${name}.${randomBytes(4).toString("hex")}`);
  await mkdir(join(staging, "lakes"), { recursive: true });
  await mkdir(join(staging, "online"));
  try {
    const copies: Member[] = [];
    const copied = async (name: string, copy: (to: string) => Promise<unknown>) => {
      const to = join(staging, ...name.split("/"));
      await copy(to);
      copies.push({ name, path: to });
    };
    await copied("metadata.sqlite", (to) => copySqlite(join(home, "metadata.sqlite"), to));
    for (const { city, lake } of app.cities.values()) {
      await copied(`lakes/${city.id}.duckdb`, (to) =>
        lake.read(async (connection) => {
          const alias = `backup_${randomBytes(4).toString("hex")}`;
          const from = await connection.first<{ name: string }>("SELECT current_database() AS name");
          await connection.run(`ATTACH ${literal(to)} AS ${alias}`);
          try {
            await connection.run(`COPY FROM DATABASE "${from!.name.replaceAll('"', '""')}" TO ${alias}`);
          } finally {
            await connection.run(`DETACH ${alias}`);
          }
        }),
      );
      await copied(`online/${city.id}.sqlite`, (to) =>
        copySqlite(join(home, "online", `${city.id}.sqlite`), to),
      );
    }
    // Cities that this process does not run: nobody writes their files, which are copied as they are.
    const still = [...(await filesBelow(home, "lakes")), ...(await filesBelow(home, "online"))].filter(
      ({ name }) =>
        /^(lakes\/[^/]+\.duckdb(\.wal)?|online\/[^/]+\.sqlite)$/.test(name) &&
        ![...app.cities.keys()].some((id) => name.slice(name.indexOf("/") + 1).startsWith(`${id}.`)),
    );
    const kept = (await Promise.all(immutable.map((folder) => filesBelow(home, folder)))).flat();
    const members = [{ name: "format.json", path: join(home, "format.json") }, ...copies, ...still, ...kept];
    const archive = join(staging, "archive");
    const { files, bytes } = await writeArchive(archive, members);
    await rename(archive, path);
    return { path, files, bytes };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/**
 * Makes a data folder from a backup: whole and with right checksums, or not at all; then brings it up to date.
 * Throws CONFLICT for a folder that is not empty, OWNER_BUSY for one in use, ARTIFACT_DAMAGED, DATA_FOLDER_NEWER.
 */
export async function restoreBackup(file: string, home: string): Promise<{ home: string; files: number }> {
  const folder = resolve(home);
  const there = existsSync(folder) ? await readdir(folder) : [];
  if (there.length > 0) {
    const owner = await readOwner(folder);
    if (owner) throw new CityScaleError("OWNER_BUSY", `${folder} is in use by process ${owner.pid}`);
    throw new CityScaleError("CONFLICT", `${folder} is not empty; restore into a new folder and use that`);
  }
  const staging = `${folder}.restore-${randomBytes(4).toString("hex")}`;
  await mkdir(dirname(folder), { recursive: true });
  await mkdir(staging);
  try {
    const { files } = await readArchive(file, staging);
    if (!existsSync(join(staging, "format.json")))
      throw new CityScaleError("ARTIFACT_DAMAGED", `${file} holds no data folder`);
    // The folder's format and the database are upgraded before the folder appears under its name.
    const owner = await claimFolder(staging);
    try {
      await (await openDatabase(join(staging, "metadata.sqlite"))).close();
    } finally {
      await owner.release();
    }
    if (existsSync(folder)) await rmdir(folder);
    await rename(staging, folder);
    return { home: folder, files };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function copySqlite(from: string, to: string): Promise<void> {
  const source = new DatabaseSync(from, { readOnly: true, timeout: 5_000 });
  try {
    await backupSqlite(source, to);
  } finally {
    source.close();
  }
}

/** Whole files below a folder of the home; temporary ones are half-written. */
async function filesBelow(home: string, folder: string): Promise<{ name: string; path: string }[]> {
  if (!existsSync(join(home, folder))) return [];
  const entries = await readdir(join(home, folder), { recursive: true, withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    const name = relative(home, path).split(sep).join("/");
    return entry.isFile() && !/(^|\/)\.|\.tmp$|(^|\/)tmp\//.test(name) ? [{ name, path }] : [];
  });
}
