import type { Command } from "commander";
import type { BacktestFlags } from "../backtest.ts";
import type { Io } from "../io.ts";
import { type Add, configOf, quietly } from "../options.ts";
import { listenForStop } from "../signals.ts";

export function addBacktest(program: Command, add: Add, io: Io): void {
  add(
    program
      .command("backtest")
      .description("train on what was known before a date, forecast from then on, and score what came true")
      .argument("<city>", "a city's id or file")
      .requiredOption("--data <root>", "folder with the data, one folder per city")
      .requiredOption("--from <date>", "first local date of the origins, e.g. 2016-01-01")
      .requiredOption("--to <date>", "last local date")
      .option("--target <name>", "what to forecast; the city's first target when left out")
      .option("--every <duration>", "time between origins; 24h is the local day", "24h")
      .option("--horizon <duration>", "how far ahead; 24h is the local day", "24h")
      .option("--entities <file>", "only these entities: one id a line")
      .option("--refit <duration>", "fit anew after this time, e.g. 28d, or never", "never")
      .option("--lag <duration>", "when counts are known after their step: a duration, or declared", "0h")
      .option("--no-weather", "forecast without weather")
      .option("--kind <name>", "what is trained: trees, network, ridge, or a blend of them (the default)")
      .option("--fast", "trees alone: faster, a little worse")
      .option("--classical", "classical models beside the trees, where their kinds are installed")
      .option("--json <file>", "write the result as JSON to a file; - writes it to standard output"),
    [
      "cityscale backtest melbourne-pedestrians --data ../shared/data --from 2016-01-01 --to 2016-06-30",
      "cityscale backtest paris-bikes --data ../shared/data --from 2021-07-10 --to 2021-08-09 --fast --json -",
    ],
    async ([city], flags: BacktestFlags) => {
      const { runBacktest } = await import("../backtest.ts");
      using stop = listenForStop();
      await runBacktest(city!, flags, configOf(io, { logLevel: quietly(io) }), io, stop.signal);
      return undefined;
    },
  );
}
