import type { Command } from "commander";
import { type DetectorName, dateOfDay, detectorNames, localDay } from "../../domain/index.ts";
import { print, withCityOf, withOwner } from "../ask.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import {
  type Add,
  type CityFlags,
  configOf,
  quietly,
  type WorldFlags,
  wholeNumber,
  withCity,
  withWorld,
} from "../options.ts";
import { listenForStop } from "../signals.ts";
import { clip, fixed, table, whole } from "../table.ts";

interface AnomaliesFlags extends WorldFlags {
  readonly target?: string;
  readonly from?: string;
  readonly to?: string;
  readonly detector?: string;
  readonly data?: string;
  readonly refit: string;
  readonly fast?: boolean;
  readonly limit?: number;
}

interface AnomalyAnswer {
  readonly kind: string;
  readonly entity: string;
  readonly fromDate: string;
  /** Last local date; null while it lasts. */
  readonly toDate: string | null;
  readonly value: number | null;
  readonly expected: number | null;
  readonly score: number | null;
  readonly knownTo: string | null;
  readonly reason: string;
}

interface AnomaliesAnswer {
  readonly city: string;
  readonly target: string;
  readonly detector: string;
  readonly threshold: number;
  readonly anomalies: readonly AnomalyAnswer[];
}

interface DismissFlags extends CityFlags {
  readonly entity?: string;
  readonly reason: string;
}

interface DismissedAnswer {
  readonly city: string;
  readonly target: string;
  readonly date: string;
  readonly entities: readonly string[];
}

export function addAnomalies(program: Command, add: Add, io: Io): void {
  add(
    withWorld(
      program
        .command("anomalies")
        .description("days out of the ordinary: odd ones, half-loaded ones, and lasting shifts of the level")
        .argument("[city]", "a city's id or file; not needed where one runs")
        .option("--target <name>", "what is forecast; the city's first target when left out")
        .option("--from <date>", "first local date")
        .option("--to <date>", "last local date")
        .option(
          "--detector <name>",
          `judge anew by one of ${detectorNames.join(", ")}; what was annotated when left out`,
        )
        .option("--limit <n>", "rows wanted", wholeNumber("--limit"))
        .optionsGroup("For a past period that nobody forecast, as with `backtest`; wants --from and --to:")
        .option("--data <root>", "folder with the data, one folder per city")
        .option("--refit <duration>", "fit anew after this time, e.g. 28d", "28d")
        .option("--fast", "trees alone: faster, a little worse"),
    ),
    [
      "cityscale anomalies nyc-311 --from 2026-01-01",
      "cityscale anomalies nyc-311 --data ../shared/data --from 2024-01-01 --to 2024-03-31 --fast",
    ],
    async ([city], flags: AnomaliesFlags) => {
      const detector = detectorOf(flags.detector);
      const answer =
        flags.data === undefined
          ? await live(io, city, flags)
          : await past(io, city, flags.data, flags, detector);
      print(io, flags.json, answer, anomaliesText);
      return undefined;
    },
  );
  add(
    withCity(
      program
        .command("dismiss")
        .description("say that a half-loaded day is whole: its values are held back no more")
        .argument("<date>", "local date")
        .option("--entity <id>", "one entity; all that are held back on the date when left out")
        .requiredOption("--reason <text>", "why; it is kept in the log"),
    ),
    ['cityscale dismiss 2026-01-26 --city nyc-311 --reason "a snow day, and all of it is there"'],
    async ([date], flags: DismissFlags) => {
      const { localDate } = await import("../period.ts");
      const { target, entity, reason } = flags;
      const body = { date: localDate("date", date!), reason, target, entity };
      return await withCityOf(io, flags, {}, async (client, city) => {
        const path = `/v1/cities/${encodeURIComponent(city)}/anomalies/dismiss`;
        const answer = await client.request<DismissedAnswer>("POST", path, body);
        print(io, flags.json, answer, dismissedText);
        return undefined;
      });
    },
  );
}

const dismissedText = ({ city, target, date, entities }: DismissedAnswer) =>
  `${target} of ${city}: ${date} is held back no more for ${entities.join(", ")}\n`;

function detectorOf(name: string | undefined): DetectorName | undefined {
  const known = detectorNames.find((detector) => detector === name);
  if (name !== undefined && known === undefined)
    throw new UsageError(`--detector ${name}: write one of ${detectorNames.join(", ")}`);
  return known;
}

async function live(io: Io, city: string | undefined, flags: AnomaliesFlags): Promise<AnomaliesAnswer> {
  const { cityIdOf, queryOf } = await import("../owner-client.ts");
  const world = city === undefined ? flags : { ...flags, city };
  return await withOwner(io, world, {}, async (client, config) => {
    const id = await cityIdOf(client, config, city);
    const { target, from, to, detector, limit } = flags;
    return await client.request<AnomaliesAnswer>(
      "GET",
      `/v1/cities/${encodeURIComponent(id)}/anomalies${queryOf({ target, from, to, detector, limit })}`,
    );
  });
}

async function past(
  io: Io,
  city: string | undefined,
  data: string,
  flags: AnomaliesFlags,
  detector: DetectorName | undefined,
): Promise<AnomaliesAnswer> {
  const { from, to, target, refit } = flags;
  if (city === undefined || from === undefined || to === undefined)
    throw new UsageError("with --data name a city, and the period by --from and --to");
  const { pastAnomalies } = await import("../anomalies.ts");
  const config = configOf(io, { home: flags.home, logLevel: quietly(io) });
  using stop = listenForStop();
  const { timeZone, ...result } = await pastAnomalies(
    {
      city,
      data,
      from,
      to,
      refit,
      fast: flags.fast === true,
      ...(target === undefined ? {} : { target }),
      ...(detector === undefined ? {} : { detector }),
    },
    config,
    io,
    stop.signal,
  );
  const date = (ms: number) => dateOfDay(localDay(timeZone, ms));
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    ...result,
    anomalies: result.anomalies
      .slice(0, flags.limit ?? result.anomalies.length)
      .map(({ fromAt, untilAt, knownAt, knownTo, ...found }) => ({
        ...found,
        fromDate: date(fromAt),
        toDate: untilAt === null ? null : date(untilAt - 1),
        knownAt: iso(knownAt),
        knownTo: knownTo === null ? null : iso(knownTo),
      })),
  };
}

function anomaliesText({ anomalies, ...of }: AnomaliesAnswer): string {
  const head = `${of.target} of ${of.city} by ${of.detector}, beyond ${of.threshold}\n`;
  if (anomalies.length === 0) return `${head}nothing out of the ordinary\n`;
  const number = (value: number | null) => (value === null ? "-" : whole(value));
  return (
    head +
    table(anomalies, [
      { title: "from", value: (row) => row.fromDate },
      { title: "to", value: (row) => row.toDate ?? "now" },
      { title: "entity", value: (row) => clip(row.entity, 40) },
      { title: "what", value: (row) => row.kind },
      { title: "score", align: "right", value: (row) => fixed(row.score, 1) },
      { title: "counted", align: "right", value: (row) => number(row.value) },
      { title: "expected", align: "right", value: (row) => number(row.expected) },
      { title: "ended", value: (row) => row.knownTo ?? "" },
      { title: "says", value: (row) => clip(row.reason, 70) },
    ])
  );
}
