import { ADAM, type AdamStep, type Kernels, type Seeds } from "./kernels.ts";

const f = Math.fround;

/**
 * The kernels in TypeScript: what the WebAssembly ones are tested against, and used where there are none. Both
 * round to 32 bits after each operation, in the same order, and so give the same bytes.
 */
export class PlainKernels implements Kernels {
  readonly #floats: Float32Array;
  readonly #ints: Int32Array;

  constructor(buffer: ArrayBuffer | SharedArrayBuffer) {
    this.#floats = new Float32Array(buffer);
    this.#ints = new Int32Array(buffer);
  }

  pack(
    from: number,
    lines: number,
    lineStride: number,
    length: number,
    stride: number,
    step: number,
    lists: number,
    listStride: number,
    counts: number,
  ): void {
    for (let line = 0; line < lines; line++) {
      const start = (lists + line * listStride) >> 2;
      let at = start;
      for (let k = 0; k < length; k++) {
        const value = this.#floats[(from + line * lineStride + k * stride) >> 2]!;
        if (value === 0) continue;
        this.#ints[at] = k * step;
        this.#floats[at + 1] = value;
        at += 2;
      }
      this.#ints[(counts >> 2) + line] = (at - start) / 2;
    }
  }

  multiply(
    lists: number,
    listStride: number,
    counts: number,
    lines: number,
    from: number,
    init: number,
    out: number,
    outStride: number,
    width: number,
  ): void {
    const floats = this.#floats;
    for (let line = 0; line < lines; line++) {
      const to = (out + line * outStride) >> 2;
      for (let j = 0; j < width; j++) floats[to + j] = floats[(init >> 2) + j]!;
      const list = (lists + line * listStride) >> 2;
      const end = list + this.#ints[(counts >> 2) + line]! * 2;
      for (let at = list; at < end; at += 2) {
        const row = (from + this.#ints[at]!) >> 2;
        const value = floats[at + 1]!;
        for (let j = 0; j < width; j++) floats[to + j] = floats[to + j]! + f(value * floats[row + j]!);
      }
    }
  }

  activate(at: number, count: number, scale: number, threshold: number, seeds: Seeds): void {
    const state = Int32Array.from(seeds);
    for (let k = 0; k < count; k++) {
      let x = state[k & 3]!;
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      state[k & 3] = x;
      const i = (at >> 2) + k;
      this.#floats[i] = x >>> 0 > threshold >>> 0 ? f(Math.max(this.#floats[i]!, 0) * f(scale)) : 0;
    }
  }

  deactivate(gradients: number, values: number, count: number, scale: number): void {
    for (let k = 0; k < count; k++) {
      const i = (gradients >> 2) + k;
      this.#floats[i] = this.#floats[(values >> 2) + k] === 0 ? 0 : f(this.#floats[i]! * f(scale));
    }
  }

  sumColumns(from: number, rows: number, width: number, out: number): void {
    for (let k = 0; k < width; k++) {
      let sum = 0;
      for (let i = 0; i < rows; i++) sum = f(sum + this.#floats[(from >> 2) + i * width + k]!);
      this.#floats[(out >> 2) + k] = sum;
    }
  }

  copyRows(rows: number, count: number, from: number, width: number, out: number): void {
    for (let i = 0; i < count; i++) {
      const row = (from >> 2) + this.#ints[(rows >> 2) + i]! * width;
      this.#floats.copyWithin((out >> 2) + i * width, row, row + width);
    }
  }

  addByCode(codes: number, rows: number, perRow: number, from: number, width: number, out: number): void {
    for (let i = 0; i < rows * perRow; i++) {
      const code = this.#ints[(codes >> 2) + i]!;
      if (code < 0) continue;
      const row = (from >> 2) + Math.floor(i / perRow) * width;
      const to = (out >> 2) + code * width;
      for (let k = 0; k < width; k++) this.#floats[to + k] = this.#floats[to + k]! + this.#floats[row + k]!;
    }
  }

  update(
    parameters: number,
    firstMoments: number,
    secondMoments: number,
    gradients: number,
    shardStride: number,
    shards: number,
    count: number,
    step: AdamStep,
  ): void {
    const floats = this.#floats;
    const rate = f(step.rate);
    const keep = f(step.keep);
    for (let k = 0; k < count; k++) {
      const at = (gradients >> 2) + k;
      let gradient = floats[at]!;
      for (let s = 1; s < shards; s++) gradient = f(gradient + floats[at + (shardStride >> 2) * s]!);
      const m = (firstMoments >> 2) + k;
      const v = (secondMoments >> 2) + k;
      const first = f(f(f(ADAM.first) * floats[m]!) + f(f(1 - ADAM.first) * gradient));
      const second = f(f(f(ADAM.second) * floats[v]!) + f(f(1 - ADAM.second) * f(gradient * gradient)));
      floats[m] = first;
      floats[v] = second;
      const above = f(rate * f(first * f(step.firstCorrection)));
      const below = f(f(Math.sqrt(f(second * f(step.secondCorrection)))) + f(ADAM.epsilon));
      const p = (parameters >> 2) + k;
      floats[p] = f(floats[p]! * keep) - f(above / below);
    }
  }

  transpose(from: number, rows: number, columns: number, first: number, last: number, out: number): void {
    for (let i = first; i < last; i++) {
      for (let j = 0; j < columns; j++) {
        this.#floats[(out >> 2) + j * rows + i] = this.#floats[(from >> 2) + i * columns + j]!;
      }
    }
  }
}
