import type { Command } from "commander";
import { print, withCityOf } from "../ask.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, withCity } from "../options.ts";
import { fixed, table } from "../table.ts";
import { leadList } from "./predict.ts";

interface ExplainFlags extends CityFlags {
  readonly leads: string;
}

interface ExplanationAnswer {
  readonly entity: string;
  readonly target: string;
  readonly originAtLocal: string;
  readonly modelVersion: number;
  readonly modelKind: string;
  readonly forecasts: readonly {
    readonly lead: number;
    readonly validAtLocal: string;
    readonly point: number;
    readonly expectation: number;
    readonly parts: readonly { readonly part: string; readonly contribution: number }[];
    readonly columns: readonly {
      readonly column: string;
      readonly value: number | null;
      readonly contribution: number;
    }[];
  }[];
}

export function addExplain(program: Command, add: Add, io: Io): void {
  add(
    withCity(
      program
        .command("explain")
        .description("why one entity's newest forecasts are what they are, in counts")
        .argument("<entity>", "an entity's id")
        .option("--leads <list>", "steps ahead, e.g. 1-6 or 9", "1-6"),
    ),
    ["cityscale explain 14", "cityscale explain 14 --leads 9 --json"],
    async ([entity], flags: ExplainFlags) =>
      await withCityOf(io, flags, {}, async (client, city) => {
        const answer = await client.request<ExplanationAnswer>("POST", "/v1/explain", {
          city,
          ...(flags.target === undefined ? {} : { target: flags.target }),
          entity,
          leads: leadList(flags.leads),
        });
        print(io, flags.json, answer, explanationText);
        return undefined;
      }),
  );
}

const signed = (value: number) => `${value >= 0 ? "+" : "-"}${fixed(Math.abs(value), 1)}`;

function explanationText({ forecasts, ...made }: ExplanationAnswer): string {
  const right = "right" as const;
  const head = `${made.target} of ${made.entity} from ${made.originAtLocal} by version ${made.modelVersion} (${made.modelKind})\n`;
  const parts = forecasts[0]?.parts.map(({ part }) => part) ?? [];
  const rows = table(forecasts, [
    { title: "lead", align: right, value: (row) => String(row.lead) },
    { title: "local time", value: (row) => row.validAtLocal },
    { title: "expected", align: right, value: (row) => fixed(row.expectation, 1) },
    ...parts.map((part, k) => ({
      title: part,
      align: right,
      value: (row: ExplanationAnswer["forecasts"][number]) => signed(row.parts[k]!.contribution),
    })),
    { title: "forecast", align: right, value: (row) => fixed(row.point, 1) },
  ]);
  const moved = forecasts.map(
    ({ lead, columns }) =>
      `lead ${lead}: ${columns.map(({ column, value, contribution }) => `${column}${value === null ? "" : ` ${Number(value.toPrecision(3))}`} ${signed(contribution)}`).join(", ")}\n`,
  );
  return head + rows + moved.join("");
}
