import { type Command, InvalidArgumentError } from "commander";
import { print } from "../ask.ts";
import type { CityNewFlags, CityNewReport } from "../city-new/city-new.ts";
import type { Io } from "../io.ts";
import { type Add, configOf, quietly } from "../options.ts";
import { whole } from "../table.ts";

interface Flags extends CityNewFlags {
  readonly home?: string;
  readonly json?: boolean;
}

export function addCity(program: Command, add: Add, io: Io): void {
  const city = program
    .command("city")
    .description("cities of a data folder")
    .addHelpText(
      "after",
      "\nExample:\n  cityscale city new my-city --csv counts.csv --time-zone Europe/Berlin --lat 52.5 --lon 13.4\n",
    );
  add(
    city
      .command("new")
      .description("declare a city for a CSV of counts, and read it once for trial")
      .argument("<id>", "lower-case letters, digits and dashes")
      .requiredOption("--csv <path>", "rows of time, counter and count; plain or gzip")
      .requiredOption("--time-zone <zone>", "IANA zone, e.g. Europe/Berlin")
      .option("--name <text>", "for people")
      .option("--lat <degrees>", "where the weather is asked for", degrees)
      .option("--lon <degrees>", "where the weather is asked for", degrees)
      .option("--places <path>", "CSV of the counters with names and positions")
      .option("--country <code>", "public holidays of this country, e.g. DE")
      .option("--region <code>", "and of this state or region, e.g. BE")
      .option("--no-weather", "do not ask Open-Meteo for the weather")
      .option("--measure <name>", "what is counted", "counts")
      .option("--step <duration>", "time between rows, where it is not plain")
      .optionsGroup("Where the file does not tell:")
      .option("--delimiter <character>", "between columns")
      .option("--entity-column <name>", "which counter a row belongs to")
      .option("--time-column <name>", "start of the counted step")
      .option("--value-column <name>", "the count")
      .option("--time-format <format>", "e.g. '%d/%m/%Y %H:%M'")
      .option("--time-is <local|utc>", "what times without an offset mean (default: local)")
      .option("--home <dir>", "the data folder (default: ./.cityscale)")
      .option("--json", "write the answer as JSON"),
    [
      "cityscale city new my-city --csv counts.csv --time-zone Europe/Berlin --lat 52.5 --lon 13.4 --country DE",
      "cityscale city new my-city --csv zaehlung.csv --time-zone Europe/Berlin --places stellen.csv --time-format '%d.%m.%Y %H:%M'",
    ],
    async ([id], flags: Flags) => {
      const config = configOf(io, { home: flags.home, logLevel: quietly(io) });
      const { cityNew } = await import("../city-new/city-new.ts");
      const report = await cityNew(id!, flags, config, Date.now());
      const next = nextCommand(report, flags.home);
      print(io, flags.json, { ...report, next }, () => reportText(report, next));
      return undefined;
    },
  );
}

function degrees(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new InvalidArgumentError("write degrees, e.g. 52.5");
  return value;
}

function nextCommand({ city, clock }: CityNewReport, home: string | undefined): string {
  const at = home === undefined ? "" : ` --home ${/\s/.test(home) ? `'${home}'` : home}`;
  return `cityscale up --city ${city} --once${clock === null ? "" : ` --clock ${clock}`}${at}`;
}

function reportText({ city, file, found, read, notes, clock }: CityNewReport, next: string): string {
  const rejected = read.rejected
    .map(({ reason, rows, example }) => `  ${whole(rows)} rows cannot be read: ${reason}, e.g. ${example}\n`)
    .join("");
  const lines = [
    `${city}: columns separated by ${found.delimiter}`,
    `  time     ${found.time} (${found.timeFormat}, ${found.timeIs}), a row every ${found.step}`,
    `  counter  ${found.entity}`,
    `  count    ${found.value}`,
    `  ${whole(read.rows)} rows of ${read.entities} counters from ${read.from} to ${read.to}`,
  ];
  const history = clock === null ? "" : "the data end in the past, so the clock starts where they end\n";
  return `${lines.join("\n")}\n${rejected}${notes.map((note) => `  ${note}\n`).join("")}written to ${file}\n${history}next: ${next}\n`;
}
