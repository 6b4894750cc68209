import { quantileSorted } from "./quantile.ts";

/**
 * Quantiles of the last `window` values pushed, unknown ones (NaN) skipped. Values are kept sorted: a push
 * costs a binary search and a copy.
 */
export class RollingQuantiles {
  readonly #window: number;
  readonly #recent: Float64Array;
  readonly #sorted: Float64Array;
  #pushed = 0;
  #known = 0;

  constructor(window: number) {
    this.#window = window;
    this.#recent = new Float64Array(window).fill(Number.NaN);
    this.#sorted = new Float64Array(window);
  }

  /** Known values among the last `window`. */
  get known(): number {
    return this.#known;
  }

  push(value: number): void {
    const slot = this.#pushed++ % this.#window;
    const leaving = this.#recent[slot]!;
    this.#recent[slot] = value;
    if (!Number.isNaN(leaving)) {
      const at = this.#position(leaving);
      this.#sorted.copyWithin(at, at + 1, this.#known);
      this.#known--;
    }
    if (!Number.isNaN(value)) {
      const at = this.#position(value);
      this.#sorted.copyWithin(at + 1, at, this.#known);
      this.#sorted[at] = value;
      this.#known++;
    }
  }

  /** At level `tau` (0 .. 1), linear between order statistics; NaN where nothing is known. */
  at(tau: number): number {
    return quantileSorted(this.#sorted.subarray(0, this.#known), tau);
  }

  /** Of the first sorted value that is not below `value`. */
  #position(value: number): number {
    let low = 0;
    let high = this.#known;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
