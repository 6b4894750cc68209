import type { Matrix } from "../matrix.ts";
import type { Inputs } from "./inputs.ts";
import type { Kernels } from "./kernels.ts";
import { allocate, type KernelMemory, kernelsFor, Plan } from "./memory.ts";
import type { NetworkParts } from "./parts.ts";
import { Pass, planPass, SHARD } from "./pass.ts";
import { Shape } from "./shape.ts";

/** Predicts in blocks of rows, in memory of its own. */
export class Predictor {
  readonly #parts: NetworkParts;
  readonly #inputs: Inputs;
  readonly #shape: Shape;
  readonly #pass: Pass;
  readonly #values: Float32Array;
  readonly #codes: Int32Array;
  readonly #results: Float32Array;

  /** @param plain leave WebAssembly alone */
  constructor(parts: NetworkParts, inputs: Inputs, plain = false) {
    this.#parts = parts;
    this.#inputs = inputs;
    const shape = new Shape(inputs.numericCount, inputs.categoryCount, parts.hidden, parts.outputs);
    const plan = new Plan();
    const at = { parameters: plan.take(shape.size * 4), transposed: plan.take(shape.transposedSize * 4) };
    const places = planPass(plan, shape, inputs.categoricalCount);
    const memory: KernelMemory = allocate(plan, false, plain);
    const kernels: Kernels = kernelsFor(memory);
    const { buffer } = memory;
    new Float32Array(buffer, at.parameters, shape.size).set(parts.parameters);
    for (const { at: from, rows, columns, transposed } of shape.segments) {
      if (transposed === undefined) continue;
      const out = at.transposed + transposed * 4;
      kernels.transpose(at.parameters + from * 4, rows, columns, 0, rows, out);
    }
    this.#shape = shape;
    this.#pass = new Pass(kernels, buffer, shape, at, places, inputs.categoricalCount);
    this.#values = new Float32Array(buffer, places.inputs, SHARD * shape.numeric);
    this.#codes = new Int32Array(buffer, places.codes, SHARD * inputs.categoricalCount);
    this.#results = new Float32Array(buffer, places.values.at(-1)!, SHARD * shape.layers.at(-1)!.outputs);
  }

  predict(matrix: Matrix): Float64Array[] {
    const { outputs, center, scale } = this.#parts;
    const width = this.#shape.layers.at(-1)!.outputs;
    const columns = Array.from({ length: outputs }, () => new Float64Array(matrix.rows));
    for (let from = 0; from < matrix.rows; from += SHARD) {
      const count = Math.min(SHARD, matrix.rows - from);
      this.#inputs.write(matrix, undefined, from, count, this.#values, this.#shape.numeric, this.#codes);
      this.#pass.forward(count);
      for (let k = 0; k < outputs; k++) {
        const column = columns[k]!;
        for (let i = 0; i < count; i++) column[from + i] = center + scale * this.#results[i * width + k]!;
      }
    }
    return columns;
  }
}
