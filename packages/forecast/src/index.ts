export {
  type Anomalies,
  type AnomalyVerdict,
  type Detector,
  detectAnomalies,
  type LevelShift,
  levelShifts,
  type Observed,
  RESIDUAL_DETECTOR,
  SHIFT_RULE,
  type ShiftRule,
} from "./anomalies.ts";
export * as baselines from "./baselines.ts";
export {
  type AlarmThresholds,
  BinaryForecaster,
  type BinaryOptions,
  type BinaryRows,
  type Calibration,
  DEFAULT_BINARY_TREES,
  fitBinary,
  type HeldOut,
} from "./binary-forecaster.ts";
export {
  type Blend,
  type BlendOptions,
  type BlendScale,
  type BlendWindow,
  blendForecasts,
  type FoundBlend,
  findBlend,
  type WindowLosses,
} from "./blend.ts";
export * as classical from "./classical/index.ts";
export {
  type ColdStartOptions,
  coldStart,
  coldStartErrors,
  type Donor,
  type Place,
  widened,
} from "./cold-start.ts";
export type { CrossedTerm } from "./crossed-design.ts";
export {
  CrossedRidge,
  type CrossedRidgeOptions,
  type CrossedRows,
  fitCrossedRidge,
} from "./crossed-ridge.ts";
export {
  DEFAULT_TREES,
  type DirectOptions,
  fitDirect,
  type MemberSpec,
  type QuantityRows,
} from "./direct-fit.ts";
export { DirectForecaster, type ForecastRows, type Forecasts } from "./direct-forecaster.ts";
export { ForecastError, type ForecastErrorCode } from "./errors.ts";
export type { Explanation } from "./explanation.ts";
export type { Calibrate, FitOptions, FitProgress, TreeParams } from "./fitting.ts";
export type { Matrix } from "./matrix.ts";
export type { MemberColumns, MemberKind } from "./member.ts";
export { fitNetwork, type NetworkRows } from "./network/fit.ts";
export { Network } from "./network/network.ts";
export { DEFAULT_NETWORK, type Loss, type NetworkOptions, type NetworkProgress } from "./network/options.ts";
export type { ProbabilityMap } from "./probability-map.ts";
export { fitRidge, Ridge, type RidgeBends, type RidgeOptions, type RidgeRows } from "./ridge.ts";
export * as scores from "./scores/index.ts";
export * as splits from "./splits.ts";
export { type Transform, type TransformSpec, transformOf } from "./transform.ts";
export {
  type Choice,
  type Dimension,
  type Interim,
  type PrunerOptions,
  type Running,
  type Space,
  type Trial,
  TrialPruned,
  type Tuned,
  type TuneOptions,
  tune,
  type ValuesOf,
} from "./tune/index.ts";
