import type { BinMapper } from "./bins.ts";
import type { BinRoute } from "./route.ts";
import { type LeafView, type SplitFinder, splitFields } from "./split.ts";
import { categoricalFlag, defaultLeftFlag, missingNaN, stump, type Tree } from "./tree.ts";

/** A leaf while the tree grows. */
export interface GrowingLeaf extends LeafView {
  /** This worker's rows: rows[begin, begin + own). */
  begin: number;
  own: number;
  depth: number;
  /** Histogram slot. */
  slot: number;
  readonly split: Float64Array;
  /** The node above and which side of it. */
  parent: number;
  isLeft: boolean;
}

/** The nodes of a tree while it grows, and the finished tree made of them. */
export class TreeBuilder {
  readonly #mappers: readonly BinMapper[];
  readonly #finder: SplitFinder;
  #feature: number[] = [];
  #bin: number[] = [];
  #default: number[] = [];
  #sets: (Float64Array | undefined)[] = [];
  #left: number[] = [];
  #right: number[] = [];
  #gain: number[] = [];
  #views: LeafView[] = [];

  constructor(mappers: readonly BinMapper[], finder: SplitFinder) {
    this.#mappers = mappers;
    this.#finder = finder;
  }

  clear(): void {
    this.#feature = [];
    this.#bin = [];
    this.#default = [];
    this.#sets = [];
    this.#left = [];
    this.#right = [];
    this.#gain = [];
    this.#views = [];
  }

  /** Turns leaf number `index` into a node, whose left child is leaf `index`; returns its number. */
  add(leaf: GrowingLeaf, index: number): number {
    const { split } = leaf;
    const node = this.#feature.length;
    this.#feature.push(split[splitFields.feature]!);
    this.#bin.push(split[splitFields.bin]!);
    this.#default.push(split[splitFields.defaultLeft]!);
    const numeric = split[splitFields.kind] === 0;
    this.#sets.push(numeric ? undefined : split.slice(splitFields.set, splitFields.set + 8));
    const gain = split[splitFields.gain]!;
    this.#gain.push(this.#finder.trueGain(gain + this.#finder.parentGain(leaf), leaf));
    this.#views.push(leaf);
    this.#left.push(~index);
    this.#right.push(0);
    if (leaf.parent >= 0) (leaf.isLeft ? this.#left : this.#right)[leaf.parent] = node;
    return node;
  }

  setRight(node: number, leaf: number): void {
    this.#right[node] = ~leaf;
  }

  /** `tree`, just built here, as a route over bins. */
  route(tree: Tree): BinRoute {
    const nodes = tree.feature.length;
    const tables = new Uint8Array(nodes * 256);
    for (let n = 0; n < nodes; n++) tables.set(this.#tableOf(n), n * 256);
    return { feature: tree.feature, left: tree.left, right: tree.right, tables };
  }

  #tableOf(n: number): Uint8Array {
    const table = new Uint8Array(256);
    const set = this.#sets[n];
    if (set) {
      for (let b = 0; b < 256; b++) table[b] = (set[b >> 5]! >>> (b & 31)) & 1;
    } else {
      table.fill(1, 0, this.#bin[n]! + 1);
      table[this.#mappers[this.#feature[n]!]!.bins] = this.#default[n]!;
    }
    return table;
  }

  /** The tree, with leaf values `values` (already shrunk by the learning rate `rate`). */
  build(leaves: readonly GrowingLeaf[], values: Float64Array, rate: number): Tree {
    const nodes = this.#feature.length;
    const weights = leaves.map((leaf) => this.#finder.hessianOf(leaf.packed));
    const counts = leaves.map((leaf) => leaf.count);
    if (nodes === 0) return stump(values[0]!, weights[0], counts[0]);
    const threshold = new Float64Array(nodes);
    const flags = new Uint8Array(nodes);
    const catBounds = [0];
    const catWords: number[] = [];
    for (let n = 0; n < nodes; n++) {
      const mapper = this.#mappers[this.#feature[n]!]!;
      const set = this.#sets[n];
      if (set) {
        flags[n] = categoricalFlag | missingNaN;
        threshold[n] = catBounds.length - 1;
        const words: number[] = [];
        for (let b = 0; b < mapper.bins; b++) {
          if (((set[b >> 5]! >>> (b & 31)) & 1) === 0) continue;
          const category = mapper.categories[b]!;
          const word = category >>> 5;
          while (words.length <= word) words.push(0);
          words[word] = (words[word]! | (1 << (category & 31))) >>> 0;
        }
        for (const word of words) catWords.push(word);
        catBounds.push(catWords.length);
      } else {
        flags[n] = missingNaN | (this.#default[n] ? defaultLeftFlag : 0);
        threshold[n] = mapper.bounds[this.#bin[n]!] ?? Infinity;
      }
    }
    return {
      leaves: leaves.length,
      feature: Int32Array.from(this.#feature),
      threshold,
      flags,
      left: Int32Array.from(this.#left),
      right: Int32Array.from(this.#right),
      gain: Float64Array.from(this.#gain),
      nodeValue: Float64Array.from(this.#views, (view) => this.#finder.leafValue(view) * rate),
      nodeWeight: Float64Array.from(this.#views, (view) => this.#finder.hessianOf(view.packed)),
      nodeCount: Float64Array.from(this.#views, (view) => view.count),
      leafValue: values.slice(0, leaves.length),
      leafWeight: Float64Array.from(weights),
      leafCount: Float64Array.from(counts),
      catBounds: Int32Array.from(catBounds),
      catWords: Uint32Array.from(catWords),
    };
  }
}
