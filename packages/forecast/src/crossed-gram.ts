import { choleskyFactor, substitute } from "./cholesky.ts";
import type { BoundGroup, CrossGroup } from "./crossed-design.ts";

/** What two groups have in common: a dense block for each pair of combinations that some row has. */
interface Coupling {
  readonly first: CrossGroup;
  readonly second: CrossGroup;
  /** combination of each group, per block */
  readonly firstKeys: Int32Array;
  readonly secondKeys: Int32Array;
  /** blocks x first.width x second.width: sums of weight x value x value */
  readonly blocks: Float64Array;
}

/**
 * The normal matrix A' W A + penalties of crossed terms, block by block: one walk over the rows makes it, and
 * multiplying by it no longer depends on their number. Coefficients g are scaled so that every penalty is 1
 * (b = g / sqrt(penalty)); the intercept has none.
 */
export class CrossedGram {
  readonly #couplings: readonly Coupling[];
  /** 1 / sqrt(penalty) of each coefficient, 1 for the intercept */
  readonly scale: Float64Array;
  readonly #penalty: Float64Array;

  constructor(groups: readonly BoundGroup[], weight: Float64Array, width: number) {
    this.scale = new Float64Array(width).fill(1);
    for (const { base, size, width: terms, penalties } of groups) {
      for (let k = 0; k < size; k++) {
        for (const [a, penalty] of penalties.entries()) {
          if (penalty > 0) this.scale[base + k * terms + a] = 1 / Math.sqrt(penalty);
        }
      }
    }
    this.#penalty = new Float64Array(width).fill(1);
    this.#penalty[0] = 0;
    const couplings: Coupling[] = [];
    for (const [f, first] of groups.entries()) {
      for (const second of groups.slice(f)) couplings.push(coupled(first, second, weight, this.scale));
    }
    this.#couplings = couplings;
  }

  times(v: Float64Array): Float64Array {
    const out = v.map((value, j) => value * this.#penalty[j]!);
    for (const { first, second, firstKeys, secondKeys, blocks } of this.#couplings) {
      const isDiagonal = first.base === second.base;
      let at = 0;
      for (let k = 0; k < firstKeys.length; k++) {
        const p = first.base + firstKeys[k]! * first.width;
        const q = second.base + secondKeys[k]! * second.width;
        for (let a = 0; a < first.width; a++) {
          let sum = 0;
          for (let b = 0; b < second.width; b++) {
            sum += blocks[at]! * v[q + b]!;
            if (!isDiagonal) out[q + b]! += blocks[at]! * v[p + a]!;
            at++;
          }
          out[p + a]! += sum;
        }
      }
    }
    return out;
  }

  /**
   * Solves the diagonal blocks alone: per combination of a cross, all terms on that cross together. Slopes of
   * related columns (temperature, its daily mean) are what a plain diagonal is slow on.
   */
  preconditioner(): (v: Float64Array) => Float64Array {
    const factors = this.#couplings
      .filter(({ first, second }) => first.base === second.base)
      .map(({ first, firstKeys, blocks }) => {
        const { base, width } = first;
        const square = width * width;
        const factored = blocks.slice();
        for (let k = 0; k < firstKeys.length; k++) {
          const block = factored.subarray(k * square, (k + 1) * square);
          const from = base + firstKeys[k]! * width;
          for (let a = 0; a < width; a++) block[a * width + a]! += this.#penalty[from + a]!;
          choleskyFactor(block, width);
        }
        return { base, width, keys: firstKeys, factored, part: new Float64Array(width) };
      });
    return (v) => {
      const out = new Float64Array(v.length);
      for (const { base, width, keys, factored, part } of factors) {
        const square = width * width;
        for (let k = 0; k < keys.length; k++) {
          const from = base + keys[k]! * width;
          part.set(v.subarray(from, from + width));
          substitute(factored.subarray(k * square, (k + 1) * square), part);
          out.set(part, from);
        }
      }
      return out;
    };
  }
}

function coupled(first: BoundGroup, second: BoundGroup, weight: Float64Array, scale: Float64Array): Coupling {
  const { block, firstKeys, secondKeys } = pairsOf(first, second);
  const [m, n] = [first.width, second.width];
  const blocks = new Float64Array(firstKeys.length * m * n);
  for (let i = 0; i < weight.length; i++) {
    if (block[i]! < 0) continue;
    let at = block[i]! * m * n;
    for (let a = 0; a < m; a++) {
      const x = weight[i]! * first.values[i * m + a]!;
      // Most flags are 0 most of the time.
      if (x !== 0) for (let b = 0; b < n; b++) blocks[at + b]! += x * second.values[i * n + b]!;
      at += n;
    }
  }
  for (let k = 0, at = 0; k < firstKeys.length; k++) {
    const p = first.base + firstKeys[k]! * m;
    const q = second.base + secondKeys[k]! * n;
    for (let a = 0; a < m; a++) for (let b = 0; b < n; b++) blocks[at++]! *= scale[p + a]! * scale[q + b]!;
  }
  return { first, second, firstKeys, secondKeys, blocks };
}

/** Numbers the pairs of combinations that occur, in the order of the rows; -1 for a row with an unseen one. */
function pairsOf(
  first: BoundGroup,
  second: BoundGroup,
): { block: Int32Array; firstKeys: Int32Array; secondKeys: Int32Array } {
  const rows = first.index.length;
  const most = Math.min(rows, first.size * second.size);
  const firstKeys = new Int32Array(most);
  const secondKeys = new Int32Array(most);
  const block = new Int32Array(rows);
  // Open addressing: a Map of numbers took most of the time of a fit.
  const mask = 2 ** Math.ceil(Math.log2(2 * most + 2)) - 1;
  const table = new Int32Array(mask + 1).fill(-1);
  let found = 0;
  for (let i = 0; i < rows; i++) {
    const p = first.index[i]!;
    const q = second.index[i]!;
    if (p === first.size || q === second.size) {
      block[i] = -1;
      continue;
    }
    let hash = Math.imul(p, 0x9e3779b1) ^ Math.imul(q, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (table[slot]! >= 0 && (firstKeys[table[slot]!] !== p || secondKeys[table[slot]!] !== q)) {
      slot = (slot + 1) & mask;
    }
    if (table[slot]! < 0) {
      firstKeys[found] = p;
      secondKeys[found] = q;
      table[slot] = found++;
    }
    block[i] = table[slot]!;
  }
  return { block, firstKeys: firstKeys.slice(0, found), secondKeys: secondKeys.slice(0, found) };
}
