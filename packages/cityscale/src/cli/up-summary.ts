import type { App, LoopReport } from "../app/index.ts";
import { formatDuration } from "../domain/index.ts";
import type { Verdict } from "../lifecycle/index.ts";
import type { ScoreTable, StockOutTable } from "../models/index.ts";
import type { TrainReport } from "../pipeline/index.ts";
import type { Batch } from "../serving/index.ts";
import { scoreTable } from "./score-table.ts";
import { stockOutScores } from "./stock-out-scores.ts";
import { instant, seconds, table, whole } from "./table.ts";

/** How long one stage of the loop took. */
export interface StageTime {
  readonly stage: string;
  readonly city: string;
  readonly seconds: number;
  readonly outcome: string;
}

interface TargetSummary {
  readonly city: string;
  readonly target: string;
  readonly champion: number | null;
  /** Of the model trained in this loop, or of the champion. */
  readonly scores: ScoreTable | StockOutTable | null;
  /** Null when nothing was trained. */
  readonly verdict: Verdict | null;
  readonly batch: Batch | null;
}

export interface LoopSummary {
  readonly targets: readonly TargetSummary[];
  readonly failures: readonly { readonly asset: string; readonly code: string; readonly message: string }[];
  readonly totalSeconds: number;
  /** Largest resident sizes: this process, and the process that trained (null when none did). */
  readonly peakRssMb: { readonly main: number; readonly training: number | null };
}

export async function loopSummary(app: App, report: LoopReport, totalMs: number): Promise<LoopSummary> {
  const done = report.jobs.filter((job) => job.state === "succeeded");
  const trainings = done.flatMap((job) => (job.kind === "model" ? [job.result as TrainReport] : []));
  const targets: TargetSummary[] = [];
  for (const { city, server } of app.cities.values()) {
    for (const target of Object.keys(city.targets)) {
      const job = done.find(({ kind, payload }) => {
        const at = payload as { city: string; target?: string };
        return kind === "model" && at.city === city.id && at.target === target;
      });
      const trained = job?.result as TrainReport | undefined;
      const { champion } = await app.registry.promotions.aliases(city.id, target);
      const version =
        champion === null || champion === 0
          ? null
          : await app.registry.versions.get(city.id, target, champion);
      targets.push({
        city: city.id,
        target,
        champion,
        scores: trained?.scores ?? (version?.scores as ScoreTable | StockOutTable | undefined) ?? null,
        verdict: trained?.verdict ?? null,
        batch: (await server.batches(target, 1))[0] ?? null,
      });
    }
  }
  return {
    targets,
    failures: report.failures.map((job) => ({
      asset: job.kind,
      code: job.error?.code ?? "ABORTED",
      message: job.error?.message ?? job.message ?? job.state,
    })),
    totalSeconds: Number((totalMs / 1000).toFixed(2)),
    peakRssMb: {
      main: Math.round(process.resourceUsage().maxRSS / 1024),
      training:
        trainings.length === 0
          ? null
          : Math.round(Math.max(...trainings.map((training) => training.peakRssMb))),
    },
  };
}

/** The summary for people. */
export function summaryText(summary: LoopSummary, stages: readonly StageTime[]): string {
  const parts = summary.targets.map(targetText);
  const times = stages.map((stage) => `${stage.stage} ${stage.seconds.toFixed(1)} s`).join(", ");
  const { main, training } = summary.peakRssMb;
  parts.push(`stages: ${times || "none"}
whole loop: ${seconds(1000 * summary.totalSeconds)}; at most ${main} MB resident${training === null ? "" : `, and ${training} MB in the training process`}
`);
  return parts.map((part) => `\n${part}`).join("");
}

function targetText({ city, target, champion, scores, verdict, batch }: TargetSummary): string {
  const lines = [`${city}: ${target}, champion ${championText(champion)}\n`];
  lines.push(trainedText({ scores, verdict }));
  if (batch) lines.push(batchText(batch));
  return lines.join("");
}

/** What a training is judged by, and how. */
export const trainedText = ({ scores, verdict }: Pick<TargetSummary, "scores" | "verdict">): string =>
  [
    scores === null ? "" : "below" in scores ? stockOutScores(scores) : scoreTable(scores),
    verdict === null ? "" : verdictText(verdict),
  ].join("");

const championText = (champion: number | null) =>
  champion === null
    ? "none yet"
    : champion === 0
      ? "is the naive forecast (version 0)"
      : `is version ${champion}`;

/** A verdict with each gate's value and bounds. */
function verdictText(verdict: Verdict): string {
  const number = (value: number | null) => (value === null ? "-" : String(Number(value.toPrecision(4))));
  const gates = table(
    verdict.gates,
    [
      { title: "gate", value: (gate) => gate.gate },
      { title: "value", align: "right", value: (gate) => number(gate.value) },
      { title: "at least", align: "right", value: (gate) => number(gate.min) },
      { title: "at most", align: "right", value: (gate) => number(gate.max) },
      { title: "", value: (gate) => (gate.passed ? "passed" : `FAILED: ${gate.reason}`) },
    ],
    "  ",
  );
  return `verdict: ${verdict.verdict}: ${verdict.reasons.join("; ")}\n${gates}`;
}

function batchText(batch: Batch): string {
  const notes = batch.notes.map((note) => `  ${note}\n`).join("");
  return `forecasts: ${whole(batch.rows)} for ${batch.entities} entities from ${instant(batch.originAt)} by version ${batch.version}, newest count ${formatDuration(batch.countsAgeMs)} old, in ${seconds(batch.tookMs)}\n${notes}`;
}
