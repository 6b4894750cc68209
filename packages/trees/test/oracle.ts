import type { BinMapper } from "../src/bins.ts";
import type { Dataset } from "../src/index.ts";

/** A slow, obvious gradient boosting for squared error on numeric columns: plain sums in float64, no tricks. */
export function naiveBoosting(
  dataset: Dataset,
  label: Float64Array,
  options: { rounds: number; leaves: number; rate: number; minData: number; lambda: number },
): Float64Array {
  const { rows } = dataset;
  const mean = label.reduce((a, b) => a + b, 0) / rows;
  const score = new Float64Array(rows).fill(mean);
  for (let round = 0; round < options.rounds; round++) {
    const gradient = score.map((s, i) => s - label[i]!);
    let leaves: number[][] = [Array.from({ length: rows }, (_, i) => i)];
    while (leaves.length < options.leaves) {
      let best: { gain: number; leaf: number; left: number[]; right: number[] } | undefined;
      leaves.forEach((leaf, at) => {
        const split = bestSplit(dataset, gradient, leaf, options);
        if (split && (!best || split.gain > best.gain)) best = { ...split, leaf: at };
      });
      if (!best) break;
      const { leaf, left, right } = best;
      leaves = [...leaves.map((l, at) => (at === leaf ? left : l)), right];
    }
    for (const leaf of leaves) {
      const sum = leaf.reduce((s, i) => s + gradient[i]!, 0);
      const value = (-sum / (leaf.length + options.lambda)) * options.rate;
      for (const i of leaf) score[i] = score[i]! + value;
    }
  }
  return score;
}

function bestSplit(
  dataset: Dataset,
  gradient: Float64Array,
  leaf: readonly number[],
  { minData, lambda }: { minData: number; lambda: number },
): { gain: number; left: number[]; right: number[] } | undefined {
  const score = (list: readonly number[]): number => {
    const sum = list.reduce((s, i) => s + gradient[i]!, 0);
    return (sum * sum) / (list.length + lambda);
  };
  const own = score(leaf);
  let best: { gain: number; left: number[]; right: number[] } | undefined;
  dataset.mappers.forEach((mapper: BinMapper, f) => {
    const bin = (i: number): number => dataset.bins[f * dataset.rows + i]!;
    const anyMissing = leaf.some((i) => bin(i) === mapper.bins);
    for (const missingLeft of anyMissing ? [false, true] : [false]) {
      for (let b = 0; b < mapper.bins; b++) {
        const goes = (i: number): boolean => (bin(i) === mapper.bins ? missingLeft : bin(i) <= b);
        const left = leaf.filter(goes);
        const right = leaf.filter((i) => !goes(i));
        if (left.length < minData || right.length < minData) continue;
        const gain = score(left) + score(right) - own;
        if (gain > 1e-9 && (!best || gain > best.gain * (1 + 1e-9))) best = { gain, left, right };
      }
    }
  });
  return best;
}
