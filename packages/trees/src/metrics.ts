import { check } from "./errors.ts";
import type { ResolvedParams } from "./params.ts";
import type { MetricName } from "./types.ts";

/** A metric over raw scores, as a weighted mean of row losses or as one function of all rows. */
export type Metric =
  | {
      readonly name: string;
      readonly higherIsBetter: boolean;
      /** Loss of one row; `at` is where its scores begin. */
      readonly row: (scores: Float64Array, at: number, label: number) => number;
      /** From the weighted mean to the metric. */
      readonly finish: (mean: number) => number;
    }
  | {
      readonly name: string;
      readonly higherIsBetter: boolean;
      readonly whole: (scores: Float64Array, label: Float64Array, weight: Float64Array | undefined) => number;
    };

const same = (x: number): number => x;
const tiny = 1e-15;

/** The metric that belongs to an objective. */
export function defaultMetric(objective: ResolvedParams["objective"]): MetricName {
  switch (objective) {
    case "binary":
      return "binaryLogloss";
    case "multiclass":
      return "multiLogloss";
    case "custom":
      return "l2";
    default:
      return objective;
  }
}

/** Formulas are LightGBM's (`regression_metric.hpp`, `binary_metric.hpp`, `multiclass_metric.hpp`). */
export function makeMetric(name: MetricName, params: ResolvedParams): Metric {
  const { alpha, tweedieVariancePower: rho, numClass: k } = params;
  const mean = (row: (scores: Float64Array, at: number, label: number) => number, finish = same): Metric => ({
    name,
    higherIsBetter: false,
    row,
    finish,
  });
  const exp =
    params.objective === "poisson" || params.objective === "gamma" || params.objective === "tweedie";
  const sigmoid = params.objective === "binary";
  const value = (raw: number): number => (exp ? Math.exp(raw) : sigmoid ? 1 / (1 + Math.exp(-raw)) : raw);
  switch (name) {
    case "l2":
      return mean((s, i, y) => (value(s[i]!) - y) ** 2);
    case "rmse":
      return mean((s, i, y) => (value(s[i]!) - y) ** 2, Math.sqrt);
    case "l1":
      return mean((s, i, y) => Math.abs(value(s[i]!) - y));
    case "huber":
      return mean((s, i, y) => {
        const d = Math.abs(value(s[i]!) - y);
        return d <= alpha ? 0.5 * d * d : alpha * (d - 0.5 * alpha);
      });
    case "quantile":
      return mean((s, i, y) => {
        const d = y - value(s[i]!);
        return d < 0 ? (alpha - 1) * d : alpha * d;
      });
    case "poisson":
      return mean((s, i, y) => {
        const v = Math.max(value(s[i]!), 1e-10);
        return v - y * Math.log(v);
      });
    case "gamma":
      return mean((s, i, y) => {
        const v = Math.max(value(s[i]!), 1e-10);
        return y / v + Math.log(v);
      });
    case "tweedie":
      return mean((s, i, y) => {
        const v = Math.max(value(s[i]!), 1e-10);
        return -(y * v ** (1 - rho)) / (1 - rho) + v ** (2 - rho) / (2 - rho);
      });
    case "binaryLogloss":
      return mean((s, i, y) => {
        const p = Math.min(1 - tiny, Math.max(tiny, 1 / (1 + Math.exp(-s[i]!))));
        return -(y * Math.log(p) + (1 - y) * Math.log(1 - p));
      });
    case "binaryError":
      return mean((s, i, y) => (s[i]! > 0 === y > 0.5 ? 0 : 1));
    case "multiLogloss":
      return mean((s, i, y) => {
        let top = -Infinity;
        for (let j = 0; j < k; j++) top = Math.max(top, s[i + j]!);
        let sum = 0;
        for (let j = 0; j < k; j++) sum += Math.exp(s[i + j]! - top);
        return Math.min(-Math.log(tiny), Math.log(sum) - (s[i + y]! - top));
      });
    case "multiError":
      return mean((s, i, y) => {
        for (let j = 0; j < k; j++) if (j !== y && s[i + j]! >= s[i + y]!) return 1;
        return 0;
      });
    case "auc":
      return { name, higherIsBetter: true, whole: areaUnderCurve };
    case "averagePrecision":
      return { name, higherIsBetter: true, whole: averagePrecision };
    default:
      check(false, `there is no metric "${String(name)}"`);
  }
}

/** Rows by falling score, ties together: calls `visit` with each group's positive and total weight. */
function byScore(
  scores: Float64Array,
  label: Float64Array,
  weight: Float64Array | undefined,
  visit: (positive: number, total: number) => void,
): void {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
  for (let i = 0; i < order.length; ) {
    const score = scores[order[i]!]!;
    let positive = 0;
    let total = 0;
    for (; i < order.length && scores[order[i]!] === score; i++) {
      const row = order[i]!;
      const w = weight ? weight[row]! : 1;
      total += w;
      positive += w * label[row]!;
    }
    visit(positive, total);
  }
}

/** Probability that a positive row scores above a negative one; ties count half. 1 where there is only one kind. */
function areaUnderCurve(scores: Float64Array, label: Float64Array, weight: Float64Array | undefined): number {
  let positives = 0;
  let negatives = 0;
  let area = 0;
  byScore(scores, label, weight, (positive, total) => {
    const negative = total - positive;
    area += negative * (positives + positive / 2);
    positives += positive;
    negatives += negative;
  });
  return positives > 0 && negatives > 0 ? area / (positives * negatives) : 1;
}

/** Mean precision at each positive row. 1 where there is only one kind. */
function averagePrecision(
  scores: Float64Array,
  label: Float64Array,
  weight: Float64Array | undefined,
): number {
  let positives = 0;
  let seen = 0;
  let sum = 0;
  byScore(scores, label, weight, (positive, total) => {
    positives += positive;
    seen += total;
    if (seen > 0) sum += positive * (positives / seen);
  });
  return positives > 0 && positives < seen ? sum / positives : 1;
}
