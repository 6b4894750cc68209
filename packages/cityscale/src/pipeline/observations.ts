import { isAbort, messageOf } from "../core/index.ts";
import { dayOfDate, parseDuration, startOfLocalDay } from "../domain/index.ts";
import type { MergeReport } from "../lake/index.ts";
import type { CityParts, Progress } from "./parts.ts";

export interface SourceReport {
  readonly source: string;
  readonly rows: number;
  readonly rejected: number;
  readonly pages: number;
  /** What stopped the read; null when it ended well. */
  readonly error: string | null;
}

export interface IngestReport {
  readonly sources: readonly SourceReport[];
  readonly merge: MergeReport;
}

/**
 * Reads every source from its cursor (or a range of it again), stores what came page by page, and merges it into
 * the clean tables. A source that fails is noted and does not hold up the others; when a source of counts fails,
 * its error is thrown once the rest is done, so that the job is tried again.
 */
export async function ingest(
  parts: CityParts,
  progress: Progress,
  options: { range?: { from: number; to: number } } = {},
): Promise<IngestReport> {
  const { city, lake } = parts;
  const counted = new Set(Object.values(city.measures).map((measure) => measure.from));
  const shares = new Map<string, number>();
  let failure: unknown;
  // All of them have ended before an error goes on: the next attempt must not meet reads of this one.
  const settled = await Promise.allSettled(
    [...parts.sources.keys()].map(async (name): Promise<SourceReport> => {
      const report = { source: name, rows: 0, rejected: 0, pages: 0 };
      const poll = await lake.beginPoll(name);
      try {
        const state = await lake.sourceState(name);
        const now = parts.clock.now();
        const pages = parts.sources.get(name)!.read({
          cursor: state.cursor,
          from: options.range?.from ?? historyStart(parts, state.firstReadAt ?? now),
          to: options.range?.to ?? now,
          mode: options.range ? "range" : "incremental",
          signal: progress.signal,
        });
        for await (const page of pages) {
          const stored = await lake.append(name, poll, page, options.range !== undefined);
          report.rows += stored.rows;
          report.rejected += stored.rejected;
          report.pages++;
          parts.metrics.ingestedRows.inc({ city: city.id, source: name }, stored.rows);
          if (counted.has(name)) {
            shares.set(name, page.progress ?? 0);
            const share = Math.min(...[...counted].map((source) => shares.get(source) ?? 0));
            progress.heartbeat(0.9 * share, `${report.rows.toLocaleString("en")} rows from ${name}`);
          }
        }
        await lake.endPoll(name, null);
        return { ...report, error: null };
      } catch (error) {
        if (progress.signal.aborted || isAbort(error)) throw error;
        const message = messageOf(error);
        await lake.endPoll(name, message);
        parts.log.warn({ source: name, error: message }, "a source could not be read; the rest goes on");
        if (counted.has(name)) failure ??= error;
        return { ...report, error: message };
      }
    }),
  );
  const reports = settled.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
  progress.heartbeat(0.92, "checking rows against the contract");
  const merge = await lake.merge();
  // A first read leaves the engine with its hands full; an hour's rows do not.
  if (merge.inserted > 100_000) await lake.read((connection) => connection.trim());
  for (const range of merge.touched) {
    const from = city.grid.startOf(range.fromT);
    const to = city.grid.endOf(range.toT);
    await parts.partitions.mark(city.id, "observations", from, to, "fresh", {
      inserted: merge.inserted,
      corrected: merge.corrected,
    });
    await parts.partitions.touch(city.id, "outcomes", from, to);
  }
  if (merge.quarantined > 0)
    parts.metrics.quarantinedRows.inc({ city: city.id, reason: "contract" }, merge.quarantined);
  parts.log.info(
    {
      city: city.id,
      ...merge,
      touched: undefined,
      sources: reports
        .map((report) => `${report.source}:${report.error === null ? report.rows : "failed"}`)
        .join(" "),
    },
    "ingested",
  );
  if (failure !== undefined) throw failure;
  // Snapshots go past the merge.
  const levels = new Set(
    Object.values(city.measures).flatMap(({ kind, from }) => (kind === "level" ? [from] : [])),
  );
  const snapshots = reports.reduce((sum, { source, rows }) => sum + (levels.has(source) ? rows : 0), 0);
  progress.heartbeat(1, `${(merge.inserted + snapshots).toLocaleString("en")} new rows`);
  return { sources: reports, merge };
}

/** Earliest instant wanted; a duration counts back from the first read, so that it stays where it was. */
function historyStart(parts: CityParts, firstReadAt: number): number {
  const { city } = parts;
  return /^\d{4}-/.test(city.history)
    ? startOfLocalDay(city.timeZone, dayOfDate(city.history))
    : firstReadAt - parseDuration(city.history);
}
