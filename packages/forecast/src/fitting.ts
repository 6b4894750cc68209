import { Dataset, type Model, type Params, train } from "@cityscale/trees";
import { ForecastError } from "./errors.ts";
import { type Matrix, take, takeRows } from "./matrix.ts";

/** Parameters of the trees; the objective, the seed and the threads are the forecaster's own options. */
export type TreeParams = Omit<Params, "objective" | "alpha" | "seed" | "numThreads">;

/**
 * How the later window of rows marked `calibration` is used:
 * - `refit`: models fitted without the window are corrected on it, and the correction is applied to models
 *   fitted on all rows: twice the fits, no row wasted
 * - `holdout`: the models that are corrected on the window are used as they are: the newest rows teach them nothing
 * - `none`: no correction
 */
export type Calibrate = "refit" | "holdout" | "none";

/** Trees grown over all fits of one forecaster: `done` only rises, up to `of`. */
export interface FitProgress {
  readonly phase: string;
  readonly done: number;
  readonly of: number;
}

export interface FitOptions {
  /** bins per column, 2 .. 255 */
  readonly maxBin?: number;
  readonly seed: number;
  /** worker threads; the result does not depend on it */
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FitProgress) => void;
}

/** What all fits on the same rows share; `label` and `weight` belong to the rows of the dataset. */
export interface Sample {
  /** Where the dataset's rows lie. */
  readonly matrix: Matrix;
  readonly rows: Int32Array;
  readonly dataset: Dataset;
  readonly label: Float64Array;
  readonly weight: Float64Array;
}

/** Fits model after model, and counts their trees together. */
export class Fitter {
  readonly #options: FitOptions;
  readonly #of: number;
  #done = 0;

  /** @param of trees of all fits to come */
  constructor(options: FitOptions, of: number) {
    this.#options = options;
    this.#of = of;
  }

  async fit(phase: string, sample: Sample, params: Params): Promise<Model> {
    const { seed, threads, signal } = this.#options;
    const trees = params.numIterations ?? 0;
    return await this.advance(phase, trees, (onShare) =>
      train(
        { dataset: sample.dataset, label: sample.label, weight: sample.weight },
        { seed, ...params, numThreads: threads },
        { ...(signal && { signal }), onProgress: (p: { iteration: number }) => onShare(p.iteration / trees) },
      ),
    );
  }

  /** Does work that counts for so many trees, and tells the share of it that is done. */
  async advance<T>(
    phase: string,
    trees: number,
    work: (onShare: (share: number) => void) => Promise<T>,
  ): Promise<T> {
    const { signal, onProgress } = this.#options;
    signal?.throwIfAborted();
    const before = this.#done;
    const result = await work((share) =>
      onProgress?.({ phase, done: before + Math.floor(share * trees), of: this.#of }),
    );
    this.#done += trees;
    onProgress?.({ phase, done: this.#done, of: this.#of });
    return result;
  }
}

/**
 * Bins the given rows of the matrix once, for every fit on them. Weights are scaled to mean 1, so that
 * parameters in units of weight (`lambdaL2`, `minSumHessianInLeaf`) mean the same for a small city and a big one.
 */
export function sampleOf(
  matrix: Matrix,
  rows: Int32Array,
  label: Float64Array,
  weight: Float64Array,
  options: FitOptions,
): Sample {
  const dataset = Dataset.fromColumns(takeRows(matrix, rows), {
    names: matrix.names,
    categorical: matrix.categorical,
    seed: options.seed,
    ...(options.maxBin !== undefined && { maxBin: options.maxBin }),
  });
  const mean = weight.reduce((sum, value) => sum + value, 0) / weight.length;
  return { matrix, rows, dataset, label, weight: weight.map((value) => value / mean) };
}

/** Some rows of a sample, with the same bins. */
export function subsample(sample: Sample, positions: Int32Array): Sample {
  const rows = positions.map((k) => sample.rows[k]!);
  return {
    matrix: sample.matrix,
    rows,
    dataset: Dataset.fromColumns(takeRows(sample.matrix, rows), { reference: sample.dataset }),
    label: take(sample.label, positions),
    weight: take(sample.weight, positions),
  };
}

/**
 * The positions in `usable` that lie outside and inside the calibration window.
 *
 * @throws ForecastError `noRows` where either is empty
 */
export function splitByCalibration(
  usable: Int32Array,
  calibration: Uint8Array,
): { early: Int32Array; late: Int32Array } {
  const positions = new Int32Array(usable.length).map((_, k) => k);
  const early = positions.filter((k) => calibration[usable[k]!] === 0);
  const late = positions.filter((k) => calibration[usable[k]!] !== 0);
  if (early.length === 0 || late.length === 0) {
    throw new ForecastError(
      "noRows",
      `${early.length} usable rows before and ${late.length} in the calibration window, both need some ` +
        '(calibrate: "none" does without)',
    );
  }
  return { early, late };
}
