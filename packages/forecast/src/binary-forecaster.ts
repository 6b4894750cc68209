import type { Model } from "@cityscale/trees";
import { pack, unpack } from "./container.ts";
import { ForecastError, requireLength } from "./errors.ts";
import {
  type Calibrate,
  type FitOptions,
  Fitter,
  sampleOf,
  splitByCalibration,
  subsample,
  type TreeParams,
} from "./fitting.ts";
import { checkColumns, checkMatrix, type Matrix, rowsWhere, take, takeRows } from "./matrix.ts";
import { applyMap, chooseMap, type ProbabilityMap, readMap } from "./probability-map.ts";
import { gainShares, readModel } from "./stored-model.ts";

/** Training rows of a binary target. */
export interface BinaryRows {
  readonly matrix: Matrix;
  /** 0 or 1; NaN where unknown: the row is skipped. */
  readonly target: Float64Array;
  /** Above 0, for example 1 / (the probability of having been sampled); all 1 where not given. */
  readonly weight?: Float64Array;
  /** 1 for rows of the later calibration window, else 0. */
  readonly calibration: Uint8Array;
}

export interface BinaryOptions extends FitOptions {
  /** The probability map (none, Platt or isotonic) is chosen by its Brier score on the calibration rows. */
  readonly calibrate: Calibrate;
  /** Over `DEFAULT_BINARY_TREES`. */
  readonly trees?: TreeParams;
}

/** What served stock-outs best: rare events want few leaves, many rows in each, and L2. */
export const DEFAULT_BINARY_TREES: TreeParams = {
  numIterations: 250,
  learningRate: 0.05,
  numLeaves: 15,
  minDataInLeaf: 300,
  lambdaL2: 5,
};

/** What a fit leaves behind. */
export interface BinaryParts {
  readonly featureNames: readonly string[];
  readonly model: Model;
  readonly map: ProbabilityMap;
}

const KIND = "binary-forecaster/1";

/**
 * Fits the probability of a binary target.
 *
 * @throws ForecastError `shape`, `data` (a target that is neither 0, 1 nor NaN, a weight not above 0) or
 *   `noRows`; the signal's reason when aborted
 */
export async function fitBinary(rows: BinaryRows, options: BinaryOptions): Promise<BinaryForecaster> {
  checkRows(rows);
  const { matrix, target } = rows;
  const usable = rowsWhere(matrix.rows, (i) => !Number.isNaN(target[i]!));
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target`);
  }
  const split = options.calibrate === "none" ? null : splitByCalibration(usable, rows.calibration);
  const weight = rows.weight ? take(rows.weight, usable) : new Float64Array(usable.length).fill(1);
  const all = sampleOf(matrix, usable, take(target, usable), weight, options);
  const params = { ...DEFAULT_BINARY_TREES, ...options.trees, objective: "binary" as const };
  const fits = options.calibrate === "refit" ? 2 : 1;
  const fitter = new Fitter(options, fits * (params.numIterations ?? 0));

  let model: Model | null = null;
  let map: ProbabilityMap = { kind: "identity" };
  if (split) {
    model = await fitter.fit("before calibration", subsample(all, split.early), params);
    const columns = takeRows(
      matrix,
      split.late.map((k) => usable[k]!),
    );
    map = chooseMap({
      y: take(all.label, split.late),
      p: model.predict(columns),
      weight: take(all.weight, split.late),
    });
  }
  if (model === null || options.calibrate === "refit") model = await fitter.fit("probability", all, params);
  return new BinaryForecaster({ featureNames: matrix.names, model, map });
}

/** A fitted forecaster of a probability; made by `fitBinary` or `fromBytes`. Immutable. */
export class BinaryForecaster {
  readonly #parts: BinaryParts;

  constructor(parts: BinaryParts) {
    this.#parts = parts;
  }

  /** Columns that `predict` expects, in order. */
  get featureNames(): readonly string[] {
    return this.#parts.featureNames;
  }

  /** The chosen correction of the model's probability; for inspection. */
  get map(): ProbabilityMap {
    return this.#parts.map;
  }

  /**
   * Probabilities, one per row.
   *
   * @throws ForecastError `shape` on other columns than those fitted on
   */
  predict(matrix: Matrix): Float64Array {
    checkColumns(matrix, this.#parts.featureNames);
    if (matrix.rows === 0) return new Float64Array(0);
    return applyMap(this.#parts.map, this.#parts.model.predict(matrix.columns));
  }

  /** Share of the model's total gain by feature, in the order of `featureNames`; sums to 1 (or is all 0). */
  importance(): Float64Array {
    return gainShares(this.#parts.model);
  }

  /** The same forecaster gives the same bytes. */
  toBytes(): Uint8Array {
    const { featureNames, model, map } = this.#parts;
    return pack(KIND, { featureNames, map }, [model.toBytes()]);
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written. */
  static fromBytes(bytes: Uint8Array): BinaryForecaster {
    const { fields, sections } = unpack(bytes, KIND);
    if (sections.length !== 1) throw new ForecastError("bytes", `${sections.length} models, expected 1`);
    const featureNames = fields.strings("featureNames");
    return new BinaryForecaster({
      featureNames,
      model: readModel(sections[0]!, featureNames),
      map: readMap(fields.object("map")),
    });
  }
}

function checkRows({ matrix, target, weight, calibration }: BinaryRows): void {
  checkMatrix(matrix);
  requireLength("target", target.length, matrix.rows);
  requireLength("calibration", calibration.length, matrix.rows);
  if (weight) requireLength("weight", weight.length, matrix.rows);
  for (let i = 0; i < matrix.rows; i++) {
    const y = target[i]!;
    if (y !== 0 && y !== 1 && !Number.isNaN(y)) {
      throw new ForecastError("data", `row ${i} has target ${y}, expected 0, 1 or NaN`);
    }
    if (weight && !(weight[i]! > 0 && weight[i]! < Number.POSITIVE_INFINITY)) {
      throw new ForecastError("data", `row ${i} has weight ${weight[i]}, expected above 0`);
    }
  }
}
