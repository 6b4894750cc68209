export { type Champions, createChampions, modelFile } from "./champions.ts";
export type { ExplainedForecast, ForecastExplanation } from "./explanation.ts";
export { lateAfterMs, type RiskOutlook, RiskServer } from "./risk-server.ts";
export { ForecastServer, type ForecastValue, type Prediction, type PredictRequest } from "./server.ts";
export type { Batch } from "./store.ts";
