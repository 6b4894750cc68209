export { recalibrate } from "./calibrations.ts";
export { backfillForecasts, forecast, outcomes } from "./forecasts.ts";
export { type TrainReport, train } from "./model.ts";
export { type IngestReport, ingest } from "./observations.ts";
export {
  type Asset,
  type AssetName,
  assets,
  createPartitions,
  type Partition,
  type Partitions,
} from "./partitions.ts";
export { type CityParts, lagOf, type Progress } from "./parts.ts";
export { profiles, profilesDue } from "./profiles.ts";
export { type Expired, expired, retain } from "./retention.ts";
export { riskOutcomesDue } from "./risk-outcomes.ts";
