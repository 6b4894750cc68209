import type { BinMapper } from "./bins.ts";
import type { ResolvedParams } from "./params.ts";
import { mix } from "./random.ts";

/**
 * The best split of one leaf, as numbers in a Float64Array so that workers can publish it. `leftPacked` is the
 * exact packed sum (gradient * 2^K + hessian) of the rows that go left.
 */
export const splitFields = {
  gain: 0,
  feature: 1,
  /** Numeric: bins 0..bin go left. */
  bin: 2,
  defaultLeft: 3,
  leftPacked: 4,
  leftCount: 5,
  /** 0 numeric, 1 one category against the rest, 2 sorted subset. */
  kind: 6,
  /** Eight 32-bit words: the categorical bins that go left. */
  set: 8,
} as const;
export const splitSize = 16;

/** What a search for a leaf's best split needs to know of it. */
export interface LeafView {
  packed: number;
  count: number;
  l2: number;
  lower: number;
  upper: number;
}

/**
 * Searches histograms for the best split. Gradients stay in quantised units (whole numbers), so that gains of
 * huge or tiny targets neither overflow nor vanish; hessians are in their own units.
 */
export class SplitFinder {
  readonly #params: ResolvedParams;
  readonly #mappers: readonly BinMapper[];
  readonly #order = new Int32Array(256);
  readonly #ratio = new Float64Array(256);
  /** 2^K. */
  readonly #unit: number;
  readonly #constantHessian: boolean;
  /** True hessian of one quantum. */
  #hessianQuantum = 1;
  /** True gradient of one quantum. */
  #gradientQuantum = 1;

  constructor(params: ResolvedParams, mappers: readonly BinMapper[], unit: number, constantHessian: boolean) {
    this.#params = params;
    this.#mappers = mappers;
    this.#unit = unit;
    this.#constantHessian = constantHessian;
  }

  setQuanta(gradient: number, hessian: number): void {
    this.#gradientQuantum = gradient;
    this.#hessianQuantum = hessian;
  }

  /** The gradient sum (in quanta) in a packed sum. */
  gradientOf(packed: number): number {
    return Math.floor(packed / this.#unit);
  }

  /** The true hessian sum in a packed sum. */
  hessianOf(packed: number): number {
    return (packed - Math.floor(packed / this.#unit) * this.#unit) * this.#hessianQuantum;
  }

  /** The true value of a leaf, clipped to its bounds. */
  leafValue(leaf: LeafView): number {
    const g = this.gradientOf(leaf.packed) * this.#gradientQuantum;
    const h = this.hessianOf(leaf.packed) + leaf.l2;
    const { lambdaL1 } = this.#params;
    const shrunk = Math.sign(g) * Math.max(0, Math.abs(g) - lambdaL1);
    const value = h > 0 ? -shrunk / h : 0;
    return Math.max(leaf.lower, Math.min(leaf.upper, value)) + 0;
  }

  /** The gain that a split must exceed, in squared gradient quanta. */
  parentGain(leaf: LeafView): number {
    const { lambdaL1, lambdaL2, minGainToSplit } = this.#params;
    const g = shrink(this.gradientOf(leaf.packed), lambdaL1 / this.#gradientQuantum);
    const h = this.hessianOf(leaf.packed) + lambdaL2;
    const own = this.#params.monotoneConstraints ? this.#gainAt(g, h, leaf) : h > 0 ? (g * g) / h : 0;
    const wanted = minGainToSplit / this.#gradientQuantum / this.#gradientQuantum;
    // The margin keeps rounding noise from passing for gain.
    return own * (1 + 1e-12) + (Number.isNaN(wanted) ? 0 : wanted) + 1e-300;
  }

  /** Gain of a leaf with gradient g (quanta) and hessian h when its output is clipped to the bounds. */
  #gainAt(g: number, h: number, leaf: LeafView): number {
    if (!(h > 0)) return 0;
    const quantum = this.#gradientQuantum;
    const out = Math.max(leaf.lower / quantum, Math.min(leaf.upper / quantum, -g / h));
    return -(2 * g * out + h * out * out);
  }

  /** True gain of a found split over its parent. */
  trueGain(gain: number, leaf: LeafView): number {
    const own = gain - this.parentGain(leaf);
    return Math.max(0, own) * this.#gradientQuantum * this.#gradientQuantum;
  }

  /**
   * Looks at column `feature`, whose bins start at hist[at], and writes to `best` where it beats what is there.
   * @param draw a random number of the node, for extra-trees
   */
  scan(
    feature: number,
    hist: Float64Array,
    at: number,
    leaf: LeafView,
    best: Float64Array,
    draw: number,
  ): void {
    const mapper = this.#mappers[feature]!;
    if (mapper.categorical) {
      this.#scanCategories(feature, mapper.bins, hist, at, leaf, best, draw);
      return;
    }
    const { bins } = mapper;
    const missing = mapper.hasMissing ? hist[at + bins]! : 0;
    if (bins < 2 && missing === 0) return;
    const { lambdaL1, extraTrees, monotoneConstraints } = this.#params;
    if (lambdaL1 > 0 || extraTrees || monotoneConstraints) {
      const direction = monotoneConstraints?.[feature] ?? 0;
      const only = extraTrees ? mix(draw + feature) % Math.max(1, bins - (missing === 0 ? 1 : 0)) : -1;
      this.#scanGeneral(feature, bins, hist, at, leaf, best, 0, missing, direction, only);
      if (missing !== 0)
        this.#scanGeneral(feature, bins, hist, at, leaf, best, missing, missing, direction, only);
      return;
    }
    this.#scanPlain(feature, bins, hist, at, leaf, best, 0, missing);
    if (missing !== 0) this.#scanPlain(feature, bins, hist, at, leaf, best, missing, missing);
  }

  /** The hot loop: L2 only. `first` is what is on the left before any bin (the missing rows, or nothing). */
  #scanPlain(
    feature: number,
    bins: number,
    hist: Float64Array,
    at: number,
    leaf: LeafView,
    best: Float64Array,
    first: number,
    missing: number,
  ): void {
    const unit = this.#unit;
    const inverse = 1 / unit;
    const quantum = this.#hessianQuantum;
    const total = leaf.packed;
    const totalG = Math.floor(total * inverse);
    const totalH = total - totalG * unit;
    const perHessian = this.#constantHessian ? 1 : leaf.count / totalH;
    const { minDataInLeaf, minSumHessianInLeaf, lambdaL2 } = this.#params;
    // In hessian quanta, so that the loop compares whole numbers.
    const least = Math.max(minSumHessianInLeaf / quantum, (minDataInLeaf - 0.5) / perHessian, 0.5);
    const most = totalH - least;
    // The best within this column, as a fraction: the same split again, past an empty bin, must not pass for a
    // better one by rounding. Columns meet by their gains alone, whichever worker searched them.
    let bestUp = 0;
    let bestDown = 1;
    let bestBin = -1;
    let bestPacked = 0;
    const last = missing !== 0 && first === 0 ? bins : bins - 1;
    let packed = first;
    for (let b = 0; b < last; b++) {
      packed += hist[at + b]!;
      const g = Math.floor(packed * inverse);
      const hq = packed - g * unit;
      if (hq < least) continue;
      if (hq > most) break;
      const h = hq * quantum + lambdaL2;
      const r = (totalH - hq) * quantum + lambdaL2;
      const rg = totalG - g;
      const up = g * g * r + rg * rg * h;
      const down = h * r;
      if (up * bestDown > bestUp * down) {
        bestUp = up;
        bestDown = down;
        bestBin = b;
        bestPacked = packed;
      }
    }
    const gain = bestUp / bestDown;
    if (!(gain > best[splitFields.gain]!)) return;
    this.#write(best, feature, gain, bestBin, bestPacked, leaf, first !== 0, missing === 0);
  }

  /** As #scanPlain, with L1, monotone constraints and extra-trees. */
  #scanGeneral(
    feature: number,
    bins: number,
    hist: Float64Array,
    at: number,
    leaf: LeafView,
    best: Float64Array,
    first: number,
    missing: number,
    direction: number,
    only: number,
  ): void {
    const { minDataInLeaf, minSumHessianInLeaf, lambdaL1, lambdaL2, monotoneConstraints } = this.#params;
    const l1 = lambdaL1 / this.#gradientQuantum;
    const totalG = this.gradientOf(leaf.packed);
    const totalH = this.hessianOf(leaf.packed);
    const perHessian = leaf.count / totalH;
    const last = missing !== 0 && first === 0 ? bins : bins - 1;
    let bestGain = best[splitFields.gain]!;
    let bestBin = -1;
    let bestPacked = 0;
    let packed = first;
    for (let b = 0; b < last; b++) {
      packed += hist[at + b]!;
      if (only >= 0 && b !== only) continue;
      const h = this.hessianOf(packed);
      const r = totalH - h;
      if (h < minSumHessianInLeaf || Math.round(h * perHessian) < Math.max(1, minDataInLeaf) || h <= 0)
        continue;
      if (r < minSumHessianInLeaf || Math.round(r * perHessian) < Math.max(1, minDataInLeaf) || r <= 0) break;
      const g = this.gradientOf(packed);
      const lg = shrink(g, l1);
      const rg = shrink(totalG - g, l1);
      let gain: number;
      if (monotoneConstraints) {
        const quantum = this.#gradientQuantum;
        const lower = leaf.lower / quantum;
        const upper = leaf.upper / quantum;
        const leftOut = Math.max(lower, Math.min(upper, -lg / (h + lambdaL2)));
        const rightOut = Math.max(lower, Math.min(upper, -rg / (r + lambdaL2)));
        if ((direction > 0 && leftOut > rightOut) || (direction < 0 && leftOut < rightOut)) continue;
        gain = this.#gainAt(lg, h + lambdaL2, leaf) + this.#gainAt(rg, r + lambdaL2, leaf);
      } else {
        gain = (lg * lg) / (h + lambdaL2) + (rg * rg) / (r + lambdaL2);
      }
      if (gain > bestGain) {
        bestGain = gain;
        bestBin = b;
        bestPacked = packed;
      }
    }
    if (bestBin < 0) return;
    this.#write(best, feature, bestGain, bestBin, bestPacked, leaf, first !== 0, missing === 0);
  }

  #write(
    best: Float64Array,
    feature: number,
    gain: number,
    bin: number,
    packed: number,
    leaf: LeafView,
    missingLeft: boolean,
    noMissing: boolean,
  ): void {
    const h = this.hessianOf(packed);
    const total = this.hessianOf(leaf.packed);
    best[splitFields.gain] = gain;
    best[splitFields.feature] = feature;
    best[splitFields.bin] = bin;
    // Where nothing was missing, a missing value goes with the heavier side.
    best[splitFields.defaultLeft] = (noMissing ? h * 2 >= total : missingLeft) ? 1 : 0;
    best[splitFields.leftPacked] = packed;
    best[splitFields.leftCount] = Math.round((h / total) * leaf.count);
    best[splitFields.kind] = 0;
  }

  /**
   * One category against the rest for few categories, else categories sorted by gradient over smoothed hessian
   * and cut from both ends (LightGBM's FindBestThresholdCategorical). Missing rows always go right.
   */
  #scanCategories(
    feature: number,
    bins: number,
    hist: Float64Array,
    at: number,
    leaf: LeafView,
    best: Float64Array,
    draw: number,
  ): void {
    const p = this.#params;
    const totalG = this.gradientOf(leaf.packed);
    const totalH = this.hessianOf(leaf.packed);
    const perHessian = leaf.count / totalH;
    const l1 = p.lambdaL1 / this.#gradientQuantum;
    const onehot = bins <= p.maxCatToOnehot;
    const l2 = p.lambdaL2 + (onehot ? 0 : p.catL2);
    const leastRows = Math.max(1, p.minDataInLeaf);
    const gainOf = (packed: number): number => {
      const h = this.hessianOf(packed);
      const g = this.gradientOf(packed);
      const lg = shrink(g, l1);
      const rg = shrink(totalG - g, l1);
      if (p.monotoneConstraints) {
        return this.#gainAt(lg, h + l2, leaf) + this.#gainAt(rg, totalH - h + l2, leaf);
      }
      return (lg * lg) / (h + l2) + (rg * rg) / (totalH - h + l2);
    };
    const fits = (h: number): boolean =>
      h > 0 && h >= p.minSumHessianInLeaf && Math.round(h * perHessian) >= leastRows;
    let bestGain = best[splitFields.gain]!;
    let bestPacked = 0;
    let from = -1;
    let to = -1;
    const order = this.#order;
    if (onehot) {
      for (let b = 0; b < bins; b++) {
        order[b] = b;
        const packed = hist[at + b]!;
        const h = this.hessianOf(packed);
        if (!fits(h) || !fits(totalH - h) || (p.extraTrees && mix(draw + feature) % bins !== b)) continue;
        const gain = gainOf(packed);
        if (gain > bestGain) {
          bestGain = gain;
          bestPacked = packed;
          from = b;
          to = b + 1;
        }
      }
    } else {
      const ratio = this.#ratio;
      let n = 0;
      for (let b = 0; b < bins; b++) {
        const h = this.hessianOf(hist[at + b]!);
        if (h * perHessian + 0.5 < Math.max(1, p.catSmooth)) continue;
        ratio[b] = this.gradientOf(hist[at + b]!) / (h + p.catSmooth);
        order[n++] = b;
      }
      sortBins(order, ratio, n);
      const most = Math.min(p.maxCatThreshold, (n + 1) >> 1);
      const only = p.extraTrees && most > 0 ? mix(draw + feature) % most : -1;
      for (let direction = 0; direction < 2; direction++) {
        let packed = 0;
        let group = 0;
        for (let i = 0; i < most; i++) {
          const v = hist[at + order[direction === 0 ? i : n - 1 - i]!]!;
          packed += v;
          group += Math.round(this.hessianOf(v) * perHessian);
          const h = this.hessianOf(packed);
          if (!fits(h)) continue;
          const r = totalH - h;
          if (!fits(r) || Math.round(r * perHessian) < p.minDataPerGroup) break;
          if (group < p.minDataPerGroup) continue;
          group = 0;
          if (only >= 0 && i !== only) continue;
          const gain = gainOf(packed);
          if (gain > bestGain) {
            bestGain = gain;
            bestPacked = packed;
            from = direction === 0 ? 0 : n - 1 - i;
            to = direction === 0 ? i + 1 : n;
          }
        }
      }
    }
    if (from < 0) return;
    this.#write(best, feature, bestGain, 0, bestPacked, leaf, false, false);
    best[splitFields.kind] = onehot ? 1 : 2;
    const set = splitFields.set;
    best.fill(0, set, set + 8);
    for (let i = from; i < to; i++) {
      const b = order[i]!;
      best[set + (b >> 5)] = (best[set + (b >> 5)]! | (1 << (b & 31))) >>> 0;
    }
  }
}

function shrink(g: number, l1: number): number {
  return l1 > 0 ? Math.sign(g) * Math.max(0, Math.abs(g) - l1) : g;
}

/** Sorts order[0, n) by ratio, then by bin (shell sort: no allocation, at most 255 of them). */
function sortBins(order: Int32Array, ratio: Float64Array, n: number): void {
  for (let gap = n >> 1; gap > 0; gap >>= 1) {
    for (let i = gap; i < n; i++) {
      const b = order[i]!;
      const r = ratio[b]!;
      let j = i;
      while (j >= gap) {
        const c = order[j - gap]!;
        const q = ratio[c]!;
        if (!(q > r || (q === r && c > b))) break;
        order[j] = c;
        j -= gap;
      }
      order[j] = b;
    }
  }
}
