import { outside } from "./kernel-arguments.ts";
import type { Kernels } from "./kernels.ts";
import { blockRows, type TrainingMemory } from "./memory.ts";
import { quantile, weightedQuantile } from "./quantiles.ts";
import type { LeafView } from "./split.ts";
import type { Team } from "./team.ts";

/** A grown leaf, with this worker's number of rows in it. */
export interface GrownLeaf extends LeafView {
  readonly own: number;
}

/** What renewing leaf values needs of the training. */
export interface Renewal {
  readonly memory: TrainingMemory;
  readonly team: Team;
  readonly leaves: readonly GrownLeaf[];
  readonly numLeaves: number;
  readonly rate: number;
}

/** Quanta per unit of a derivative, powers of two: of the row records, and of exact leaf sums. */
export interface Scales {
  gradient: number;
  hessian: number;
  fineGradient: number;
  fineHessian: number;
}

/**
 * Leaf values from true sums of derivatives: quantised ones are good for choosing splits only. Sums are of whole
 * numbers (a scale of their own, some 30 bits per row), so that they do not depend on the order.
 */
export function renewFromDerivatives(r: Renewal, kernels: Kernels, scales: Scales, l1: number): void {
  const { memory, team, leaves } = r;
  const { leafSums, leafValues } = memory;
  const stride = (r.numLeaves + 1) * 2;
  const own = team.index * stride;
  leafSums.fill(0, own, own + stride);
  const finerGradient = scales.fineGradient / scales.gradient;
  const finerHessian = scales.fineHessian / scales.hessian;
  const blocks = Math.ceil(memory.data.rows / blockRows);
  for (let b = team.index; b < blocks; b += team.size) {
    const to = Math.min(memory.data.rows, (b + 1) * blockRows);
    kernels.sumDerivatives(b * blockRows, to, finerGradient, finerHessian);
  }
  team.barrier();
  leaves.forEach((leaf, i) => {
    let g = 0;
    let h = 0;
    for (let w = 0; w < team.size; w++) {
      g += leafSums[w * stride + i * 2]!;
      h += leafSums[w * stride + i * 2 + 1]!;
    }
    g /= scales.fineGradient;
    h = h / scales.fineHessian + leaf.l2;
    const value = h > 0 ? -(Math.sign(g) * Math.max(0, Math.abs(g) - l1)) / h : 0;
    leafValues[i] = clip(value, leaf) * r.rate + 0;
  });
  team.barrier();
}

function clip(value: number, leaf: LeafView): number {
  return Math.max(leaf.lower, Math.min(leaf.upper, value));
}

/**
 * Leaf values as the alpha-quantile of the leaves' residuals. Leaves are dealt to workers, the largest first.
 * @param base the score that residuals are taken from, where it is not the row's own (random forests)
 */
export function renewToQuantile(r: Renewal, alpha: number, base: number | undefined): void {
  const { memory, team, leaves } = r;
  const { leafSums, leafValues, residuals, residualWeights } = memory;
  const stride = (r.numLeaves + 1) * 2;
  leaves.forEach((leaf, i) => {
    leafSums[team.index * stride + i] = leaf.own;
  });
  team.barrier();
  const starts = new Int32Array(leaves.length + 1);
  const next = new Int32Array(leaves.length);
  leaves.forEach((leaf, i) => {
    starts[i + 1] = starts[i]! + leaf.count;
    next[i] = starts[i]!;
    for (let w = 0; w < team.index; w++) next[i] = next[i]! + leafSums[w * stride + i]!;
  });
  const blocks = Math.ceil(memory.data.rows / blockRows);
  for (let b = team.index; b < blocks; b += team.size) {
    const to = Math.min(memory.data.rows, (b + 1) * blockRows);
    scatterResiduals(memory, b * blockRows, to, base, next);
  }
  team.barrier();
  const loads = new Float64Array(team.size);
  const order = leaves.map((_, i) => i).sort((a, b) => leaves[b]!.count - leaves[a]!.count || a - b);
  for (const i of order) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] = loads[least]! + leaves[i]!.count;
    if (least !== team.index) continue;
    const from = starts[i]!;
    const to = starts[i + 1]!;
    const value =
      from === to
        ? 0
        : residualWeights
          ? weightedQuantile(residuals!, residualWeights, from, to, alpha)
          : quantile(residuals!, from, to, alpha);
    leafValues[i] = clip(value, leaves[i]!) * r.rate + 0;
  }
  team.barrier();
}

function scatterResiduals(
  memory: TrainingMemory,
  from: number,
  to: number,
  base: number | undefined,
  next: Int32Array,
): void {
  const { label, scores, leafOf, wholeWeight, residualWeights } = memory;
  const residuals = memory.residuals!;
  for (let i = from; i < to; i++) {
    const leaf = leafOf[i]!;
    if (leaf === outside) continue;
    const at = next[leaf]!;
    next[leaf] = at + 1;
    residuals[at] = label[i]! - (base ?? scores[i]!);
    if (residualWeights) residualWeights[at] = wholeWeight![i]!;
  }
}
