import type { BinaryForecaster, Calibration } from "@cityscale/forecast";
import type { City } from "../../domain/index.ts";
import { levelHistory, profileMemoryMs, readLevels } from "../../features/index.ts";
import type { Connection } from "../../lake/index.ts";
import { forecastStockOuts } from "./forecasts.ts";
import { onsetRows, recalibrate, recalibrationMs } from "./recalibrate.ts";
import { levelTargetOf } from "./target.ts";

/**
 * Calibrations of models on the newest outcomes known at an instant, by target; none for those whose outcomes tell too
 * little. The models forecast those days again: they may be younger than the days are.
 */
export async function newestCalibrations(
  connection: Connection,
  options: {
    readonly city: City;
    readonly knownAt: number;
    /** With the instant before which each has learned: what it has seen tells nothing of what is to come. */
    readonly models: ReadonlyMap<string, { readonly model: BinaryForecaster; readonly learnedUntil: number }>;
    readonly onProgress?: (message: string, share: number) => void;
  },
): Promise<Record<string, Calibration>> {
  const { city, knownAt, models } = options;
  const since = knownAt - recalibrationMs;
  options.onProgress?.("reading snapshots", 0);
  const levels = await readLevels(connection, { from: since - profileMemoryMs, knownBy: knownAt });
  const origins = levels.knownAt.filter((at) => at >= since);
  const calibrations: Record<string, Calibration> = {};
  if (origins.length === 0) return calibrations;
  const history = await levelHistory(connection, city, levels, {
    from: since,
    until: knownAt,
    weather: "issued-or-observed",
  });
  let done = 0;
  for (const [name, { model, learnedUntil }] of models) {
    const from = Math.max(since, learnedUntil);
    const asked = levelTargetOf(city.targets[name]!);
    const own = await forecastStockOuts(
      history,
      asked,
      model.uncalibrated(),
      origins.filter((at) => at >= from),
      (share) => options.onProgress?.(`what came of ${name}`, (done + share) / models.size),
    );
    const recalibrated = recalibrate(model, [onsetRows(own, { from, knownBy: knownAt })], from);
    if (recalibrated) calibrations[name] = recalibrated.calibration;
    done++;
  }
  return calibrations;
}
