import type { Calibration } from "@cityscale/forecast";
import { binaryTargets, startOfLocalDay } from "../domain/index.ts";
import {
  riskScores,
  riskSettleMs,
  risksScoredAt,
  scoreRisks,
  type VersionThresholds,
} from "../monitoring/index.ts";
import { outcomesOf, riskForecastDays, settledDays } from "./outcome-days.ts";
import type { CityParts, Progress } from "./parts.ts";

/** Scores of a day are brought up to date so often; snapshots come every few minutes. */
const everyMs = 3_600_000;

/** Whether so long has passed since live scores were written that it is worth doing again. */
export async function riskOutcomesDue({ lake, clock }: Pick<CityParts, "lake" | "clock">): Promise<boolean> {
  const scoredAt = await lake.read(risksScoredAt);
  return scoredAt === null || clock.now() - scoredAt >= everyMs;
}

/**
 * Joins what came true to the forecasts of all binary targets: scores the newest 24 hours, and every local day of
 * origins that is not settled yet.
 */
export async function riskOutcomes(
  parts: CityParts,
  progress: Progress,
  range?: { from: number; to: number },
): Promise<{ days: number; rows: number }> {
  const { city, lake, partitions } = parts;
  const { timeZone } = city;
  const now = parts.clock.now();
  const targets = binaryTargets(city);
  const leader = targets[0]!;
  // Days whose forecasts retention has removed keep the scores they have.
  const forecast = await riskForecastDays(parts, now);
  const settled = await settledDays(parts, leader.name);
  const days = forecast.filter((day) => {
    const [start, end] = [startOfLocalDay(timeZone, day), startOfLocalDay(timeZone, day + 1)];
    return range ? end > range.from && start < range.to : !settled.has(day);
  });
  const rows = await scoreRisks(lake, city, { days, now, thresholds: thresholdsFrom(parts) });
  for (const day of days) {
    const [start, end] = [startOfLocalDay(timeZone, day), startOfLocalDay(timeZone, day + 1)];
    const state = end + riskSettleMs <= now ? "fresh" : "stale";
    for (const { name } of targets) await partitions.mark(city.id, outcomesOf(name), start, end, state);
  }
  await exportScores(parts);
  progress.heartbeat(1, `${days.length} days scored`);
  return { days: days.length, rows };
}

/** A version's own thresholds until its first calibration, and from then on those of the newest. */
export const thresholdsFrom =
  ({ city, registry }: CityParts): VersionThresholds =>
  async (target, version, from, until) => {
    const { scores } = await registry.versions.get(city.id, target.name, version);
    const own = (scores["alarms"] as Calibration["thresholds"] | undefined) ?? null;
    const newer = await registry.calibrations.during(city.id, target.name, version, { from, until });
    return (at) => {
      const inForce = newer.findLast((one) => one.at <= at);
      return inForce ? (inForce.calibration as Calibration).thresholds : own;
    };
  };

/** The champion's Brier score and average precision on onsets of the newest 24 hours, as metrics. */
async function exportScores({ city, lake, metrics }: CityParts): Promise<void> {
  for (const { name: target } of binaryTargets(city)) {
    const newest = await lake.read((connection) => riskScores(connection, target, 4));
    for (const { period, on, judged, scores } of newest) {
      if (period !== "24h" || on !== "onset") continue;
      const gauge = judged === "forecast" ? metrics.liveScore : metrics.naiveLiveScore;
      if (scores.brier !== null) gauge.set({ city: city.id, target, score: "brier" }, scores.brier);
      if (scores.averagePrecision !== null)
        gauge.set({ city: city.id, target, score: "averagePrecision" }, scores.averagePrecision);
    }
  }
}
