import type { Config } from "../core/index.ts";
import { type City, parseDuration } from "../domain/index.ts";
import { backtestStockOuts } from "../models/index.ts";
import type { BacktestFlags } from "./backtest-flags.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { cityAndTarget, duration, withData } from "./period.ts";
import { writeReport } from "./report.ts";
import { weatherBasis } from "./score-table.ts";
import type { StockOutReport } from "./stock-out-schema.ts";
import { stockOutTable } from "./stock-out-scores.ts";
import { fixed, percent, table, whole } from "./table.ts";

const trainDefault = "60d";

/** As often as the platform does. */
const recalibrateDefault = "1d";

/** Flags of quantities that say nothing about a binary target. */
const foreign = ["kind", "kinds", "fast", "classical", "horizon", "refit"] as const;

/** Backtests a binary target. Throws UsageError for anything in the flags that cannot be. */
export async function runStockOutBacktest(
  cityName: string,
  flags: BacktestFlags,
  config: Config,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  const { city, target } = await cityAndTarget(cityName, flags.target, config);
  for (const flag of foreign) {
    if (flags[flag] !== undefined)
      throw new UsageError(`--${flag} is for quantities, and ${target.name} is a binary target`);
  }
  const every = flags.every === undefined ? {} : { every: duration("--every", flags.every, city) };
  const train = trainingTime(flags.train ?? trainDefault, city);
  const asked = flags.recalibrate ?? recalibrateDefault;
  const recalibrate = asked === "never" ? {} : { recalibrate: duration("--recalibrate", asked, city) };
  await withData(cityName, flags, { config, io, signal }, async (data) => {
    const { connection, progress, notes, lagMs: _lagMs, ...period } = data;
    const result = await backtestStockOuts(connection, {
      ...period,
      ...every,
      ...recalibrate,
      train,
      weather: flags.weather,
      threads: config.threads,
      signal,
      onProgress: (message, share) => progress.update("backtest", "backtest", share, message),
    });
    signal.throwIfAborted();
    progress.finish("backtest", "backtest", `${whole(result.models[0]!.all.rows)} forecasts scored`);
    const { models, training, notes: told, ...rest } = result;
    const report: StockOutReport = {
      ...rest,
      training: { ...training, columns: training.columns.map((column) => ({ ...column })) },
      notes: [...notes, ...told],
      totalSeconds: Number(((performance.now() - began) / 1000).toFixed(2)),
      peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
      models: models.map(({ reliability: { tenths, widths }, ...model }) => ({
        ...model,
        reliability: { tenths: [...tenths], widths: [...widths] },
      })),
    };
    await writeReport(report, flags.json, io, stockOutText);
  });
}

const recalibrated = (times: number) =>
  times === 0 ? "" : `, fitted ${times} times on the newest 14 days of outcomes`;

/** Whole days, at least two weeks. Throws UsageError. */
function trainingTime(text: string, city: City): string {
  duration("--train", text, city);
  if (parseDuration(text) < 14 * 86_400_000) throw new UsageError(`--train ${text}: write at least 14d`);
  return text;
}

function stockOutText(report: StockOutReport): string {
  const { models, alarms, training } = report;
  const right = "right" as const;
  const scores = stockOutTable(models);
  const { tenths, widths } = models.find(({ kind }) => kind === "trained")!.reliability;
  const bins = (title: string, list: typeof tenths) =>
    `\n${table(
      list,
      [
        { title, value: (bin) => `${percent(bin.from, 2)} to ${percent(bin.to, 2)}` },
        { title: "forecast", align: right, value: (bin) => percent(bin.forecast, 3) },
        { title: "came", align: right, value: (bin) => percent(bin.came, 3) },
        {
          title: "forecast / came",
          align: right,
          value: (bin) => fixed(bin.came === 0 ? null : bin.forecast / bin.came),
        },
        { title: "n", align: right, value: (bin) => whole(bin.rows) },
      ],
      "  ",
    )}`;
  const budget =
    alarms === null
      ? ""
      : `  the threshold for alarms on 1 % of onset rows, ${fixed(alarms.budget, 3)} at first, moves with the calibration; ${percent(alarms.share, 2)} came to lie above it\n`;
  const notes = report.notes.map((note) => `  ${note}\n`).join("");
  return `
${report.city} ${report.target}: fewer than ${report.below} at any moment of the next ${report.horizon}, from ${report.from} to ${report.to}
${scores}  onset rows are not short at the origin; persistence ranks by the count now, the lower the likelier
${bins("tenth of the onset rows", tenths)}${bins("probability on onset rows", widths)}
  ${whole(report.origins)} origins (${report.every === "snapshots" ? "every snapshot" : `every ${report.every}`}), ${report.entities} stations; learned from ${whole(training.rows)} rows with ${whole(training.onsets)} onsets since ${training.from.slice(0, 10)}; calibration: ${training.calibration}${recalibrated(training.recalibrations)}
${budget}  ${weatherBasis[report.weather]}
${notes}  ${report.totalSeconds} s in all, ${report.trainSeconds} s of them training; at most ${report.peakRssMb} MB resident
`;
}
