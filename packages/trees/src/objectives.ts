import { check } from "./errors.ts";
import { exponential } from "./exponential.ts";
import type { Derive } from "./kernel-arguments.ts";
import type { ResolvedParams } from "./params.ts";
import type { ObjectiveName } from "./types.ts";

/** A loss with one raw score per row. Formulas are LightGBM's (`regression_objective.hpp`, `binary_objective.hpp`). */
export interface Objective {
  /** The second derivative is 1 for every row (before weights). */
  readonly constantHessian: boolean;
  /** Leaf values are renewed to this quantile of their residuals. */
  readonly renewQuantile: number | undefined;
  /** First and second derivative of the loss by the raw score, for `n` rows, before weights. */
  gradients(score: Float64Array, label: Float64Array, n: number, g: Float64Array, h: Float64Array): void;
  /** The same for kernels that know the loss. */
  readonly derive?: Derive;
  /** Throws unless every label suits the loss. */
  checkLabels(label: Float64Array): void;
  /** How the constant to start from comes from the labels. */
  readonly start: "mean" | "logMean" | "logit" | "quantile";
}

const anyLabel = (): void => {};
const notNegative = (label: Float64Array): void => {
  for (let i = 0; i < label.length; i++)
    check(label[i]! >= 0, `label ${i} is ${label[i]}: it must not be negative`);
};

/** The loss called `params.objective`; multiclass and custom losses are handled by the booster. */
export function makeObjective(params: ResolvedParams): Objective {
  const { alpha } = params;
  switch (params.objective) {
    case "l1":
      return {
        constantHessian: true,
        renewQuantile: 0.5,
        start: "quantile",
        checkLabels: anyLabel,
        gradients: (score, label, n, g) => {
          for (let i = 0; i < n; i++) g[i] = Math.sign(score[i]! - label[i]!);
        },
      };
    case "quantile":
      return {
        constantHessian: true,
        renewQuantile: alpha,
        start: "quantile",
        checkLabels: anyLabel,
        gradients: (score, label, n, g) => {
          for (let i = 0; i < n; i++) g[i] = score[i]! >= label[i]! ? 1 - alpha : -alpha;
        },
      };
    case "huber":
      return {
        constantHessian: true,
        renewQuantile: undefined,
        start: "mean",
        checkLabels: anyLabel,
        gradients: (score, label, n, g) => {
          for (let i = 0; i < n; i++) g[i] = Math.max(-alpha, Math.min(alpha, score[i]! - label[i]!));
        },
      };
    case "poisson": {
      const grow = Math.exp(params.poissonMaxDeltaStep);
      return {
        constantHessian: false,
        renewQuantile: undefined,
        start: "logMean",
        checkLabels: notNegative,
        derive: { loss: "poisson", growth: grow },
        gradients: (score, label, n, g, h) => {
          for (let i = 0; i < n; i++) {
            const e = exponential(score[i]!);
            g[i] = e - label[i]!;
            h[i] = e * grow;
          }
        },
      };
    }
    case "gamma":
      return {
        constantHessian: false,
        renewQuantile: undefined,
        start: "logMean",
        checkLabels: (label) => {
          for (let i = 0; i < label.length; i++)
            check(label[i]! > 0, `label ${i} is ${label[i]}: it must be above 0`);
        },
        gradients: (score, label, n, g, h) => {
          for (let i = 0; i < n; i++) {
            const e = label[i]! * exponential(-score[i]!);
            g[i] = 1 - e;
            h[i] = e;
          }
        },
      };
    case "tweedie": {
      const rho = params.tweedieVariancePower;
      return {
        constantHessian: false,
        renewQuantile: undefined,
        start: "logMean",
        checkLabels: notNegative,
        gradients: (score, label, n, g, h) => {
          for (let i = 0; i < n; i++) {
            const a = label[i]! * exponential((1 - rho) * score[i]!);
            const b = exponential((2 - rho) * score[i]!);
            g[i] = b - a;
            h[i] = (2 - rho) * b - (1 - rho) * a;
          }
        },
      };
    }
    case "binary":
      return {
        constantHessian: false,
        renewQuantile: undefined,
        start: "logit",
        derive: { loss: "binary" },
        checkLabels: (label) => {
          for (let i = 0; i < label.length; i++) {
            check(label[i]! >= 0 && label[i]! <= 1, `label ${i} is ${label[i]}: it must be from 0 to 1`);
          }
        },
        gradients: (score, label, n, g, h) => {
          for (let i = 0; i < n; i++) {
            const p = 1 / (1 + exponential(-score[i]!));
            g[i] = p - label[i]!;
            h[i] = p * (1 - p);
          }
        },
      };
    default:
      return {
        constantHessian: true,
        renewQuantile: undefined,
        start: "mean",
        derive: { loss: "l2" },
        checkLabels: anyLabel,
        gradients: (score, label, n, g) => {
          for (let i = 0; i < n; i++) g[i] = score[i]! - label[i]!;
        },
      };
  }
}

/** What turns a raw score into the target's units. */
export type Link = "identity" | "exp" | "sigmoid" | "softmax";

export function linkOf(objective: ObjectiveName | "custom"): Link {
  switch (objective) {
    case "poisson":
    case "gamma":
    case "tweedie":
      return "exp";
    case "binary":
      return "sigmoid";
    case "multiclass":
      return "softmax";
    default:
      return "identity";
  }
}

/** Turns raw scores (rows x outputs, row-major) into the target's units, in place. */
export function applyLink(link: Link, scores: Float64Array, outputs: number): void {
  if (link === "exp") {
    for (let i = 0; i < scores.length; i++) scores[i] = Math.exp(scores[i]!);
  } else if (link === "sigmoid") {
    for (let i = 0; i < scores.length; i++) scores[i] = 1 / (1 + Math.exp(-scores[i]!));
  } else if (link === "softmax") {
    for (let i = 0; i < scores.length; i += outputs) softmax(scores, i, outputs);
  }
}

/** Softmax of `k` numbers from `at`, in place. */
export function softmax(values: Float64Array, at: number, k: number): void {
  let top = -Infinity;
  for (let j = 0; j < k; j++) top = Math.max(top, values[at + j]!);
  let sum = 0;
  for (let j = 0; j < k; j++) {
    const e = Math.exp(values[at + j]! - top);
    values[at + j] = e;
    sum += e;
  }
  for (let j = 0; j < k; j++) values[at + j] = values[at + j]! / sum;
}
