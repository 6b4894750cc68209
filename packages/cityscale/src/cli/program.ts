import { Command, CommanderError } from "commander";
import { CityScaleError, messageOf, parseSourceOption, readConfig } from "../core/index.ts";
import { exitCodeHelp, exitCodeOf, exitCodes, UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { listenForStop } from "./signals.ts";

/** A command's work; its modules are loaded only when it runs, so that help answers at once. */
export type Action<Flags> = (args: readonly string[], flags: Flags) => Promise<number | undefined>;

/** Runs the command line `args` (without node and script); resolves with the exit code and never throws. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  let code: number = exitCodes.done;
  const program = createProgram(io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    // commander has written its message; asking for help is no mistake.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    report(error, io, args.includes("--json"));
    return exitCodeOf(error);
  }
}

/** The `cityscale` command with everything below it. `exit` receives what an action resolves with. */
export function createProgram(io: Io, exit: (code: number) => void): Command {
  const program = new Command("cityscale")
    .description("Forecasts a city's demand from its open data, and keeps the forecasts honest.")
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows the options and an example)")
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .addHelpText("after", `\n${exitCodeHelp}\n\nExample:\n  cityscale up --city sydney-pedestrians\n`);
  const add = <Flags>(command: Command, examples: readonly string[], action: Action<Flags>): Command =>
    command.addHelpText("after", exampleText(examples)).action(async (...given: unknown[]) => {
      // commander passes the arguments, then the options, then the command.
      const flags = given.at(-2) as Flags;
      const result = await action(given.slice(0, -2).flat() as string[], flags);
      if (typeof result === "number") exit(result);
    });
  addBacktest(program, add, io);
  return program;
}

export type Add = <Flags>(command: Command, examples: readonly string[], action: Action<Flags>) => Command;

function exampleText(examples: readonly string[]): string {
  return `\n${examples.length > 1 ? "Examples" : "Example"}:\n${examples.map((example) => `  ${example}\n`).join("")}`;
}

function addBacktest(program: Command, add: Add, io: Io): void {
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
      .option("--fast", "fewer rows and trees: much faster, a little worse")
      .option("--classical", "classical models beside the trees, where their kinds are installed")
      .option("--json <file>", "write the result as JSON to a file; - writes it to standard output"),
    [
      "cityscale backtest melbourne-pedestrians --data ../shared/data --from 2016-01-01 --to 2016-06-30",
      "cityscale backtest paris-bikes --data ../shared/data --from 2021-07-10 --to 2021-08-09 --fast --json -",
    ],
    async ([city], flags: import("./backtest.ts").BacktestFlags) => {
      const { runBacktest } = await import("./backtest.ts");
      using stop = listenForStop();
      await runBacktest(city!, flags, configOf(io, { logLevel: quietly(io) }), io, stop.signal);
      return undefined;
    },
  );
}

/** People at a terminal read tables, not the log: only what matters is logged unless they ask for more. */
export function quietly(io: Io): string | undefined {
  return io.env["CITYSCALE_LOG_LEVEL"] ? undefined : "warn";
}

export function configOf(io: Io, overrides: Record<string, unknown>) {
  return readConfig({ env: io.env, overrides });
}

/** `name=address` of every --source. */
export function sourcesOf(options: readonly string[] | undefined): Record<string, string> | undefined {
  return options === undefined ? undefined : Object.fromEntries(options.map(parseSourceOption));
}

function report(error: unknown, io: Io, json: boolean): void {
  const hint = error instanceof CityScaleError || error instanceof UsageError ? error.hint : undefined;
  if (json) {
    const code =
      error instanceof CityScaleError ? error.code : error instanceof UsageError ? "USAGE" : "INTERNAL";
    const details = error instanceof CityScaleError ? error.details : {};
    io.err(
      `${JSON.stringify({ error: { code, message: messageOf(error), hint: hint ?? null, details } })}\n`,
    );
    return;
  }
  io.err(`error: ${messageOf(error)}\n`);
  if (hint) io.err(`${hint}\n`);
  const expected = error instanceof CityScaleError || error instanceof UsageError;
  if (!expected && error instanceof Error && error.stack) io.err(`${error.stack}\n`);
}
