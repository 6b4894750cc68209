import { chunkRows, ForestKernel, isPlain } from "./forest-kernel.ts";
import { goesLeft, type Tree } from "./tree.ts";
import type { Column } from "./types.ts";
import { wasmApi } from "./wasm-api.ts";

/** Trees ready for prediction: plain ones through a WebAssembly kernel where there is one, others node by node. */
export class FlatForest {
  readonly #outputs: number;
  readonly #columns: number;
  readonly #float32: boolean;
  readonly #trees: readonly Tree[];
  /** Made on first use; a model may never predict. */
  #made: { readonly kernel: ForestKernel | undefined; readonly lane: Int32Array } | undefined;

  /** @param float32 round every sum to float32, as XGBoost does */
  constructor(trees: readonly Tree[], outputs: number, columns: number, float32: boolean) {
    this.#trees = trees;
    this.#outputs = outputs;
    this.#columns = columns;
    this.#float32 = float32;
  }

  /** The kernel over plain trees, and each tree's number in it (-1: not there). */
  #kernel(): { readonly kernel: ForestKernel | undefined; readonly lane: Int32Array } {
    if (this.#made) return this.#made;
    const plain = this.#trees.filter(isPlain);
    let next = 0;
    const lane = Int32Array.from(this.#trees, (tree) => (isPlain(tree) ? next++ : -1));
    let kernel: ForestKernel | undefined;
    if (wasmApi && plain.length > 0) {
      try {
        kernel = new ForestKernel(wasmApi, plain, this.#columns);
      } catch (error) {
        // A page's security policy may forbid WebAssembly; anything else is a mistake here.
        if (!(error instanceof wasmApi.CompileError)) throw error;
      }
    }
    if (!kernel) lane.fill(-1);
    this.#made = { kernel, lane };
    return this.#made;
  }

  /** Adds every tree's value to `out` (rows x outputs), whose start values are already there. */
  predict(columns: readonly Column[], rows: number, out: Float64Array): void {
    const outputs = this.#outputs;
    const float32 = this.#float32;
    this.#eachChunk(columns, rows, (from, n, t, leafOf) => {
      const values = this.#trees[t]!.leafValue;
      for (let i = 0, at = from * outputs + (t % outputs); i < n; i++, at += outputs) {
        const sum = out[at]! + values[leafOf[i]!]!;
        out[at] = float32 ? Math.fround(sum) : sum;
      }
    });
  }

  /** Leaf of each tree for each row: rows x trees, row-major. */
  leaves(columns: readonly Column[], rows: number): Int32Array {
    const trees = this.#trees.length;
    const out = new Int32Array(rows * trees);
    this.#eachChunk(columns, rows, (from, n, t, leafOf) => {
      for (let i = 0; i < n; i++) out[(from + i) * trees + t] = leafOf[i]!;
    });
    return out;
  }

  /** Calls `visit` for each chunk of rows and each tree, in order, with the leaf of each row. */
  #eachChunk(
    columns: readonly Column[],
    rows: number,
    visit: (from: number, n: number, t: number, leafOf: Int32Array) => void,
  ): void {
    const { kernel, lane } = this.#kernel();
    const f = this.#columns;
    const leafOf = new Int32Array(chunkRows);
    const block = lane.includes(-1) ? new Float64Array(chunkRows * f) : undefined;
    for (let from = 0; from < rows; from += chunkRows) {
      const n = Math.min(chunkRows, rows - from);
      if (kernel) for (let c = 0; c < f; c++) kernel.setColumn(c, columns[c]!, from, n);
      if (block) fillBlock(columns, from, n, f, block);
      for (let t = 0; t < this.#trees.length; t++) {
        if (lane[t]! >= 0 && kernel) {
          kernel.walkBlock(lane[t]!);
          kernel.leaves(n, leafOf);
        } else {
          const tree = this.#trees[t]!;
          for (let i = 0; i < n; i++) leafOf[i] = walk(tree, block!, i * f);
        }
        visit(from, n, t, leafOf);
      }
    }
  }

  /** Adds every tree's value for one row to `out` (outputs). */
  predictRow(row: Float64Array | Float32Array, out: Float64Array): void {
    const { kernel, lane } = this.#kernel();
    if (kernel) {
      kernel.setRow(0, row);
      kernel.walkRow();
    }
    for (let t = 0; t < this.#trees.length; t++) {
      const tree = this.#trees[t]!;
      const leaf = kernel && lane[t]! >= 0 ? kernel.leaf(lane[t]!) : walk(tree, row, 0);
      const k = this.#outputs === 1 ? 0 : t % this.#outputs;
      const sum = out[k]! + tree.leafValue[leaf]!;
      out[k] = this.#float32 ? Math.fround(sum) : sum;
    }
  }
}

/** Leaf of the row at block[at]. */
function walk(tree: Tree, block: Float64Array | Float32Array, at: number): number {
  if (tree.leaves === 1) return 0;
  let n = 0;
  while (n >= 0) n = goesLeft(tree, n, block[at + tree.feature[n]!]!) ? tree.left[n]! : tree.right[n]!;
  return ~n;
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
