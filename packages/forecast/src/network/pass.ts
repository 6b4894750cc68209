import type { Kernels } from "./kernels.ts";
import type { Plan } from "./memory.ts";
import { bits, streamKey } from "./random.ts";
import type { Shape } from "./shape.ts";

/** Rows of a shard: they go through the network together, and their gradients are summed before any others'. */
export const SHARD = 128;

/** Byte offsets of what one worker needs to take a shard through a network. */
export interface PassPlaces {
  /** SHARD x numeric inputs */
  readonly inputs: number;
  /** SHARD x categorical columns: i32 places, -1 for none */
  readonly codes: number;
  readonly lists: number;
  readonly counts: number;
  /** for each layer: SHARD x outputs */
  readonly values: readonly number[];
  readonly gradients: readonly number[];
  /** zeros, as long as the widest row */
  readonly zeros: number;
}

export function planPass(plan: Plan, shape: Shape, categoricals: number): PassPlaces {
  const rows = shape.layers.map((layer) => SHARD * layer.outputs * 4);
  const longest = Math.max(shape.numeric + categoricals, shape.widest);
  return {
    inputs: plan.take(SHARD * shape.numeric * 4),
    codes: plan.take(SHARD * categoricals * 4),
    // Lists of rows are as long as rows are wide; lists of columns are as many.
    lists: plan.take(SHARD * longest * 8),
    counts: plan.take(Math.max(SHARD, shape.widest) * 4),
    values: rows.map((bytes) => plan.take(bytes)),
    gradients: rows.map((bytes) => plan.take(bytes)),
    zeros: plan.take(shape.widest * 4),
  };
}

/** Byte offsets of a network's parameters and of their transposed copies. */
export interface ParameterPlaces {
  readonly parameters: number;
  readonly transposed: number;
}

export interface Dropout {
  readonly share: number;
  readonly seed: number;
  /** number of the draw: of the step and the shard in it */
  readonly draw: number;
}

/** Takes the rows in `places.inputs` and `places.codes` forward through a network, and gradients back. */
export class Pass {
  readonly #kernels: Kernels;
  readonly #shape: Shape;
  readonly #at: ParameterPlaces;
  readonly #places: PassPlaces;
  readonly #categoricals: number;
  readonly #codes: Int32Array;
  readonly #lists: Int32Array;
  readonly #listValues: Float32Array;
  readonly #counts: Int32Array;

  constructor(
    kernels: Kernels,
    buffer: ArrayBuffer | SharedArrayBuffer,
    shape: Shape,
    at: ParameterPlaces,
    places: PassPlaces,
    categoricals: number,
  ) {
    this.#kernels = kernels;
    this.#shape = shape;
    this.#at = at;
    this.#places = places;
    this.#categoricals = categoricals;
    const entries = SHARD * (shape.numeric + categoricals);
    this.#codes = new Int32Array(buffer, places.codes, SHARD * categoricals);
    this.#lists = new Int32Array(buffer, places.lists, entries * 2);
    this.#listValues = new Float32Array(buffer, places.lists, entries * 2);
    this.#counts = new Int32Array(buffer, places.counts, SHARD);
  }

  /** Leaves each layer's values in `places.values`; those of the last are the outputs. */
  forward(rows: number, dropout?: Dropout): void {
    const { layers } = this.#shape;
    const { lists, counts, values } = this.#places;
    layers.forEach((layer, k) => {
      const last = k === layers.length - 1;
      let longest = layer.inputs;
      if (k === 0) {
        longest += this.#categoricals;
        this.#packInputs(rows, layer.outputs);
      } else {
        const stride = layer.inputs * 4;
        this.#kernels.pack(
          values[k - 1]!,
          rows,
          stride,
          layer.inputs,
          4,
          layer.outputs * 4,
          lists,
          stride * 2,
          counts,
        );
      }
      this.#kernels.multiply(
        lists,
        longest * 8,
        counts,
        rows,
        k === 0
          ? this.#at.transposed + layer.weights.transposed! * 4
          : this.#at.parameters + layer.weights.at * 4,
        this.#at.parameters + layer.bias.at * 4,
        values[k]!,
        layer.outputs * 4,
        layer.outputs,
      );
      if (!last) this.#activate(k, rows * layer.outputs, dropout);
    });
  }

  /**
   * Writes the gradient of every parameter, given those of the outputs in the last of `places.gradients`.
   *
   * @param to byte offset, laid out like the parameters
   */
  backward(rows: number, to: number, dropout: number): void {
    const { layers, categories } = this.#shape;
    const { inputs, codes, lists, counts, values, gradients, zeros } = this.#places;
    const kernels = this.#kernels;
    for (let k = layers.length - 1; k >= 0; k--) {
      const layer = layers[k]!;
      const outStride = layer.outputs * 4;
      const inStride = layer.inputs * 4;
      const own = gradients[k]!;
      const weights = to + layer.weights.at * 4;
      kernels.sumColumns(own, rows, layer.outputs, to + layer.bias.at * 4);
      if (k === 0) {
        kernels.pack(own, layer.outputs, 4, rows, outStride, inStride, lists, rows * 8, counts);
        kernels.multiply(
          lists,
          rows * 8,
          counts,
          layer.outputs,
          inputs,
          zeros,
          weights,
          inStride,
          layer.inputs,
        );
        kernels.addByCode(codes, rows, this.#categoricals, own, layer.outputs, to + categories.at * 4);
        return;
      }
      const before = values[k - 1]!;
      kernels.pack(before, layer.inputs, 4, rows, inStride, outStride, lists, rows * 8, counts);
      kernels.multiply(lists, rows * 8, counts, layer.inputs, own, zeros, weights, outStride, layer.outputs);
      kernels.pack(own, rows, outStride, layer.outputs, 4, inStride, lists, outStride * 2, counts);
      kernels.multiply(
        lists,
        outStride * 2,
        counts,
        rows,
        this.#at.transposed + layer.weights.transposed! * 4,
        zeros,
        gradients[k - 1]!,
        inStride,
        layer.inputs,
      );
      kernels.deactivate(gradients[k - 1]!, before, rows * layer.inputs, 1 / (1 - dropout));
    }
  }

  #packInputs(rows: number, outputs: number): void {
    const { inputs, lists, counts } = this.#places;
    const { numeric, categories, layers } = this.#shape;
    const perRow = this.#categoricals;
    const longest = numeric + perRow;
    this.#kernels.pack(inputs, rows, numeric * 4, numeric, 4, outputs * 4, lists, longest * 8, counts);
    // A category is an input of 1; its weights lie elsewhere than those of the numbers.
    const away =
      this.#at.parameters + categories.at * 4 - this.#at.transposed - layers[0]!.weights.transposed! * 4;
    for (let i = 0; i < rows; i++) {
      let count = this.#counts[i]!;
      for (let k = 0; k < perRow; k++) {
        const code = this.#codes[i * perRow + k]!;
        if (code < 0) continue;
        const entry = (i * longest + count++) * 2;
        this.#lists[entry] = away + code * outputs * 4;
        this.#listValues[entry + 1] = 1;
      }
      this.#counts[i] = count;
    }
  }

  #activate(k: number, count: number, dropout: Dropout | undefined): void {
    const share = dropout?.share ?? 0;
    const key = dropout ? streamKey(dropout.seed, dropout.draw, k + 1) : 0;
    const seed = (lane: number) => bits(key, lane) | 1;
    this.#kernels.activate(this.#places.values[k]!, count, 1 / (1 - share), Math.floor(share * 2 ** 32) | 0, [
      seed(0),
      seed(1),
      seed(2),
      seed(3),
    ]);
  }
}
