import type { LevelHistory, LevelRows, LevelTarget } from "../../features/index.ts";

/** Counts up to it are near enough to run out within the horizons. */
const nearCount = 8;

/** Shares of the rows kept: all onsets, many of those that might have been, few of those that are beyond doubt. */
const shares = { onset: 1, near: 0.2, far: 0.05, short: 0.025 } as const;

/** Rows already short weigh so much less: what becomes of them is no news, but their risk must be right too. */
const shortWeight = 0.1;

/** Rows to learn from, in time order, with their outcomes; `weight` undoes the sampling. */
export interface SampledRows {
  readonly set: LevelRows;
  /** Of each row, ms UTC. */
  readonly originAt: Float64Array;
  readonly label: Float64Array;
  readonly weight: Float64Array;
  /** 1 for onset rows: not short at the origin. */
  readonly eligible: Uint8Array;
}

/** Rows not short at their origin whose outcome is known, with probabilities that no map has corrected. */
export interface OnsetRows {
  /** Of each row's origin, ms UTC. */
  readonly at: Float64Array;
  readonly y: Float64Array;
  readonly p: Float64Array;
  /** Rows that each stands for. */
  readonly weight: Float64Array;
}

export interface SampleOptions {
  /** Origins in [from, until), ms UTC; outcomes known by `until`. */
  readonly from: number;
  readonly until: number;
  readonly seed: number;
  readonly onProgress?: (share: number) => void;
}

/**
 * Draws rows of (snapshot, station) with their features. Whether a row is drawn depends on the seed, the instant and
 * the station's id alone: the same rows from any lake, whatever else is in it.
 */
export function sampleRows(history: LevelHistory, target: LevelTarget, options: SampleOptions): SampledRows {
  const { from, until, seed, onProgress } = options;
  const { knownAt, stations } = history.levels;
  const width = stations.length;
  const origins = knownAt.filter((at) => at >= from && at < until);
  const ids = Float64Array.from(stations, ({ entity }) => textHash(entity));
  const { lowest, endRow } = history.outcomes(target, origins);
  const counts = history.counts(target.measure, origins);
  const wanted = new Uint8Array(counts.length);
  const labels: number[] = [];
  const weights: number[] = [];
  for (let i = 0, cell = 0; i < origins.length; i++) {
    const end = endRow[i]!;
    const known = end < knownAt.length && knownAt[end]! <= until;
    for (let s = 0; s < width; s++, cell++) {
      if (!known || lowest[cell]! < 0) continue;
      const count = counts[cell]!;
      const label = lowest[cell]! < target.below;
      const isShort = count < target.below;
      const kind = isShort ? "short" : label ? "onset" : count <= nearCount ? "near" : "far";
      if (!drawn(mix(mix(seed, origins[i]! / 1000), ids[s]!), shares[kind])) continue;
      wanted[cell] = 1;
      labels.push(label ? 1 : 0);
      weights.push((isShort ? shortWeight : 1) / shares[kind]);
    }
  }
  const set = history.features(target, origins, wanted, onProgress);
  return {
    set,
    originAt: Float64Array.from(set.origin, (i) => origins[i]!),
    label: Float64Array.from(labels),
    weight: Float64Array.from(weights),
    eligible: Uint8Array.from(set.count, (count) => (count >= target.below ? 1 : 0)),
  };
}

const drawn = (hash: number, share: number) => hash < share * 4_294_967_296;

/** Two whole numbers as 32 well-mixed bits (the finaliser of MurmurHash3). */
function mix(a: number, b: number): number {
  let h = (a ^ Math.imul(b | 0, 0x9e3779b1) ^ Math.floor(b / 4_294_967_296)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a of a text. */
function textHash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
