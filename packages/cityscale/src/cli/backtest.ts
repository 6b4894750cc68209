import type { Config } from "../core/index.ts";
import { type MemberKindName, type ModelKindName, memberKinds, modelKinds } from "../domain/index.ts";
import { backtest, type ClassicalTable, type FoundBlend, type ModelScores } from "../models/index.ts";
import type { BacktestFlags } from "./backtest-flags.ts";
import type { BacktestReport } from "./backtest-schema.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { cityAndTarget, duration, withPeriod } from "./period.ts";
import { writeReport } from "./report.ts";
import { scoreTable } from "./score-table.ts";
import { runStockOutBacktest } from "./stock-out-backtest.ts";
import { whole } from "./table.ts";

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
  const { target } = await cityAndTarget(cityName, flags.target, config);
  if (target.kind === "binary") return await runStockOutBacktest(cityName, flags, config, io, signal);
  for (const flag of ["train", "recalibrate"] as const) {
    if (flags[flag] !== undefined) throw new UsageError(`--${flag}: ${target.name} is no binary target`);
  }
  const began = performance.now();
  const kind = kindOf(flags);
  const kinds = {
    ...(kind === undefined ? {} : { kind }),
    ...(flags.kinds === undefined ? {} : { compare: kindList(flags.kinds) }),
  };
  await withPeriod(
    cityName,
    flags,
    { config, io, signal },
    async ({ connection, period, notes, progress }) => {
      const result = await backtest(connection, {
        ...period,
        ...kinds,
        ...(flags.refit === undefined || flags.refit === "never"
          ? {}
          : { refit: duration("--refit", flags.refit, period.city) }),
        ...(flags.classical ? { classical: true } : {}),
        threads: config.threads,
        signal,
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
        ...(result.blend
          ? { blend: { weights: { ...result.blend.weights }, windows: result.blend.windows } }
          : {}),
        notes: [
          ...notes,
          ...result.notes,
          ...(result.blend ? [blendNote(result.blend)] : []),
          ...missingScores(result.models),
        ],
        models: result.models.map(asReported),
        ...(result.classical ? { classical: classicalReport(result.classical) } : {}),
      };
      await writeReport(report, flags.json, io, backtestText);
    },
  );
}

const asReported = (model: ModelScores) => ({
  ...model,
  byLead: [...model.byLead],
  byEntity: [...model.byEntity],
  byEntityAndLead: [...model.byEntityAndLead],
});

function classicalReport(table: ClassicalTable): NonNullable<BacktestReport["classical"]> {
  return {
    ...table,
    notes: [...table.notes, ...missingScores(table.models)],
    models: table.models.map(asReported),
  };
}

const backtestText = (report: BacktestReport) => `
${report.city} ${report.target}, origins every ${report.every} from ${report.from} to ${report.to}, ${report.horizon} ahead
${scoreTable(report)}${classicalText(report)}  ${report.totalSeconds} s in all, ${report.trainSeconds} s of them training; at most ${report.peakRssMb} MB resident
`;

function classicalText({ classical, weather }: BacktestReport): string {
  if (!classical) return "";
  return `
on every ${classical.stride}th origin
${scoreTable({ ...classical, weather })}
`;
}

/** What a comparison suggests to declare, and what it does not say. */
function blendNote({ weights, windows, far }: FoundBlend): string {
  const parts = Object.entries(weights).filter(([, weight]) => weight >= 0.005);
  const declared =
    parts.length === 1
      ? `kind: "${parts[0]![0]}"`
      : `kind: "blend", blend: { ${parts.map(([kind, weight]) => `${kind}: ${weight}`).join(", ")} }`;
  return `blend: weights with the smallest loss in the worst of ${windows} parts of these very rows, so its score flatters it; declare training: { ${far ? `far: { ${declared} }` : declared} } and backtest a later period`;
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

/** What the target declares unless a kind is asked for; `--fast` asks for trees. */
function kindOf({ kind, fast }: BacktestFlags): ModelKindName | undefined {
  if (kind === undefined) return fast ? "trees" : undefined;
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
