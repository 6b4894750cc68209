export type { Interim, PrunerOptions } from "./pruner.ts";
export type { Choice, Dimension, Space, ValuesOf } from "./space.ts";
export { type Running, type Trial, TrialPruned, type Tuned, type TuneOptions, tune } from "./tune.ts";
