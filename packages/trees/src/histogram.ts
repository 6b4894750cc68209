import type { RecordLayout } from "./layout.ts";

/**
 * Histogram kernels. A row record is `stride` 32-bit words: bin bytes, then the row's quantised gradient, then
 * (where it varies) its quantised hessian. A histogram bin is ONE float64, gradient * 2^K + hessian, whose sums
 * are exact whole numbers: they do not depend on the order of rows or the number of workers.
 *
 * These are the plain kernels: byte position p of a record has 256 bins of its own from p * 256. The WebAssembly
 * kernel, with any offsets folded in, is in kernels.ts.
 */

export interface Records {
  readonly words: Uint32Array;
  readonly ints: Int32Array;
  /** 32-bit words per record. */
  readonly stride: number;
  /** Words of bin bytes; the gradient follows. */
  readonly binWords: number;
  /** 2^K. */
  readonly unit: number;
  readonly constantHessian: boolean;
  readonly layout: RecordLayout;
}

/** Adds rows[from, to) to `hist` (binWords * 1024 bins). */
export function addRows(
  records: Records,
  rows: Int32Array,
  from: number,
  to: number,
  hist: Float64Array,
): void {
  const { binWords } = records;
  let w = 0;
  for (; w + 8 <= binWords; w += 8) add8(records, rows, from, to, hist.subarray(w * 1024, (w + 8) * 1024), w);
  for (; w + 4 <= binWords; w += 4) add4(records, rows, from, to, hist.subarray(w * 1024, (w + 4) * 1024), w);
  for (; w < binWords; w++) add1(records, rows, from, to, hist.subarray(w * 1024, (w + 1) * 1024), w);
}

function add1(r: Records, rows: Int32Array, from: number, to: number, hist: Float64Array, w: number): void {
  const { words, ints, stride, unit, constantHessian } = r;
  const g = r.binWords;
  for (let i = from; i < to; i++) {
    const at = rows[i]! * stride;
    const v = ints[at + g]! * unit + (constantHessian ? 1 : ints[at + g + 1]!);
    const a = words[at + w]!;
    hist[a & 255]! += v;
    hist[256 + ((a >>> 8) & 255)]! += v;
    hist[512 + ((a >>> 16) & 255)]! += v;
    hist[768 + (a >>> 24)]! += v;
  }
}

function add4(r: Records, rows: Int32Array, from: number, to: number, hist: Float64Array, w: number): void {
  const { words, ints, stride, unit, constantHessian } = r;
  const g = r.binWords;
  for (let i = from; i < to; i++) {
    const at = rows[i]! * stride;
    const v = ints[at + g]! * unit + (constantHessian ? 1 : ints[at + g + 1]!);
    const a = words[at + w]!;
    hist[a & 255]! += v;
    hist[256 + ((a >>> 8) & 255)]! += v;
    hist[512 + ((a >>> 16) & 255)]! += v;
    hist[768 + (a >>> 24)]! += v;
    const b = words[at + w + 1]!;
    hist[1024 + (b & 255)]! += v;
    hist[1280 + ((b >>> 8) & 255)]! += v;
    hist[1536 + ((b >>> 16) & 255)]! += v;
    hist[1792 + (b >>> 24)]! += v;
    const c = words[at + w + 2]!;
    hist[2048 + (c & 255)]! += v;
    hist[2304 + ((c >>> 8) & 255)]! += v;
    hist[2560 + ((c >>> 16) & 255)]! += v;
    hist[2816 + (c >>> 24)]! += v;
    const d = words[at + w + 3]!;
    hist[3072 + (d & 255)]! += v;
    hist[3328 + ((d >>> 8) & 255)]! += v;
    hist[3584 + ((d >>> 16) & 255)]! += v;
    hist[3840 + (d >>> 24)]! += v;
  }
}

function add8(r: Records, rows: Int32Array, from: number, to: number, hist: Float64Array, w: number): void {
  const { words, ints, stride, unit, constantHessian } = r;
  const g = r.binWords;
  for (let i = from; i < to; i++) {
    const at = rows[i]! * stride;
    const v = ints[at + g]! * unit + (constantHessian ? 1 : ints[at + g + 1]!);
    const a = words[at + w]!;
    hist[a & 255]! += v;
    hist[256 + ((a >>> 8) & 255)]! += v;
    hist[512 + ((a >>> 16) & 255)]! += v;
    hist[768 + (a >>> 24)]! += v;
    const b = words[at + w + 1]!;
    hist[1024 + (b & 255)]! += v;
    hist[1280 + ((b >>> 8) & 255)]! += v;
    hist[1536 + ((b >>> 16) & 255)]! += v;
    hist[1792 + (b >>> 24)]! += v;
    const c = words[at + w + 2]!;
    hist[2048 + (c & 255)]! += v;
    hist[2304 + ((c >>> 8) & 255)]! += v;
    hist[2560 + ((c >>> 16) & 255)]! += v;
    hist[2816 + (c >>> 24)]! += v;
    const d = words[at + w + 3]!;
    hist[3072 + (d & 255)]! += v;
    hist[3328 + ((d >>> 8) & 255)]! += v;
    hist[3584 + ((d >>> 16) & 255)]! += v;
    hist[3840 + (d >>> 24)]! += v;
    const e = words[at + w + 4]!;
    hist[4096 + (e & 255)]! += v;
    hist[4352 + ((e >>> 8) & 255)]! += v;
    hist[4608 + ((e >>> 16) & 255)]! += v;
    hist[4864 + (e >>> 24)]! += v;
    const f = words[at + w + 5]!;
    hist[5120 + (f & 255)]! += v;
    hist[5376 + ((f >>> 8) & 255)]! += v;
    hist[5632 + ((f >>> 16) & 255)]! += v;
    hist[5888 + (f >>> 24)]! += v;
    const h = words[at + w + 6]!;
    hist[6144 + (h & 255)]! += v;
    hist[6400 + ((h >>> 8) & 255)]! += v;
    hist[6656 + ((h >>> 16) & 255)]! += v;
    hist[6912 + (h >>> 24)]! += v;
    const k = words[at + w + 7]!;
    hist[7168 + (k & 255)]! += v;
    hist[7424 + ((k >>> 8) & 255)]! += v;
    hist[7680 + ((k >>> 16) & 255)]! += v;
    hist[7936 + (k >>> 24)]! += v;
  }
}
