import { resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError } from "commander";
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
  addUp(program, add, io);
  addBacktest(program, add, io);
  return program;
}

export type Add = <Flags>(command: Command, examples: readonly string[], action: Action<Flags>) => Command;

function exampleText(examples: readonly string[]): string {
  return `\n${examples.length > 1 ? "Examples" : "Example"}:\n${examples.map((example) => `  ${example}\n`).join("")}`;
}

interface UpFlags {
  readonly city?: string[];
  readonly recordings?: string;
  readonly once?: boolean;
  readonly source?: string[];
  readonly clock?: string;
  readonly speed?: string;
  readonly home?: string;
  readonly seed?: number;
  readonly host?: string;
  readonly port?: string;
  readonly basePath?: string;
  readonly logLevel?: string;
  readonly json?: boolean;
}

function addUp(program: Command, add: Add, io: Io): void {
  add(
    program
      .command("up")
      .description(
        "run cities: read, train, judge, forecast and serve, first at once and then on their schedules",
      )
      .option(
        "--city <id|file>",
        "a city to run; repeatable (default: sydney-pedestrians, simulated)",
        collect,
      )
      .option(
        "--recordings <root>",
        "serve the recordings under this folder in place of the publishers, on a virtual clock",
      )
      .option("--once", "stop after the first whole loop")
      .option(
        "--source <name=address>",
        "read a source from this http(s) address or folder; repeatable",
        collect,
      )
      .option("--clock <instant>", "run on a virtual clock from here on, e.g. 2021-08-09T03:00:00Z")
      .option("--speed <factor>", "virtual seconds per second; needs --clock")
      .option("--home <dir>", "the data folder (default: ./.cityscale)")
      .option("--seed <n>", "seed of a simulated city", wholeNumber("--seed"))
      .option("--host <address>", "address to listen on (default: 127.0.0.1)")
      .option(
        "--port <n>",
        "port to listen on; 0 takes a free one (default: 8080, or a free one where it is taken)",
      )
      .option("--base-path <path>", "path under which a reverse proxy serves everything, e.g. /forecasts")
      .option("--log-level <level>", "least level of the JSON log on standard error (default: warn)")
      .option("--json", "write events as lines of JSON to standard output"),
    [
      "cityscale up",
      "cityscale up --city paris-bikes --recordings ../shared/data --once",
      "cityscale up --source counts=http://127.0.0.1:9000 --home /var/lib/cityscale --port 8080",
    ],
    async (_args, flags: UpFlags) => {
      const config = configOf(io, {
        cities: flags.city,
        home: flags.home,
        host: flags.host,
        port: flags.port,
        basePath: flags.basePath,
        logLevel: flags.logLevel ?? quietly(io),
        clockStart: flags.clock,
        clockSpeed: flags.speed,
        sources: sourcesOf(flags.source),
      });
      const { up } = await import("./up.ts");
      return await up(
        {
          config,
          ...(flags.recordings === undefined ? {} : { recordings: resolve(flags.recordings) }),
          ...(flags.seed === undefined ? {} : { seed: flags.seed }),
          once: flags.once === true,
          json: flags.json === true,
          portAsked: flags.port !== undefined || Boolean(io.env["CITYSCALE_PORT"]),
        },
        io,
      );
    },
  );
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

export const wholeNumber =
  (option: string) =>
  (text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError(`${option} wants a whole number.`);
    return Number(text);
  };

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
