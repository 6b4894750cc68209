import { addRows, type Records } from "./histogram.ts";
import { type WasmApi, type WasmMemory, wasmApi } from "./wasm-api.ts";
import { assemble, Body, type } from "./wasm-writer.ts";

/** Adds the records of rows[from, to) to the worker's scratch histogram. */
export type AddRows = (from: number, to: number) => void;

/** Rows whose records are fetched from memory together. */
const batch = 32;

/**
 * The histogram kernel of one worker: WebAssembly made for this training's record shape and addresses, or the
 * plain one where that cannot be had. Both add the same whole numbers.
 * @param sink byte offset of a spare word, where the kernel leaves a number that keeps its reads alive
 */
export function makeAddRows(
  records: Records,
  rows: Int32Array,
  scratch: Float64Array,
  memory: WasmMemory | undefined,
  sink: number,
): AddRows {
  if (memory && wasmApi) {
    const instance = compile(wasmApi, records, rows, scratch, memory, sink);
    if (instance) return instance;
  }
  return (from, to) => addRows(records, rows, from, to, scratch);
}

function compile(
  api: WasmApi,
  records: Records,
  rows: Int32Array,
  scratch: Float64Array,
  memory: WasmMemory,
  sink: number,
): AddRows | undefined {
  const { layout, binWords, stride, unit, constantHessian } = records;
  const [from, to, stop, i, record, word, bin, value] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const body = new Body([type.i32, type.i32, type.i32, type.i32, type.i32, type.f64]);
  const offset = (array: { byteOffset: number }): number => array.byteOffset;
  const first = offset(records.words);
  const record4 = stride * 4;
  // Both limits as byte offsets into rows; nothing to do where from >= to.
  body.get(from).i32(2).shl().set(from);
  body.get(to).i32(2).shl().set(to);
  body.block(() => {
    body.get(from).get(to).ltU().isZero().breakIf(0);
    body.loop(() => {
      body
        .get(from)
        .i32(batch * 4)
        .add()
        .tee(stop)
        .get(to)
        .get(stop)
        .get(to)
        .ltU()
        .select()
        .set(stop);
      // Touches the batch's records all at once: otherwise each row waits for memory in its turn.
      body.get(from).set(i).i32(0).set(word);
      body.loop(() => {
        body.get(i).loadI32(offset(rows)).i32(record4).mul().set(record);
        body
          .get(word)
          .get(record)
          .loadI32(first)
          .xor()
          .get(record)
          .loadI32(first + record4 - 4)
          .xor()
          .set(word);
        body.get(i).i32(4).add().tee(i).get(stop).ltU();
      });
      body.i32(0).get(word).storeI32(sink);
      body.loop(() => {
        body.get(from).loadI32(offset(rows)).i32(record4).mul().set(record);
        body
          .get(record)
          .loadI32(first + binWords * 4)
          .toF64()
          .f64(unit)
          .mulF();
        if (constantHessian) body.f64(1).addF();
        else
          body
            .get(record)
            .loadI32(first + binWords * 4 + 4)
            .toF64()
            .addF();
        body.set(value);
        for (let p = 0; p < layout.bytes.length; p++) {
          if (p % 4 === 0)
            body
              .get(record)
              .loadI32(first + p)
              .set(word);
          // Byte p % 4 of the word, times 8: the bin's place in its column's histogram.
          body.get(word);
          if (p % 4 === 0) body.i32(3).shl();
          else body.i32((p % 4) * 8 - 3).shrU();
          body.i32(2040).and().tee(bin);
          const at = offset(scratch) + layout.bytes[p]!.at * 8;
          body.get(bin).loadF64(at).get(value).addF().storeF64(at);
        }
        body.get(from).i32(4).add().tee(from).get(stop).ltU();
      });
      body.get(from).get(to).ltU();
    });
  });
  const module = assemble(
    [{ name: "addRows", params: [type.i32, type.i32], results: [], body }],
    typeof SharedArrayBuffer === "function" && memory.buffer instanceof SharedArrayBuffer,
    memory.buffer.byteLength / 65536,
  );
  try {
    const instance = new api.Instance(new api.Module(module), { m: { memory } });
    return instance.exports["addRows"] as AddRows;
  } catch (error) {
    // A page's security policy may forbid WebAssembly; anything else is a mistake here.
    if (error instanceof api.CompileError && /unsafe-eval|Content Security/i.test(error.message)) {
      return undefined;
    }
    throw error;
  }
}
