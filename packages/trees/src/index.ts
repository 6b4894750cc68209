/** Gradient-boosted decision trees: numbers in, model out. */
export { Dataset, type DatasetOptions } from "./dataset.ts";
export { TreesError } from "./errors.ts";
export { Model } from "./model.ts";
export type { TrainInput, TrainOptions, Validation } from "./prepare.ts";
export { train, trainSync } from "./train.ts";
export type {
  Column,
  CustomMetric,
  CustomObjective,
  MetricName,
  ObjectiveName,
  Params,
  Values,
} from "./types.ts";
