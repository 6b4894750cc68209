import { expect, test } from "vitest";
import { Dataset, trainSync } from "../src/index.ts";
import { goesLeft, type Tree } from "../src/tree.ts";
import { madeData } from "./made-data.ts";

/** The tree's mean value when only the columns in `known` are known: the game that Shapley values share out. */
function expectation(tree: Tree, row: Float64Array, known: number, n = 0): number {
  const value = (child: number): number =>
    child < 0 ? tree.leafValue[~child]! : expectation(tree, row, known, child);
  const rows = (child: number): number => (child < 0 ? tree.leafCount[~child]! : tree.nodeCount[child]!);
  if (tree.leaves === 1) return tree.leafValue[0]!;
  const left = tree.left[n]!;
  const right = tree.right[n]!;
  const f = tree.feature[n]!;
  if ((known >> f) & 1) return value(goesLeft(tree, n, row[f]!) ? left : right);
  return (value(left) * rows(left) + value(right) * rows(right)) / (rows(left) + rows(right));
}

test("contributions are the Shapley values of every subset of columns, and sum to the prediction", () => {
  const { columns, label } = madeData(300, 21);
  const dataset = Dataset.fromColumns(columns, { categorical: [2] });
  const model = trainSync(
    { dataset, label },
    { numIterations: 6, numLeaves: 12, minDataInLeaf: 5, learningRate: 0.5, minDataPerGroup: 10 },
  );
  const some = columns.map((c) => c.slice(0, 8));
  const got = model.predictContributions(some);
  const raw = model.predictRaw(some);
  const m = columns.length;
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
  for (let i = 0; i < 8; i++) {
    const row = Float64Array.from(some, (c) => c[i]!);
    const game = Array.from({ length: 1 << m }, (_, known) =>
      model.data.trees.reduce((sum, tree) => sum + expectation(tree, row, known), 0),
    );
    let total = got[i * (m + 1) + m]!;
    for (let f = 0; f < m; f++) {
      let shapley = 0;
      for (let known = 0; known < 1 << m; known++) {
        if ((known >> f) & 1) continue;
        const size = known.toString(2).replaceAll("0", "").length;
        shapley +=
          ((factorial(size) * factorial(m - size - 1)) / factorial(m)) *
          (game[known | (1 << f)]! - game[known]!);
      }
      expect(got[i * (m + 1) + f]).toBeCloseTo(shapley, 9);
      total += got[i * (m + 1) + f]!;
    }
    expect(total).toBeCloseTo(raw[i]!, 9);
  }
});
