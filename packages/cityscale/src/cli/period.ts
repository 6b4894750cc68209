import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { loadCity, memoryMb, openScratchLake } from "../app/index.ts";
import { CityScaleError, type Config, createLog } from "../core/index.ts";
import { type City, dayOfDate, parseDuration, type Target } from "../domain/index.ts";
import type { Connection } from "../lake/index.ts";
import type { PeriodOptions } from "../models/index.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";

/** Of the engine that computes features, where no limit is set: there is no server beside it. */
const engineMemory = "800MB";

/** What every command that judges on given data is asked. */
export interface PeriodFlags {
  readonly data: string;
  readonly from: string;
  readonly to: string;
  readonly target?: string;
  /** 24h each when left out. */
  readonly every?: string;
  readonly horizon?: string;
  readonly entities?: string;
  readonly lag: string;
  readonly weather: boolean;
}

export interface PeriodWork {
  readonly connection: Connection;
  readonly period: PeriodOptions;
  /** What reading the data had to say. */
  readonly notes: readonly string[];
  readonly progress: Progress;
}

/** A period of given data, as it was asked for. */
export interface DataWork extends Omit<PeriodWork, "period"> {
  readonly city: City;
  readonly target: Target;
  readonly from: string;
  readonly to: string;
  readonly entities?: readonly string[];
  /** Publication lag of the target's measure, ms. */
  readonly lagMs: number;
}

interface Context {
  readonly config: Config;
  readonly io: Io;
  readonly signal: AbortSignal;
}

/**
 * Reads given data into a lake of its own and works on a period of a quantity; the data folder is only asked for the
 * city's file. Throws UsageError for anything in the flags that cannot be.
 */
export async function withPeriod(
  cityName: string,
  flags: PeriodFlags,
  context: Context,
  work: (work: PeriodWork) => Promise<void>,
): Promise<void> {
  const { city, target } = await cityAndTarget(cityName, flags.target, context.config);
  if (target.kind === "binary") {
    throw new UsageError(`--target ${target.name}: this is for quantities, and the target is binary`);
  }
  const asked = {
    every: duration("--every", flags.every ?? "24h", city),
    horizon: duration("--horizon", flags.horizon ?? "24h", city),
    weather: flags.weather,
  };
  await withData(cityName, flags, context, ({ connection, notes, progress, ...period }) =>
    work({ connection, notes, progress, period: { ...period, ...asked } }),
  );
}

/** As `withPeriod`, for targets of any kind. */
export async function withData(
  cityName: string,
  flags: PeriodFlags,
  { config, io, signal }: Context,
  work: (work: DataWork) => Promise<void>,
): Promise<void> {
  const { city, target } = await cityAndTarget(cityName, flags.target, config);
  const root = resolve(flags.data);
  if (!existsSync(root)) throw new UsageError(`--data ${flags.data}: there is no such folder`);
  const asked = {
    city,
    target,
    from: localDate("--from", flags.from),
    to: localDate("--to", flags.to),
    ...(flags.entities === undefined ? {} : { entities: await entityList(flags.entities) }),
  };
  if (dayOfDate(asked.to) < dayOfDate(asked.from)) {
    throw new UsageError(`--to ${flags.to} lies before --from ${flags.from}`);
  }
  const declared = flags.lag === "declared" ? null : lagOf(flags.lag);

  const progress = new Progress(io);
  try {
    const scratch = await openScratchLake({
      city,
      root,
      log: createLog(config.logLevel),
      threads: config.threads,
      memoryMb: memoryMb(config.memoryLimit ?? engineMemory),
      ...(declared === null ? {} : { lagMs: declared }),
      signal,
      onProgress: (message) => progress.update("data", "reading the data", null, message),
    }).catch((error: unknown) => {
      // Nothing usable at the path given: the path is what has to change.
      if (error instanceof CityScaleError && error.code === "DATA_MISSING") {
        throw new UsageError(error.message, "ROOT holds one folder per city, named as the city's id.", error);
      }
      throw error;
    });
    try {
      progress.finish("data", "reading the data", root);
      using connection = await scratch.lake.connect();
      const lagMs = scratch.lagMs.get(city.measures[target.measure]!.from) ?? 0;
      await work({ connection, ...asked, lagMs, notes: scratch.notes, progress });
    } finally {
      await scratch.close();
    }
  } finally {
    progress.close();
  }
}

/** The city and the target that are asked for. Throws UsageError. */
export async function cityAndTarget(
  cityName: string,
  target: string | undefined,
  config: Config,
): Promise<{ city: City; target: Target }> {
  const city = await loadCity(cityName, config.home);
  return { city, target: targetOf(city, target) };
}

function targetOf(city: City, name: string | undefined): Target {
  const target = name === undefined ? Object.values(city.targets)[0] : city.targets[name];
  if (!target) {
    throw new UsageError(
      `--target ${name}: ${city.id} has no such target; it has ${Object.keys(city.targets).join(", ")}`,
    );
  }
  return target;
}

/** A local date that exists. Throws UsageError. */
export function localDate(option: string, text: string): string {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  // A day that the month does not have rolls over in some engines and is refused in others.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text) {
    throw new UsageError(`${option} ${text}: write a date that exists, such as 2016-01-01`);
  }
  return text;
}

/** A whole number of the city's steps. Throws UsageError. */
export function duration(option: string, text: string, city: City): string {
  let ms: number;
  try {
    ms = parseDuration(text);
  } catch (error) {
    throw new UsageError(`${option} ${(error as Error).message}`);
  }
  if (ms < city.stepMs || ms % city.stepMs !== 0) {
    throw new UsageError(`${option} ${text}: write a whole number of the city's steps of ${city.step}`);
  }
  return text;
}

function lagOf(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw new UsageError(`--lag ${text}: write "declared" or a duration such as 0h or 26h`);
  }
}

async function entityList(file: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(resolve(file), "utf8");
  } catch (error) {
    throw new UsageError(`--entities ${file}: the file cannot be read`, undefined, error);
  }
  const ids = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (ids.length === 0) throw new UsageError(`--entities ${file}: expected one id a line, the file is empty`);
  return [...new Set(ids)];
}
