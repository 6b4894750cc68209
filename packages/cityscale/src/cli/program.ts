import { Command, CommanderError } from "commander";
import { CityScaleError, messageOf } from "../core/index.ts";
import { addAnomalies } from "./commands/anomalies.ts";
import { addAssets } from "./commands/assets.ts";
import { addBacktest } from "./commands/backtest.ts";
import { addBackup } from "./commands/backup.ts";
import { addCity } from "./commands/city.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addExplain } from "./commands/explain.ts";
import { addKeys } from "./commands/keys.ts";
import { addLists } from "./commands/lists.ts";
import { addModels } from "./commands/models.ts";
import { addPredict } from "./commands/predict.ts";
import { addQuality } from "./commands/quality.ts";
import { addRetention } from "./commands/retention.ts";
import { addRisk } from "./commands/risk.ts";
import { addUp } from "./commands/up.ts";
import { exitCodeHelp, exitCodeOf, exitCodes, UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import type { Action, Add } from "./options.ts";

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
  const add: Add = <Flags>(command: Command, examples: readonly string[], action: Action<Flags>): Command =>
    command.addHelpText("after", exampleText(examples)).action(async (...given: unknown[]) => {
      // commander passes the arguments, then the options, then the command.
      const flags = given.at(-2) as Flags;
      const result = await action(given.slice(0, -2).flat() as string[], flags);
      if (typeof result === "number") exit(result);
    });
  addUp(program, add, io);
  addAssets(program, add, io);
  addBacktest(program, add, io);
  addPredict(program, add, io);
  addExplain(program, add, io);
  addRisk(program, add, io);
  addModels(program, add, io);
  addQuality(program, add, io);
  addAnomalies(program, add, io);
  addLists(program, add, io);
  addKeys(program, add, io);
  addBackup(program, add, io);
  addRetention(program, add, io);
  addDoctor(program, add, io);
  addCity(program, add, io);
  return program;
}

function exampleText(examples: readonly string[]): string {
  return `\n${examples.length > 1 ? "Examples" : "Example"}:\n${examples.map((example) => `  ${example}\n`).join("")}`;
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
