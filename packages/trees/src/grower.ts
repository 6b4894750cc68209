import type { DatasetParts } from "./dataset.ts";
import type { Records } from "./histogram.ts";
import type { KernelArguments } from "./kernel-arguments.ts";
import type { Kernels } from "./kernels.ts";
import { addColumn } from "./layout.ts";
import type { ResolvedParams } from "./params.ts";
import { sampleIndices, streamKey } from "./random.ts";
import type { BinRoute } from "./route.ts";
import { SplitFinder, splitFields, splitSize } from "./split.ts";
import type { Team } from "./team.ts";
import type { Tree } from "./tree.ts";
import { type GrowingLeaf as Leaf, TreeBuilder } from "./tree-builder.ts";

/** Memory that the workers of a training share. */
export interface GrowerMemory {
  readonly records: Records;
  /** Row numbers in leaf order, each worker its own stretch. */
  readonly rows: Int32Array;
  /** One scratch histogram per worker: workers x scratchSize. */
  readonly scratch: Float64Array;
  /** Best splits of two children per worker: workers x 2 x splitSize. */
  readonly splits: Float64Array;
  /** Row counts that each worker publishes: 2 x workers. */
  readonly counts: Float64Array;
}

/**
 * Grows one tree leaf by leaf, the leaf with the greatest gain first. Every worker holds the same leaves and
 * takes the same decisions; it partitions and adds up its own rows, and searches its own columns.
 */
export class Grower {
  readonly #params: ResolvedParams;
  readonly #data: DatasetParts;
  readonly #team: Team;
  readonly #memory: GrowerMemory;
  readonly #scratch: Float64Array;
  readonly finder: SplitFinder;
  /** This worker's rows in leaf order. */
  readonly rows: Int32Array;
  readonly #kernels: Kernels;
  readonly #table: Uint8Array;
  readonly leaves: Leaf[] = [];
  /** Columns that this worker searches in this tree, and where their bins start in a slot. */
  #columns: number[] = [];
  readonly #offsets: Int32Array;
  #slotSize = 0;
  #slots: Float64Array[] = [];
  #treeColumns: number[] = [];
  #treeKey = 0;
  #countHalf = 0;
  readonly #builder: TreeBuilder;

  constructor(
    params: ResolvedParams,
    data: DatasetParts,
    team: Team,
    memory: GrowerMemory,
    { rows, scratch, table }: KernelArguments,
    kernels: Kernels,
  ) {
    this.#params = params;
    this.#data = data;
    this.#team = team;
    this.#memory = memory;
    this.#scratch = scratch;
    this.finder = new SplitFinder(params, data.mappers, memory.records.unit, memory.records.constantHessian);
    this.#builder = new TreeBuilder(data.mappers, this.finder);
    this.rows = rows;
    this.#table = table;
    this.#kernels = kernels;
    this.#offsets = new Int32Array(data.mappers.length);
  }

  /** Grows a tree on rows[0, own), `count` rows over all workers. Afterwards `leaves` say where its rows are. */
  grow(own: number, count: number, treeNumber: number): void {
    this.#begin(treeNumber);
    const root = this.#newLeaf({ begin: 0, own, count, depth: 0, parent: -1, isLeft: false });
    this.leaves.push(root);
    root.slot = 0;
    const canSplit = this.#maySplit(root);
    this.#scratch.fill(0);
    this.#kernels.addRows(0, own);
    this.#team.barrier();
    root.packed = this.#total();
    if (canSplit) {
      this.#merge(0, -1);
      this.#search(root, 0);
    }
    this.#team.barrier();
    this.#decide(root, 0);
    while (this.leaves.length < this.#params.numLeaves) {
      const index = this.#bestLeaf();
      if (index < 0) break;
      this.#split(index);
    }
  }

  #begin(treeNumber: number): void {
    const { featureFraction, seed } = this.#params;
    this.leaves.length = 0;
    this.#builder.clear();
    this.#treeKey = streamKey(seed, 1, treeNumber);
    const all = this.#data.mappers
      .map((_, f) => f)
      .filter((f) => this.#memory.records.layout.places[f] !== undefined);
    this.#treeColumns =
      featureFraction < 1
        ? sampleIndices(this.#treeKey, all, Math.max(1, Math.round(all.length * featureFraction)))
        : all;
    const { places } = this.#memory.records.layout;
    this.#kernels.use(new Set(this.#treeColumns.map((f) => places[f]!.byte)));
    this.#deal();
  }

  /** Shares the tree's columns among workers in runs of about equally many bins. */
  #deal(): void {
    const { size, index } = this.#team;
    const sizes = this.#treeColumns.map((f) => this.#data.mappers[f]!.bins + 1);
    const total = sizes.reduce((a, b) => a + b, 0);
    this.#columns = [];
    let before = 0;
    let offset = 0;
    this.#treeColumns.forEach((f, i) => {
      if (Math.min(size - 1, Math.floor((before * size) / total)) === index) {
        this.#columns.push(f);
        this.#offsets[f] = offset;
        offset += sizes[i]!;
      }
      before += sizes[i]!;
    });
    if (offset > this.#slotSize) {
      this.#slotSize = offset;
      this.#slots = [];
    }
  }

  #slot(index: number): Float64Array {
    this.#slots[index] ??= new Float64Array(this.#slotSize);
    return this.#slots[index]!;
  }

  #newLeaf(at: Pick<Leaf, "begin" | "own" | "count" | "depth" | "parent" | "isLeft">): Leaf {
    return {
      ...at,
      packed: 0,
      l2: this.#params.lambdaL2,
      lower: -Infinity,
      upper: Infinity,
      slot: -1,
      split: new Float64Array(splitSize),
    };
  }

  #maySplit(leaf: Leaf): boolean {
    const { minDataInLeaf, maxDepth } = this.#params;
    return leaf.count >= 2 * Math.max(1, minDataInLeaf) && (maxDepth === 0 || leaf.depth < maxDepth);
  }

  /** The packed sum of all rows in the scratch histograms. */
  #total(): number {
    const { scratchSize, bytes, places } = this.#memory.records.layout;
    // A byte that this tree uses: others may not have been added up.
    const { at, size } = bytes[places[this.#treeColumns[0] ?? 0]?.byte ?? 0]!;
    let sum = 0;
    for (let w = 0; w < this.#team.size; w++) {
      for (let b = at; b < at + size; b++) sum += this.#memory.scratch[w * scratchSize + b]!;
    }
    return sum;
  }

  /** Adds up the workers' scratch histograms of own columns into a slot; takes them off `sibling`'s. */
  #merge(slot: number, sibling: number): void {
    const target = this.#slot(slot);
    const other = sibling >= 0 ? this.#slot(sibling) : undefined;
    const { scratch } = this.#memory;
    const { scratchSize, bytes, places } = this.#memory.records.layout;
    target.fill(0);
    for (const f of this.#columns) {
      const place = places[f]!;
      const byte = bytes[place.byte]!;
      const offset = this.#offsets[f]!;
      for (let w = 0; w < this.#team.size; w++) {
        addColumn(scratch, w * scratchSize + byte.at, byte, place, target, offset);
      }
      if (other) subtractBins(target, other, offset, place.size);
    }
  }

  /** Publishes the best split of `leaf` among own columns as child `which`. */
  #search(leaf: Leaf, which: number): void {
    const at = (this.#team.index * 2 + which) * splitSize;
    const best = this.#memory.splits.subarray(at, at + splitSize);
    best[splitFields.gain] = this.finder.parentGain(leaf);
    best[splitFields.feature] = -1;
    const hist = this.#slot(leaf.slot);
    const key = streamKey(this.#treeKey, leaf.parent + 1, leaf.isLeft ? 1 : 0);
    const { featureFractionByNode } = this.#params;
    let columns = this.#columns;
    if (featureFractionByNode < 1) {
      const wanted = Math.max(1, Math.round(this.#treeColumns.length * featureFractionByNode));
      const drawn = new Set(sampleIndices(key, this.#treeColumns, wanted));
      columns = columns.filter((f) => drawn.has(f));
    }
    for (const f of columns) this.finder.scan(f, hist, this.#offsets[f]!, leaf, best, key);
  }

  /** Takes the best of all workers' splits for child `which`; a tie goes to the lowest column. */
  #decide(leaf: Leaf, which: number): void {
    leaf.split[splitFields.feature] = -1;
    if (!this.#maySplit(leaf)) return;
    const { splits } = this.#memory;
    let winner = -1;
    let gain = -1;
    for (let w = 0; w < this.#team.size; w++) {
      const at = (w * 2 + which) * splitSize;
      if (splits[at + splitFields.feature]! < 0) continue;
      if (splits[at + splitFields.gain]! > gain) {
        gain = splits[at + splitFields.gain]!;
        winner = at;
      }
    }
    if (winner < 0) return;
    leaf.split.set(splits.subarray(winner, winner + splitSize));
    // From here on: what the split adds to the leaf's own gain.
    leaf.split[splitFields.gain] = gain - this.finder.parentGain(leaf);
  }

  #bestLeaf(): number {
    let best = -1;
    let gain = 0;
    this.leaves.forEach((leaf, i) => {
      if (leaf.split[splitFields.feature]! < 0 || leaf.split[splitFields.gain]! <= gain) return;
      gain = leaf.split[splitFields.gain]!;
      best = i;
    });
    return best;
  }

  #split(index: number): void {
    const leaf = this.leaves[index]!;
    const { split } = leaf;
    const node = this.#builder.add(leaf, index);
    const ownLeft = this.#partition(leaf);
    const leftCount = this.#countLeft(split, ownLeft);
    const depth = leaf.depth + 1;
    const left = this.#newLeaf({
      begin: leaf.begin,
      own: ownLeft,
      count: leftCount,
      depth,
      parent: node,
      isLeft: true,
    });
    const right = this.#newLeaf({
      begin: leaf.begin + ownLeft,
      own: leaf.own - ownLeft,
      count: leaf.count - leftCount,
      depth,
      parent: node,
      isLeft: false,
    });
    left.packed = split[splitFields.leftPacked]!;
    right.packed = leaf.packed - left.packed;
    if (split[splitFields.kind] === 2) {
      left.l2 += this.#params.catL2;
      right.l2 += this.#params.catL2;
    }
    this.#constrain(leaf, left, right);
    const other = this.leaves.length;
    this.leaves[index] = left;
    this.leaves.push(right);
    this.#builder.setRight(node, other);
    if (this.leaves.length >= this.#params.numLeaves || !(this.#maySplit(left) || this.#maySplit(right))) {
      left.split[splitFields.feature] = -1;
      right.split[splitFields.feature] = -1;
      return;
    }
    const small = left.count <= right.count ? left : right;
    const large = small === left ? right : left;
    large.slot = leaf.slot;
    small.slot = other;
    this.#scratch.fill(0);
    this.#kernels.addRows(small.begin, small.begin + small.own);
    this.#team.barrier();
    this.#merge(small.slot, large.slot);
    if (this.#maySplit(left)) this.#search(left, 0);
    if (this.#maySplit(right)) this.#search(right, 1);
    this.#team.barrier();
    this.#decide(left, 0);
    this.#decide(right, 1);
  }

  /** Moves own rows of the leaf that go left before those that go right, in order; returns how many do. */
  #partition(leaf: Leaf): number {
    const f = leaf.split[splitFields.feature]!;
    this.#fillTable(leaf.split, f);
    return this.#kernels.partition(leaf.begin, leaf.begin + leaf.own, f * this.#data.rows);
  }

  #fillTable(split: Float64Array, f: number): void {
    const table = this.#table;
    table.fill(0);
    if (split[splitFields.kind] !== 0) {
      for (let b = 0; b < 256; b++) table[b] = (split[splitFields.set + (b >> 5)]! >>> (b & 31)) & 1;
    } else {
      table.fill(1, 0, split[splitFields.bin]! + 1);
      table[this.#data.mappers[f]!.bins] = split[splitFields.defaultLeft]!;
    }
  }

  /** Rows that go left over all workers. With a constant hessian the packed sum has counted them. */
  #countLeft(split: Float64Array, own: number): number {
    const { counts, records } = this.#memory;
    if (records.constantHessian) return this.finder.hessianOf(split[splitFields.leftPacked]!);
    // Two halves in turn: a slow worker may still read the last counts while a fast one writes the next.
    this.#countHalf = 1 - this.#countHalf;
    const at = this.#countHalf * this.#team.size;
    counts[at + this.#team.index] = own;
    this.#team.barrier();
    let sum = 0;
    for (let w = 0; w < this.#team.size; w++) sum += counts[at + w]!;
    return sum;
  }

  /** The tree just grown; `values` are its leaves', already shrunk by the learning rate `rate`. */
  tree(values: Float64Array, rate: number): Tree {
    return this.#builder.build(this.leaves, values, rate);
  }

  /** The tree just grown as a route over bins. */
  route(tree: Tree): BinRoute {
    return this.#builder.route(tree);
  }

  /** LightGBM's basic method: children of a constrained split are parted at the mean of their values. */
  #constrain(leaf: Leaf, left: Leaf, right: Leaf): void {
    for (const child of [left, right]) {
      child.lower = leaf.lower;
      child.upper = leaf.upper;
    }
    const { monotoneConstraints } = this.#params;
    const direction = monotoneConstraints?.[leaf.split[splitFields.feature]!] ?? 0;
    if (direction === 0) return;
    const middle = (this.finder.leafValue(left) + this.finder.leafValue(right)) / 2;
    const below = direction > 0 ? left : right;
    const above = direction > 0 ? right : left;
    below.upper = Math.min(below.upper, middle);
    above.lower = Math.max(above.lower, middle);
  }
}

function subtractBins(part: Float64Array, whole: Float64Array, offset: number, n: number): void {
  for (let b = offset; b < offset + n; b++) whole[b]! -= part[b]!;
}
