import { mkdirSync } from "node:fs";
import { CityScaleError, messageOf } from "../core/index.ts";
import { type NaiveName, naiveNames, type Target } from "../domain/index.ts";
import { exportVersion } from "../lake/index.ts";
import { judgeCandidate, type Verdict } from "../lifecycle/index.ts";
import {
  championName,
  type ModelScores,
  type ScoreTable,
  type ServingModel,
  trainInProcess,
} from "../models/index.ts";
import type { ModelVersion } from "../registry/index.ts";
import { modelFile } from "../serving/index.ts";
import { type CityParts, lagOf, type Progress } from "./parts.ts";

export interface TrainReport {
  readonly run: string;
  readonly version: number;
  readonly scores: ScoreTable;
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
    await ensureNaive(parts, target, candidate.scores.bestNaive as NaiveName, candidate.scores);
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
      await ensureNaive(parts, target, "median-8-weeks", null);
    parts.log.error(
      { city: city.id, target: target.name, run: run.id, error: messageOf(error) },
      "training failed",
    );
    throw error;
  }
}

/** Version 0, the best naive forecast, is the first champion. */
async function ensureNaive(
  parts: CityParts,
  target: Target,
  best: NaiveName,
  scores: ScoreTable | null,
): Promise<void> {
  const { city, registry } = parts;
  const at = { city: city.id, target: target.name };
  const kind = naiveNames.includes(best) ? best : "median-8-weeks";
  const row = scores?.models.find((model) => model.name === kind);
  await registry.versions.registerNaive({
    ...at,
    kind,
    ...(row ? { scores: row as unknown as Record<string, unknown> } : {}),
  });
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  if (champion === null) {
    await registry.promotions.promote({
      ...at,
      version: 0,
      alias: "champion",
      actor: "system",
      reason: `the best naive forecast (${kind}) is the first champion`,
    });
  }
}

async function servingModel(parts: CityParts, target: Target): Promise<ServingModel | null> {
  const { registry, city } = parts;
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  if (champion === null || champion === 0) return null;
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
  scores: ScoreTable,
  actor: string,
): Promise<Verdict> {
  const { registry, city } = parts;
  const { champion } = await registry.promotions.aliases(city.id, target.name);
  const trained = scores.models.find((model) => model.name === version.kind);
  const serving = scores.models.find((model) => champion !== null && model.name === championName(champion));
  const verdict = judgeCandidate(
    measuredValues(trained, scores),
    target.gates,
    serving ? { wape: serving.wape } : null,
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

/** What gates can name. */
export function measuredValues(
  model: ModelScores | undefined,
  table: Pick<ScoreTable, "gain">,
): Record<string, number | null> {
  return {
    gain: table.gain,
    wape: model?.wape ?? null,
    mape: model?.mape ?? null,
    mase: model?.mase ?? null,
    rmse: model?.rmse ?? null,
    rmsle: model?.rmsle ?? null,
    r2: model?.r2 ?? null,
    coverage80: model?.coverage80 ?? null,
    width80: model?.width80 ?? null,
  };
}
