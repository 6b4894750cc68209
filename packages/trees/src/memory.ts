import type { DatasetParts } from "./dataset.ts";
import type { GrowerMemory } from "./grower.ts";
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
  /** True gradient and hessian of each row, where leaf values are renewed from them. */
  readonly derivatives: Float64Array | undefined;
  /** Per block: sums of |gradient| and of the hessian, in-bag rows only. */
  readonly blockSums: Float64Array;
  /** Per worker and leaf: two sums. */
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
class KernelMemory {
  readonly wasm: WasmMemory | undefined;
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly offsets: readonly number[];

  constructor(sizes: readonly number[], shared: boolean, plain: boolean) {
    let at = 0;
    this.offsets = sizes.map((size) => {
      const here = at;
      at += Math.ceil(size / 64) * 64;
      return here;
    });
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
  const kernel = new KernelMemory(
    [rows * stride * 4, rows * 4, workers * scratchSize * 8, workers * spareSize],
    shared,
    plan.plainKernels,
  );
  const words = new Uint32Array(kernel.buffer, kernel.offsets[0]!, rows * stride);
  writeRecords(data, layout, new Uint8Array(kernel.buffer, words.byteOffset, words.byteLength), stride * 4);
  const outputs = params.numClass;
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
    spare: kernel.offsets[3]!,
    spareSize,
    rows: new Int32Array(kernel.buffer, kernel.offsets[1]!, rows),
    scratch: new Float64Array(kernel.buffer, kernel.offsets[2]!, workers * scratchSize),
    splits: floats(workers * 2 * splitSize),
    counts: floats(workers * 2),
    label: copy(plan.label),
    weight: plan.weight && copy(plan.weight),
    wholeWeight: plan.weight && plan.renewsQuantile ? copy(wholeNumbers(plan.weight)) : undefined,
    scores: floats(rows * outputs),
    probabilities: outputs > 1 ? floats(rows * outputs) : undefined,
    derivatives: constantHessian ? undefined : floats(rows * 2),
    blockSums: floats(2 * Math.ceil(rows / blockRows)),
    leafSums: floats(workers * params.numLeaves * 2),
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

/** Weights scaled to whole numbers whose sum stays exact. */
function wholeNumbers(weight: Float64Array): Float64Array {
  let sum = 0;
  for (const w of weight) sum += w;
  const scale = sum > 0 ? 2 ** Math.floor(50 - Math.log2(sum)) : 1;
  return weight.map((w) => Math.round(w * scale));
}
