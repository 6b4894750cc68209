/**
 * A place in rows ordered by time: the time of the last row read, cut to the second, and how many rows from that
 * second on have been read. Reading goes on with "time >= since", skipping `offset` rows: nothing is skipped when
 * many rows share one time, and offsets stay small however long the history is.
 */
export interface Position {
  /** Publisher's time, ms. */
  readonly since: number;
  readonly offset: number;
}

/**
 * The position after a page. `times` are the page's times in order; NaN where one could not be read. Rows that
 * could not be read count as rows, so a page of them still moves on.
 */
export function advance(position: Position, times: Float64Array): Position {
  let newest = Number.NEGATIVE_INFINITY;
  for (const time of times) if (time > newest) newest = time;
  const since = Math.floor(newest / 1000) * 1000;
  if (!(since > position.since)) return { since: position.since, offset: position.offset + times.length };
  let first = times.length;
  for (let i = times.length - 1; i >= 0; i--) if (times[i]! >= since) first = i;
  return { since, offset: times.length - first };
}
