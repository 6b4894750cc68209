export {
  backtestStockOuts,
  type StockOutBacktest,
  type StockOutBacktestOptions,
  type StockOutForecasts,
} from "./backtest.ts";
export type { BinaryReport, BinaryScores } from "./scores.ts";
export { levelTargetOf } from "./target.ts";
export { alarmRate, fitStockOuts, matrixOf, type StockOutTraining } from "./train.ts";
