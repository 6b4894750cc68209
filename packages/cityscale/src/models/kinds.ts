import type { MemberSpec } from "@cityscale/forecast";
import type { ModelKindName, Target } from "../domain/index.ts";
import type { FeatureView } from "../features/index.ts";

/** How much goes into a training; what a target declares is meant for a training every week beside a server. */
export interface Effort {
  readonly maxRows: number;
  readonly maxOrigins: number;
  readonly trees: number;
  readonly leaves: number;
  readonly learningRate: number;
  /** Networks that are averaged. */
  readonly networks: number;
  readonly calibrationWindow: string;
  /** `refit` wastes no row on calibration and takes twice the time; `holdout` is quick. */
  readonly calibrate: "refit" | "holdout";
}

/** What a target declares. */
export const declaredEffort = ({ training }: Target): Effort => ({
  maxRows: training.maxRows,
  maxOrigins: 900,
  trees: training.trees,
  leaves: training.leaves,
  learningRate: training.learningRate,
  networks: 1,
  calibrationWindow: training.calibrationWindow,
  calibrate: "holdout",
});

/** What a training takes that has the machine for itself: more rows and trees, at most some 3 GB and minutes. */
export const fullEffort: Effort = {
  maxRows: 1_200_000,
  maxOrigins: 4000,
  trees: 400,
  leaves: 63,
  learningRate: 0.065,
  networks: 3,
  calibrationWindow: "182d",
  calibrate: "refit",
};

/** Rows that a quantile model learns from at most. */
export const quantileRows = 300_000;

/** Penalty of ridge regressions on standardised columns, in rows of mean weight. */
const ridgeAlpha = 30;

/** The models that make up one kind, for a view. */
export function membersOf(
  kind: ModelKindName,
  target: Target,
  view: FeatureView,
  effort: Effort,
): MemberSpec[] {
  const { seed, blend } = target.training;
  const columns = view.smooth;
  if (kind === "trees") return [{ kind, weight: 1, seed }];
  if (kind === "network") {
    return Array.from({ length: effort.networks }, (_, i) => ({
      kind,
      weight: 1 / effort.networks,
      seed: seed + i,
      columns,
    }));
  }
  if (kind === "ridge") {
    // Its regressions are one entity's each.
    const own = (names: readonly string[]) => names.filter((name) => name !== "entity");
    return [
      {
        kind,
        weight: 1,
        by: "entity",
        alpha: ridgeAlpha,
        columns: { names: own(columns.names), categorical: own(columns.categorical) },
      },
    ];
  }
  return (["trees", "network", "ridge"] as const).flatMap((part) => {
    const share = blend[part] ?? 0;
    return share === 0
      ? []
      : membersOf(part, target, view, effort).map((spec) => ({ ...spec, weight: spec.weight * share }));
  });
}
