import type { Tree } from "./tree.ts";
import type { ObjectiveName } from "./types.ts";

/** What a column held in training; other tools' model files want it. */
export type FeatureInfo =
  | { readonly kind: "number"; readonly min: number; readonly max: number }
  | { readonly kind: "category"; readonly categories: readonly number[] }
  | { readonly kind: "unused" };

/** A model as plain data. */
export interface ModelData {
  readonly featureNames: readonly string[];
  readonly features: readonly FeatureInfo[];
  readonly objective: ObjectiveName | "custom";
  /** The objective's own numbers (alpha, tweedieVariancePower) where it has any. */
  readonly objectiveParams: Readonly<Record<string, number>>;
  /** Raw scores per row: the number of classes, else 1. */
  readonly outputs: number;
  /** Raw score to start from, per output. */
  readonly base: readonly number[];
  /** Round by round, one tree per output. */
  readonly trees: readonly Tree[];
  /** A forest: the mean of the rounds is added to the base, not their sum. */
  readonly average: boolean;
  /** Inputs and sums are rounded to float32 (models of XGBoost). */
  readonly float32: boolean;
}
