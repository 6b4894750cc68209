import { check } from "./errors.ts";
import type { ModelData } from "./model-data.ts";
import { categoricalFlag, type Tree } from "./tree.ts";

const objectiveNames: ReadonlySet<unknown> = new Set([
  "l2",
  "l1",
  "huber",
  "quantile",
  "poisson",
  "gamma",
  "tweedie",
  "binary",
  "multiclass",
  "custom",
]);

/**
 * Checks a model read from a file: after this, prediction ends and reads only inside its arrays.
 * @throws TreesError
 */
export function checkModel(model: ModelData): ModelData {
  const { featureNames, features, outputs, base, trees } = model;
  check(
    Array.isArray(featureNames) &&
      featureNames.length > 0 &&
      featureNames.every((n) => typeof n === "string"),
    "the model has no feature names",
  );
  check(
    Array.isArray(features) &&
      features.length === featureNames.length &&
      features.every((f) => f?.kind === "number" || f?.kind === "unused" || Array.isArray(f?.categories)),
    "the model's features do not fit its feature names",
  );
  check(objectiveNames.has(model.objective), "the model has an unknown objective");
  check(
    typeof model.objectiveParams === "object" && model.objectiveParams !== null,
    "the model has no objective parameters",
  );
  check(Number.isInteger(outputs) && outputs >= 1 && outputs <= 1e6, "the model has a bad number of outputs");
  check(
    Array.isArray(base) && base.length === outputs && base.every((b) => Number.isFinite(b)),
    "the model's base scores do not fit its outputs",
  );
  check(trees.length % outputs === 0, "the number of trees is no multiple of the number of outputs");
  check(typeof model.average === "boolean" && typeof model.float32 === "boolean", "the model has a bad flag");
  trees.forEach((tree, t) => {
    checkTree(tree, featureNames.length, `tree ${t}`);
  });
  return model;
}

/** Checks that arrays fit each other and that nodes and leaves form one tree. */
export function checkTree(tree: Tree, columns: number, what: string): void {
  const { leaves, catBounds, catWords } = tree;
  const nodes = leaves - 1;
  check(Number.isInteger(leaves) && leaves >= 1, `${what} has no leaves`);
  const nodeArrays = [
    tree.feature,
    tree.threshold,
    tree.flags,
    tree.left,
    tree.right,
    tree.gain,
    tree.nodeValue,
    tree.nodeWeight,
    tree.nodeCount,
  ];
  for (const array of nodeArrays) check(array.length === nodes, `${what} has an array of the wrong length`);
  for (const array of [tree.leafValue, tree.leafWeight, tree.leafCount]) {
    check(array.length === leaves, `${what} has an array of the wrong length`);
  }
  check(catBounds.length >= 1 && catBounds[0] === 0, `${what} has bad categorical sets`);
  for (let k = 1; k < catBounds.length; k++) {
    check(catBounds[k]! >= catBounds[k - 1]!, `${what} has bad categorical sets`);
  }
  check(catBounds[catBounds.length - 1] === catWords.length, `${what} has bad categorical sets`);
  for (let n = 0; n < nodes; n++) {
    const f = tree.feature[n]!;
    check(f >= 0 && f < columns, `${what} splits on column ${f} of ${columns}`);
    const threshold = tree.threshold[n]!;
    check(!Number.isNaN(threshold), `${what} has a threshold that is not a number`);
    if (tree.flags[n]! & categoricalFlag) {
      check(
        Number.isInteger(threshold) && threshold >= 0 && threshold < catBounds.length - 1,
        `${what} names a categorical set that is not there`,
      );
    }
  }
  // Every node and leaf is reached once: then the walk from the root ends.
  const seenNodes = new Uint8Array(nodes);
  const seenLeaves = new Uint8Array(leaves);
  const stack = [nodes > 0 ? 0 : -1];
  while (stack.length > 0) {
    const child = stack.pop()!;
    const seen = child >= 0 ? seenNodes : seenLeaves;
    const at = child >= 0 ? child : ~child;
    check(at < seen.length && seen[at] === 0, `${what} is not a tree`);
    seen[at] = 1;
    if (child >= 0) stack.push(tree.left[child]!, tree.right[child]!);
  }
  check(seenNodes.every(Boolean) && seenLeaves.every(Boolean), `${what} is not a tree`);
}
