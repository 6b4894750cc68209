import type { ModelData } from "../model-data.ts";
import { categoricalFlag, type Tree } from "../tree.ts";
import { categoriesOf, floatAbove, foldedTrees, nanGoesLeft } from "./common.ts";
import type { Encodable } from "./ubjson.ts";

/** The objective's name and its parameter object in the file. */
function objectiveOf({ objective, objectiveParams, outputs }: ModelData): Encodable {
  const plain = { scale_pos_weight: "1" };
  switch (objective) {
    case "l1":
      return { name: "reg:absoluteerror" };
    case "huber":
      return { name: "reg:pseudohubererror", pseudo_huber_param: { huber_slope: "1" } };
    case "quantile":
      return {
        name: "reg:quantileerror",
        quantile_loss_param: { quantile_alpha: `[${objectiveParams["alpha"] ?? 0.5}]` },
      };
    case "poisson":
      return { name: "count:poisson", poisson_regression_param: { max_delta_step: "0.7" } };
    case "gamma":
      return { name: "reg:gamma", reg_loss_param: {} };
    case "tweedie":
      return {
        name: "reg:tweedie",
        tweedie_regression_param: {
          tweedie_variance_power: `${objectiveParams["tweedieVariancePower"] ?? 1.5}`,
        },
      };
    case "binary":
      return { name: "binary:logistic", reg_loss_param: plain };
    case "multiclass":
      return { name: "multi:softprob", softmax_multiclass_param: { num_class: `${outputs}` } };
    default:
      return { name: "reg:squarederror", reg_loss_param: plain };
  }
}

/** The base score (in the target's units) whose raw score is zero: the real base is in the leaves. */
function neutralBase(objective: ModelData["objective"]): string {
  if (objective === "binary") return "5E-1";
  return objective === "poisson" || objective === "gamma" || objective === "tweedie" ? "1E0" : "0E0";
}

/**
 * The model as XGBoost's document (`doc/tutorials/saving_model.rst`, `src/tree/tree_model.cc`), with keys and array
 * types as its own writer has them.
 * @throws TreesError where the model takes zeros as missing
 */
export function xgboostDocument(model: ModelData): Encodable {
  const trees = foldedTrees(model);
  const columns = model.featureNames.length;
  return {
    learner: {
      attributes: {},
      feature_names: model.featureNames,
      feature_types: model.features.map((f) => (f.kind === "category" ? "c" : "float")),
      gradient_booster: {
        model: {
          gbtree_model_param: {
            num_parallel_tree: "1",
            num_trees: `${trees.length}`,
            size_leaf_vector: "0",
          },
          iteration_indptr: Array.from(
            { length: trees.length / model.outputs + 1 },
            (_, i) => i * model.outputs,
          ),
          tree_info: trees.map((_, t) => t % model.outputs),
          trees: trees.map((tree, t) => treeOf(tree, t, columns)),
        },
        name: "gbtree",
      },
      learner_model_param: {
        base_score: neutralBase(model.objective),
        boost_from_average: "1",
        num_class: model.outputs > 1 ? `${model.outputs}` : "0",
        num_feature: `${columns}`,
        num_target: "1",
      },
      objective: objectiveOf(model),
    },
    version: [2, 0, 0],
  };
}

/** Breadth first: XGBoost takes a right child to be next to its left one, whatever right_children says. */
function treeOf(tree: Tree, id: number, columns: number): Encodable {
  const left: number[] = [];
  const right: number[] = [];
  const parents: number[] = [];
  const feature: number[] = [];
  const condition: number[] = [];
  const defaultLeft: number[] = [];
  const weight: number[] = [];
  const gain: number[] = [];
  const hessian: number[] = [];
  const splitType: number[] = [];
  const categories: number[] = [];
  const catNodes: number[] = [];
  const catSegments: number[] = [];
  const catSizes: number[] = [];
  const todo: { child: number; parent: number; isLeft: boolean }[] = [
    { child: tree.leaves > 1 ? 0 : -1, parent: 2147483647, isLeft: false },
  ];
  for (let n = 0; n < todo.length; n++) {
    const { child, parent, isLeft } = todo[n]!;
    parents.push(parent);
    if (n > 0) (isLeft ? left : right)[parent] = n;
    left.push(-1);
    right.push(-1);
    if (child < 0) {
      feature.push(0);
      condition.push(tree.leafValue[~child]!);
      defaultLeft.push(0);
      weight.push(tree.leafValue[~child]!);
      gain.push(0);
      hessian.push(tree.leafWeight[~child]!);
      splitType.push(0);
      continue;
    }
    const categorical = (tree.flags[child]! & categoricalFlag) !== 0;
    feature.push(tree.feature[child]!);
    weight.push(tree.nodeValue[child]!);
    gain.push(tree.gain[child]!);
    hessian.push(tree.nodeWeight[child]!);
    splitType.push(categorical ? 1 : 0);
    // There the listed categories go right and all others left, so the sides change places.
    const ours = { left: tree.left[child]!, right: tree.right[child]! };
    if (categorical) {
      const listed = categoriesOf(tree, tree.threshold[child]!);
      catNodes.push(n);
      catSegments.push(categories.length);
      catSizes.push(listed.length);
      categories.push(...listed);
      condition.push(0);
      defaultLeft.push(1);
      todo.push(
        { child: ours.right, parent: n, isLeft: true },
        { child: ours.left, parent: n, isLeft: false },
      );
    } else {
      condition.push(tree.threshold[child] === Infinity ? Infinity : floatAbove(tree.threshold[child]!));
      defaultLeft.push(nanGoesLeft(tree, child) ? 1 : 0);
      todo.push(
        { child: ours.left, parent: n, isLeft: true },
        { child: ours.right, parent: n, isLeft: false },
      );
    }
  }
  return {
    base_weights: floats(weight),
    categories: Int32Array.from(categories),
    categories_nodes: Int32Array.from(catNodes),
    categories_segments: BigInt64Array.from(catSegments, BigInt),
    categories_sizes: BigInt64Array.from(catSizes, BigInt),
    default_left: Uint8Array.from(defaultLeft),
    id,
    left_children: Int32Array.from(left),
    loss_changes: floats(gain),
    parents: Int32Array.from(parents),
    right_children: Int32Array.from(right),
    split_conditions: floats(condition),
    split_indices: Int32Array.from(feature),
    split_type: Uint8Array.from(splitType),
    sum_hessian: floats(hessian),
    tree_param: {
      num_deleted: "0",
      num_feature: `${columns}`,
      num_nodes: `${parents.length}`,
      size_leaf_vector: "1",
    },
  };
}

/** JSON has no infinities, and XGBoost's reader takes none. */
const floats = (values: readonly number[]): Float32Array =>
  Float32Array.from(values, (v) => Math.max(-largestFloat, Math.min(largestFloat, v)));
const largestFloat = 3.4028234663852886e38;

/** The document as JSON text for XGBoost's reader. JSON.stringify would drop the exponent of whole floats. */
export function writeJson(value: Encodable): string {
  if (value instanceof Float32Array) return `[${Array.from(value, floatText).join(",")}]`;
  if (ArrayBuffer.isView(value)) return `[${value.join(",")}]`;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}:${writeJson(item)}`)
    .join(",")}}`;
}

/** Nine digits say a float32 exactly; whole numbers need an exponent, or XGBoost reads them as integers. */
function floatText(v: number): string {
  return v.toExponential(8).replace("e+", "E").replace("e", "E");
}
