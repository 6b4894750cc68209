import { assemble, type FunctionSpec, type WasmMemory, wasmApi } from "@cityscale/trees/wasm";
import { ADAM, type AdamStep, type Kernels, type Seeds } from "./kernels.ts";
import { SimdBody, simdType } from "./simd-body.ts";

/** Registers that hold sums in `multiply`; with its operands they fill the sixteen of x86-64. */
const WIDEST = 10;

const { i32, f32, v128 } = simdType;

type Call = (...numbers: number[]) => void;

/** The kernels in WebAssembly with SIMD. */
export class WasmKernels implements Kernels {
  readonly pack: Kernels["pack"];
  readonly deactivate: Kernels["deactivate"];
  readonly sumColumns: Kernels["sumColumns"];
  readonly copyRows: Kernels["copyRows"];
  readonly addByCode: Kernels["addByCode"];
  readonly transpose: Kernels["transpose"];
  readonly #multiply: readonly Call[];
  readonly #activate: Call;
  readonly #update: Call;

  constructor(memory: WasmMemory) {
    if (!wasmApi) throw new Error("this platform has no WebAssembly");
    const shared = memory.buffer instanceof SharedArrayBuffer;
    const module = new wasmApi.Module(assemble(functions(), shared, memory.buffer.byteLength / 65536));
    const { exports } = new wasmApi.Instance(module, { m: { memory } });
    const call = (name: string) => exports[name] as Call;
    this.pack = call("pack");
    this.deactivate = call("deactivate");
    this.sumColumns = call("sumColumns");
    this.copyRows = call("copyRows");
    this.addByCode = call("addByCode");
    this.transpose = call("transpose");
    this.#multiply = Array.from({ length: WIDEST }, (_, n) => call(`multiply${n + 1}`));
    this.#activate = call("activate");
    this.#update = call("update");
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
    // Strips of nearly equal width, each with its sums in registers.
    const registers = width >> 2;
    const strips = Math.ceil(registers / WIDEST);
    for (let k = 0, done = 0; k < strips; k++) {
      const n = Math.ceil((registers - done) / (strips - k));
      const at = done * 16;
      this.#multiply[n - 1]!(lists, listStride, counts, lines, from + at, init + at, out + at, outStride);
      done += n;
    }
  }

  activate(at: number, count: number, scale: number, threshold: number, seeds: Seeds): void {
    this.#activate(at, count, scale, threshold, ...seeds);
  }

  update(
    parameters: number,
    firstMoments: number,
    secondMoments: number,
    gradients: number,
    shardStride: number,
    shards: number,
    count: number,
    { rate, keep, firstCorrection, secondCorrection }: AdamStep,
  ): void {
    const places = [parameters, firstMoments, secondMoments, gradients, shardStride, shards, count];
    this.#update(...places, rate, keep, firstCorrection, secondCorrection);
  }
}

function functions(): FunctionSpec[] {
  const ints = (n: number): number[] => new Array<number>(n).fill(i32);
  const make = (name: string, params: readonly number[], body: SimdBody): FunctionSpec => {
    return { name, params, results: [], body };
  };
  return [
    ...Array.from({ length: WIDEST }, (_, n) => make(`multiply${n + 1}`, ints(8), multiply(n + 1))),
    make("pack", ints(9), pack()),
    make("activate", [i32, i32, f32, i32, i32, i32, i32, i32], activate()),
    make("deactivate", [i32, i32, i32, f32], deactivate()),
    make("sumColumns", ints(4), sumColumns()),
    make("copyRows", ints(5), copyRows()),
    make("addByCode", ints(6), addByCode()),
    make("update", [...ints(7), f32, f32, f32, f32], update()),
    make("transpose", ints(6), transpose()),
  ];
}

/** Repeats `body`, `counter` times; the counter counts down to 0. Not at all where it is 0. */
function repeat(body: SimdBody, counter: number, inner: () => void): void {
  body.block(() => {
    body.get(counter).isZero().breakIf(0);
    body.loop(() => {
      inner();
      body.get(counter).i32(1).sub().tee(counter);
    });
  });
}

/** local += bytes */
function advance(body: SimdBody, local: number, bytes: number): void {
  body.get(local).i32(bytes).add().set(local);
}

function multiply(n: number): SimdBody {
  const [lists, listStride, counts, lines, from, init, out, outStride] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const [at, end, row, value, sum] = [8, 9, 10, 11, 12] as const;
  const body = new SimdBody([i32, i32, i32, v128, ...new Array<number>(n).fill(v128)]);
  const entry = (offset: number) => {
    body.get(at).loadI32(offset).get(from).add().set(row);
    body
      .get(at)
      .loadSplat(offset + 4)
      .set(value);
    for (let j = 0; j < n; j++) {
      body
        .get(row)
        .loadV(j * 16)
        .get(value)
        .mulV()
        .get(sum + j)
        .addV()
        .set(sum + j);
    }
  };
  repeat(body, lines, () => {
    for (let j = 0; j < n; j++) {
      body
        .get(init)
        .loadV(j * 16)
        .set(sum + j);
    }
    body.get(lists).set(at);
    body.get(counts).loadI32().i32(3).shl().get(lists).add().set(end);
    body.block(() => {
      body.get(at).get(end).ltU().isZero().breakIf(0);
      // Entries in pairs, after the odd one.
      body.get(end).get(at).sub().i32(8).and().if();
      entry(0);
      advance(body, at, 8);
      body.end();
      body.get(at).get(end).ltU().isZero().breakIf(0);
      body.loop(() => {
        entry(0);
        entry(8);
        body.get(at).i32(16).add().tee(at).get(end).ltU();
      });
    });
    for (let j = 0; j < n; j++) {
      body
        .get(out)
        .get(sum + j)
        .storeV(j * 16);
    }
    body.get(lists).get(listStride).add().set(lists);
    body.get(out).get(outStride).add().set(out);
    advance(body, counts, 4);
  });
  return body;
}

function pack(): SimdBody {
  const [from, lines, lineStride, length, stride, step, lists, listStride, counts] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8,
  ] as const;
  const [at, source, offset, left, value] = [9, 10, 11, 12, 13] as const;
  const body = new SimdBody([i32, i32, i32, i32, i32]);
  repeat(body, lines, () => {
    body.get(lists).set(at).get(from).set(source).i32(0).set(offset).get(length).set(left);
    repeat(body, left, () => {
      // No branch, as it would be guessed wrong half of the time: zeros are written too, and written over.
      body.get(at).get(offset).storeI32();
      body.get(at).get(source).loadI32().tee(value).storeI32(4);
      // 8 unless all bits but the sign's are 0.
      body.get(at).i32(8).i32(0).get(value).i32(1).shl().select().add().set(at);
      body.get(offset).get(step).add().set(offset);
      body.get(source).get(stride).add().set(source);
    });
    body.get(counts).get(at).get(lists).sub().i32(3).shrU().storeI32();
    advance(body, counts, 4);
    body.get(lists).get(listStride).add().set(lists);
    body.get(from).get(lineStride).add().set(from);
  });
  return body;
}

function activate(): SimdBody {
  const [at, count, scale, threshold, seed] = [0, 1, 2, 3, 4] as const;
  const [state, scales, thresholds] = [8, 9, 10] as const;
  const body = new SimdBody([v128, v128, v128]);
  body.get(scale).splat().set(scales);
  body.get(threshold).splatI().set(thresholds);
  body.get(seed).splatI();
  for (let lane = 1; lane < 4; lane++) body.get(seed + lane).replaceLaneI(lane);
  body.set(state);
  body.get(count).i32(2).shrU().set(count);
  repeat(body, count, () => {
    body.get(state).shlV(13).get(state).xorV().set(state);
    body.get(state).shrUV(17).get(state).xorV().set(state);
    body.get(state).shlV(5).get(state).xorV().set(state);
    body.get(at);
    body.get(at).loadV().constV(0).maxV().get(scales).mulV();
    body.get(state).get(thresholds).greaterUV().andV();
    body.storeV();
    advance(body, at, 16);
  });
  return body;
}

function deactivate(): SimdBody {
  const [gradients, values, count, scale, scales] = [0, 1, 2, 3, 4] as const;
  const body = new SimdBody([v128]);
  body.get(scale).splat().set(scales);
  body.get(count).i32(2).shrU().set(count);
  repeat(body, count, () => {
    body.get(gradients);
    body.get(gradients).loadV().get(scales).mulV();
    body.get(values).loadV().constV(0).notEqualV().andV();
    body.storeV();
    advance(body, gradients, 16);
    advance(body, values, 16);
  });
  return body;
}

function sumColumns(): SimdBody {
  const [from, rows, width, out] = [0, 1, 2, 3] as const;
  const [stride, at, left, sum] = [4, 5, 6, 7] as const;
  const body = new SimdBody([i32, i32, i32, v128]);
  body.get(width).i32(2).shl().set(stride);
  body.get(width).i32(2).shrU().set(width);
  repeat(body, width, () => {
    body.get(from).set(at).get(rows).set(left).constV(0).set(sum);
    repeat(body, left, () => {
      body.get(sum).get(at).loadV().addV().set(sum);
      body.get(at).get(stride).add().set(at);
    });
    body.get(out).get(sum).storeV();
    advance(body, from, 16);
    advance(body, out, 16);
  });
  return body;
}

function copyRows(): SimdBody {
  const [rows, count, from, width, out] = [0, 1, 2, 3, 4] as const;
  const [at, left] = [5, 6] as const;
  const body = new SimdBody([i32, i32]);
  repeat(body, count, () => {
    body.get(rows).loadI32().get(width).mul().i32(2).shl().get(from).add().set(at);
    body.get(width).i32(2).shrU().set(left);
    repeat(body, left, () => {
      body.get(out).get(at).loadV().storeV();
      advance(body, at, 16);
      advance(body, out, 16);
    });
    advance(body, rows, 4);
  });
  return body;
}

function addByCode(): SimdBody {
  const [codes, rows, perRow, from, width, out] = [0, 1, 2, 3, 4, 5] as const;
  const [at, to, left, code, more] = [6, 7, 8, 9, 10] as const;
  const body = new SimdBody([i32, i32, i32, i32, i32]);
  repeat(body, rows, () => {
    body.get(perRow).set(more);
    repeat(body, more, () => {
      body.get(codes).loadI32().set(code);
      advance(body, codes, 4);
      body.get(code).i32(-1).xor().if();
      body.get(code).get(width).mul().i32(2).shl().get(out).add().set(to);
      body.get(from).set(at);
      body.get(width).i32(2).shrU().set(left);
      repeat(body, left, () => {
        body.get(to).get(to).loadV().get(at).loadV().addV().storeV();
        advance(body, at, 16);
        advance(body, to, 16);
      });
      body.end();
    });
    body.get(width).i32(2).shl().get(from).add().set(from);
  });
  return body;
}

function update(): SimdBody {
  const [parameters, firstMoments, secondMoments, gradients, shardStride, shards, count] = [
    0, 1, 2, 3, 4, 5, 6,
  ] as const;
  const [rate, keep, firstCorrection, secondCorrection] = [7, 8, 9, 10] as const;
  const [at, left, gradient, first, second] = [11, 12, 13, 14, 15] as const;
  const [rates, keeps, firsts, seconds] = [16, 17, 18, 19] as const;
  const body = new SimdBody([i32, i32, v128, v128, v128, v128, v128, v128, v128]);
  body.get(rate).splat().set(rates).get(keep).splat().set(keeps);
  body.get(firstCorrection).splat().set(firsts).get(secondCorrection).splat().set(seconds);
  body.get(count).i32(2).shrU().set(count);
  repeat(body, count, () => {
    body.get(gradients).loadV().set(gradient);
    body.get(gradients).set(at);
    body.get(shards).i32(1).sub().set(left);
    repeat(body, left, () => {
      body.get(at).get(shardStride).add().tee(at).loadV().get(gradient).addV().set(gradient);
    });
    body.constV(ADAM.first).get(firstMoments).loadV().mulV();
    body
      .constV(1 - ADAM.first)
      .get(gradient)
      .mulV()
      .addV()
      .set(first);
    body.constV(ADAM.second).get(secondMoments).loadV().mulV();
    body
      .constV(1 - ADAM.second)
      .get(gradient)
      .get(gradient)
      .mulV()
      .mulV()
      .addV()
      .set(second);
    body.get(firstMoments).get(first).storeV();
    body.get(secondMoments).get(second).storeV();
    body.get(parameters);
    body.get(parameters).loadV().get(keeps).mulV();
    body.get(rates).get(first).get(firsts).mulV().mulV();
    body.get(second).get(seconds).mulV().sqrtV().constV(ADAM.epsilon).addV();
    body.divV().subV().storeV();
    for (const local of [parameters, firstMoments, secondMoments, gradients]) advance(body, local, 16);
  });
  return body;
}

function transpose(): SimdBody {
  const [from, rows, columns, first, last, out] = [0, 1, 2, 3, 4, 5] as const;
  const [left, to] = [6, 7] as const;
  const body = new SimdBody([i32, i32]);
  body.get(first).get(columns).mul().i32(2).shl().get(from).add().set(from);
  body.get(first).i32(2).shl().get(out).add().set(out);
  body.get(last).get(first).sub().set(last);
  body.get(rows).i32(2).shl().set(rows);
  repeat(body, last, () => {
    body.get(columns).set(left).get(out).set(to);
    repeat(body, left, () => {
      body.get(to).get(from).loadI32().storeI32();
      advance(body, from, 4);
      body.get(to).get(rows).add().set(to);
    });
    advance(body, out, 4);
  });
  return body;
}
