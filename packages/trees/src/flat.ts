import { categoricalFlag, defaultLeftFlag, goesLeft, missingMask, missingNaN, type Tree } from "./tree.ts";
import type { Column } from "./types.ts";

const chunk = 128;

/**
 * Trees flattened for prediction: the nodes of all trees in a few arrays, a child below zero being ~leaf of the
 * flat leaf values. A node that is not a plain "v <= threshold, NaN to one side" goes through its tree.
 */
export class FlatForest {
  readonly #outputs: number;
  readonly #float32: boolean;
  readonly #columns: number;
  readonly #feature: Int32Array;
  readonly #threshold: Float64Array;
  /** Children of node n: 2n (left), 2n + 1 (right). */
  readonly #children: Int32Array;
  /** 0 or 1: where NaN goes; 2: ask the tree. */
  readonly #missing: Uint8Array;
  readonly #values: Float64Array;
  readonly #roots: Int32Array;
  readonly #trees: readonly Tree[];
  readonly #treeOf: Int32Array;
  readonly #nodeStart: Int32Array;
  readonly #leafStart: Int32Array;

  /** @param float32 round every sum to float32, as XGBoost does */
  constructor(trees: readonly Tree[], outputs: number, columns: number, float32: boolean) {
    this.#float32 = float32;
    this.#outputs = outputs;
    this.#columns = columns;
    this.#trees = trees;
    const nodes = trees.reduce((n, tree) => n + tree.leaves - 1, 0);
    const leaves = trees.reduce((n, tree) => n + tree.leaves, 0);
    this.#feature = new Int32Array(nodes);
    this.#threshold = new Float64Array(nodes);
    this.#children = new Int32Array(nodes * 2);
    this.#missing = new Uint8Array(nodes);
    this.#values = new Float64Array(leaves);
    this.#roots = new Int32Array(trees.length);
    this.#treeOf = new Int32Array(nodes);
    this.#nodeStart = new Int32Array(trees.length);
    this.#leafStart = new Int32Array(trees.length);
    let node = 0;
    let leaf = 0;
    trees.forEach((tree, t) => {
      this.#nodeStart[t] = node;
      this.#leafStart[t] = leaf;
      this.#roots[t] = tree.leaves > 1 ? node : ~leaf;
      for (let n = 0; n + 1 < tree.leaves; n++) {
        const flags = tree.flags[n]!;
        this.#feature[node + n] = tree.feature[n]!;
        this.#threshold[node + n] = tree.threshold[n]!;
        this.#treeOf[node + n] = t;
        const left = tree.left[n]!;
        const right = tree.right[n]!;
        this.#children[2 * (node + n)] = left >= 0 ? node + left : ~(leaf + ~left);
        this.#children[2 * (node + n) + 1] = right >= 0 ? node + right : ~(leaf + ~right);
        const plain = (flags & categoricalFlag) === 0 && (flags & missingMask) === missingNaN;
        this.#missing[node + n] = plain ? (flags & defaultLeftFlag ? 0 : 1) : 2;
      }
      this.#values.set(tree.leafValue, leaf);
      node += tree.leaves - 1;
      leaf += tree.leaves;
    });
  }

  /** Adds every tree's value to `out` (rows x outputs), whose start values are already there. */
  predict(columns: readonly Column[], rows: number, out: Float64Array): void {
    const f = this.#columns;
    const block = new Float64Array(chunk * f);
    const outputs = this.#outputs;
    const float32 = this.#float32;
    for (let from = 0; from < rows; from += chunk) {
      const n = Math.min(chunk, rows - from);
      fillBlock(columns, from, n, f, block);
      for (let t = 0; t < this.#roots.length; t++) {
        const k = t % outputs;
        for (let i = 0; i < n; i++) {
          const at = (from + i) * outputs + k;
          const sum = out[at]! + this.#values[this.#walk(this.#roots[t]!, block, i * f)]!;
          out[at] = float32 ? Math.fround(sum) : sum;
        }
      }
    }
  }

  /** Adds every tree's value for one row to `out` (outputs). */
  predictRow(row: Float64Array | Float32Array, out: Float64Array): void {
    for (let t = 0; t < this.#roots.length; t++) {
      const k = t % this.#outputs;
      const sum = out[k]! + this.#values[this.#walk(this.#roots[t]!, row, 0)]!;
      out[k] = this.#float32 ? Math.fround(sum) : sum;
    }
  }

  /** Leaf of each tree for each row: rows x trees, row-major. */
  leaves(columns: readonly Column[], rows: number): Int32Array {
    const f = this.#columns;
    const trees = this.#roots.length;
    const out = new Int32Array(rows * trees);
    const block = new Float64Array(chunk * f);
    for (let from = 0; from < rows; from += chunk) {
      const n = Math.min(chunk, rows - from);
      fillBlock(columns, from, n, f, block);
      for (let t = 0; t < trees; t++) {
        for (let i = 0; i < n; i++) {
          out[(from + i) * trees + t] = this.#walk(this.#roots[t]!, block, i * f) - this.#leafStart[t]!;
        }
      }
    }
    return out;
  }

  /** Flat leaf that the row at block[at] ends in. */
  #walk(root: number, block: Float64Array | Float32Array, at: number): number {
    const feature = this.#feature;
    const threshold = this.#threshold;
    const children = this.#children;
    const missing = this.#missing;
    let n = root;
    while (n >= 0) {
      const v = block[at + feature[n]!]!;
      const m = missing[n]!;
      if (m === 2) {
        const t = this.#treeOf[n]!;
        n = children[2 * n + (goesLeft(this.#trees[t]!, n - this.#nodeStart[t]!, v) ? 0 : 1)]!;
        // biome-ignore lint/suspicious/noSelfCompare: the fastest test for NaN
      } else if (v !== v) {
        n = children[2 * n + m]!;
      } else {
        n = children[2 * n + (v <= threshold[n]! ? 0 : 1)]!;
      }
    }
    return ~n;
  }
}

function fillBlock(
  columns: readonly Column[],
  from: number,
  n: number,
  f: number,
  block: Float64Array,
): void {
  for (let c = 0; c < f; c++) {
    const column = columns[c]!;
    for (let i = 0, at = c; i < n; i++, at += f) block[at] = column[from + i]!;
  }
}
