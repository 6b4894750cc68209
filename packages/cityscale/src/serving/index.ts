export { type Champions, createChampions, modelFile } from "./champions.ts";
export { ForecastServer, type ForecastValue, type PredictRequest, type Prediction } from "./server.ts";
export type { Batch } from "./store.ts";
