export {
  atAlarmRate,
  averagePrecision,
  bestF1,
  brier,
  expectedCalibrationError,
  f1,
  probabilityBias,
  type Ranking,
  type ReliabilityBin,
  rankingOf,
  recallAtAlarmRate,
  reliability,
} from "./binary.ts";
export { type GroupScores, groupScores } from "./grouped.ts";
export { coverage, pinball, relativeWidth } from "./interval.ts";
export { bias, mape, mase, r2, rmse, rmsle, seasonalScale, wape } from "./quantity.ts";
export type { Labels, Values } from "./values.ts";
