import { parseDuration, startOfLocalDay, type Target } from "../domain/index.ts";
import { literal } from "../lake/index.ts";
import { scheduledOrigins } from "../models/index.ts";
import { findAnomalies, liveScores, scoreDays, settleAfterMs } from "../monitoring/index.ts";
import type { Batch } from "../serving/index.ts";
import { outcomesOf, settledDays } from "./outcome-days.ts";
import type { CityParts, Progress } from "./parts.ts";
import { riskOutcomes } from "./risk-outcomes.ts";

/** A schedule's instant is the origin unless the job comes much later; then it is the present. */
const catchUpMs = 30 * 60_000;

/**
 * Issues the forecasts of a target for now, or for the scheduled instant just passed; all binary targets of a city
 * are forecast together, a batch each.
 */
export async function forecast(
  parts: CityParts,
  target: Target,
  progress: Progress,
  scheduledAt?: number,
): Promise<Batch[]> {
  const now = parts.clock.now();
  const originAt = scheduledAt !== undefined && now - scheduledAt < catchUpMs ? scheduledAt : now;
  const batches = await issueAt(parts, target, Math.floor(originAt), true, progress.signal);
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const versions = [...new Set(batches.map(({ version }) => version))];
  progress.heartbeat(1, `${rows.toLocaleString("en")} forecasts by version ${versions.join(", ")}`);
  return batches;
}

async function issueAt(
  parts: CityParts,
  target: Target,
  originAt: number,
  current: boolean,
  signal: AbortSignal,
): Promise<Batch[]> {
  const { city, partitions, risk, server } = parts;
  const options = { current, signal };
  const batches =
    target.kind === "binary"
      ? await risk!.issue(originAt, options)
      : [await server.issue(target.name, originAt, options)];
  for (const { batch, target: name } of batches) {
    const end = originAt + parseDuration(city.targets[name]!.horizon);
    await partitions.mark(city.id, `forecasts[${name}]`, originAt, end, "fresh", { batch });
  }
  return batches;
}

/** Issues what the schedule would have issued in a past period; such forecasts enter no live score. */
export async function backfillForecasts(
  parts: CityParts,
  target: Target,
  from: number,
  to: number,
  progress: Progress,
): Promise<number> {
  const origins = scheduledOrigins(parts.city, target, from - 1, Math.min(to, parts.clock.now()) - 1).at;
  for (const [i, originAt] of origins.entries()) {
    progress.signal.throwIfAborted();
    await issueAt(parts, target, originAt, false, progress.signal);
    progress.heartbeat((i + 1) / origins.length, `${i + 1} of ${origins.length} origins`);
  }
  return origins.length;
}

/**
 * Joins what came true to its forecasts: judges new days, annotating the odd ones, and scores every local day that is
 * not settled yet or was touched since. What is annotated as half loaded is no outcome.
 */
export async function outcomes(
  parts: CityParts,
  target: Target,
  progress: Progress,
  range?: { from: number; to: number },
): Promise<{ days: number; rows: number }> {
  if (target.kind === "binary") return await riskOutcomes(parts, progress, range);
  const { city, lake, partitions } = parts;
  await judge(parts, target);
  const now = parts.clock.now();
  const settled = await settledDays(parts, target.name);
  const due = await lake.read((connection) =>
    connection.rows<{ day: number }>(`
      SELECT DISTINCT s.day FROM forecasts f JOIN steps s USING (t)
      WHERE f.target = ${literal(target.name)} AND s.end_at <= ${Math.floor(now)} ORDER BY s.day`),
  );
  const days = due
    .map((row) => row.day)
    .filter((day) =>
      range
        ? startOfLocalDay(city.timeZone, day + 1) > range.from &&
          startOfLocalDay(city.timeZone, day) < range.to
        : !settled.has(day),
    );
  const rows = await scoreDays(lake, city, target, days, now);
  for (const day of days) {
    const start = startOfLocalDay(city.timeZone, day);
    const end = startOfLocalDay(city.timeZone, day + 1);
    await partitions.mark(
      city.id,
      outcomesOf(target.name),
      start,
      end,
      end + settleAfterMs <= now ? "fresh" : "stale",
    );
  }
  const newest = (await lake.read((connection) => liveScores(connection, target.name, 1)))[0];
  if (newest?.wape != null)
    parts.metrics.liveScore.set({ city: city.id, target: target.name, score: "wape" }, newest.wape);
  if (newest?.naiveWape != null)
    parts.metrics.naiveLiveScore.set({ city: city.id, target: target.name, score: "wape" }, newest.naiveWape);
  progress.heartbeat(1, `${days.length} days scored`);
  return { days: days.length, rows };
}

async function judge(parts: CityParts, target: Target): Promise<void> {
  const { city, lake, log, partitions } = parts;
  const report = await findAnomalies(lake, city, target, parts.clock);
  for (const day of report.touched) {
    const [from, to] = [startOfLocalDay(city.timeZone, day), startOfLocalDay(city.timeZone, day + 1)];
    await partitions.touch(city.id, "outcomes", from, to);
  }
  for (const { kind, entity, reason } of report.found) {
    log.warn({ target: target.name, entity, kind, reason }, "a day out of the ordinary");
  }
}
