import { check, TreesError } from "../errors.ts";
import type { FeatureInfo, ModelData } from "../model.ts";
import { categoricalFlag, defaultLeftFlag, missingNaN, type Tree } from "../tree.ts";
import { checkModel } from "../validate.ts";
import { categoriesOf, floatAbove, floatBelow, foldedTrees, nanGoesLeft } from "./common.ts";

/** XGBoost's JSON model (`doc/tutorials/saving_model.rst`, `src/tree/tree_model.cc`). */

/** The objective's name and its parameter object in the file. */
function objectiveJson({ objective, objectiveParams, outputs }: ModelData): Record<string, unknown> {
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

/** Nine digits say a float32 exactly; whole numbers need an exponent, or XGBoost reads them as integers. */
function number(v: number): string {
  const clipped = Math.max(-3.4028234663852886e38, Math.min(3.4028234663852886e38, v));
  return Math.fround(clipped).toExponential(8).replace("e+", "E").replace("e", "E");
}

/** Floats are written by hand: JSON.stringify would drop the exponent of whole ones. */
const floats = (values: readonly number[]): string => `[${values.map(number).join(",")}]`;

export function writeXGBoost(model: ModelData): string {
  const trees = foldedTrees(model);
  const columns = model.featureNames.length;
  const learner = [
    '"attributes":{}',
    `"feature_names":${JSON.stringify(model.featureNames)}`,
    `"feature_types":${JSON.stringify(model.features.map((f) => (f.kind === "category" ? "c" : "float")))}`,
    `"gradient_booster":{"model":{"gbtree_model_param":${JSON.stringify({
      num_parallel_tree: "1",
      num_trees: `${trees.length}`,
      size_leaf_vector: "0",
    })},"iteration_indptr":${JSON.stringify(
      Array.from({ length: trees.length / model.outputs + 1 }, (_, i) => i * model.outputs),
    )},"tree_info":${JSON.stringify(trees.map((_, t) => t % model.outputs))},"trees":[${trees
      .map((tree, t) => treeJson(tree, t, columns))
      .join(",")}]},"name":"gbtree"}`,
    `"learner_model_param":${JSON.stringify({
      base_score: neutralBase(model.objective),
      boost_from_average: "1",
      num_class: model.outputs > 1 ? `${model.outputs}` : "0",
      num_feature: `${columns}`,
      num_target: "1",
    })}`,
    `"objective":${JSON.stringify(objectiveJson(model))}`,
  ];
  return `{"learner":{${learner.join(",")}},"version":[2,0,0]}`;
}

function treeJson(tree: Tree, id: number, columns: number): string {
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
  // Breadth first: XGBoost takes a right child to be next to its left one, whatever right_children says.
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
  const rest = JSON.stringify({
    categories,
    categories_nodes: catNodes,
    categories_segments: catSegments,
    categories_sizes: catSizes,
    default_left: defaultLeft,
    id,
    left_children: left,
    parents,
    right_children: right,
    split_indices: feature,
    split_type: splitType,
    tree_param: {
      num_deleted: "0",
      num_feature: `${columns}`,
      num_nodes: `${parents.length}`,
      size_leaf_vector: "1",
    },
  });
  return (
    `${rest.slice(0, -1)},"base_weights":${floats(weight)},"loss_changes":${floats(gain)},` +
    `"split_conditions":${floats(condition)},"sum_hessian":${floats(hessian)}}`
  );
}

type Json = { readonly [key: string]: unknown };

function object(value: unknown, what: string): Json {
  check(
    typeof value === "object" && value !== null && !Array.isArray(value),
    `the XGBoost model has no ${what}`,
  );
  return value as Json;
}

function array(value: unknown, what: string): readonly unknown[] {
  check(Array.isArray(value), `the XGBoost model has no ${what}`);
  return value;
}

function numbers(value: unknown, what: string, length?: number): number[] {
  const out = array(value, what).map(Number);
  check(length === undefined || out.length === length, `${what} has ${out.length} numbers, not ${length}`);
  check(
    out.every((v) => !Number.isNaN(v)),
    `${what} holds something that is no number`,
  );
  return out;
}

/**
 * Reads an XGBoost JSON model of trees (gbtree or dart).
 * @throws TreesError on anything else, and on several targets or vector leaves
 */
export function readXGBoost(text: string): ModelData {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (cause) {
    throw new TreesError("the XGBoost model is not JSON", { cause });
  }
  const learner = object(object(root, "root object")["learner"], "learner");
  const param = object(learner["learner_model_param"], "learner_model_param");
  let booster = object(learner["gradient_booster"], "gradient_booster");
  let drop: number[] | undefined;
  if (booster["name"] === "dart") {
    drop = numbers(booster["weight_drop"], "weight_drop");
    booster = object(booster["gbtree"], "gbtree");
  }
  check(booster["model"] !== undefined, "only XGBoost models of trees can be read");
  const model = object(booster["model"], "model");
  const columns = Number(param["num_feature"]);
  check(Number.isInteger(columns) && columns > 0 && columns <= 1e7, "num_feature is no whole number");
  check(Number(param["num_target"] ?? 1) <= 1, "XGBoost models of several targets are not supported");
  const outputs = Math.max(1, Number(param["num_class"] ?? 0));
  check(Number.isInteger(outputs) && outputs <= 1e6, "num_class is no whole number");
  const groups = numbers(model["tree_info"], "tree_info");
  const given = array(model["trees"], "trees");
  check(groups.length === given.length, `tree_info has ${groups.length} entries for ${given.length} trees`);
  check(drop === undefined || drop.length === given.length, "weight_drop does not fit the trees");
  // By output, then round by round, whatever num_parallel_tree was.
  const byOutput: Tree[][] = Array.from({ length: outputs }, () => []);
  given.forEach((tree, t) => {
    const list = byOutput[groups[t]!];
    check(list !== undefined, `tree ${t} belongs to output ${groups[t]} of ${outputs}`);
    list.push(parseTree(object(tree, `tree ${t}`), t, columns, drop?.[t] ?? 1));
  });
  check(
    byOutput.every((list) => list.length === byOutput[0]!.length),
    "the outputs have different numbers of trees",
  );
  const trees: Tree[] = [];
  for (let i = 0; i < byOutput[0]!.length; i++) for (const list of byOutput) trees.push(list[i]!);
  const named =
    learner["feature_names"] === undefined ? [] : array(learner["feature_names"], "feature_names");
  const types =
    learner["feature_types"] === undefined ? [] : array(learner["feature_types"], "feature_types");
  check(
    named.length === 0 || named.length === columns,
    `${named.length} feature names for ${columns} columns`,
  );
  const { objective, objectiveParams } = parseObjective(object(learner["objective"], "objective"));
  return checkModel({
    featureNames: Array.from({ length: columns }, (_, f) => String(named[f] ?? `f${f}`)),
    features: Array.from(
      { length: columns },
      (_, f): FeatureInfo =>
        types[f] === "c" ? { kind: "category", categories: [] } : { kind: "number", min: 0, max: 0 },
    ),
    objective,
    objectiveParams,
    outputs,
    base: parseBase(param["base_score"], objective, outputs),
    trees,
    average: false,
    float32: true,
  });
}

/** "5E-1", or "[5E-1]" since XGBoost 3.1, or one per class; in the target's units. */
function parseBase(text: unknown, objective: ModelData["objective"], outputs: number): number[] {
  check(typeof text === "string", "the XGBoost model has no base_score");
  const values = text.replace(/[[\]]/g, "").split(",").map(Number);
  check(
    (values.length === 1 || values.length === outputs) && values.every((v) => Number.isFinite(v)),
    `base_score "${text.slice(0, 40)}" cannot be read`,
  );
  return Array.from({ length: outputs }, (_, k) => {
    const v = values[values.length === 1 ? 0 : k]!;
    if (objective === "binary") return Math.fround(-Math.log(1 / v - 1));
    if (objective === "poisson" || objective === "gamma" || objective === "tweedie")
      return Math.fround(Math.log(v));
    return Math.fround(v);
  });
}

function parseObjective(json: Json): Pick<ModelData, "objective" | "objectiveParams"> {
  const plain = (objective: ModelData["objective"]) => ({ objective, objectiveParams: {} });
  switch (json["name"]) {
    case "reg:squarederror":
    case "reg:linear":
      return plain("l2");
    case "reg:absoluteerror":
      return plain("l1");
    case "reg:pseudohubererror":
      return plain("huber");
    case "reg:quantileerror": {
      const text = String(
        object(json["quantile_loss_param"] ?? {}, "quantile_loss_param")["quantile_alpha"] ?? "",
      );
      const alpha = Number(text.replace(/[[\]()]/g, "").split(",")[0]);
      return { objective: "quantile", objectiveParams: { alpha: Number.isFinite(alpha) ? alpha : 0.5 } };
    }
    case "count:poisson":
      return plain("poisson");
    case "reg:gamma":
      return plain("gamma");
    case "reg:tweedie": {
      const power = Number(
        object(json["tweedie_regression_param"] ?? {}, "tweedie_regression_param")[
          "tweedie_variance_power"
        ] ?? 1.5,
      );
      return { objective: "tweedie", objectiveParams: { tweedieVariancePower: power } };
    }
    case "binary:logistic":
    case "reg:logistic":
      return plain("binary");
    case "multi:softprob":
    case "multi:softmax":
      return plain("multiclass");
    default:
      throw new TreesError(`XGBoost's objective "${String(json["name"])}" is not supported`);
  }
}

/** In the file nodes and leaves share one numbering; here they have one each. */
function parseTree(json: Json, t: number, columns: number, scale: number): Tree {
  const what = (name: string): string => `${name} of tree ${t}`;
  const left = numbers(json["left_children"], what("left_children"));
  const size = left.length;
  check(size >= 1, `tree ${t} is empty`);
  const right = numbers(json["right_children"], what("right_children"), size);
  const indices = numbers(json["split_indices"], what("split_indices"), size);
  const conditions = numbers(json["split_conditions"], what("split_conditions"), size);
  const defaults = array(json["default_left"], what("default_left")).map(Number);
  check(defaults.length === size, `${what("default_left")} has the wrong length`);
  const optional = (name: string): number[] =>
    json[name] === undefined ? new Array<number>(size).fill(0) : numbers(json[name], what(name), size);
  const hessian = optional("sum_hessian");
  const changes = optional("loss_changes");
  const weights = optional("base_weights");
  const types = optional("split_type");
  const sets = parseSets(json, what);
  // Number nodes and leaves in the order of the file; what no walk reaches (deleted nodes) is left out.
  const number = new Int32Array(size);
  const seen = new Uint8Array(size);
  const order: number[] = [];
  const leafOrder: number[] = [];
  const todo = [0];
  while (todo.length > 0) {
    const n = todo.pop()!;
    check(Number.isInteger(n) && n >= 0 && n < size && seen[n] === 0, `tree ${t} is not a tree`);
    seen[n] = 1;
    if (left[n] === -1) {
      check(right[n] === -1, `tree ${t} has a node with one child`);
      number[n] = ~(leafOrder.push(n) - 1);
    } else {
      number[n] = order.push(n) - 1;
      check(indices[n]! < columns, `tree ${t} splits on column ${indices[n]} of ${columns}`);
      todo.push(right[n]!, left[n]!);
    }
  }
  const catBounds = [0];
  const catWords: number[] = [];
  const isSet = (n: number): boolean => types[n] === 1;
  const threshold = order.map((n) => {
    if (!isSet(n)) return floatBelow(Math.fround(conditions[n]!));
    for (const word of sets.get(n) ?? []) catWords.push(word);
    return catBounds.push(catWords.length) - 2;
  });
  const pick = (values: readonly number[], from: readonly number[]): Float64Array =>
    Float64Array.from(from, (n) => values[n]!);
  // The listed categories go right there and left here; unknown ones go the other way.
  return {
    leaves: leafOrder.length,
    feature: Int32Array.from(order, (n) => indices[n]!),
    threshold: Float64Array.from(threshold),
    flags: Uint8Array.from(
      order,
      (n) => missingNaN | (isSet(n) ? categoricalFlag : defaults[n] ? defaultLeftFlag : 0),
    ),
    left: Int32Array.from(order, (n) => number[(isSet(n) ? right : left)[n]!]!),
    right: Int32Array.from(order, (n) => number[(isSet(n) ? left : right)[n]!]!),
    gain: pick(changes, order),
    nodeValue: pick(weights, order),
    nodeWeight: pick(hessian, order),
    nodeCount: new Float64Array(order.length),
    leafValue: pick(conditions, leafOrder).map((v) => Math.fround(Math.fround(v) * Math.fround(scale))),
    leafWeight: pick(hessian, leafOrder),
    leafCount: new Float64Array(leafOrder.length),
    catBounds: Int32Array.from(catBounds),
    catWords: Uint32Array.from(catWords),
  };
}

/** The bit words of each categorical node's listed categories. */
function parseSets(json: Json, what: (name: string) => string): Map<number, number[]> {
  const out = new Map<number, number[]>();
  if (json["categories_nodes"] === undefined) return out;
  const nodes = numbers(json["categories_nodes"], what("categories_nodes"));
  const segments = numbers(json["categories_segments"], what("categories_segments"), nodes.length);
  const sizes = numbers(json["categories_sizes"], what("categories_sizes"), nodes.length);
  const all = numbers(json["categories"], what("categories"));
  nodes.forEach((n, i) => {
    const words: number[] = [];
    for (const category of all.slice(segments[i]!, segments[i]! + sizes[i]!)) {
      check(
        Number.isInteger(category) && category >= 0 && category < 2 ** 24,
        `${what("categories")} are out of range`,
      );
      const word = category >>> 5;
      while (words.length <= word) words.push(0);
      words[word] = (words[word]! | (1 << (category & 31))) >>> 0;
    }
    out.set(n, words);
  });
  return out;
}
