import type { LevelName } from "../../domain/index.ts";
import { type Levels, renting, returning } from "./levels.ts";

/** The longest stretch without a snapshot of a station after which an outcome is still believed. */
export const longestUnobservedMs = 20 * 60_000;

/** The longest one over which what changed counts as what came and went: two snapshots are often missing in a row. */
const longestGapMs = 40 * 60_000;

/**
 * One measure of all stations and what it did, T x S as `Levels`. A station out of service is as missing as one that
 * a snapshot does not hold.
 */
export interface Side {
  /** -1 where missing. */
  readonly count: Int16Array;
  /** The others tell nothing of rows before it. */
  readonly from: number;
  /** Sums, since that row, of all falls and of all rises from one observed count to the next. */
  readonly fallen: Int32Array;
  readonly risen: Int32Array;
  /** First row of the stretch, up to this one, without a gap too long for flows; 0 where that lies before `from`. */
  readonly unbroken: Int32Array;
  /** Row at which the count was last seen to change; -1 where it was not from `from` on. */
  readonly changed: Int32Array;
}

/** @param from first row of which more than the count is wanted */
export function sideOf(levels: Levels, measure: LevelName, from = 0): Side {
  const { at, service } = levels;
  const width = levels.stations.length;
  const cells = at.length * width;
  const told = levels[measure];
  const flag = measure === "bikes" ? renting : returning;
  const count = new Int16Array(cells);
  for (let cell = 0; cell < cells; cell++) count[cell] = (service[cell]! & flag) === 0 ? -1 : told[cell]!;
  const [fallen, risen, unbroken, changed] = [
    new Int32Array(cells),
    new Int32Array(cells),
    new Int32Array(cells),
    new Int32Array(cells),
  ];
  // Of each station: row of its newest observation, first row of its stretch, and the running sums.
  const seen = newestSeen(count, width, from);
  const start = new Int32Array(width);
  const down = new Int32Array(width);
  const up = new Int32Array(width);
  const change = new Int32Array(width).fill(-1);
  for (let row = from, cell = from * width; row < at.length; row++) {
    for (let s = 0; s < width; s++, cell++) {
      const value = count[cell]!;
      if (value >= 0) {
        const before = seen[s]!;
        if (before >= 0) {
          const step = value - count[before * width + s]!;
          if (step !== 0) change[s] = row;
          if (at[row]! - at[before]! > longestGapMs) start[s] = row;
          else if (step < 0) down[s]! -= step;
          else up[s]! += step;
        } else start[s] = row;
        seen[s] = row;
      }
      fallen[cell] = down[s]!;
      risen[cell] = up[s]!;
      unbroken[cell] = start[s]!;
      changed[cell] = change[s]!;
    }
  }
  return { count, from, fallen, risen, unbroken, changed };
}

/** Of each station, the newest row before one in which it was observed; -1 without one. */
function newestSeen(count: Int16Array, width: number, before: number): Int32Array {
  const seen = new Int32Array(width).fill(-1);
  let unseen = width;
  for (let row = before - 1; row >= 0 && unseen > 0; row--) {
    for (let s = 0, cell = row * width; s < width; s++, cell++) {
      if (seen[s]! >= 0 || count[cell]! < 0) continue;
      seen[s] = row;
      unseen--;
    }
  }
  return seen;
}
