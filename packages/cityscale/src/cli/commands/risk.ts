import type { Command } from "commander";
import { print, withOwner } from "../ask.ts";
import type { Io } from "../io.ts";
import { type Add, type WorldFlags, wholeNumber, withWorld } from "../options.ts";
import { clip, fixed, percent, table } from "../table.ts";

interface RiskFlags extends WorldFlags {
  readonly top?: number;
}

interface RiskAnswer {
  readonly city: string;
  readonly originAtLocal: string;
  readonly below: number;
  readonly notes: readonly string[];
  readonly moves: readonly {
    readonly station: string;
    readonly name: string | null;
    readonly measure: "bikes" | "docks";
    readonly count: number;
    readonly trajectory: readonly { readonly minutes: number; readonly probability: number }[];
    readonly shortfall: number;
    readonly bikes: number;
    readonly partner: string | null;
    readonly partnerName: string | null;
    readonly distanceKm: number | null;
  }[];
}

export function addRisk(program: Command, add: Add, io: Io): void {
  add(
    withWorld(
      program
        .command("risk")
        .description("stations about to run out of bikes or docks, and what to move")
        .argument("[city]", "a city's id or file; not needed where one runs")
        .option("--top <n>", "stations wanted, 10 when left out", wholeNumber("--top")),
    ),
    ["cityscale risk bay-wheels --top 20", "cityscale risk --json"],
    async ([city], flags: RiskFlags) => {
      const { cityIdOf, queryOf } = await import("../owner-client.ts");
      const world = city === undefined ? flags : { ...flags, city };
      const answer = await withOwner(io, world, {}, async (client, config) => {
        const id = await cityIdOf(client, config, city);
        const { top } = flags;
        return await client.request<RiskAnswer>(
          "GET",
          `/v1/cities/${encodeURIComponent(id)}/risk${queryOf({ top })}`,
        );
      });
      print(io, flags.json, answer, riskText);
      return undefined;
    },
  );
}

function riskText({ city, originAtLocal, below, notes, moves }: RiskAnswer): string {
  const head = `${city}, from ${originAtLocal}: fewer than ${below} at any moment to come\n`;
  const told = notes.map((note) => `  ${note}\n`).join("");
  if (moves.length === 0) return `${head}nothing at risk\n${told}`;
  const minutes = [...new Set(moves.flatMap(({ trajectory }) => trajectory.map((lead) => lead.minutes)))];
  const right = "right" as const;
  return (
    head +
    table(moves, [
      { title: "station", value: (row) => clip(row.name ?? row.station, 36) },
      { title: "runs out of", value: (row) => row.measure },
      { title: "now", align: right, value: (row) => String(row.count) },
      ...minutes
        .sort((a, b) => a - b)
        .map((lead) => ({
          title: `${lead} min`,
          align: right,
          value: (row: (typeof moves)[number]) =>
            percent(row.trajectory.find((one) => one.minutes === lead)?.probability ?? null),
        })),
      { title: "short by", align: right, value: (row) => fixed(row.shortfall, 1) },
      { title: "move", value: moveText },
    ]) +
    told
  );
}

function moveText({ bikes, partner, partnerName, distanceKm }: RiskAnswer["moves"][number]): string {
  if (partner === null) return "no station near can help";
  const verb = bikes > 0 ? `bring ${bikes} from` : `take ${-bikes} to`;
  return `${verb} ${clip(partnerName ?? partner, 36)}, ${fixed(distanceKm, 1)} km`;
}
