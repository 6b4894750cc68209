import type { DatasetParts } from "./dataset.ts";

/** One byte of a row record: a column's bin, or several small columns' bins multiplied into one number. */
export interface RecordByte {
  readonly columns: readonly number[];
  /** Values the byte can have. */
  readonly size: number;
  /** Where its histogram begins in a scratch histogram. */
  readonly at: number;
}

/** Where a column's bins are found again in a byte's histogram. */
export interface ColumnPlace {
  readonly byte: number;
  /** The byte is a sum of bin * multiplier over its columns. */
  readonly multiplier: number;
  /** Bins that occur, the missing one included if any row is missing. */
  readonly size: number;
}

export interface RecordLayout {
  readonly bytes: readonly RecordByte[];
  /** Per column; undefined for a column that cannot split. */
  readonly places: readonly (ColumnPlace | undefined)[];
  readonly scratchSize: number;
}

/**
 * Packs columns into bytes. Small columns share a byte while the product of their sizes fits: the histogram of
 * the product gives each column's own by adding up, exactly, and costs one addition per row instead of several.
 * @param plain give every byte 256 bins, as the plain kernels want
 */
export function layOut(data: DatasetParts, plain: boolean): RecordLayout {
  const sizes = data.mappers.map((m) => m.bins + (m.hasMissing ? 1 : 0));
  const order = sizes.map((_, f) => f).filter((f) => sizes[f]! > 1);
  order.sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const groups: { columns: number[]; size: number }[] = [];
  const places: (ColumnPlace | undefined)[] = sizes.map(() => undefined);
  for (const f of order) {
    const size = sizes[f]!;
    let byte = groups.findIndex((g) => g.size * size <= 256);
    if (byte < 0) byte = groups.push({ columns: [], size: 1 }) - 1;
    const group = groups[byte]!;
    places[f] = { byte, multiplier: group.size, size };
    group.columns.push(f);
    group.size *= size;
  }
  // With nothing to split on there is still one bin, which counts the rows.
  if (groups.length === 0) groups.push({ columns: [], size: 1 });
  let at = 0;
  const bytes = groups.map(({ columns, size }): RecordByte => {
    const here = at;
    // Whole cache lines.
    at += plain ? 256 : Math.ceil(size / 8) * 8;
    return { columns, size, at: here };
  });
  return { bytes, places, scratchSize: plain ? Math.ceil(bytes.length / 4) * 1024 : at };
}

/** Writes the bytes of every record, in blocks so that both sides of the transposition stay in cache. */
export function writeRecords(data: DatasetParts, layout: RecordLayout, out: Uint8Array, step: number): void {
  const { rows, bins } = data;
  for (let from = 0; from < rows; from += 1024) {
    const to = Math.min(rows, from + 1024);
    for (let f = 0; f < data.mappers.length; f++) {
      const place = layout.places[f];
      if (place) writeColumn(bins, f * rows, from, to, out, from * step + place.byte, step, place.multiplier);
    }
  }
}

function writeColumn(
  bins: Uint8Array,
  base: number,
  from: number,
  to: number,
  out: Uint8Array,
  start: number,
  step: number,
  multiplier: number,
): void {
  for (let i = from, at = start; i < to; i++, at += step) out[at] = out[at]! + bins[base + i]! * multiplier;
}

/** Adds column `place`'s own histogram, out of its byte's at scratch[at], to target[offset]. */
export function addColumn(
  scratch: Float64Array,
  at: number,
  byte: RecordByte,
  place: ColumnPlace,
  target: Float64Array,
  offset: number,
): void {
  const { multiplier, size } = place;
  if (byte.size === size) {
    for (let b = 0; b < size; b++) target[offset + b]! += scratch[at + b]!;
    return;
  }
  for (let j = 0; j < byte.size; ) {
    for (let b = 0; b < size; b++) {
      let sum = 0;
      for (let low = 0; low < multiplier; low++, j++) sum += scratch[at + j]!;
      target[offset + b]! += sum;
    }
  }
}
