export type { Interim, PrunerOptions } from "./pruner.ts";
export type { Choice, Dimension, Space, ValuesOf } from "./space.ts";
export type { Trial } from "./trial.ts";
export { type Running, TrialPruned, type Tuned, type TuneOptions, tune } from "./tune.ts";
