import type { Model, Params } from "@cityscale/trees";
import { leadOffsets } from "./conformal.ts";
import { checkLevels, DirectForecaster } from "./direct-forecaster.ts";
import { ForecastError, requireLength } from "./errors.ts";
import {
  type Calibrate,
  type FitOptions,
  Fitter,
  type Sample,
  sampleOf,
  splitByCalibration,
  subsample,
  type TreeParams,
} from "./fitting.ts";
import { checkMatrix, type Matrix, rowsWhere, take, takeRows } from "./matrix.ts";
import { type Transform, type TransformSpec, transformOf } from "./transform.ts";

/** Training rows of a quantity: one per (entity, origin, lead). */
export interface QuantityRows {
  readonly matrix: Matrix;
  /** The seasonal expectation of each row's slot, in counts; NaN where there is none: the row is skipped. */
  readonly expectation: Float64Array;
  /** Steps from the origin, 1-based. */
  readonly lead: Int32Array;
  /** The count; NaN where unknown: the row is skipped. */
  readonly target: Float64Array;
  /** 1 for rows of the later calibration window (see `splits.calibrationMask`), else 0. */
  readonly calibration: Uint8Array;
}

export interface DirectOptions extends FitOptions {
  readonly transform: TransformSpec;
  readonly objective: "l1" | "l2";
  /** Quantile levels to forecast, ascending, each inside (0, 1). Level 0.5 is the point forecast itself. */
  readonly levels: readonly number[];
  readonly calibrate: Calibrate;
  /** Trees of the point model, over `DEFAULT_TREES`. */
  readonly trees?: TreeParams;
  /** Trees of the quantile models, over `DEFAULT_TREES` with 300 iterations and `trees` without its count. */
  readonly quantileTrees?: TreeParams;
}

/** What served hourly pedestrians best; a smaller data set wants fewer leaves and rows per leaf. */
export const DEFAULT_TREES: TreeParams = {
  numIterations: 500,
  learningRate: 0.05,
  numLeaves: 63,
  minDataInLeaf: 100,
  featureFraction: 0.7,
  baggingFraction: 0.8,
  baggingFreq: 1,
};

/** Leads beyond this are taken for a mistake (a timestamp in place of a lead). */
const MAX_LEAD = 10_000;

/**
 * Fits a direct multi-horizon forecaster: one global model of the transformed target for the point forecast
 * and one per outer quantile level, all on columns binned once, with per-lead conformal offsets.
 *
 * @throws ForecastError `shape`, `option`, `data` (a negative or infinite target or expectation, a lead below
 *   1) or `noRows`; the signal's reason when aborted
 */
export async function fitDirect(rows: QuantityRows, options: DirectOptions): Promise<DirectForecaster> {
  const transform = transformOf(options.transform);
  checkLevels(options.levels);
  checkRows(rows);
  const { matrix, expectation, target } = rows;
  const usable = rowsWhere(matrix.rows, (i) => !Number.isNaN(transform.forward(target[i]!, expectation[i]!)));
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target and expectation`);
  }
  const outer = options.levels.filter((level) => level !== 0.5);
  const calibrate = outer.length === 0 ? "none" : options.calibrate;
  // Before anything is fitted: a fit of minutes must not end in an error that could be seen at once.
  const split = calibrate === "none" ? null : splitByCalibration(usable, rows.calibration);

  const pointTrees = { ...DEFAULT_TREES, ...options.trees };
  const quantileTrees = { ...pointTrees, numIterations: 300, ...options.quantileTrees };
  const quantileFits = outer.length * (calibrate === "refit" ? 2 : 1);
  const fitter = new Fitter(
    options,
    (pointTrees.numIterations ?? 0) + quantileFits * (quantileTrees.numIterations ?? 0),
  );

  const all = sampleRows(rows, usable, transform, options);
  const point = await fitter.fit("point", all, { ...pointTrees, objective: options.objective });
  const early = split && subsample(all, split.early);
  const late = split && lateRows(rows, usable, split.late, all);
  const quantiles: Model[] = [];
  const offsets: Float64Array[] = [];
  for (const level of outer) {
    const params: Params = { ...quantileTrees, objective: "quantile", alpha: level };
    let model: Model | null = null;
    if (early && late) {
      model = await fitter.fit(`quantile ${level}, before calibration`, early, params);
      const residuals = model.predict(late.columns);
      for (let k = 0; k < residuals.length; k++) residuals[k] = late.label[k]! - residuals[k]!;
      offsets.push(leadOffsets(residuals, late.lead, level));
    } else {
      offsets.push(new Float64Array(0));
    }
    if (model === null || calibrate === "refit") model = await fitter.fit(`quantile ${level}`, all, params);
    quantiles.push(model);
  }
  return new DirectForecaster({
    transform: options.transform,
    featureNames: matrix.names,
    levels: options.levels,
    point,
    quantiles,
    offsets,
  });
}

function sampleRows(
  rows: QuantityRows,
  usable: Int32Array,
  transform: Transform,
  options: DirectOptions,
): Sample {
  const label = new Float64Array(usable.length);
  const weight = new Float64Array(usable.length);
  for (let k = 0; k < usable.length; k++) {
    const expectation = rows.expectation[usable[k]!]!;
    label[k] = transform.forward(rows.target[usable[k]!]!, expectation);
    weight[k] = transform.weight(expectation);
  }
  return sampleOf(rows.matrix, usable, label, weight, options);
}

/** Features, transformed targets and leads of the calibration rows, given as positions in `usable`. */
function lateRows(rows: QuantityRows, usable: Int32Array, late: Int32Array, all: Sample) {
  const index = late.map((k) => usable[k]!);
  return {
    columns: takeRows(rows.matrix, index),
    label: take(all.label, late),
    lead: index.map((i) => rows.lead[i]!),
  };
}

function checkRows({ matrix, expectation, lead, target, calibration }: QuantityRows): void {
  checkMatrix(matrix);
  requireLength("expectation", expectation.length, matrix.rows);
  requireLength("lead", lead.length, matrix.rows);
  requireLength("target", target.length, matrix.rows);
  requireLength("calibration", calibration.length, matrix.rows);
  for (let i = 0; i < matrix.rows; i++) {
    if (target[i]! < 0 || target[i] === Number.POSITIVE_INFINITY) {
      throw new ForecastError("data", `row ${i} has target ${target[i]}, expected at least 0, or NaN`);
    }
    if (expectation[i]! < 0 || expectation[i] === Number.POSITIVE_INFINITY) {
      throw new ForecastError(
        "data",
        `row ${i} has expectation ${expectation[i]}, expected at least 0, or NaN`,
      );
    }
    if (lead[i]! < 1 || lead[i]! > MAX_LEAD) {
      throw new ForecastError("data", `row ${i} has lead ${lead[i]}, expected 1 .. ${MAX_LEAD}`);
    }
  }
}
