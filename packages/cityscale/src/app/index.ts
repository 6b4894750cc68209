export { App, type AppOptions, codeVersion, defaultCity, type LoopReport } from "./app.ts";
export { cityIds, loadCity } from "./cities.ts";
export { type CityRuntime, memoryMb } from "./city-runtime.ts";
export { type AssetPayload, enqueueAsset } from "./job-kinds.ts";
export { openScratchLake } from "./scratch.ts";
