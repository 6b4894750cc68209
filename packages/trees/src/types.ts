/** The words of this package: what goes in, what comes out, and what the parameters are called. */

/** One feature: a value per row. NaN is missing; categorical columns hold nonnegative whole codes. */
export type Column = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array;

/** Numbers per row that are not features: labels, weights, starting scores. */
export type Values = Float32Array | Float64Array;

export type ObjectiveName =
  | "l2"
  | "l1"
  | "huber"
  | "quantile"
  | "poisson"
  | "gamma"
  | "tweedie"
  | "binary"
  | "multiclass";

export type MetricName =
  | "l2"
  | "rmse"
  | "l1"
  | "huber"
  | "quantile"
  | "poisson"
  | "gamma"
  | "tweedie"
  | "binaryLogloss"
  | "binaryError"
  | "auc"
  | "averagePrecision"
  | "multiLogloss"
  | "multiError";

/**
 * A custom loss: fills `gradient` and `hessian` (one per row, times its own weights if it wants any) from raw
 * scores. It runs on the calling thread, so a training with it is single-threaded.
 */
export type CustomObjective = (
  scores: Float64Array,
  label: Float64Array,
  gradient: Float64Array,
  hessian: Float64Array,
) => void;

/** A custom metric over raw scores; smaller is better unless `higherIsBetter`. */
export interface CustomMetric {
  readonly name: string;
  readonly higherIsBetter?: boolean;
  readonly evaluate: (scores: Float64Array, label: Float64Array, weight: Float64Array | undefined) => number;
}

/** Training parameters, named as LightGBM's in camelCase, with LightGBM's defaults. */
export interface Params {
  /** The loss, or a function for one of your own. Default "l2". */
  readonly objective?: ObjectiveName | CustomObjective;
  /** Quantile level (objective "quantile") or the clip of Huber's gradient. Default 0.9. */
  readonly alpha?: number;
  /** Between 1 and 2. Default 1.5. */
  readonly tweedieVariancePower?: number;
  /** Safeguard of the Poisson hessian. Default 0.7. */
  readonly poissonMaxDeltaStep?: number;
  /** Number of classes, for objective "multiclass". */
  readonly numClass?: number;
  /** "gbdt" (default) or "rf": a random forest, whose trees are averaged; it needs bagging. */
  readonly boosting?: "gbdt" | "rf";
  /** Rounds; each grows one tree (or one per class). Default 100. */
  readonly numIterations?: number;
  readonly learningRate?: number;
  readonly numLeaves?: number;
  /** 0 or less: no limit. */
  readonly maxDepth?: number;
  readonly minDataInLeaf?: number;
  readonly minSumHessianInLeaf?: number;
  readonly lambdaL1?: number;
  readonly lambdaL2?: number;
  readonly minGainToSplit?: number;
  /** Share of the columns that each tree may use. */
  readonly featureFraction?: number;
  /** Share of the tree's columns that each node may use. */
  readonly featureFractionByNode?: number;
  /** Share of the rows that a tree sees, drawn again every `baggingFreq` rounds (0: never). */
  readonly baggingFraction?: number;
  readonly baggingFreq?: number;
  /** Categories with fewer rows than this have no say in a sorted-subset split, and ratios are shrunk by it. */
  readonly catSmooth?: number;
  /** Added to lambdaL2 in sorted-subset categorical splits. */
  readonly catL2?: number;
  readonly minDataPerGroup?: number;
  /** Most categories on the smaller side of a categorical split. */
  readonly maxCatThreshold?: number;
  /** Up to this many categories, each is tried alone against the rest. */
  readonly maxCatToOnehot?: number;
  /** Per column: 1 (prediction may not fall as the value rises), -1, or 0. */
  readonly monotoneConstraints?: readonly number[];
  /** One random threshold per column and node instead of the best one. */
  readonly extraTrees?: boolean;
  /** Start from the label's best constant. Default true. */
  readonly boostFromAverage?: boolean;
  readonly seed?: number;
  /** Worker threads. Default: the machine's processors, at most 8. Results do not depend on it. */
  readonly numThreads?: number;
}
