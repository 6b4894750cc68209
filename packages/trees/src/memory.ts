import type { DatasetParts } from "./dataset.ts";
import type { GrowerMemory } from "./grower.ts";
import type { Derive, KernelArguments } from "./kernel-arguments.ts";
import { spareBytes } from "./kernels.ts";
import { layOut, writeRecords } from "./layout.ts";
import type { ResolvedParams } from "./params.ts";
import { splitSize } from "./split.ts";
import { control } from "./team.ts";
import { type WasmMemory, wasmApi } from "./wasm-api.ts";

/** Rows are dealt to workers in blocks of this many. */
export const blockRows = 256;

/** A validation set with the training set's bins. */
export interface ValidationParts {
  readonly data: DatasetParts;
  readonly label: Float64Array;
  readonly weight: Float64Array | undefined;
  readonly scores: Float64Array;
}

/** Everything a training works on; shared between workers, or plain memory for a team of one. */
export interface TrainingMemory extends GrowerMemory {
  /** Where WebAssembly kernels find what they work on; undefined: plain kernels. */
  readonly wasm: WasmMemory | undefined;
  /** Byte offset of room for the workers' kernels, and how much each has. */
  readonly spare: number;
  readonly spareSize: number;
  /** Room to partition `rows`. */
  readonly spareRows: Int32Array;
  /** Which bins go left at the split at hand: workers x 256. */
  readonly tables: Uint8Array;
  /** Gradients, then hessians, of a block of rows: workers x 2 x blockRows. */
  readonly blocks: Float64Array;
  /** Leaf of each row in the newest tree. */
  readonly leafOf: Uint16Array;
  readonly control: Int32Array;
  readonly data: DatasetParts;
  readonly label: Float64Array;
  readonly weight: Float64Array | undefined;
  /** Weights as whole numbers with an exact sum, for weighted quantiles. */
  readonly wholeWeight: Float64Array | undefined;
  /** Raw scores, rows x outputs. */
  readonly scores: Float64Array;
  /** Class probabilities of the round (multiclass). */
  readonly probabilities: Float64Array | undefined;
  /** Gradient and hessian of each row in quanta, where leaf values are renewed from them. */
  readonly derivatives: Float32Array | undefined;
  /** Per block: sums of |gradient| and of the hessian, in-bag rows only. */
  readonly blockSums: Float64Array;
  /** Per worker and leaf: two sums; then two for the rows outside. */
  readonly leafSums: Float64Array;
  readonly leafValues: Float64Array;
  /** Residuals by leaf, and their weights, where leaf values are renewed to a quantile. */
  readonly residuals: Float64Array | undefined;
  readonly residualWeights: Float64Array | undefined;
  readonly validation: ValidationParts | undefined;
  /** Per block of the validation set: loss sum and weight sum; then one slot for a whole-set metric. */
  readonly metricSums: Float64Array;
}

export interface MemoryPlan {
  readonly data: DatasetParts;
  readonly params: ResolvedParams;
  readonly label: Float64Array;
  readonly weight: Float64Array | undefined;
  readonly validation: Omit<ValidationParts, "scores"> | undefined;
  readonly workers: number;
  /** Memory that worker threads can share. */
  readonly shared: boolean;
  readonly constantHessian: boolean;
  readonly renewsQuantile: boolean;
  /** Leave WebAssembly alone. */
  readonly plainKernels: boolean;
}

/** One block of memory that WebAssembly kernels can address, or plain memory without them. */
class KernelMemory<Section extends string> {
  readonly wasm: WasmMemory | undefined;
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** Where each section begins, in bytes. */
  readonly at: Readonly<Record<Section, number>>;

  /** @param sizes of the sections in bytes, in the order in which they lie */
  constructor(sizes: Readonly<Record<Section, number>>, shared: boolean, plain: boolean) {
    let at = 0;
    this.at = Object.fromEntries(
      Object.entries<number>(sizes).map(([section, size]) => {
        const here = at;
        at += Math.ceil(size / 64) * 64;
        return [section, here];
      }),
    ) as Record<Section, number>;
    const pages = Math.max(1, Math.ceil(at / 65536));
    if (plain || !wasmApi || pages > 65536) {
      this.buffer = shared ? new SharedArrayBuffer(at) : new ArrayBuffer(at);
    } else {
      this.wasm = new wasmApi.Memory({ initial: pages, maximum: pages, shared });
      this.buffer = this.wasm.buffer;
    }
  }
}

/** Allocates a training's memory and writes the bin bytes of the row records. */
export function planMemory(plan: MemoryPlan): TrainingMemory {
  const { data, params, workers, shared, constantHessian } = plan;
  const { rows } = data;
  const outputs = params.numClass;
  const bytes = (n: number): ArrayBuffer | SharedArrayBuffer =>
    shared ? new SharedArrayBuffer(n) : new ArrayBuffer(n);
  const floats = (n: number): Float64Array => new Float64Array(bytes(n * 8));
  const copy = (values: Float64Array): Float64Array => {
    const out = floats(values.length);
    out.set(values);
    return out;
  };
  const layout = layOut(data, plan.plainKernels);
  const { scratchSize } = layout;
  const binWords = Math.ceil(layout.bytes.length / 4);
  const stride = binWords + (constantHessian ? 1 : 2);
  const spareSize = spareBytes(layout.bytes.length);
  const renews = !constantHessian && !plan.renewsQuantile;
  const leafSumsSize = workers * (params.numLeaves + 1) * 2;
  const kernel = new KernelMemory(
    {
      records: rows * stride * 4,
      rows: rows * 4,
      spareRows: rows * 4,
      leafOf: rows * 2,
      derivatives: renews ? rows * 8 : 0,
      scores: rows * outputs * 8,
      label: rows * 8,
      scratch: workers * scratchSize * 8,
      blocks: workers * 2 * blockRows * 8,
      leafSums: leafSumsSize * 8,
      tables: workers * 256,
      spare: workers * spareSize,
    },
    shared,
    plan.plainKernels,
  );
  const { at } = kernel;
  const label = new Float64Array(kernel.buffer, at.label, rows);
  label.set(plan.label);
  const words = new Uint32Array(kernel.buffer, at.records, rows * stride);
  writeRecords(data, layout, new Uint8Array(kernel.buffer, words.byteOffset, words.byteLength), stride * 4);
  const { validation } = plan;
  return {
    control: new Int32Array(bytes(control.size * 4)),
    data,
    records: {
      words,
      ints: new Int32Array(words.buffer, words.byteOffset, words.length),
      stride,
      binWords,
      unit: 2 ** (constantHessian ? Math.ceil(Math.log2(rows + 1)) : 26),
      constantHessian,
      layout,
    },
    wasm: kernel.wasm,
    spare: at.spare,
    spareSize,
    rows: new Int32Array(kernel.buffer, at.rows, rows),
    spareRows: new Int32Array(kernel.buffer, at.spareRows, rows),
    leafOf: new Uint16Array(kernel.buffer, at.leafOf, rows),
    scratch: new Float64Array(kernel.buffer, at.scratch, workers * scratchSize),
    blocks: new Float64Array(kernel.buffer, at.blocks, workers * 2 * blockRows),
    tables: new Uint8Array(kernel.buffer, at.tables, workers * 256),
    splits: floats(workers * 2 * splitSize),
    counts: floats(workers * 2),
    label,
    weight: plan.weight && copy(plan.weight),
    wholeWeight: plan.weight && plan.renewsQuantile ? copy(wholeNumbers(plan.weight)) : undefined,
    scores: new Float64Array(kernel.buffer, at.scores, rows * outputs),
    probabilities: outputs > 1 ? floats(rows * outputs) : undefined,
    derivatives: renews ? new Float32Array(kernel.buffer, at.derivatives, rows * 2) : undefined,
    blockSums: floats(2 * Math.ceil(rows / blockRows)),
    leafSums: new Float64Array(kernel.buffer, at.leafSums, leafSumsSize),
    leafValues: floats(params.numLeaves),
    residuals: plan.renewsQuantile ? floats(rows) : undefined,
    residualWeights: plan.renewsQuantile && plan.weight ? floats(rows) : undefined,
    validation: validation && {
      data: validation.data,
      label: copy(validation.label),
      weight: validation.weight && copy(validation.weight),
      scores: floats(validation.data.rows * outputs),
    },
    metricSums: floats(2 * Math.ceil((validation?.data.rows ?? 0) / blockRows) + 1),
  };
}

/** The part of a training's memory that the kernels of worker `index` work on; `own` of its rows from `firstRow`. */
export function kernelArguments(
  memory: TrainingMemory,
  index: number,
  firstRow: number,
  own: number,
  derive: Derive | undefined,
): KernelArguments {
  const { records, data, scratch, tables, blocks, leafSums } = memory;
  const { scratchSize } = records.layout;
  const workers = tables.length / 256;
  const sums = leafSums.length / workers;
  const block = blocks.subarray(index * 2 * blockRows, (index + 1) * 2 * blockRows);
  return {
    records,
    rows: memory.rows.subarray(firstRow, firstRow + own),
    spareRows: memory.spareRows.subarray(firstRow, firstRow + own),
    scratch: scratch.subarray(index * scratchSize, (index + 1) * scratchSize),
    score: memory.scores,
    label: memory.label,
    derive,
    table: tables.subarray(index * 256, (index + 1) * 256),
    gradient: block.subarray(0, blockRows),
    hessian: block.subarray(blockRows),
    derivatives: memory.derivatives,
    leafOf: memory.leafOf,
    leafSums: leafSums.subarray(index * sums, (index + 1) * sums),
    bins: data.bins,
    binMemory: data.memory,
    memory: memory.wasm,
    spare: memory.spare + index * memory.spareSize,
  };
}

/** Weights scaled to whole numbers whose sum stays exact. */
function wholeNumbers(weight: Float64Array): Float64Array {
  let sum = 0;
  for (const w of weight) sum += w;
  const scale = sum > 0 ? 2 ** Math.floor(50 - Math.log2(sum)) : 1;
  return weight.map((w) => Math.round(w * scale));
}
