export { App, type AppOptions, codeVersion, defaultCity, type LoopReport } from "./app.ts";
export { type BackupReport, createBackup, restoreBackup } from "./backup.ts";
export { builtInCities, cityIds, loadCity } from "./cities.ts";
export { type CityRuntime, createSources, memoryMb } from "./city-runtime.ts";
export { type AssetPayload, enqueueAsset, enqueueRecalibration } from "./job-kinds.ts";
export { enqueueRetention, type RetentionReport, retentionPlan } from "./retention.ts";
export { openScratchLake } from "./scratch.ts";
export { isGenerated } from "./simulate.ts";
