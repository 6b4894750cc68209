import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CityScaleError } from "../core/index.ts";
import { type Connection, type Engine, literal, openEngine } from "./duckdb.ts";
import type { Lake } from "./lake.ts";

type Table = readonly [name: string, order: string, columns?: string];

/**
 * Tables of a dataset version and the order that makes equal data equal bytes. When this machine's clock saw a row
 * is no part of the data: the same rows read again elsewhere are the same version.
 */
const tables: readonly Table[] = [
  ["observations", "measure, e, t", "* EXCLUDE (ingested_at)"],
  ["revisions", "measure, e, t, known_from"],
  ["entities", "e"],
  ["steps", "t"],
  ["weather", "issued_at NULLS FIRST, valid_at"],
  ["holidays", "day, kind"],
  ["events", "id, known_at"],
];

/** Beside those, where a city has levels. */
const levelTables: readonly Table[] = [
  ["snapshots", '"at", e', "* EXCLUDE (ingested_at)"],
  ["entity_changes", "changed_at, e, field"],
];

const tablesOf = ({ measures }: Lake["city"]) =>
  Object.values(measures).some(({ kind }) => kind === "level") ? [...tables, ...levelTables] : tables;

/** An immutable, content-hashed export of clean data: what a model was trained on. */
export interface DatasetVersion {
  readonly id: string;
  readonly city: string;
  /** Instant of the city's clock at which it was cut; nothing known later is in it. */
  readonly knownAt: number;
  readonly rows: Readonly<Record<string, number>>;
  readonly folder: string;
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

const idOf = (files: readonly string[]) =>
  createHash("sha256").update(files.join("\n")).digest("hex").slice(0, 20);

/** Of each lake the newest version, and how much had been written when it was cut. */
const cut = new WeakMap<Lake, { readonly writes: number; readonly version: DatasetVersion }>();

/**
 * Exports the clean tables as Parquet; the folder appears whole or not at all. A lake that nothing was written to
 * since is the same version: a city's targets train on one.
 */
export async function exportVersion(lake: Lake, root: string, knownAt: number): Promise<DatasetVersion> {
  const before = cut.get(lake);
  const { writes } = lake;
  if (
    before?.writes === writes &&
    before.version.folder.startsWith(root) &&
    existsSync(before.version.folder)
  )
    return { ...before.version, knownAt };
  const version = await writeVersion(lake, root, knownAt);
  cut.set(lake, { writes, version });
  return version;
}

async function writeVersion(lake: Lake, root: string, knownAt: number): Promise<DatasetVersion> {
  const temporary = join(root, `.writing-${process.pid}-${Date.now()}`);
  mkdirSync(temporary, { recursive: true });
  try {
    const rows: Record<string, number> = {};
    const hashes: string[] = [];
    // One transaction: a merge that ends meanwhile is in all the tables or in none.
    await lake.snapshot(async (connection) => {
      for (const [name, order, columns = "*"] of tablesOf(lake.city)) {
        const path = join(temporary, `${name}.parquet`);
        rows[name] = await connection.run(
          `COPY (SELECT ${columns} FROM ${name} ORDER BY ${order}) TO ${literal(path)} (FORMAT parquet, COMPRESSION zstd)`,
        );
        hashes.push(`${name} ${await fileHash(path)}`);
      }
    });
    const id = idOf(hashes);
    const version: DatasetVersion = { id, city: lake.city.id, knownAt, rows, folder: join(root, id) };
    if (existsSync(version.folder)) return version;
    writeFileSync(
      join(temporary, "manifest.json"),
      JSON.stringify({ ...version, folder: undefined, files: hashes }, null, 2),
    );
    renameSync(temporary, version.folder);
    return version;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

export interface OpenedVersion {
  readonly connection: Connection;
  readonly knownAt: number;
  close(): void;
}

/**
 * Opens a dataset version with the lake's own table names, in a database of its own below `temporary` (a file,
 * so that what does not fit the memory limit can leave it). Throws ARTIFACT_DAMAGED on a changed or missing file.
 */
export async function openVersion(
  folder: string,
  options: { memoryMb: number; threads: number; temporary: string },
): Promise<OpenedVersion> {
  const manifest = await checkedManifest(folder);
  mkdirSync(options.temporary, { recursive: true });
  const scratch = mkdtempSync(join(options.temporary, "version-"));
  let engine: Engine | undefined;
  const close = () => {
    engine?.close();
    rmSync(scratch, { recursive: true, force: true });
  };
  try {
    engine = await openEngine({
      ...options,
      path: join(scratch, "version.duckdb"),
      temporary: join(scratch, "spill"),
    });
    const connection = await engine.connect();
    for (const name of manifest.tables) {
      await connection.run(
        `CREATE TABLE ${name} AS FROM read_parquet(${literal(join(folder, `${name}.parquet`))})`,
      );
    }
    return {
      connection,
      knownAt: manifest.knownAt,
      close: () => {
        connection[Symbol.dispose]();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** A dataset version on disk. */
export interface StoredVersion {
  readonly id: string;
  /** Instant of the city's clock at which it was first cut; null where the manifest cannot be read. */
  readonly knownAt: number | null;
  readonly bytes: number;
}

/** The dataset versions below a folder, damaged ones included. */
export async function listVersions(root: string): Promise<StoredVersion[]> {
  const names = existsSync(root) ? await readdir(root) : [];
  const versions: StoredVersion[] = [];
  for (const id of names.filter((name) => !name.startsWith("."))) {
    const folder = join(root, id);
    const sizes = await Promise.all(
      (await readdir(folder)).map(async (file) => (await stat(join(folder, file))).size),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    versions.push({ id, knownAt: await knownAtOf(folder), bytes });
  }
  return versions.sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function knownAtOf(folder: string): Promise<number | null> {
  try {
    const manifest = await readFile(join(folder, "manifest.json"), "utf8");
    return (JSON.parse(manifest) as { knownAt: number }).knownAt;
  } catch {
    return null;
  }
}

/** Removes a dataset version: under its name it is there whole or not at all, also after a kill. */
export async function removeVersion(root: string, id: string): Promise<void> {
  const gone = join(root, `.removing-${id}`);
  await rename(join(root, id), gone);
  await rm(gone, { recursive: true });
}

async function checkedManifest(
  folder: string,
): Promise<{ readonly knownAt: number; readonly tables: readonly string[] }> {
  const damaged = (what: string, cause?: unknown) =>
    new CityScaleError("ARTIFACT_DAMAGED", `dataset version in ${folder}: ${what}`, { cause });
  let manifest: { id: string; knownAt: number; files: string[] };
  try {
    manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as typeof manifest;
  } catch (error) {
    throw damaged("manifest.json cannot be read", error);
  }
  if (idOf(manifest.files) !== manifest.id) throw damaged("manifest.json does not match its own checksum");
  for (const entry of manifest.files) {
    const [name, hash] = entry.split(" ");
    const found = await fileHash(join(folder, `${name}.parquet`)).catch((error: unknown) => {
      throw damaged(`${name}.parquet cannot be read`, error);
    });
    if (found !== hash) throw damaged(`${name}.parquet does not match its checksum`);
  }
  return { knownAt: manifest.knownAt, tables: manifest.files.map((entry) => entry.split(" ")[0]!) };
}
