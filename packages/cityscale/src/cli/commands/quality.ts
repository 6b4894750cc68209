import type { Command } from "commander";
import { formatDuration } from "../../domain/index.ts";
import { print, withCityOf } from "../ask.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, withCity } from "../options.ts";
import { clip, percent, table, whole } from "../table.ts";

interface QualityAnswer {
  readonly city: string;
  readonly at: string;
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly sources: readonly {
    readonly source: string;
    readonly state: string;
    readonly ageMs: number | null;
    readonly lastError: string | null;
  }[];
  readonly measures: readonly {
    readonly measure: string;
    readonly rows: number;
    readonly newestAt: string | null;
    readonly staleMs: number | null;
    readonly completeness: number | null;
    readonly corrected: number;
    readonly late: number;
  }[];
  readonly deadCounters: readonly {
    readonly entity: string;
    readonly name: string | null;
    readonly fromAt: string;
    readonly toAt: string;
    readonly steps: number;
    readonly ongoing: boolean;
  }[];
  readonly silent: readonly {
    readonly entity: string;
    readonly name: string | null;
    readonly newestAt: string | null;
  }[];
  readonly quarantine: readonly {
    readonly source: string;
    readonly reason: string;
    readonly rows: number;
    readonly example: string | null;
  }[];
  readonly schemaChanges: readonly {
    readonly source: string;
    readonly at: string;
    readonly change: string;
  }[];
}

export function addQuality(program: Command, add: Add, io: Io): void {
  add(
    withCity(
      program.command("quality").description("what the contract and the sources say of a city's data"),
    ),
    ["cityscale quality --city paris-bikes", "cityscale quality --json"],
    (_args, flags: CityFlags) =>
      withCityOf(io, flags, {}, async (client, city) => {
        const answer = await client.request<QualityAnswer>(
          "GET",
          `/v1/cities/${encodeURIComponent(city)}/quality`,
        );
        print(io, flags.json, answer, qualityText);
        return undefined;
      }),
  );
}

/** Longest lists for people; JSON has them whole. */
const shown = 20;

function qualityText(report: QualityAnswer): string {
  const age = (ms: number | null) => (ms === null ? "never" : formatDuration(ms));
  const parts = [
    `${report.city} at ${report.at}: ${report.ok ? "in order" : "needs a look"}\n${report.problems.map((problem) => `  - ${problem}\n`).join("")}`,
    section("sources", report.sources, [
      { title: "source", value: (row) => row.source },
      { title: "state", value: (row) => row.state },
      { title: "read", value: (row) => (row.ageMs === null ? "never" : `${age(row.ageMs)} ago`) },
      { title: "error", value: (row) => clip(row.lastError ?? "", 100) },
    ]),
    section("measures", report.measures, [
      { title: "measure", value: (row) => row.measure },
      { title: "rows", align: "right", value: (row) => whole(row.rows) },
      { title: "newest", value: (row) => row.newestAt ?? "-" },
      { title: "too old by", value: (row) => age(row.staleMs) },
      { title: "last 7 days", align: "right", value: (row) => percent(row.completeness) },
      { title: "corrected", align: "right", value: (row) => whole(row.corrected) },
      { title: "late", align: "right", value: (row) => whole(row.late) },
    ]),
    section("dead counters (runs of zeros)", report.deadCounters, [
      { title: "entity", value: (row) => row.entity },
      { title: "name", value: (row) => clip(row.name ?? "", 40) },
      { title: "from", value: (row) => row.fromAt },
      { title: "to", value: (row) => (row.ongoing ? "now" : row.toAt) },
      { title: "steps", align: "right", value: (row) => whole(row.steps) },
    ]),
    section("silent for a week or more", report.silent, [
      { title: "entity", value: (row) => row.entity },
      { title: "name", value: (row) => clip(row.name ?? "", 40) },
      { title: "newest", value: (row) => row.newestAt ?? "never" },
    ]),
    section("quarantine", report.quarantine, [
      { title: "source", value: (row) => row.source },
      { title: "reason", value: (row) => row.reason },
      { title: "rows", align: "right", value: (row) => whole(row.rows) },
      { title: "example", value: (row) => clip(row.example ?? "", 70) },
    ]),
    section("changed upstream fields", report.schemaChanges, [
      { title: "source", value: (row) => row.source },
      { title: "at", value: (row) => row.at },
      { title: "change", value: (row) => row.change },
    ]),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function section<Row>(
  title: string,
  rows: readonly Row[],
  columns: Parameters<typeof table<Row>>[1],
): string {
  if (rows.length === 0) return "";
  const more = rows.length > shown ? `  and ${rows.length - shown} more; --json lists all\n` : "";
  return `${title}\n${table(rows.slice(0, shown), columns, "  ")}${more}`;
}
