import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { loadCity, memoryMb, openScratchLake } from "../app/index.ts";
import { atomicWrite, CityScaleError, type Config, createLog } from "../core/index.ts";
import {
  type City,
  dayOfDate,
  type MemberKindName,
  type ModelKindName,
  memberKinds,
  modelKinds,
  parseDuration,
  type Target,
} from "../domain/index.ts";
import {
  type BacktestOptions,
  backtest,
  type ClassicalTable,
  type FoundBlend,
  type ModelScores,
} from "../models/index.ts";
import type { BacktestReport } from "./backtest-schema.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { scoreTable } from "./score-table.ts";
import { whole } from "./table.ts";

export interface BacktestFlags {
  readonly data: string;
  readonly from: string;
  readonly to: string;
  readonly target?: string;
  readonly every: string;
  readonly horizon: string;
  readonly entities?: string;
  readonly refit: string;
  readonly lag: string;
  readonly weather: boolean;
  readonly fast?: boolean;
  readonly kind?: string;
  /** Of a comparison: kinds, separated by commas. */
  readonly kinds?: string;
  readonly classical?: boolean;
  /** A file, or `-` for standard output. */
  readonly json?: string;
}

/**
 * Backtests a city on given data in a lake of its own; the data folder is only asked for the city's file.
 * Throws UsageError for anything in the flags that cannot be.
 */
export async function runBacktest(
  cityName: string,
  flags: BacktestFlags,
  config: Config,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  const city = await loadCity(cityName, config.home);
  const target = targetOf(city, flags.target);
  const root = resolve(flags.data);
  if (!existsSync(root)) throw new UsageError(`--data ${flags.data}: there is no such folder`);
  const options: Omit<BacktestOptions, "lagMs"> = {
    city,
    target,
    from: localDate("--from", flags.from),
    to: localDate("--to", flags.to),
    every: duration("--every", flags.every, city),
    horizon: duration("--horizon", flags.horizon, city),
    ...(flags.refit === "never" ? {} : { refit: duration("--refit", flags.refit, city) }),
    ...(flags.entities === undefined ? {} : { entities: await entityList(flags.entities) }),
    weather: flags.weather,
    kind: kindOf(flags),
    ...(flags.kinds === undefined ? {} : { compare: kindList(flags.kinds) }),
    ...(flags.classical ? { classical: true } : {}),
    threads: config.threads,
    signal,
  };
  if (dayOfDate(options.to) < dayOfDate(options.from)) {
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
      memoryMb: memoryMb(config.memoryLimit),
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
      const result = await backtest(connection, {
        ...options,
        lagMs: scratch.lagMs.get(city.measures[target.measure]!.from) ?? 0,
        onProgress: (message, share) => progress.update("backtest", "backtest", share, message),
      });
      signal.throwIfAborted();
      progress.finish("backtest", "backtest", `${whole(result.rows)} forecasts scored`);
      const report: BacktestReport = {
        city: result.city,
        target: result.target,
        from: result.from,
        to: result.to,
        every: result.every,
        horizon: result.horizon,
        rows: result.rows,
        entities: result.entities,
        trainSeconds: result.trainSeconds,
        totalSeconds: Number(((performance.now() - began) / 1000).toFixed(2)),
        peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
        weather: result.weather,
        ...(result.blend ? { blend: { ...result.blend, weights: { ...result.blend.weights } } } : {}),
        notes: [
          ...scratch.notes,
          ...result.notes,
          ...(result.blend ? [blendNote(result.blend)] : []),
          ...missingScores(result.models),
        ],
        models: result.models.map(asReported),
        ...(result.classical ? { classical: classicalReport(result.classical) } : {}),
      };
      await write(report, flags.json, io);
    } finally {
      await scratch.close();
    }
  } finally {
    progress.close();
  }
}

const asReported = (model: ModelScores) => ({
  ...model,
  byLead: [...model.byLead],
  byEntity: [...model.byEntity],
});

function classicalReport(table: ClassicalTable): NonNullable<BacktestReport["classical"]> {
  return {
    ...table,
    notes: [...table.notes, ...missingScores(table.models)],
    models: table.models.map(asReported),
  };
}

async function write(report: BacktestReport, file: string | undefined, io: Io): Promise<void> {
  if (file === "-") {
    io.out(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  if (file !== undefined) {
    await atomicWrite(resolve(file), `${JSON.stringify(report, null, 2)}\n`);
    io.err(`written to ${file}\n`);
  }
  io.out(`
${report.city} ${report.target}, origins every ${report.every} from ${report.from} to ${report.to}, ${report.horizon} ahead
${scoreTable(report)}${classicalText(report)}  ${report.totalSeconds} s in all, ${report.trainSeconds} s of them training; at most ${report.peakRssMb} MB resident
`);
}

function classicalText({ classical, weather }: BacktestReport): string {
  if (!classical) return "";
  return `
on every ${classical.stride}th origin
${scoreTable({ ...classical, weather })}
`;
}

/** What a comparison suggests to declare, and what it does not say. */
function blendNote({ weights, windows }: FoundBlend): string {
  const parts = Object.entries(weights).filter(([, weight]) => weight >= 0.005);
  const declared =
    parts.length === 1
      ? `kind: "${parts[0]![0]}"`
      : `kind: "blend", blend: { ${parts.map(([kind, weight]) => `${kind}: ${weight}`).join(", ")} }`;
  return `blend: weights with the smallest loss in the worst of ${windows} parts of these very rows, so its score flatters it; declare training: { ${declared} } and backtest a later period`;
}

/** Why scores are null: the contract wants the reason beside them. */
function missingScores(models: readonly ModelScores[]): string[] {
  return models.flatMap((model) => {
    const missing = (["wape", "mape", "mase", "rmse", "rmsle", "r2"] as const).filter(
      (name) => model[name] === null,
    );
    const notes =
      missing.length > 0 ? [`${model.name}: ${missing.join(", ")} cannot be computed from these rows`] : [];
    return model.coverage80 === null
      ? [...notes, `${model.name}: gives no interval, so it has no coverage or width`]
      : notes;
  });
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

/** A blend of all kinds unless one is asked for; `--fast` asks for trees. */
function kindOf({ kind, fast }: BacktestFlags): ModelKindName {
  if (kind === undefined) return fast ? "trees" : "blend";
  const known = modelKinds.find((name) => name === kind);
  if (!known) throw new UsageError(`--kind ${kind}: write one of ${modelKinds.join(", ")}`);
  if (fast && known !== "trees") throw new UsageError(`--fast trains trees alone, and --kind says ${kind}`);
  return known;
}

/** Kinds separated by commas. Throws UsageError. */
function kindList(text: string): MemberKindName[] {
  const kinds = text.split(",").map((part) => {
    const known = memberKinds.find((name) => name === part.trim());
    if (!known) throw new UsageError(`--kinds ${text}: write some of ${memberKinds.join(",")}`);
    return known;
  });
  return [...new Set(kinds)];
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

function duration(option: string, text: string, city: City): string {
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
