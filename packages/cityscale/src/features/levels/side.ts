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
  /** Sums, since the first row, of all falls and of all rises from one observed count to the next. */
  readonly fallen: Int32Array;
  readonly risen: Int32Array;
  /** First row of the stretch, up to this one, without a gap too long for flows. */
  readonly unbroken: Int32Array;
  /** Row at which the count was last seen to change; -1 where it was not. */
  readonly changed: Int32Array;
}

export function sideOf(levels: Levels, measure: LevelName): Side {
  const { at, service } = levels;
  const width = levels.stations.length;
  const cells = at.length * width;
  const told = levels[measure];
  const flag = measure === "bikes" ? renting : returning;
  const count = new Int16Array(cells);
  const [fallen, risen, unbroken, changed] = [
    new Int32Array(cells),
    new Int32Array(cells),
    new Int32Array(cells),
    new Int32Array(cells),
  ];
  // Of each station: row and cell of its newest observation, and the running sums.
  const seen = new Int32Array(width).fill(-1);
  const start = new Int32Array(width);
  const down = new Int32Array(width);
  const up = new Int32Array(width);
  const change = new Int32Array(width).fill(-1);
  for (let row = 0, cell = 0; row < at.length; row++) {
    for (let s = 0; s < width; s++, cell++) {
      const value = (service[cell]! & flag) === 0 ? -1 : told[cell]!;
      count[cell] = value;
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
  return { count, fallen, risen, unbroken, changed };
}
