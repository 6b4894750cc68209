import { goesLeft, type Tree } from "./tree.ts";

/**
 * Exact contributions of a tree's columns to one prediction: the path-dependent TreeSHAP of Lundberg, Erion and
 * Lee, "Consistent Individualized Feature Attribution for Tree Ensembles" (2018), algorithm 2.
 *
 * A path is columns met from the root, each with the share of rows that go on when the column is unknown (zero)
 * and whether the row goes on when it is known (one), and the weights of subsets by size.
 */
class Path {
  readonly column: Int32Array;
  readonly zero: Float64Array;
  readonly one: Float64Array;
  readonly weight: Float64Array;
  length = 0;

  constructor(capacity: number) {
    this.column = new Int32Array(capacity);
    this.zero = new Float64Array(capacity);
    this.one = new Float64Array(capacity);
    this.weight = new Float64Array(capacity);
  }

  copyFrom(other: Path): void {
    const n = other.length;
    for (let i = 0; i < n; i++) {
      this.column[i] = other.column[i]!;
      this.zero[i] = other.zero[i]!;
      this.one[i] = other.one[i]!;
      this.weight[i] = other.weight[i]!;
    }
    this.length = n;
  }

  extend(zero: number, one: number, column: number): void {
    const depth = this.length++;
    this.column[depth] = column;
    this.zero[depth] = zero;
    this.one[depth] = one;
    this.weight[depth] = depth === 0 ? 1 : 0;
    for (let i = depth - 1; i >= 0; i--) {
      this.weight[i + 1] = this.weight[i + 1]! + (one * this.weight[i]! * (i + 1)) / (depth + 1);
      this.weight[i] = (zero * this.weight[i]! * (depth - i)) / (depth + 1);
    }
  }

  /** Takes element `at` out as if it had never been met. */
  unwind(at: number): void {
    const depth = this.length - 1;
    const one = this.one[at]!;
    const zero = this.zero[at]!;
    let next = this.weight[depth]!;
    for (let i = depth - 1; i >= 0; i--) {
      if (one !== 0) {
        const kept = this.weight[i]!;
        this.weight[i] = (next * (depth + 1)) / ((i + 1) * one);
        next = kept - (this.weight[i]! * zero * (depth - i)) / (depth + 1);
      } else {
        this.weight[i] = (this.weight[i]! * (depth + 1)) / (zero * (depth - i));
      }
    }
    for (let i = at; i < depth; i++) {
      this.column[i] = this.column[i + 1]!;
      this.zero[i] = this.zero[i + 1]!;
      this.one[i] = this.one[i + 1]!;
    }
    this.length = depth;
  }

  /** The sum of weights after `unwind(at)`, without doing it. */
  unwoundSum(at: number): number {
    const depth = this.length - 1;
    const one = this.one[at]!;
    const zero = this.zero[at]!;
    let next = this.weight[depth]!;
    let total = 0;
    for (let i = depth - 1; i >= 0; i--) {
      if (one !== 0) {
        const part = (next * (depth + 1)) / ((i + 1) * one);
        total += part;
        next = this.weight[i]! - (part * zero * (depth - i)) / (depth + 1);
      } else {
        total += this.weight[i]! / ((zero * (depth - i)) / (depth + 1));
      }
    }
    return total;
  }
}

/** Contributions of one tree, prepared once and used for many rows. */
export class TreeContributions {
  readonly #tree: Tree;
  /** Rows (or hessian where rows are not known) below each node and leaf. */
  readonly #nodeCover: Float64Array;
  readonly #leafCover: Float64Array;
  /** The tree's mean value over its training rows. */
  readonly mean: number;
  readonly #paths: Path[] = [];

  constructor(tree: Tree) {
    this.#tree = tree;
    const counted = tree.leafCount.every((c) => c > 0);
    this.#leafCover = counted ? tree.leafCount : tree.leafWeight;
    this.#nodeCover = new Float64Array(tree.leaves - 1);
    const depth = tree.leaves > 1 ? this.#cover(0) : 0;
    for (let d = 0; d <= depth + 1; d++) this.#paths.push(new Path(depth + 2));
    let total = 0;
    let sum = 0;
    tree.leafValue.forEach((v, i) => {
      total += this.#leafCover[i]!;
      sum += v * this.#leafCover[i]!;
    });
    this.mean = tree.leaves === 1 ? tree.leafValue[0]! : sum / total;
  }

  /** Adds up covers below node `n`; returns its height. Recursion is as deep as the tree. */
  #cover(n: number): number {
    let height = 0;
    let sum = 0;
    for (const child of [this.#tree.left[n]!, this.#tree.right[n]!]) {
      if (child >= 0) {
        height = Math.max(height, this.#cover(child));
        sum += this.#nodeCover[child]!;
      } else sum += this.#leafCover[~child]!;
    }
    this.#nodeCover[n] = sum;
    return height + 1;
  }

  /** Adds the contributions of row[at ..] to out[base + column], and the mean to out[base + columns]. */
  add(row: Float64Array, at: number, out: Float64Array, base: number, columns: number): void {
    out[base + columns] = out[base + columns]! + this.mean;
    if (this.#tree.leaves === 1) return;
    const root = this.#paths[0]!;
    root.length = 0;
    this.#visit(0, 0, 1, 1, -1, row, at, out, base);
  }

  #visit(
    node: number,
    depth: number,
    zero: number,
    one: number,
    column: number,
    row: Float64Array,
    at: number,
    out: Float64Array,
    base: number,
  ): void {
    const path = this.#paths[depth]!;
    if (depth > 0) path.copyFrom(this.#paths[depth - 1]!);
    path.extend(zero, one, column);
    const tree = this.#tree;
    if (node < 0) {
      const value = tree.leafValue[~node]!;
      for (let i = 1; i < path.length; i++) {
        const share = path.unwoundSum(i) * (path.one[i]! - path.zero[i]!);
        out[base + path.column[i]!] = out[base + path.column[i]!]! + share * value;
      }
      return;
    }
    const f = tree.feature[node]!;
    const goes = goesLeft(tree, node, row[at + f]!);
    const hot = goes ? tree.left[node]! : tree.right[node]!;
    const cold = goes ? tree.right[node]! : tree.left[node]!;
    let knownZero = 1;
    let knownOne = 1;
    for (let i = 1; i < path.length; i++) {
      if (path.column[i] !== f) continue;
      knownZero = path.zero[i]!;
      knownOne = path.one[i]!;
      path.unwind(i);
      break;
    }
    const cover = this.#nodeCover[node]!;
    const hotCover = hot >= 0 ? this.#nodeCover[hot]! : this.#leafCover[~hot]!;
    const coldCover = cold >= 0 ? this.#nodeCover[cold]! : this.#leafCover[~cold]!;
    this.#visit(hot, depth + 1, (knownZero * hotCover) / cover, knownOne, f, row, at, out, base);
    this.#visit(cold, depth + 1, (knownZero * coldCover) / cover, 0, f, row, at, out, base);
  }
}
