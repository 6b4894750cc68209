export { type BacktestOptions, type BacktestResult, backtest } from "./backtest.ts";
export {
  type Candidate,
  championName,
  type ServingModel,
  trainCandidate,
} from "./candidate.ts";
export type { ClassicalTable } from "./classical.ts";
export { type ColdStart, coldStartDays, coldStarts } from "./cold-start.ts";
export type { FoundBlend } from "./compare.ts";
export {
  type DirectForecaster,
  explain,
  type Forecast,
  loadForecaster,
  predict,
  quantileLevels,
} from "./forecaster.ts";
export { entityNames, judge, type ScoreTable } from "./judge.ts";
export type { JudgedRows } from "./judged-rows.ts";
export { leadsOf, scheduledOrigins } from "./origins.ts";
export type { PeriodOptions } from "./period.ts";
export type { ModelScores } from "./scores.ts";
export {
  alarmRate,
  type BinaryReport,
  type BinaryScores,
  backtestStockOuts,
  calibratedForecasts,
  expectedShortfall,
  fitStockOuts,
  forecastPersistence,
  forecastStockOuts,
  gainOf,
  judgeModel,
  judgePersistence,
  levelTargetOf,
  type MoveOptions,
  matrixOf,
  newestCalibrations,
  outlooksOf,
  persistenceName,
  persistenceRisk,
  type SideOutlook,
  type StationOutlook,
  type StockOutBacktest,
  type StockOutBacktestOptions,
  type StockOutCandidate,
  type StockOutForecasts,
  type StockOutTable,
  type StockOutTraining,
  type SuggestedMove,
  sampleRows,
  stockOutTrees,
  stockOutView,
  suggestMoves,
} from "./stock-outs/index.ts";
export { type Recalibrated, recalibrateInProcess, type Trained, trainInProcess } from "./trainer.ts";
export { type TreeTrial, type TuneResult, tuneTrees } from "./tune.ts";
