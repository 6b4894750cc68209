import { type Levels, rowAt } from "./levels.ts";
import { longestUnobservedMs } from "./side.ts";

/** Lowest counts within a horizon of origins. */
export interface Outcomes {
  /** Origins x stations; -1 where it is not known. */
  readonly lowest: Int16Array;
  /** Of each origin: the first snapshot at or after the end of its horizon, which makes it known; T without one. */
  readonly endRow: Int32Array;
  /** Of each origin: the newest snapshot at or before that end; -1 without one. */
  readonly lastRow: Int32Array;
}

/** Of one row as an origin. */
export interface RowOutcome {
  /** By station; -1 where it is not known. */
  readonly lowest: Int16Array;
  readonly endRow: number;
}

/**
 * The lowest count of each station in the snapshots of (origin, origin + horizon]. Unknown where no snapshot at or
 * after the end is there yet, where the station's newest count at the origin is missing (`newest`, by origin), or
 * where within [origin, end] there is a stretch of more than 20 minutes in which it was not observed in service. The
 * rule looks at the observation alone, never at the counts: positives and negatives are lost alike.
 *
 * @param count T x S, as in `Side`
 * @param newest the newest row known at each origin; -1 without one
 */
export function outcomesOf(
  levels: Levels,
  count: Int16Array,
  origins: Float64Array,
  newest: Int32Array,
  horizonMs: number,
): Outcomes {
  const { at } = levels;
  const width = levels.stations.length;
  const lowest = new Int16Array(origins.length * width).fill(-1);
  const endRow = new Int32Array(origins.length);
  const lastRow = new Int32Array(origins.length);
  const least = new Int16Array(width);
  const seen = new Float64Array(width);
  const gap = new Float64Array(width);
  for (let i = 0; i < origins.length; i++) {
    const origin = origins[i]!;
    const end = origin + horizonMs;
    const last = rowAt(at, end);
    lastRow[i] = last;
    endRow[i] = last >= 0 && at[last] === end ? last : last + 1;
    if (newest[i]! < 0 || endRow[i]! >= at.length) continue;
    least.fill(32767);
    seen.fill(origin);
    gap.fill(0);
    for (let row = rowAt(at, origin) + 1; row <= last; row++) {
      const taken = at[row]!;
      for (let s = 0, cell = row * width; s < width; s++, cell++) {
        const value = count[cell]!;
        if (value < 0) continue;
        const stretch = taken - seen[s]!;
        if (stretch > gap[s]!) gap[s] = stretch;
        seen[s] = taken;
        if (value < least[s]!) least[s] = value;
      }
    }
    for (let s = 0, now = newest[i]! * width, out = i * width; s < width; s++, now++, out++) {
      const covered = gap[s]! <= longestUnobservedMs && end - seen[s]! <= longestUnobservedMs;
      if (covered && count[now]! >= 0 && least[s]! < 32767) lowest[out] = least[s]!;
    }
  }
  return { lowest, endRow, lastRow };
}
