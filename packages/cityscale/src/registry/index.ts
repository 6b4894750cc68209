export { type Artifacts, createArtifactFolder } from "./artifacts.ts";
export type { Calibrations, StoredCalibration } from "./calibrations.ts";
export type { Aliases, Decision, Promotion, Promotions } from "./promotions.ts";
export { createRegistry, type Registry } from "./registry.ts";
export type { Run, Runs } from "./runs.ts";
export type { ModelVersion, NewModelVersion, Versions } from "./versions.ts";
