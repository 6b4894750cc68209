import { existsSync } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { print, withOwner } from "../ask.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, configOfWorld, type WorldFlags, withWorld } from "../options.ts";

interface BackupAnswer {
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
}

export function addBackup(program: Command, add: Add, io: Io): void {
  add(
    withWorld(
      program
        .command("backup")
        .description("copy the data folder, while everything goes on, to one file")
        .argument("<file>", "the new .tar.gz"),
    ),
    ["cityscale backup ../cityscale-2026-01-26.tar.gz"],
    async ([file], flags: WorldFlags) => {
      const path = resolve(file!);
      if (existsSync(path)) throw new UsageError(`${file} exists already; a backup overwrites nothing`);
      const report = await withOwner(io, flags, {}, (client) =>
        client.request<BackupAnswer>("POST", "/v1/backup", { name: `backup-${Date.now()}-${process.pid}` }),
      );
      await move(report.path, path);
      print(
        io,
        flags.json,
        { ...report, path },
        ({ files, bytes }) => `${path}: ${files} files, ${(bytes / 1e6).toFixed(1)} MB\n`,
      );
      return undefined;
    },
  );
  add(
    program
      .command("restore")
      .description("make a new data folder from a backup, after checking every file of it")
      .argument("<file>", "the .tar.gz that `backup` wrote")
      .option("--home <dir>", "the data folder to make; it must be empty or absent (default: ./.cityscale)")
      .option("--json", "write the answer as JSON"),
    ["cityscale restore ../cityscale-2026-01-26.tar.gz --home ./restored"],
    async ([file], flags: WorldFlags) => {
      const { home } = configOfWorld(io, flags);
      const path = resolve(file!);
      if (!existsSync(path)) throw new UsageError(`${file}: there is no such file`);
      const { restoreBackup } = await import("../../app/index.ts");
      const report = await restoreBackup(path, home);
      print(
        io,
        flags.json,
        report,
        ({ files }) => `${home}: ${files} files, every checksum right\nnext: cityscale up --home ${home}\n`,
      );
      return undefined;
    },
  );
}

/** Moves a file, also to another disk. */
async function move(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await copyFile(from, to);
    await rm(from);
  }
}
