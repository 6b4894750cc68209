export { backtestStockOuts, type StockOutBacktest, type StockOutBacktestOptions } from "./backtest.ts";
export { type StockOutCandidate, type StockOutTable, trainStockOutCandidate } from "./candidate.ts";
export { forecastStockOuts, type StockOutForecasts } from "./forecasts.ts";
export { gainOf, type JudgedRows, judgeModel, judgePersistence, persistenceName } from "./judge.ts";
export {
  expectedShortfall,
  type MoveOptions,
  type SideOutlook,
  type StationOutlook,
  type SuggestedMove,
  suggestMoves,
} from "./moves.ts";
export { newestCalibrations } from "./newest-calibrations.ts";
export { outlooksOf } from "./outlooks.ts";
export { forecastPersistence, persistenceRisk } from "./persistence.ts";
export { calibratedForecasts } from "./recalibrate.ts";
export { type SampledRows, type SampleOptions, sampleRows } from "./sample.ts";
export type { BinaryReport, BinaryScores } from "./scores.ts";
export { levelTargetOf } from "./target.ts";
export { alarmRate, fitStockOuts, matrixOf, type StockOutTraining, stockOutTrees } from "./train.ts";
export { type StockOutView, stockOutView } from "./view.ts";
