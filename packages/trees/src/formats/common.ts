import { check } from "../errors.ts";
import type { ModelData } from "../model-data.ts";
import {
  categoricalFlag,
  defaultLeftFlag,
  missingMask,
  missingNaN,
  missingZero,
  stump,
  type Tree,
} from "../tree.ts";

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The float32 next to `v` (itself a float32), one step up or down. */
function step(v: number, up: boolean): number {
  if (v === 0) return up ? 1.401298464324817e-45 : -1.401298464324817e-45;
  float[0] = v;
  bits[0] = bits[0]! + (v > 0 === up ? 1 : -1);
  return float[0]!;
}

/** The smallest float32 above x. */
export function floatAbove(x: number): number {
  const near = Math.fround(x);
  return near > x ? near : step(near, true);
}

/** The largest float32 below x. */
export function floatBelow(x: number): number {
  const near = Math.fround(x);
  return near < x ? near : step(near, false);
}

/** The largest float32 not above x. */
export function floatAtMost(x: number): number {
  const near = Math.fround(x);
  return near <= x ? near : step(near, false);
}

/**
 * The trees with the model's base (and a forest's mean) folded into leaf values: formats that only add trees up
 * need no more. A model without trees becomes one of constants.
 */
export function foldedTrees(model: ModelData): Tree[] {
  const { outputs, base, average } = model;
  const trees = model.trees.length > 0 ? model.trees : base.map(() => stump(0));
  const rounds = average ? trees.length / outputs : 1;
  return trees.map((tree, t) => {
    const add = t < outputs ? base[t]! : 0;
    return { ...tree, leafValue: tree.leafValue.map((v) => add + v / rounds) };
  });
}

/**
 * Whether missing values go left at node `n`, in formats where only NaN is missing.
 * @throws TreesError where the node takes zeros as missing
 */
export function nanGoesLeft(tree: Tree, n: number): boolean {
  const flags = tree.flags[n]!;
  if (flags & categoricalFlag) return false;
  check(
    (flags & missingMask) !== missingZero,
    "a model that takes zero as missing cannot be written in this format",
  );
  if ((flags & missingMask) === missingNaN) return (flags & defaultLeftFlag) !== 0;
  // NaN is taken as 0 here.
  return tree.threshold[n]! >= 0;
}

/** The categories of set `k`, ascending. */
export function categoriesOf(tree: Tree, k: number): number[] {
  const out: number[] = [];
  const from = tree.catBounds[k]!;
  for (let word = from; word < tree.catBounds[k + 1]!; word++) {
    for (let b = 0; b < 32; b++) if ((tree.catWords[word]! >>> b) & 1) out.push((word - from) * 32 + b);
  }
  return out;
}
