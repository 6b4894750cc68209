import {
  type BinMapper,
  type BinScratch,
  binColumn,
  categoricalMapper,
  isCategory,
  numericMapper,
} from "./bins.ts";
import { check } from "./errors.ts";
import { mix } from "./random.ts";
import type { Column } from "./types.ts";
import { type WasmMemory, wasmApi } from "./wasm-api.ts";

export interface DatasetOptions {
  /** Column names, unique. Default f0, f1, ... */
  readonly names?: readonly string[];
  /** Names or positions of the columns that hold category codes. */
  readonly categorical?: readonly (string | number)[];
  /** Most value bins per column, 2..255 (missing values have one more). Default 255. */
  readonly maxBin?: number;
  /** Fewest sampled rows in a bin. Default 3. */
  readonly minDataInBin?: number;
  /** Draws the 200,000 rows that bin bounds are found on. */
  readonly seed?: number;
  /** Bins in shared memory, for workers. Default: where the platform has SharedArrayBuffer. */
  readonly shared?: boolean;
  /** Use this dataset's names and bins (for a validation set). Other options are then ignored. */
  readonly reference?: Dataset;
}

const sampleRows = 200_000;
/** Sets of categories are bits by code, and model files hold codes as float32. */
const categoryLimit = 2 ** 24;

/** The parts of a Dataset, as sent to a worker (shared memory is not copied). */
export interface DatasetParts {
  readonly rows: number;
  readonly names: readonly string[];
  readonly mappers: readonly BinMapper[];
  readonly bins: Uint8Array;
  /** The memory that `bins` begins, where WebAssembly kernels can read it. */
  readonly memory: WasmMemory | undefined;
}

/** Columns cut into at most 255 bins each, once; any number of trainings can share it. */
export class Dataset {
  readonly rows: number;
  readonly columns: number;
  readonly names: readonly string[];
  /** How each column was cut. */
  readonly mappers: readonly BinMapper[];
  /** Column-major bin of each row: rows x columns bytes. */
  readonly bins: Uint8Array;
  readonly #memory: WasmMemory | undefined;

  private constructor(parts: DatasetParts) {
    this.rows = parts.rows;
    this.columns = parts.names.length;
    this.names = parts.names;
    this.mappers = parts.mappers;
    this.bins = parts.bins;
    this.#memory = parts.memory;
  }

  /**
   * Bins columns of equal length.
   * @throws TreesError on no columns, unequal lengths, bad or repeated names, unknown categorical columns
   */
  static fromColumns(columns: readonly Column[], options: DatasetOptions = {}): Dataset {
    const rows = checkColumns(columns);
    const shared = options.shared ?? typeof SharedArrayBuffer === "function";
    const { bins, memory } = allocate(rows * columns.length, shared);
    const { reference } = options;
    if (reference) {
      check(
        reference.columns === columns.length,
        `the reference dataset has ${reference.columns} columns, these are ${columns.length}`,
      );
      columns.forEach((column, f) => {
        binColumn(reference.mappers[f]!, column, bins.subarray(f * rows, (f + 1) * rows));
      });
      return new Dataset({ rows, names: reference.names, mappers: reference.mappers, bins, memory });
    }
    const names = options.names ?? columns.map((_, f) => `f${f}`);
    check(names.length === columns.length, `${names.length} names for ${columns.length} columns`);
    check(new Set(names).size === names.length, "column names must be unique");
    const maxBin = options.maxBin ?? 255;
    check(Number.isInteger(maxBin) && maxBin >= 2 && maxBin <= 255, `maxBin must be 2..255, got ${maxBin}`);
    const minDataInBin = options.minDataInBin ?? 3;
    check(minDataInBin >= 0, `minDataInBin must not be negative, got ${minDataInBin}`);
    const categorical = new Set<number>();
    for (const which of options.categorical ?? []) {
      const f = typeof which === "number" ? which : names.indexOf(which);
      check(Number.isInteger(f) && f >= 0 && f < columns.length, `there is no categorical column ${which}`);
      categorical.add(f);
    }
    const sample = drawSample(rows, options.seed ?? 0);
    const n = sample?.length ?? rows;
    const scratch: BinScratch = { values: new Float64Array(n), counts: new Int32Array(n) };
    const mappers = columns.map((column, f) => {
      const mapper = categorical.has(f)
        ? mapCategories(column, maxBin)
        : mapNumbers(column, sample, scratch, maxBin, minDataInBin);
      binColumn(mapper, column, bins.subarray(f * rows, (f + 1) * rows));
      return mapper;
    });
    return new Dataset({ rows, names, mappers, bins, memory });
  }

  /** The parts of a dataset put together again, on the other side of a thread. */
  static fromParts(parts: DatasetParts): Dataset {
    return new Dataset(parts);
  }

  /** What a worker needs to have the same dataset. */
  parts(): DatasetParts {
    return {
      rows: this.rows,
      names: this.names,
      mappers: this.mappers,
      bins: this.bins,
      memory: this.#memory,
    };
  }
}

/** Room for bins. Only shared memory is WebAssembly's too: any other cannot be sent to a worker. */
function allocate(bytes: number, shared: boolean): Pick<DatasetParts, "bins" | "memory"> {
  const pages = Math.ceil(bytes / 65536);
  // For less than a page the plain kernels do.
  if (shared && wasmApi && bytes >= 65536 && pages <= 65536) {
    const memory = new wasmApi.Memory({ initial: pages, maximum: pages, shared });
    return { bins: new Uint8Array(memory.buffer, 0, bytes), memory };
  }
  const bins = new Uint8Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
  return { bins, memory: undefined };
}

/** Checks that columns are typed arrays of one length; returns it. */
export function checkColumns(columns: readonly Column[]): number {
  check(Array.isArray(columns) && columns.length > 0, "columns must be a non-empty array of typed arrays");
  const rows = columns[0]!.length;
  columns.forEach((column, f) => {
    check(
      column instanceof Float32Array ||
        column instanceof Float64Array ||
        column instanceof Int32Array ||
        column instanceof Uint8Array ||
        column instanceof Uint16Array,
      `column ${f} must be a Float32Array, Float64Array, Int32Array, Uint8Array or Uint16Array`,
    );
    check(column.length === rows, `column ${f} has ${column.length} rows, column 0 has ${rows}`);
  });
  check(rows > 0, "columns must have at least one row");
  return rows;
}

/** Row numbers to find bounds on, or undefined for all of them. */
function drawSample(rows: number, seed: number): Int32Array | undefined {
  if (rows <= sampleRows) return undefined;
  const out = new Int32Array(sampleRows);
  // One row out of each of 200,000 equal stretches.
  for (let i = 0; i < sampleRows; i++) {
    const from = Math.floor((i * rows) / sampleRows);
    const to = Math.floor(((i + 1) * rows) / sampleRows);
    out[i] = from + Math.floor(((to - from) * mix(mix(seed) + i)) / 4294967296);
  }
  return out;
}

function mapNumbers(
  column: Column,
  sample: Int32Array | undefined,
  scratch: BinScratch,
  maxBin: number,
  minDataInBin: number,
): BinMapper {
  const n = sample ? sample.length : column.length;
  const { values } = scratch;
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const v = column[sample ? sample[i]! : i]!;
    if (!Number.isNaN(v)) values[kept++] = v;
  }
  let hasMissing = kept < n;
  if (!hasMissing && sample && (column instanceof Float32Array || column instanceof Float64Array)) {
    for (let i = 0; i < column.length && !hasMissing; i++) hasMissing = Number.isNaN(column[i]!);
  }
  return numericMapper(scratch, kept, maxBin, minDataInBin, hasMissing);
}

function mapCategories(column: Column, maxBin: number): BinMapper {
  const counts = new Map<number, number>();
  let missing = false;
  for (let i = 0; i < column.length; i++) {
    const v = column[i]!;
    check(
      !(v >= categoryLimit),
      `category codes must be below ${categoryLimit}, got ${v}: number them from 0`,
    );
    if (!isCategory(v)) missing = true;
    else counts.set(Math.trunc(v), (counts.get(Math.trunc(v)) ?? 0) + 1);
  }
  return categoricalMapper(counts, maxBin, missing);
}
