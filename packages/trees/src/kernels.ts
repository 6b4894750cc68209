import { addRows } from "./histogram.ts";
import type { KernelArguments } from "./kernel-arguments.ts";
import { bodies } from "./kernel-bodies.ts";
import { partition, quantise, sumDerivatives } from "./plain-kernels.ts";
import { type WasmApi, type WasmMemory, wasmApi } from "./wasm-api.ts";
import { assemble, Body, type } from "./wasm-writer.ts";

/** The loops over rows that take nearly all of a training's time, for one worker. */
export interface Kernels {
  /** Adds the records of rows[from, to) to the worker's scratch histogram: at least the bytes in use. */
  readonly addRows: (from: number, to: number) => void;
  /** Says which bytes of a record the next tree looks at. */
  readonly use: (bytes: ReadonlySet<number>) => void;
  /**
   * Moves those of rows[from, to) whose bin in the column at `bins[column]` the table sends left before the others,
   * both in order. Returns how many go left.
   */
  readonly partition: (from: number, to: number, column: number) => number;
  /** Works out the derivatives of rows `row` .. `row + n - 1` into the block; undefined: the objective does. */
  readonly derive: ((n: number, row: number) => void) | undefined;
  /**
   * Writes the block's first `n` derivatives into the records of rows `row` .. `row + n - 1`, as whole numbers of
   * quanta that are rounded up or down at random (so that sums of many are right on the mean), and keeps them.
   */
  readonly quantise: (
    n: number,
    row: number,
    gradientScale: number,
    hessianScale: number,
    key: number,
  ) => void;
  /**
   * Adds the derivatives of rows [from, to) to the sums of their leaves, as whole numbers of quanta this many times
   * as fine.
   */
  readonly sumDerivatives: (from: number, to: number, finerGradient: number, finerHessian: number) => void;
}

/** Room that kernels need: a word that keeps their reads alive, then a bit for each byte of a record. */
export function spareBytes(recordBytes: number): number {
  return Math.ceil((4 + Math.ceil(recordBytes / 32) * 4) / 64) * 64;
}

/**
 * The kernels of one worker: WebAssembly made for this training's record shape and addresses, or the plain ones
 * where that cannot be had. Both come to the same numbers, bit for bit.
 */
export function makeKernels(given: KernelArguments): Kernels {
  const compiled = given.memory && wasmApi ? compile(wasmApi, given, given.memory) : undefined;
  return compiled ?? plainKernels(given);
}

/** The same in plain TypeScript. */
export function plainKernels(given: KernelArguments): Kernels {
  const { records, rows, scratch } = given;
  return {
    addRows: (from, to) => addRows(records, rows, from, to, scratch),
    use: () => {},
    partition: (from, to, column) => partition(given, from, to, column),
    derive: undefined,
    quantise: (n, row, gs, hs, key) => quantise(given, n, row, gs, hs, key),
    sumDerivatives: (from, to, gs, hs) => sumDerivatives(given, from, to, gs, hs),
  };
}

/** Whether a module may have two memories; without them the dataset's bins are out of reach. */
let twoMemories: boolean | undefined;

function hasTwoMemories(api: WasmApi): boolean {
  if (twoMemories === undefined) {
    const body = new Body([]).get(0).loadByteOfSecond();
    const probe = { name: "probe", params: [type.i32], results: [type.i32], body };
    try {
      new api.Module(assemble([probe], false, 1, { shared: false, pages: 1 }));
      twoMemories = true;
    } catch (error) {
      if (!(error instanceof api.CompileError)) throw error;
      twoMemories = false;
    }
  }
  return twoMemories;
}

function compile(api: WasmApi, given: KernelArguments, memory: WasmMemory): Kernels | undefined {
  const limits = (of: WasmMemory) => ({
    shared: typeof SharedArrayBuffer === "function" && of.buffer instanceof SharedArrayBuffer,
    pages: of.buffer.byteLength / 65536,
  });
  const second = given.binMemory && hasTwoMemories(api) ? given.binMemory : undefined;
  const { shared, pages } = limits(memory);
  const module = assemble(bodies(given, second !== undefined), shared, pages, second && limits(second));
  let exports: Readonly<Record<string, unknown>>;
  try {
    const memories = second ? { memory, second } : { memory };
    exports = new api.Instance(new api.Module(module), { m: memories }).exports;
  } catch (error) {
    // A page's security policy may forbid WebAssembly; anything else is a mistake here.
    if (error instanceof api.CompileError && /unsafe-eval|Content Security/i.test(error.message))
      return undefined;
    throw error;
  }
  const plain = plainKernels(given);
  const all = exports["all"] as Kernels["addRows"];
  const some = exports["some"] as Kernels["addRows"];
  const count = given.records.layout.bytes.length;
  const mask = new Int32Array(memory.buffer, given.spare + 4, Math.ceil(count / 32));
  let current = all;
  return {
    addRows: (from, to) => current(from, to),
    use: (bytes) => {
      current = bytes.size === count ? all : some;
      mask.fill(0);
      for (const b of bytes) mask[b >> 5] = mask[b >> 5]! | (1 << (b & 31));
    },
    partition: second ? (exports["partition"] as Kernels["partition"]) : plain.partition,
    derive: exports["derive"] as Kernels["derive"],
    quantise: exports["quantise"] as Kernels["quantise"],
    sumDerivatives: given.derivatives
      ? (exports["sumDerivatives"] as Kernels["sumDerivatives"])
      : plain.sumDerivatives,
  };
}
