import { mkdirSync } from "node:fs";
import { CityScaleError, messageOf } from "../core/index.ts";
import { naiveNames, type Target } from "../domain/index.ts";
import { exportVersion } from "../lake/index.ts";
import { judgeCandidate, type Verdict } from "../lifecycle/index.ts";
import {
  championName,
  persistenceName,
  type ScoreTable,
  type ServingModel,
  type StockOutTable,
  trainInProcess,
} from "../models/index.ts";
import type { ModelVersion, Registry } from "../registry/index.ts";
import { modelFile } from "../serving/index.ts";
import { type CityParts, lagOf, type Progress } from "./parts.ts";

export interface TrainReport {
  readonly run: string;
  readonly version: number;
  readonly scores: ScoreTable | StockOutTable;
  readonly verdict: Verdict;
  readonly champion: number;
  readonly trainingRows: number;
  readonly seconds: { readonly features: number; readonly fit: number; readonly evaluation: number };
  readonly peakRssMb: number;
}

/**
 * Dataset version -> training and judging in a process of its own -> artifact -> version -> gates -> promotion.
 * Each step is whole or not there, and can be repeated: a kill in between leaves the old champion serving.
 */
export async function train(
  parts: CityParts,
  target: Target,
  progress: Progress,
  actor: string,
): Promise<TrainReport> {
  const { city, registry } = parts;
  mkdirSync(parts.datasets, { recursive: true });
  mkdirSync(parts.temporary, { recursive: true });
  progress.heartbeat(0, "cutting a dataset version");
  const dataset = await exportVersion(parts.lake, parts.datasets, parts.clock.now());
  const run = await registry.runs.create({
    city: city.id,
    target: target.name,
    kind: "train",
    params: { ...target.training, offset: target.offset, horizon: target.horizon },
    datasetVersion: dataset.id,
    codeVersion: parts.codeVersion,
    actor,
  });
  try {
    const serving = await servingModel(parts, target);
    const trained = await trainInProcess(
      {
        dataset: dataset.folder,
        declaration: city.declaration,
        target: target.name,
        lagMs: lagOf(parts, target),
        threads: parts.threads,
        memoryMb: parts.memoryMb,
        temporary: parts.temporary,
        ...(serving ? { champion: serving } : {}),
      },
      {
        signal: progress.signal,
        onProgress: (message, share) => progress.heartbeat(0.02 + 0.93 * share, message),
      },
    );
    const { candidate } = trained;
    progress.heartbeat(0.96, "registering");
    await ensureNaive(parts, target, candidate.scores);
    const artifactId = await registry.artifacts.put({ [modelFile]: trained.model });
    const version = await registry.versions.register({
      city: city.id,
      target: target.name,
      kind: candidate.kind,
      viewId: candidate.viewId,
      columns: candidate.columns,
      types: candidate.columns.map((name) => (candidate.categorical.includes(name) ? "category" : "float32")),
      categories: {},
      datasetVersion: dataset.id,
      runId: run.id,
      artifactId,
      scores: { ...candidate.scores, test: candidate.test },
    });
    const verdict = await decide(parts, target, version, candidate.scores, actor);
    await registry.runs.finish(run.id, {
      scores: { table: candidate.scores, seconds: candidate.seconds, verdict },
    });
    await parts.partitions.mark(
      city.id,
      `model[${target.name}]`,
      candidate.test.from,
      candidate.test.to,
      "fresh",
      { version: version.version, verdict: verdict.verdict },
    );
    const { champion } = await registry.promotions.aliases(city.id, target.name);
    progress.heartbeat(
      1,
      verdict.verdict === "promote"
        ? `version ${version.version} is champion`
        : `version ${version.version} was rejected`,
    );
    return {
      run: run.id,
      version: version.version,
      scores: candidate.scores,
      verdict,
      champion: champion!,
      trainingRows: candidate.trainingRows,
      seconds: candidate.seconds,
      peakRssMb: trained.peakRssMb,
    };
  } catch (error) {
    await registry.runs.fail(run.id, error);
    // Without enough history there is nothing to train, but a naive forecast is better than none.
    if (error instanceof CityScaleError && error.code === "DATA_MISSING")
      await ensureNaive(parts, target, null);
    parts.log.error({ target: target.name, run: run.id, error: messageOf(error) }, "training failed");
    throw error;
  }
}

type NaiveVersion = Pick<Parameters<Registry["versions"]["registerNaive"]>[0], "kind" | "scores">;

/** Version 0, the best naive forecast, is the first champion. */
async function ensureNaive(
  parts: CityParts,
  target: Target,
  scores: ScoreTable | StockOutTable | null,
): Promise<void> {
  const { city, registry } = parts;
  const at = { city: city.id, target: target.name };
  const naive =
    target.kind === "binary" ? persistenceVersion(scores as StockOutTable | null) : bestNaive(scores);
  await registry.versions.registerNaive({ ...at, ...naive });
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  if (champion === null) {
    await registry.promotions.promote({
      ...at,
      version: 0,
      alias: "champion",
      actor: "system",
      reason: `the best naive forecast (${naive.kind}) is the first champion`,
    });
  }
}

function bestNaive(scores: ScoreTable | StockOutTable | null): NaiveVersion {
  const kind = naiveNames.find((name) => name === scores?.bestNaive) ?? "median-8-weeks";
  const row = scores?.models.find((model) => model.name === kind);
  return { kind, ...(row ? { scores: row as unknown as Record<string, unknown> } : {}) };
}

/** Persistence keeps its probabilities by count beside its scores; without any it is the plain rule. */
function persistenceVersion(scores: StockOutTable | null): NaiveVersion {
  const row = scores?.models.find((model) => model.name === persistenceName);
  return { kind: persistenceName, ...(row ? { scores: { ...row, rates: scores!.persistence } } : {}) };
}

async function servingModel(parts: CityParts, target: Target): Promise<ServingModel | null> {
  const { registry, city } = parts;
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  if (champion === null || champion === 0) return null;
  // As it was trained: what it was calibrated on since is a part of what it would be judged on now.
  const version = await registry.versions.get(city.id, target.name, champion);
  if (version.artifactId === null || version.viewId === null) return null;
  return {
    version: champion,
    viewId: version.viewId,
    bytes: await registry.artifacts.get(version.artifactId, modelFile),
  };
}

/** Judges a candidate by the target's gates and the champion, and promotes it when all pass. */
async function decide(
  parts: CityParts,
  target: Target,
  version: ModelVersion,
  scores: ScoreTable | StockOutTable,
  actor: string,
): Promise<Verdict> {
  const { registry, city } = parts;
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  const rival = champion === null ? null : championName(champion);
  const verdict = judgeCandidate(
    measuredValues(scores, version.kind) ?? {},
    target.gates,
    rival === null ? null : championLoss(scores, rival),
  );
  if (verdict.verdict === "promote") {
    await registry.promotions.promote({
      city: city.id,
      target: target.name,
      version: version.version,
      alias: "champion",
      actor,
      reason: verdict.reasons.join("; "),
      verdict,
    });
  } else {
    await parts.audit.record({
      actor,
      action: "reject",
      subject: `${city.id}/${target.name}/${version.version}`,
      details: { verdict },
    });
  }
  return verdict;
}

/** What gates can name of a model in a table; null where it is not there. */
function measuredValues(
  table: ScoreTable | StockOutTable,
  name: string,
): Record<string, number | null> | null {
  const { gain } = table;
  if ("below" in table) {
    const onset = table.models.find((model) => model.name === name)?.onset;
    if (!onset) return null;
    const { averagePrecision, brier, calibrationError, recall } = onset;
    return { gain, averagePrecision, brier, calibrationError, recall };
  }
  const model = table.models.find((candidate) => candidate.name === name);
  if (!model) return null;
  const { wape, mape, mase, rmse, rmsle, r2, coverage80, width80 } = model;
  return { gain, wape, mape, mase, rmse, rmsle, r2, coverage80, width80 };
}

/** The serving model's loss on the candidate's test window; null where it was not measured there. */
function championLoss(table: ScoreTable | StockOutTable, name: string) {
  const values = measuredValues(table, name);
  if (!values) return null;
  const loss = "below" in table ? "brier" : "wape";
  return { loss, value: values[loss] ?? null };
}
