/**
 * A very small WebAssembly assembler: enough to write a kernel's inner loop with its constants folded in.
 * Names and numbers are those of the WebAssembly core specification, chapter 5 (binary format).
 */
export const type = { i32: 0x7f, i64: 0x7e, f64: 0x7c, v128: 0x7b } as const;

/** A memory of a fixed size. */
export interface MemoryImport {
  readonly shared: boolean;
  readonly pages: number;
}

function unsigned(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? byte | 128 : byte);
  } while (rest > 0);
  return out;
}

function signed(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  for (;;) {
    const byte = ((rest % 128) + 128) % 128;
    rest = Math.floor(rest / 128);
    const done = (rest === 0 && byte < 64) || (rest === -1 && byte >= 64);
    out.push(done ? byte : byte | 128);
    if (done) return out;
  }
}

/** The body of one function. Methods add one instruction each and can be chained. */
export class Body {
  readonly bytes: number[] = [];
  readonly #locals: number[];

  /** @param locals types of the locals after the parameters */
  constructor(locals: readonly number[]) {
    this.#locals = [...locals];
  }

  op(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }
  get(local: number): this {
    return this.op(0x20, ...unsigned(local));
  }
  set(local: number): this {
    return this.op(0x21, ...unsigned(local));
  }
  tee(local: number): this {
    return this.op(0x22, ...unsigned(local));
  }
  /** A 32-bit constant, signed or not. */
  i32(n: number): this {
    return this.op(0x41, ...signed(n | 0));
  }
  f64(n: number): this {
    return this.op(0x44, ...new Uint8Array(Float64Array.of(n).buffer));
  }
  loadI32(offset = 0): this {
    return this.op(0x28, 2, ...unsigned(offset));
  }
  loadByte(offset = 0): this {
    return this.op(0x2d, 0, ...unsigned(offset));
  }
  /** From the second memory (see `assemble`). */
  loadByteOfSecond(): this {
    return this.op(0x2d, 0x40, 1, 0);
  }
  loadU16(offset = 0): this {
    return this.op(0x2f, 1, ...unsigned(offset));
  }
  loadF32(offset = 0): this {
    return this.op(0x2a, 2, ...unsigned(offset), 0xbb);
  }
  loadF64(offset = 0): this {
    return this.op(0x2b, 3, ...unsigned(offset));
  }
  storeI32(offset = 0): this {
    return this.op(0x36, 2, ...unsigned(offset));
  }
  storeF64(offset = 0): this {
    return this.op(0x39, 3, ...unsigned(offset));
  }
  /** A float64, rounded to float32. */
  storeF32(offset = 0): this {
    return this.op(0xb6, 0x38, 2, ...unsigned(offset));
  }
  /** (to, from, bytes): the ranges may overlap. */
  copy(): this {
    return this.op(0xfc, 10, 0, 0);
  }
  add(): this {
    return this.op(0x6a);
  }
  sub(): this {
    return this.op(0x6b);
  }
  mul(): this {
    return this.op(0x6c);
  }
  or(): this {
    return this.op(0x72);
  }
  gtF(): this {
    return this.op(0x64);
  }
  xor(): this {
    return this.op(0x73);
  }
  isZero(): this {
    return this.op(0x45);
  }
  select(): this {
    return this.op(0x1b);
  }
  and(): this {
    return this.op(0x71);
  }
  shl(): this {
    return this.op(0x74);
  }
  shrU(): this {
    return this.op(0x76);
  }
  ltU(): this {
    return this.op(0x49);
  }
  equal(): this {
    return this.op(0x46);
  }
  addF(): this {
    return this.op(0xa0);
  }
  subF(): this {
    return this.op(0xa1);
  }
  floorF(): this {
    return this.op(0x9c);
  }
  mulF(): this {
    return this.op(0xa2);
  }
  toF64(): this {
    return this.op(0xb7);
  }
  /** An unsigned 32-bit number as float64. */
  unsignedToF64(): this {
    return this.op(0xb8);
  }
  /** A float64 cut to a signed 32-bit number, the nearest there is. */
  toI32(): this {
    return this.op(0xfc, 2);
  }
  // Pairs of float64 (and of the 64-bit numbers that they are stored as).
  loadF2(offset = 0): this {
    return this.op(0xfd, 0, 3, ...unsigned(offset));
  }
  storeF2(offset = 0): this {
    return this.op(0xfd, 11, 3, ...unsigned(offset));
  }
  splatF2(): this {
    return this.op(0xfd, 0x14);
  }
  addF2(): this {
    return this.op(0xfd, 0xf0, 1);
  }
  subF2(): this {
    return this.op(0xfd, 0xf1, 1);
  }
  mulF2(): this {
    return this.op(0xfd, 0xf2, 1);
  }
  divF2(): this {
    return this.op(0xfd, 0xf3, 1);
  }
  /** (a, b) => b < a ? b : a */
  pminF2(): this {
    return this.op(0xfd, 0xf6, 1);
  }
  /** (a, b) => a < b ? b : a */
  pmaxF2(): this {
    return this.op(0xfd, 0xf7, 1);
  }
  negateF2(): this {
    return this.op(0xfd, 0xed, 1);
  }
  shlI2(): this {
    return this.op(0xfd, 0xcb, 1);
  }
  addI2(): this {
    return this.op(0xfd, 0xce, 1);
  }
  /** Runs `body`, which `breakIf` can leave. */
  block(body: () => void): this {
    this.op(0x02, 0x40);
    body();
    return this.op(0x0b);
  }
  if(): this {
    return this.op(0x04, 0x40);
  }
  end(): this {
    return this.op(0x0b);
  }
  breakIf(depth: number): this {
    return this.op(0x0d, depth);
  }
  /** Repeats `body` until it leaves 0 on the stack. */
  loop(body: () => void): this {
    this.op(0x03, 0x40);
    body();
    return this.op(0x0d, 0, 0x0b);
  }

  finish(): number[] {
    const locals = this.#locals.flatMap((t) => [1, t]);
    const body = [...unsigned(this.#locals.length), ...locals, ...this.bytes, 0x0b];
    return [...unsigned(body.length), ...body];
  }
}

export interface FunctionSpec {
  readonly name: string;
  readonly params: readonly number[];
  readonly results: readonly number[];
  readonly body: Body;
}

/**
 * A module that imports memory "m"."memory", and "m"."second" where a second is given, and exports `functions`.
 */
export function assemble(
  functions: readonly FunctionSpec[],
  shared: boolean,
  pages: number,
  second?: MemoryImport,
): Uint8Array<ArrayBuffer> {
  const text = (s: string): number[] => [s.length, ...new TextEncoder().encode(s)];
  const list = (items: readonly number[][]): number[] => [...unsigned(items.length), ...items.flat()];
  const section = (id: number, bytes: number[]): number[] => [id, ...unsigned(bytes.length), ...bytes];
  const memory = (name: string, of: MemoryImport): number[] => [
    ...text("m"),
    ...text(name),
    ...[2, of.shared ? 3 : 1, ...unsigned(of.pages), ...unsigned(of.pages)],
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      list(
        functions.map((f) => [0x60, ...list(f.params.map((p) => [p])), ...list(f.results.map((r) => [r]))]),
      ),
    ),
    ...section(2, list([memory("memory", { shared, pages }), ...(second ? [memory("second", second)] : [])])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map((f, i) => [...text(f.name), 0, ...unsigned(i)]))),
    ...section(10, list(functions.map((f) => f.body.finish()))),
  ]);
}
