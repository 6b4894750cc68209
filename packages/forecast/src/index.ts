export * as baselines from "./baselines.ts";
export { ForecastError, type ForecastErrorCode } from "./errors.ts";
export * as scores from "./scores/index.ts";
export * as splits from "./splits.ts";
