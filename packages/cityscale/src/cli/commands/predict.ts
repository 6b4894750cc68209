import type { Command } from "commander";
import { print, withCityOf } from "../ask.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, withCity } from "../options.ts";
import { fixed, table } from "../table.ts";

interface PredictFlags extends CityFlags {
  readonly leads?: string;
  readonly whatIf?: string;
}

interface PredictionAnswer {
  readonly entity: string;
  readonly target: string;
  readonly originAtLocal: string;
  readonly modelVersion: number;
  readonly modelKind: string;
  readonly weather: string;
  readonly notes: readonly string[];
  readonly forecasts: readonly {
    readonly lead: number;
    readonly validAtLocal: string;
    readonly point: number;
    readonly p10: number | null;
    readonly p90: number | null;
    readonly naive: number | null;
  }[];
}

export function addPredict(program: Command, add: Add, io: Io): void {
  add(
    withCity(
      program
        .command("predict")
        .description("forecast one entity from the newest origin, also under other inputs")
        .argument("<entity>", "an entity's id")
        .option("--leads <list>", "steps ahead, e.g. 1-24 or 1,3,6; all of the horizon when left out")
        .option("--what-if <json>", "inputs to replace: weather, holidays, event"),
    ),
    [
      "cityscale predict 14 --leads 1-24",
      `cityscale predict 14 --city sydney-pedestrians --what-if '{"weather":{"rain":8}}' --json`,
    ],
    async ([entity], flags: PredictFlags) => {
      const leads = flags.leads === undefined ? {} : { leads: leadList(flags.leads) };
      const whatIf = flags.whatIf === undefined ? {} : { whatIf: jsonOf(flags.whatIf) };
      return await withCityOf(io, flags, {}, async (client, city) => {
        const target = flags.target === undefined ? {} : { target: flags.target };
        const answer = await client.request<PredictionAnswer>("POST", "/v1/predict", {
          city,
          ...target,
          entity,
          ...leads,
          ...whatIf,
        });
        print(io, flags.json, answer, predictionText);
        return undefined;
      });
    },
  );
}

/** Leads of a list such as `1-24` or `1,3,6-8`. Throws UsageError. */
export function leadList(text: string): number[] {
  const leads = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || first < 1 || last < first)
      throw new UsageError(`--leads ${text}: write for example 1-24 or 1,3,6`);
    for (let lead = first; lead <= last; lead++) leads.add(lead);
  }
  return [...leads];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--what-if: expected JSON such as {"weather":{"rain":8}}`, undefined, error);
  }
}

function predictionText(prediction: PredictionAnswer): string {
  const right = "right" as const;
  const head = `${prediction.target} of ${prediction.entity} from ${prediction.originAtLocal} by version ${prediction.modelVersion} (${prediction.modelKind}), weather ${prediction.weather}\n`;
  const rows = table(prediction.forecasts, [
    { title: "lead", align: right, value: (row) => String(row.lead) },
    { title: "local time", value: (row) => row.validAtLocal },
    { title: "forecast", align: right, value: (row) => fixed(row.point, 1) },
    { title: "10 %", align: right, value: (row) => fixed(row.p10, 1) },
    { title: "90 %", align: right, value: (row) => fixed(row.p90, 1) },
    { title: "naive", align: right, value: (row) => fixed(row.naive, 1) },
  ]);
  return head + rows + prediction.notes.map((note) => `${note}\n`).join("");
}
