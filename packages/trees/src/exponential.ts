import { rounder } from "./kernel-arguments.ts";
import { type Body, type as types } from "./wasm-writer.ts";

/**
 * e^x as a polynomial, in this order of operations: the plain kernels and WebAssembly's get the same bits, on any
 * machine. Within 1e-14 of the true value; x is clipped to [-700, 700].
 */
const limit = 700;
const perLn2 = Math.LOG2E;
/** ln 2 in two parts: k times the first is exact. */
const ln2High = 0.6931471803691238;
const ln2Low = 1.9082149292705877e-10;
/** 1 / k!, k = 2 .. 11. */
const inverses: readonly number[] = Array.from({ length: 10 }, (_, i) => {
  let product = 1;
  for (let k = 2; k <= i + 2; k++) product *= k;
  return 1 / product;
});
const powers = Float64Array.from({ length: 2048 }, (_, i) => 2 ** (i - 1024));

const [c2, c3, c4, c5, c6, c7, c8, c9, c10, c11] = inverses as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

export function exponential(x: number): number {
  const y = x > limit ? limit : x < -limit ? -limit : x;
  const k = y * perLn2 + rounder - rounder;
  const r = y - k * ln2High - k * ln2Low;
  const r2 = r * r;
  const r4 = r2 * r2;
  const low = 1 + r + r2 * (c2 + r * c3);
  const middle = c4 + r * c5 + r2 * (c6 + r * c7);
  const high = c8 + r * c9 + r2 * (c10 + r * c11);
  return (low + r4 * (middle + r4 * high)) * powers[k + 1024]!;
}

/** Two of them at once in WebAssembly: constants stand in locals, so that a loop does not make them anew. */
export class ExponentialPair {
  readonly #constants: readonly number[] = [limit, -limit, rounder, perLn2, ln2High, ln2Low, 1, ...inverses];
  readonly #first: number;
  readonly #work: number;
  /** Types of the locals it wants. */
  static readonly locals: readonly number[] = new Array<number>(22).fill(types.v128);

  /** @param first number of the first of its locals */
  constructor(first: number) {
    this.#first = first;
    this.#work = first + this.#constants.length;
  }

  /** Before the loop. */
  prepare(body: Body): void {
    this.#constants.forEach((value, i) => {
      body
        .f64(value)
        .splatF2()
        .set(this.#first + i);
    });
  }

  /** Local of 1, twice. */
  get one(): number {
    return this.#first + 6;
  }

  /** x on the stack gives way to e^x. */
  emit(body: Body): void {
    const at = (i: number): number => this.#first + i;
    const c = (k: number): number => this.#first + 5 + k;
    const [y, shifted, r, r2, r4] = [0, 1, 2, 3, 4].map((i) => this.#work + i) as [
      number,
      number,
      number,
      number,
      number,
    ];
    // a + r * b
    const line = (a: number, b: number): Body => body.get(a).get(r).get(b).mulF2().addF2();
    body.get(at(0)).pminF2().get(at(1)).pmaxF2().tee(y);
    body.get(at(3)).mulF2().get(at(2)).addF2().tee(shifted);
    body.get(at(2)).subF2().set(r4);
    body.get(y).get(r4).get(at(4)).mulF2().subF2().get(r4).get(at(5)).mulF2().subF2().tee(r);
    body.get(r).mulF2().tee(r2).get(r2).mulF2().set(r4);
    body.get(this.one).get(r).addF2().get(r2);
    line(c(2), c(3)).mulF2().addF2();
    body.get(r4);
    line(c(4), c(5)).get(r2);
    line(c(6), c(7)).mulF2().addF2();
    body.get(r4);
    line(c(8), c(9)).get(r2);
    line(c(10), c(11)).mulF2().addF2();
    body.mulF2().addF2().mulF2().addF2();
    // Times 2^k: k goes to the exponent.
    body.get(shifted).i32(52).shlI2().addI2();
  }
}
