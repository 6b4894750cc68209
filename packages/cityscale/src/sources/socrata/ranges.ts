import { type Grid, localDay, startOfLocalDay } from "../../domain/index.ts";

/** Steps from one instant to another, exclusive; both are starts of steps, ms UTC. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Days between two ranges below which one query for both is the cheaper one. */
const gapMs = 7 * 86_400_000;

/** Ranges in order of time that cover the given ones. */
export function ranges(given: readonly Range[]): Range[] {
  const joined: { from: number; to: number }[] = [];
  for (const { from, to } of [...given].sort((a, b) => a.from - b.from)) {
    if (to <= from) continue;
    const last = joined.at(-1);
    if (last && from <= last.to + gapMs) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  return joined;
}

/** A range cut at the turn of each local year: a publisher's cold queries stay short. */
export function yearsOf(grid: Grid, range: Range): Range[] {
  const years: Range[] = [];
  for (let from = range.from; from < range.to; ) {
    const year = new Date(localDay(grid.timeZone, from) * 86_400_000).getUTCFullYear();
    const next = grid.startOf(
      grid.stepAt(startOfLocalDay(grid.timeZone, Date.UTC(year + 1, 0, 1) / 86_400_000)),
    );
    const to = Math.min(range.to, next);
    years.push({ from, to });
    from = to;
  }
  return years;
}
