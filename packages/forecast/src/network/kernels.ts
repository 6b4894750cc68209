/**
 * The inner loops of a network, on one block of memory. Every address is a byte offset; strides are in bytes, counts
 * and widths in numbers of 4 bytes; widths are multiples of 4.
 *
 * A list is the non-zero numbers of a row (or column) of a matrix, as pairs (i32 offset, f32 value); lists lie
 * `listStride` bytes apart and their lengths are i32 counts. After ReLU and dropout six of ten units are 0, so that
 * multiplying by lists does half of the work that multiplying by matrices would.
 */
export interface Kernels {
  /**
   * Lists the non-zero numbers of each line of a matrix: number k of a line gets the offset k * step.
   *
   * @param lines how many lists to write, from numbers `lineStride` apart
   * @param length numbers in a line, `stride` apart
   */
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
  ): void;
  /** out[i] = init + the sum of value * from[offset] over list i: rows of `width` numbers, added in list order. */
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
  ): void;
  /**
   * In place: max(value, 0) * scale where a random draw lies above `threshold` (32 bits, unsigned), else 0. Number k
   * draws from generator k % 4, an xorshift32 that starts from seed k % 4 (not 0).
   */
  activate(at: number, count: number, scale: number, threshold: number, seeds: Seeds): void;
  /** In place: gradients of what `activate` made `values` from, given those of `values`. */
  deactivate(gradients: number, values: number, count: number, scale: number): void;
  /** out[k] = the sum of column k. */
  sumColumns(from: number, rows: number, width: number, out: number): void;
  /** Copies rows of `width` numbers, by row number. */
  copyRows(rows: number, count: number, from: number, width: number, out: number): void;
  /** Adds row i of `from` to the rows of `out` named by codes[i] (`perRow` of them, i32, -1 for none). */
  addByCode(codes: number, rows: number, perRow: number, from: number, width: number, out: number): void;
  /** One step of Adam (Kingma and Ba 2015) with decoupled decay, on gradients summed over shards in their order. */
  update(
    parameters: number,
    firstMoments: number,
    secondMoments: number,
    gradients: number,
    shardStride: number,
    shards: number,
    count: number,
    step: AdamStep,
  ): void;
  /** Writes rows [first, last) of a matrix rows x columns as columns of `out`, columns x rows. */
  transpose(from: number, rows: number, columns: number, first: number, last: number, out: number): void;
}

export type Seeds = readonly [number, number, number, number];

export interface AdamStep {
  readonly rate: number;
  /** what weights are multiplied by first */
  readonly keep: number;
  /** 1 / (1 - beta^t) of both moments */
  readonly firstCorrection: number;
  readonly secondCorrection: number;
}

export const ADAM = { first: 0.9, second: 0.999, epsilon: 1e-8 } as const;
