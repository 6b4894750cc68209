import { mkdirSync } from "node:fs";
import { binaryTargets } from "../domain/index.ts";
import { hasWeather } from "../features/index.ts";
import { exportVersion } from "../lake/index.ts";
import { levelTargetOf, recalibrateInProcess, stockOutView } from "../models/index.ts";
import { modelFile } from "../serving/index.ts";
import type { CityParts, Progress } from "./parts.ts";

/**
 * Calibrates the champions of all binary targets on the newest outcomes, in a process of its own: trees rank for months,
 * what comes of their probabilities drifts within weeks. Returns the targets that have a new calibration; a target with
 * too few outcomes keeps the one it has.
 */
export async function recalibrate(parts: CityParts, progress: Progress): Promise<{ targets: string[] }> {
  const { city, registry } = parts;
  const versions: Record<string, number> = {};
  const models: Record<string, { bytes: Uint8Array; learnedUntil: number }> = {};
  for (const target of binaryTargets(city)) {
    const { champion } = await registry.promotions.aliases(city.id, target.name);
    if (champion === null || champion === 0) continue;
    const { artifactId, viewId, scores } = await registry.versions.get(city.id, target.name, champion);
    if (artifactId === null || viewId !== stockOutView(levelTargetOf(target), hasWeather(city)).id) continue;
    versions[target.name] = champion;
    models[target.name] = {
      bytes: await registry.artifacts.get(artifactId, modelFile),
      // Its test window was kept from it.
      learnedUntil: (scores["test"] as { from: number }).from,
    };
  }
  if (Object.keys(models).length === 0) return { targets: [] };
  mkdirSync(parts.datasets, { recursive: true });
  progress.heartbeat(0, "cutting a dataset version");
  const dataset = await exportVersion(parts.lake, parts.datasets, parts.clock.now());
  const calibrations = await recalibrateInProcess(
    {
      dataset: dataset.folder,
      declaration: city.declaration,
      models,
      threads: parts.threads,
      memoryMb: parts.memoryMb,
      temporary: parts.temporary,
    },
    {
      signal: progress.signal,
      onProgress: (message, share) => progress.heartbeat(0.05 + 0.9 * share, message),
    },
  );
  const targets = Object.keys(calibrations);
  for (const target of targets) {
    await registry.calibrations.add({
      ...{ city: city.id, target, version: versions[target]!, datasetVersion: dataset.id },
      calibration: calibrations[target],
    });
  }
  progress.heartbeat(1, `${targets.length} of ${Object.keys(models).length} champions calibrated`);
  return { targets };
}
