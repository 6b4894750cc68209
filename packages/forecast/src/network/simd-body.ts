import { Body, type } from "@cityscale/trees/wasm";

/** Types of locals, with those of numbers of 32 bits and of registers of four. */
export const simdType = { ...type, f32: 0x7d, v128: 0x7b } as const;

function unsigned(n: number): number[] {
  return n < 128 ? [n] : [(n % 128) | 128, ...unsigned(Math.floor(n / 128))];
}

/** A body with the SIMD instructions that are used here; registers hold four f32 or four i32. */
export class SimdBody extends Body {
  #simd(opcode: number, ...rest: number[]): this {
    return this.op(0xfd, ...unsigned(opcode), ...rest);
  }
  loadV(offset = 0): this {
    return this.#simd(0x00, 2, ...unsigned(offset));
  }
  storeV(offset = 0): this {
    return this.#simd(0x0b, 2, ...unsigned(offset));
  }
  /** Loads one number into all four lanes. */
  loadSplat(offset = 0): this {
    return this.#simd(0x09, 2, ...unsigned(offset));
  }
  /** One f32 of the stack in all four lanes. */
  splat(): this {
    return this.#simd(0x13);
  }
  splatI(): this {
    return this.#simd(0x11);
  }
  /** Puts an i32 into a lane. */
  replaceLaneI(lane: number): this {
    return this.#simd(0x1c, lane);
  }
  /** The same f32 in all four lanes. */
  constV(value: number): this {
    return this.#simd(0x0c, ...new Uint8Array(Float32Array.of(value, value, value, value).buffer));
  }
  addV(): this {
    return this.#simd(0xe4);
  }
  subV(): this {
    return this.#simd(0xe5);
  }
  mulV(): this {
    return this.#simd(0xe6);
  }
  divV(): this {
    return this.#simd(0xe7);
  }
  maxV(): this {
    return this.#simd(0xe9);
  }
  sqrtV(): this {
    return this.#simd(0xe3);
  }
  /** All bits of a lane where the f32 differ. */
  notEqualV(): this {
    return this.#simd(0x42);
  }
  /** All bits of a lane where the first i32 is greater, unsigned. */
  greaterUV(): this {
    return this.#simd(0x3c);
  }
  andV(): this {
    return this.#simd(0x4e);
  }
  xorV(): this {
    return this.#simd(0x51);
  }
  shlV(bits: number): this {
    return this.i32(bits).#simd(0xab);
  }
  shrUV(bits: number): this {
    return this.i32(bits).#simd(0xad);
  }
}
