import type { Command } from "commander";
import type { BacktestFlags } from "../backtest-flags.ts";
import type { Io } from "../io.ts";
import { type Add, configOf, quietly, wholeNumber } from "../options.ts";
import { listenForStop } from "../signals.ts";
import type { TuneFlags } from "../tune.ts";

export function addBacktest(program: Command, add: Add, io: Io): void {
  add(
    withReport(
      program
        .command("backtest")
        .description(
          "train on what was known before a date, forecast from then on, and score what came true",
        ),
    )
      .option(
        "--kind <name>",
        "what is trained: trees, a forest, network, ridge, effects or a blend; what the target declares, or else a blend, when left out",
      )
      .option("--fast", "trees alone: faster, a little worse")
      .option("--classical", "classical models too, on every 14th origin: beside all others on the same rows")
      .option("--train <duration>", "binary targets: learn from so long before the period (default: 60d)")
      .option(
        "--recalibrate <duration>",
        "binary targets: calibrate anew on the newest outcomes after this time, or never (default: 1d)",
      ),
    [
      "cityscale backtest melbourne-pedestrians --data ../shared/data --from 2016-01-01 --to 2016-06-30",
      "cityscale backtest paris-bikes --data ../shared/data --from 2021-07-10 --to 2021-08-09 --fast --json -",
      "cityscale backtest bay-wheels --target bikes-out-30 --data ../shared/data --from 2023-04-01 --to 2023-04-30",
    ],
    (args, flags: BacktestFlags) => run(args, flags, io),
  );
  add(
    withReport(
      program
        .command("compare")
        .description("train every kind of model once and score them on the same rows, and find their blend"),
    ).option("--kinds <list>", "kinds, separated by commas", "trees,network,ridge,effects"),
    [
      "cityscale compare melbourne-pedestrians --data ../shared/data --from 2015-10-01 --to 2015-12-31",
      "cityscale compare paris-bikes --data ../shared/data --from 2021-06-01 --to 2021-07-09 --kinds trees,network",
    ],
    (args, flags: BacktestFlags) => run(args, flags, io),
  );
  add(
    withPeriod(program.command("tune").description("search for the trees that are best on a past period"))
      .option("--trials <n>", "trainings to try", wholeNumber("trials"), 30)
      .option("--json", "the result as JSON"),
    [
      "cityscale tune melbourne-pedestrians --data ../shared/data --from 2015-10-01 --to 2015-12-31 --trials 20",
    ],
    async (args, flags: TuneFlags) => {
      const { runTune } = await import("../tune.ts");
      using stop = listenForStop();
      await runTune(args[0]!, flags, configOf(io, { logLevel: quietly(io) }), io, stop.signal);
      return undefined;
    },
  );
}

/** What a command that judges on given data wants to know. */
const withPeriod = (command: Command): Command =>
  command
    .argument("<city>", "a city's id or file")
    .requiredOption("--data <root>", "folder with the data, one folder per city")
    .requiredOption("--from <date>", "first local date of the origins, e.g. 2016-01-01")
    .requiredOption("--to <date>", "last local date")
    .option("--target <name>", "what to forecast; the city's first target when left out")
    .option(
      "--every <duration>",
      "time between origins; 24h, the default, is the local day; binary targets: every snapshot",
    )
    .option(
      "--horizon <duration>",
      "how far ahead; 24h, the default, is the local day; binary targets declare theirs",
    )
    .option("--entities <file>", "score only these entities: one id a line")
    .option("--lag <duration>", "when counts are known after their step: a duration, or declared", "0h")
    .option("--no-weather", "forecast without weather");

const withReport = (command: Command): Command =>
  withPeriod(command)
    .option("--refit <duration>", "fit anew after this time, e.g. 28d, or never (the default)")
    .option("--json <file>", "write the result as JSON to a file; - writes it to standard output");

async function run(args: readonly string[], flags: BacktestFlags, io: Io): Promise<undefined> {
  const { runBacktest } = await import("../backtest.ts");
  using stop = listenForStop();
  await runBacktest(args[0]!, flags, configOf(io, { logLevel: quietly(io) }), io, stop.signal);
  return undefined;
}
