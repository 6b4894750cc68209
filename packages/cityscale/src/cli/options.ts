import { type Command, InvalidArgumentError } from "commander";
import { type Config, parseSourceOption, readConfig } from "../core/index.ts";
import type { Io } from "./io.ts";

/** A command's work; its modules are loaded only when it runs, so that help answers at once. */
export type Action<Flags> = (args: readonly string[], flags: Flags) => Promise<number | undefined>;

/** Adds a command with its examples to the program. */
export type Add = <Flags>(command: Command, examples: readonly string[], action: Action<Flags>) => Command;

/** Gathers a repeatable option. */
export const collect = (value: string, before: string[] = []): string[] => [...before, value];

export const wholeNumber =
  (option: string) =>
  (text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError(`${option} wants a whole number.`);
    return Number(text);
  };

/** People at a terminal read tables, not the log: only what matters is logged unless they ask for more. */
export function quietly(io: Io): string | undefined {
  return io.env["CITYSCALE_LOG_LEVEL"] ? undefined : "warn";
}

/** Settings of the environment under those of the command line. Throws CONFIG_INVALID. */
export function configOf(io: Io, overrides: Record<string, unknown>): Config {
  return readConfig({ env: io.env, overrides });
}

/** `name=address` of every --source. */
export function sourcesOf(options: readonly string[] | undefined): Record<string, string> | undefined {
  return options === undefined ? undefined : Object.fromEntries(options.map(parseSourceOption));
}

/** Options that say in which world a city lives when this process has to open it itself. */
export interface WorldFlags {
  readonly home?: string;
  readonly json?: boolean;
  readonly source?: string[];
  readonly recordings?: string;
  readonly clock?: string;
  readonly speed?: string;
  readonly seed?: number;
}

export interface CityFlags extends WorldFlags {
  readonly city?: string;
  readonly target?: string;
}

/** `--home` and `--json`, and what decides about sources and clock where no process runs on the data folder yet. */
export function withWorld(command: Command): Command {
  return command
    .option("--home <dir>", "the data folder (default: ./.cityscale)")
    .option("--json", "write the answer as JSON")
    .optionsGroup("Where no process runs on the data folder, as with `up`:")
    .option("--source <name=address>", "read a source from this address or folder; repeatable", collect)
    .option("--recordings <root>", "recordings in place of the publishers")
    .option("--clock <instant>", "virtual clock from here on")
    .option("--speed <factor>", "virtual seconds per second")
    .option("--seed <n>", "seed of a simulated city", wholeNumber("--seed"));
}

/** `--city` and `--target`, then those of `withWorld`. */
export function withCity(command: Command): Command {
  return withWorld(
    command
      .option("--city <id|file>", "the city; not needed where one runs")
      .option("--target <name>", "what is forecast; the city's first target when left out"),
  );
}

/** The configuration of a command on a data folder. */
export function configOfWorld(io: Io, flags: WorldFlags & { readonly city?: string }): Config {
  return configOf(io, {
    home: flags.home,
    cities: flags.city === undefined ? undefined : [flags.city],
    logLevel: quietly(io),
    clockStart: flags.clock,
    clockSpeed: flags.speed,
    sources: sourcesOf(flags.source),
  });
}
