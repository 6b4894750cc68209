import type { Records } from "./histogram.ts";
import type { WasmMemory } from "./wasm-api.ts";

/** A loss whose derivatives kernels can work out: with exp(score) times `growth` as Poisson's hessian. */
export interface Derive {
  readonly loss: "l2" | "poisson" | "binary";
  readonly growth?: number;
}

/** What one worker's kernels work on. */
export interface KernelArguments {
  readonly records: Records;
  /** The worker's row numbers in leaf order, and room to partition them. */
  readonly rows: Int32Array;
  readonly spareRows: Int32Array;
  /** The worker's histogram. */
  readonly scratch: Float64Array;
  /** For the 256 values of a bin: 1 where it goes left. */
  readonly table: Uint8Array;
  /** Raw score and label of every row; where there is one score per row, for `derive`. */
  readonly score: Float64Array;
  readonly label: Float64Array;
  readonly derive: Derive | undefined;
  /** Derivatives of one block of rows. */
  readonly gradient: Float64Array;
  readonly hessian: Float64Array;
  /** Gradient and hessian of every row in quanta, not rounded, where leaf values are renewed from them. */
  readonly derivatives: Float32Array | undefined;
  /** Leaf of every row; `outside` for one that the tree did not see. */
  readonly leafOf: Uint16Array;
  /** Two sums by leaf; the last two take the rows outside. */
  readonly leafSums: Float64Array;
  /** The dataset's bins, column by column, and the memory they begin, where kernels can read it. */
  readonly bins: Uint8Array;
  readonly binMemory: WasmMemory | undefined;
  /** Where all but the bins are; undefined: use the plain kernels. */
  readonly memory: WasmMemory | undefined;
  /** Byte offset of `spareBytes` for the kernels themselves. */
  readonly spare: number;
}

/** Leaf number of a row out of the bag. */
export const outside = 65535;

/** Rounds a number below 2^51 to a whole one when added and taken away again; until then the low bits hold it. */
export const rounder = 1.5 * 2 ** 52;

/** A draw of `mix` times this is uniform in [0, 1). */
export const perDraw = 2 ** -32;
/** The same for its lower half. */
export const perHalfDraw = 2 ** -16;
