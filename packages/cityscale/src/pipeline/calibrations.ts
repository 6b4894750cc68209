import { inScratch, messageOf } from "../core/index.ts";
import { binaryTargets } from "../domain/index.ts";
import { hasWeather } from "../features/index.ts";
import { exportVersion } from "../lake/index.ts";
import { levelTargetOf, recalibrateInProcess, stockOutView } from "../models/index.ts";
import { modelFile } from "../serving/index.ts";
import type { CityParts, Progress } from "./parts.ts";

/**
 * Calibrates the champions of all binary targets on the newest outcomes, in a process of its own: trees rank for months,
 * what comes of their probabilities drifts within weeks. One dataset version a day would be too many to keep: it is gone
 * afterwards. Returns the targets that have a new calibration; a target with too few outcomes keeps the one it has.
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
    try {
      const bytes = await registry.artifacts.get(artifactId, modelFile);
      // Its test window was kept from it.
      models[target.name] = { bytes, learnedUntil: (scores["test"] as { from: number }).from };
      versions[target.name] = champion;
    } catch (error) {
      // The others are calibrated all the same; this one is not served with either.
      parts.log.error(
        { target: target.name, version: champion, error: messageOf(error) },
        "cannot be calibrated",
      );
    }
  }
  if (Object.keys(models).length === 0) return { targets: [] };
  const { calibrations, datasetVersion } = await inScratch(
    parts.temporary,
    "calibration",
    async (scratch) => {
      progress.heartbeat(0, "cutting a dataset version");
      const dataset = await exportVersion(parts.lake, scratch, parts.clock.now());
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
      return { calibrations, datasetVersion: dataset.id };
    },
  );
  const targets = Object.keys(calibrations);
  for (const target of targets) {
    await registry.calibrations.add({
      ...{ city: city.id, target, version: versions[target]!, datasetVersion },
      calibration: calibrations[target],
    });
  }
  progress.heartbeat(1, `${targets.length} of ${Object.keys(models).length} champions calibrated`);
  return { targets };
}
