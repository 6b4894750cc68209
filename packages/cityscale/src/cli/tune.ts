import type { Config } from "../core/index.ts";
import { type TreeTrial, type TuneResult, tuneTrees } from "../models/index.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { type PeriodFlags, withPeriod } from "./period.ts";
import { fixed, table, whole } from "./table.ts";

export interface TuneFlags extends PeriodFlags {
  readonly trials: number;
  readonly json?: boolean;
}

/** Searches for a city's trees on a past period. Throws UsageError as a backtest does. */
export async function runTune(
  cityName: string,
  flags: TuneFlags,
  config: Config,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  if (flags.trials < 2 || flags.trials > 1000)
    throw new UsageError(`--trials ${flags.trials}: write 2 to 1000`);
  await withPeriod(cityName, flags, { config, io, signal }, async ({ connection, period, progress }) => {
    let done = 0;
    const result = await tuneTrees(connection, {
      ...period,
      trials: flags.trials,
      threads: config.threads,
      signal,
      onTrial: (trial) => {
        done++;
        progress.update("tune", "tuning", done / flags.trials, `trial ${done}: ${told(trial)}`);
      },
    });
    progress.finish("tune", "tuning", `${done} trials on ${whole(result.trainingRows)} training rows`);
    io.out(flags.json ? `${JSON.stringify(result, null, 2)}\n` : tuneText(result));
  });
}

const told = ({ params, value }: TreeTrial) =>
  `${params.trees} trees, ${params.leaves} leaves, rate ${fixed(params.learningRate, 3)}: ${fixed(value, 4)}`;

function tuneText({ loss, best, trials, declared, rows }: TuneResult): string {
  const right = "right" as const;
  const shown = trials.toSorted((a, b) => (a.value ?? 1e9) - (b.value ?? 1e9)).slice(0, 10);
  const { trees, leaves, learningRate } = best.params;
  return `${table(shown, [
    { title: "trial", align: right, value: (trial) => String(trial.index + 1) },
    { title: "trees", align: right, value: (trial) => String(trial.params.trees) },
    { title: "leaves", align: right, value: (trial) => String(trial.params.leaves) },
    { title: "rate", align: right, value: (trial) => fixed(trial.params.learningRate, 3) },
    { title: loss, align: right, value: (trial) => fixed(trial.value, 4) },
  ])}  declared now: ${fixed(declared, 4)}, on the same ${whole(rows)} forecasts
  training: { trees: ${trees}, leaves: ${leaves}, learningRate: ${Number(learningRate.toPrecision(3))} }
  chosen on these very rows: backtest a later period before you believe it
`;
}
