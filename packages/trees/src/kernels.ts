import { addRows, type Records } from "./histogram.ts";
import { type WasmApi, type WasmMemory, wasmApi } from "./wasm-api.ts";
import { assemble, Body, type } from "./wasm-writer.ts";

/** Adds the records of rows[from, to) to the worker's scratch histogram. */
type AddRows = (from: number, to: number) => void;

export interface HistogramKernel {
  /** Adds the records of rows[from, to) to the worker's scratch histogram: at least the bytes in use. */
  readonly addRows: AddRows;
  /** Says which bytes of a record the next tree looks at. */
  use(bytes: ReadonlySet<number>): void;
}

/** What one worker's kernel works on. */
export interface KernelArguments {
  readonly records: Records;
  /** The worker's row numbers. */
  readonly rows: Int32Array;
  /** The worker's histogram. */
  readonly scratch: Float64Array;
  /** Where all of these are; undefined: use the plain kernel. */
  readonly memory: WasmMemory | undefined;
  /** Byte offset of `spareBytes` for the kernel itself. */
  readonly spare: number;
}

/** Room that a kernel needs: a word that keeps its reads alive, then a bit for each byte of a record. */
export function spareBytes(recordBytes: number): number {
  return Math.ceil((4 + Math.ceil(recordBytes / 32) * 4) / 64) * 64;
}

/** Rows whose records are fetched from memory together. */
const batch = 32;

/**
 * The histogram kernel of one worker: WebAssembly made for this training's record shape and addresses, or the
 * plain one where that cannot be had. Both add the same whole numbers.
 */
export function makeKernel(given: KernelArguments): HistogramKernel {
  const compiled = given.memory && wasmApi ? compile(wasmApi, given, given.memory) : undefined;
  if (compiled) return compiled;
  const { records, rows, scratch } = given;
  return {
    addRows: (from, to) => addRows(records, rows, from, to, scratch),
    use: () => {},
  };
}

function compile(api: WasmApi, given: KernelArguments, memory: WasmMemory): HistogramKernel | undefined {
  const params = [type.i32, type.i32];
  const module = assemble(
    [
      { name: "all", params, results: [], body: addRowsBody(given, false) },
      { name: "some", params, results: [], body: addRowsBody(given, true) },
    ],
    typeof SharedArrayBuffer === "function" && memory.buffer instanceof SharedArrayBuffer,
    memory.buffer.byteLength / 65536,
  );
  let exports: Readonly<Record<string, unknown>>;
  try {
    exports = new api.Instance(new api.Module(module), { m: { memory } }).exports;
  } catch (error) {
    // A page's security policy may forbid WebAssembly; anything else is a mistake here.
    if (error instanceof api.CompileError && /unsafe-eval|Content Security/i.test(error.message))
      return undefined;
    throw error;
  }
  const all = exports["all"] as AddRows;
  const some = exports["some"] as AddRows;
  const count = given.records.layout.bytes.length;
  const mask = new Int32Array(memory.buffer, given.spare + 4, Math.ceil(count / 32));
  let current = all;
  return {
    addRows: (from, to) => current(from, to),
    use: (bytes) => {
      current = bytes.size === count ? all : some;
      mask.fill(0);
      for (const b of bytes) mask[b >> 5] = mask[b >> 5]! | (1 << (b & 31));
    },
  };
}

/** @param masked skip the bytes whose bit is not set */
function addRowsBody({ records, rows, scratch, spare }: KernelArguments, masked: boolean): Body {
  const { layout, binWords, stride, unit, constantHessian } = records;
  const [from, to, stop, i, record, word, bin, value, masks] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const maskWords = masked ? Math.ceil(layout.bytes.length / 32) : 0;
  const maskLocals = new Array<number>(maskWords).fill(type.i32);
  const body = new Body([type.i32, type.i32, type.i32, type.i32, type.i32, type.f64, ...maskLocals]);
  const rowsAt = rows.byteOffset;
  const first = records.words.byteOffset;
  const size = stride * 4;
  const gradientAt = first + binWords * 4;
  for (let m = 0; m < maskWords; m++) {
    body.i32(0).loadI32(spare + 4 + m * 4);
    body.set(masks + m);
  }
  // Both limits as byte offsets into rows; nothing to do where from >= to.
  body.get(from).i32(2).shl().set(from);
  body.get(to).i32(2).shl().set(to);
  body.block(() => {
    body.get(from).get(to).ltU().isZero().breakIf(0);
    body.loop(() => {
      // stop = min(from + batch, to)
      body
        .get(from)
        .i32(batch * 4)
        .add()
        .tee(stop)
        .get(to);
      body.get(stop).get(to).ltU().select().set(stop);
      // Touches the batch's records all at once: otherwise each row waits for memory in its turn.
      body.get(from).set(i).i32(0).set(word);
      body.loop(() => {
        body.get(i).loadI32(rowsAt).i32(size).mul().set(record);
        body.get(word);
        for (let at = 0; at < size - 4; at += 64)
          body
            .get(record)
            .loadI32(first + at)
            .xor();
        body
          .get(record)
          .loadI32(first + size - 4)
          .xor();
        body.set(word);
        body.get(i).i32(4).add().tee(i).get(stop).ltU();
      });
      body.i32(0).get(word).storeI32(spare);
      body.loop(() => {
        body.get(from).loadI32(rowsAt).i32(size).mul().set(record);
        body.get(record).loadI32(gradientAt).toF64().f64(unit).mulF();
        if (constantHessian) body.f64(1).addF();
        else
          body
            .get(record)
            .loadI32(gradientAt + 4)
            .toF64()
            .addF();
        body.set(value);
        layout.bytes.forEach((byte, p) => {
          if (p % 4 === 0)
            body
              .get(record)
              .loadI32(first + p)
              .set(word);
          // A branch that goes one way for the whole tree costs next to nothing.
          if (masked)
            body
              .get(masks + (p >> 5))
              .i32(1 << (p & 31))
              .and()
              .if();
          // Byte p % 4 of the word, times 8: the bin's place in its histogram.
          if (p % 4 === 0) body.get(word).i32(3).shl();
          else
            body
              .get(word)
              .i32((p % 4) * 8 - 3)
              .shrU();
          body.i32(2040).and().tee(bin);
          const at = scratch.byteOffset + byte.at * 8;
          body.get(bin).loadF64(at).get(value).addF().storeF64(at);
          if (masked) body.end();
        });
        body.get(from).i32(4).add().tee(from).get(stop).ltU();
      });
      body.get(from).get(to).ltU();
    });
  });
  return body;
}
