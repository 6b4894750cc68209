import { categoricalFlag, defaultLeftFlag, missingMask, missingNaN, missingZero, type Tree } from "./tree.ts";
import type { WasmApi } from "./wasm-api.ts";
import { assemble, Body, type } from "./wasm-writer.ts";

/** Rows that are predicted together. */
export const chunkRows = 64;
/** Walks that a kernel does at once, so that each waits for memory while the others go on. */
const lanes = 8;
const nodeBytes = 16;

/** Whether the kernel can walk a tree: no categories, and zero is not missing. */
export function isPlain(tree: Tree): boolean {
  return tree.flags.every((f) => (f & categoricalFlag) === 0 && (f & missingMask) !== missingZero);
}

/**
 * Walks trees in WebAssembly. A node is 16 bytes: threshold (float64), the place of its value in a row (int32), the
 * address of its left child (int32); the right child follows the left one. A leaf is its own child and its
 * threshold is infinite, so walking on stays there, and no branch depends on the data.
 *
 * A row is held three times: with missing values as -Infinity (for nodes where they go left), as +Infinity (right),
 * and as 0 or 1 for present or missing (for nodes that part just these); a node's place says which it reads.
 */
export class ForestKernel {
  readonly #columns: number;
  readonly #copies: number;
  readonly #roots: Int32Array;
  readonly #leafOf: Int32Array;
  readonly #block: Float64Array;
  /** Address of the leaf that each lane ended in. */
  readonly #ends: Int32Array;
  readonly #nodesAt: number;
  readonly #blockWalk: (root: number) => void;
  readonly #rowWalk: (groups: number) => void;

  constructor(api: WasmApi, trees: readonly Tree[], columns: number) {
    this.#columns = columns;
    const nodes = trees.reduce((n, tree) => n + 2 * tree.leaves - 1, 0);
    // Only for a node whose values all go one way is the third copy needed.
    this.#copies = trees.some((tree) => tree.threshold.includes(Infinity)) ? 3 : 2;
    const groups = Math.ceil(trees.length / lanes);
    const rowBytes = columns * this.#copies * 8;
    const blockAt = 0;
    const endsAt = blockAt + chunkRows * rowBytes;
    const rootsAt = endsAt + Math.max(chunkRows, groups * lanes) * 4;
    this.#nodesAt = Math.ceil((rootsAt + groups * lanes * 4) / 64) * 64;
    const pages = Math.ceil((this.#nodesAt + nodes * nodeBytes) / 65536);
    const memory = new api.Memory({ initial: pages, maximum: pages, shared: false });
    this.#block = new Float64Array(memory.buffer, blockAt, chunkRows * columns * this.#copies);
    this.#ends = new Int32Array(memory.buffer, endsAt, Math.max(chunkRows, groups * lanes));
    this.#roots = new Int32Array(memory.buffer, rootsAt, groups * lanes);
    this.#leafOf = new Int32Array(nodes).fill(-1);
    this.#place(trees, new DataView(memory.buffer));
    // Lanes past the last tree walk the first one again.
    this.#roots.fill(this.#roots[0] ?? 0, trees.length);
    const places = { blockAt, endsAt, rootsAt, rowBytes };
    const module = assemble(
      [
        { name: "block", params: [type.i32], results: [], body: blockBody(places) },
        { name: "row", params: [type.i32], results: [], body: rowBody(places) },
      ],
      false,
      pages,
    );
    const { exports } = new api.Instance(new api.Module(module), { m: { memory } });
    this.#blockWalk = exports["block"] as (root: number) => void;
    this.#rowWalk = exports["row"] as (groups: number) => void;
  }

  #place(trees: readonly Tree[], view: DataView): void {
    let next = 0;
    const address = (slot: number): number => this.#nodesAt + slot * nodeBytes;
    trees.forEach((tree, t) => {
      const root = next++;
      this.#roots[t] = address(root);
      const todo: [child: number, slot: number][] = [[tree.leaves > 1 ? 0 : -1, root]];
      for (const [n, slot] of todo) {
        const at = address(slot);
        if (n < 0) {
          view.setFloat64(at, Infinity, true);
          view.setInt32(at + 8, 0, true);
          view.setInt32(at + 12, at, true);
          this.#leafOf[slot] = ~n;
          continue;
        }
        const threshold = tree.threshold[n]!;
        const f = tree.feature[n]!;
        const left = missingLeft(tree, n);
        // All values to the left, only missing ones to the right.
        const alone = threshold === Infinity && !left;
        view.setFloat64(at, alone ? 0.5 : threshold, true);
        view.setInt32(at + 8, (f + this.#columns * (alone ? 2 : left ? 0 : 1)) * 8, true);
        view.setInt32(at + 12, address(next), true);
        todo.push([tree.left[n]!, next], [tree.right[n]!, next + 1]);
        next += 2;
      }
    });
  }

  /** Puts row `i` of a chunk in place. */
  setRow(i: number, values: ArrayLike<number>): void {
    const block = this.#block;
    const f = this.#columns;
    const at = i * f * this.#copies;
    for (let c = 0; c < f; c++) this.#set(block, at + c, f, values[c]!);
  }

  /** Puts a column's values of rows [from, from + n) in place. */
  setColumn(c: number, values: ArrayLike<number>, from: number, n: number): void {
    const block = this.#block;
    const f = this.#columns;
    const step = f * this.#copies;
    for (let i = 0, at = c; i < n; i++, at += step) this.#set(block, at, f, values[from + i]!);
  }

  #set(block: Float64Array, at: number, f: number, v: number): void {
    // biome-ignore lint/suspicious/noSelfCompare: the fastest test for NaN
    const missing = v !== v;
    block[at] = missing ? -Infinity : v;
    block[at + f] = missing ? Infinity : v;
    if (this.#copies === 3) block[at + 2 * f] = missing ? 1 : 0;
  }

  /** Walks all rows of the chunk down tree `t`; `leaf(i)` then says where row i ended. */
  walkBlock(t: number): void {
    this.#blockWalk(this.#roots[t]!);
  }

  /** Walks row 0 of the chunk down all trees; `leaf(t)` then says where it ended in tree t. */
  walkRow(): void {
    this.#rowWalk(this.#roots.length / lanes);
  }

  /** Writes the leaf numbers of the chunk's first `n` rows. */
  leaves(n: number, out: Int32Array): void {
    const ends = this.#ends;
    const leafOf = this.#leafOf;
    const base = this.#nodesAt;
    for (let i = 0; i < n; i++) out[i] = leafOf[(ends[i]! - base) >> 4]!;
  }

  /** The leaf number, within its tree, that lane or row `i` ended in. */
  leaf(i: number): number {
    return this.#leafOf[(this.#ends[i]! - this.#nodesAt) >> 4]!;
  }
}

function missingLeft(tree: Tree, n: number): boolean {
  const flags = tree.flags[n]!;
  if ((flags & missingMask) === missingNaN) return (flags & defaultLeftFlag) !== 0;
  // NaN is taken as 0 here.
  return tree.threshold[n]! >= 0;
}

interface Places {
  readonly blockAt: number;
  readonly endsAt: number;
  readonly rootsAt: number;
  readonly rowBytes: number;
}

/** One step of every lane: node = left child, plus one node where the value is above the threshold. */
function step(
  body: Body,
  node: (lane: number) => number,
  rowAt: (lane: number) => number,
  base?: number,
): void {
  for (let lane = 0; lane < lanes; lane++) {
    body.get(node(lane)).loadI32(12);
    body.get(node(lane)).loadI32(8);
    if (base !== undefined) body.get(base).add();
    body.loadF64(rowAt(lane));
    body.get(node(lane)).loadF64(0).gtF().i32(4).shl().add().set(node(lane));
  }
}

/** Steps until no lane moves any more. */
function walk(
  body: Body,
  node: (lane: number) => number,
  rowAt: (lane: number) => number,
  moved: number,
  base?: number,
): void {
  body.loop(() => {
    for (let k = 0; k < 3; k++) step(body, node, rowAt, base);
    // A leaf is its own left child.
    body.i32(0).set(moved);
    for (let lane = 0; lane < lanes; lane++) {
      body.get(node(lane)).loadI32(12).get(node(lane)).xor().get(moved).or().set(moved);
    }
    body.get(moved);
  });
}

/** (root) => every row of the block down one tree. */
function blockBody({ blockAt, endsAt, rowBytes }: Places): Body {
  const [root, row, end, moved, first] = [0, 1, 2, 3, 4] as const;
  const body = new Body([type.i32, type.i32, type.i32, ...new Array<number>(lanes).fill(type.i32)]);
  const node = (lane: number): number => first + lane;
  body.i32(0).set(row).i32(0).set(end);
  body.loop(() => {
    for (let lane = 0; lane < lanes; lane++) body.get(root).set(node(lane));
    walk(body, node, (lane) => blockAt + lane * rowBytes, moved, row);
    for (let lane = 0; lane < lanes; lane++)
      body
        .get(end)
        .get(node(lane))
        .storeI32(endsAt + lane * 4);
    body
      .get(row)
      .i32(lanes * rowBytes)
      .add()
      .set(row);
    body
      .get(end)
      .i32(lanes * 4)
      .add()
      .tee(end)
      .i32(chunkRows * 4)
      .ltU();
  });
  return body;
}

/** (groups) => the first row of the block down all trees, eight at a time. */
function rowBody({ blockAt, endsAt, rootsAt }: Places): Body {
  const [groups, at, moved, first] = [0, 1, 2, 3] as const;
  const body = new Body([type.i32, type.i32, ...new Array<number>(lanes).fill(type.i32)]);
  const node = (lane: number): number => first + lane;
  body.i32(0).set(at);
  body.loop(() => {
    for (let lane = 0; lane < lanes; lane++)
      body
        .get(at)
        .loadI32(rootsAt + lane * 4)
        .set(node(lane));
    walk(body, node, () => blockAt, moved);
    for (let lane = 0; lane < lanes; lane++)
      body
        .get(at)
        .get(node(lane))
        .storeI32(endsAt + lane * 4);
    body
      .get(at)
      .i32(lanes * 4)
      .add()
      .tee(at)
      .get(groups)
      .i32(lanes * 4)
      .mul()
      .ltU();
  });
  return body;
}
