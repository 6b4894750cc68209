import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CityScaleError } from "./errors.ts";
import { atomicWrite } from "./files.ts";

/**
 * One change of how the data folder is laid out, done in place. A step that was interrupted is run again from
 * its beginning, so it must bear that.
 */
export interface FolderStep {
  /** The format after the step; formats count 1, 2, 3. */
  readonly format: number;
  readonly name: string;
  run(home: string): Promise<void>;
}

/** Formats since the first, which has no step. What has been released is never edited. */
export const folderSteps: readonly FolderStep[] = [];

/**
 * Brings a data folder to the newest format and writes it down in `format.json`; a new folder starts with it.
 * Throws DATA_FOLDER_NEWER for a format this program does not know, DATA_FOLDER_DAMAGED for an unreadable file.
 */
export async function upgradeFolder(home: string, steps: readonly FolderStep[] = folderSteps): Promise<void> {
  const path = join(home, "format.json");
  const newest = steps.at(-1)?.format ?? 1;
  const found = await readFormat(path);
  if (found === null) return await writeFormat(path, newest);
  if (found > newest) {
    throw new CityScaleError(
      "DATA_FOLDER_NEWER",
      `${home} has format ${found}; this program knows formats up to ${newest}`,
      { details: { found, known: newest } },
    );
  }
  for (const step of steps) {
    if (step.format <= found) continue;
    await step.run(home);
    await writeFormat(path, step.format);
  }
}

function writeFormat(path: string, format: number): Promise<void> {
  return atomicWrite(path, `${JSON.stringify({ format })}\n`);
}

async function readFormat(path: string): Promise<number | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  let format: unknown;
  try {
    format = (JSON.parse(text) as { format?: unknown } | null)?.format;
  } catch (error) {
    throw new CityScaleError("DATA_FOLDER_DAMAGED", `${path} is not JSON`, { cause: error });
  }
  if (!Number.isInteger(format) || (format as number) < 1) {
    throw new CityScaleError("DATA_FOLDER_DAMAGED", `${path} names no format`, { details: { path } });
  }
  return format as number;
}
