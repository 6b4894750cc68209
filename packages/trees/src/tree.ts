/**
 * One tree, in LightGBM's terms: nodes 0..L-2 with the root at 0, leaves 0..L-1; a child >= 0 is a node, a
 * negative one is ~leaf.
 */
export interface Tree {
  readonly leaves: number;
  /** Column of each node. */
  readonly feature: Int32Array;
  /** Numeric: v <= threshold goes left. Categorical: position of the node's set of categories. */
  readonly threshold: Float64Array;
  /** `categoricalFlag`, `defaultLeftFlag`, and how missing values are told (`missing*`). */
  readonly flags: Uint8Array;
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly gain: Float64Array;
  /** Value, hessian sum and row count that a node would have as a leaf. */
  readonly nodeValue: Float64Array;
  readonly nodeWeight: Float64Array;
  readonly nodeCount: Float64Array;
  readonly leafValue: Float64Array;
  readonly leafWeight: Float64Array;
  readonly leafCount: Float64Array;
  /** Categories that go left, as bits: set k is catWords[catBounds[k] .. catBounds[k + 1]). */
  readonly catBounds: Int32Array;
  readonly catWords: Uint32Array;
}

export const categoricalFlag = 1;
export const defaultLeftFlag = 2;
/** Bits 2-3: a NaN is taken as 0 (none), 0 and NaN are missing (zero), or NaN is missing (nan). */
export const missingMask = 12;
export const missingZero = 4;
export const missingNaN = 8;

/** Whether a value goes left at node `n`. */
export function goesLeft(tree: Tree, n: number, value: number): boolean {
  const flags = tree.flags[n]!;
  if (flags & categoricalFlag) return inSet(tree, tree.threshold[n]!, value);
  const missing = flags & missingMask;
  let v = value;
  if (Number.isNaN(v) && missing !== missingNaN) v = 0;
  if ((missing === missingZero && Math.abs(v) <= 1e-35) || (missing === missingNaN && Number.isNaN(v))) {
    return (flags & defaultLeftFlag) !== 0;
  }
  return v <= tree.threshold[n]!;
}

/** Whether category `value` is in set `k`. NaN, negative and unknown ones are not. */
export function inSet(tree: Tree, k: number, value: number): boolean {
  if (!(value >= 0) || value > 2147483647) return false;
  const category = Math.trunc(value);
  const from = tree.catBounds[k]!;
  const word = from + (category >>> 5);
  return word < tree.catBounds[k + 1]! && ((tree.catWords[word]! >>> (category & 31)) & 1) === 1;
}

/** A tree that is one leaf. */
export function stump(value: number, weight = 0, count = 0): Tree {
  const none = new Float64Array(0);
  return {
    leaves: 1,
    feature: new Int32Array(0),
    threshold: none,
    flags: new Uint8Array(0),
    left: new Int32Array(0),
    right: new Int32Array(0),
    gain: none,
    nodeValue: none,
    nodeWeight: none,
    nodeCount: none,
    leafValue: Float64Array.of(value),
    leafWeight: Float64Array.of(weight),
    leafCount: Float64Array.of(count),
    catBounds: Int32Array.of(0),
    catWords: new Uint32Array(0),
  };
}
