import { check, TreesError } from "../errors.ts";
import type { FeatureInfo, ModelData } from "../model-data.ts";
import type { Tree } from "../tree.ts";
import { checkModel } from "../validate.ts";
import { foldedTrees } from "./common.ts";

/** LightGBM's text model, version v4 (`src/boosting/gbdt_model_text.cpp`, `src/io/tree.cpp`). */

function objectiveText({ objective, objectiveParams, outputs }: ModelData): string | undefined {
  switch (objective) {
    case "l2":
      return "regression";
    case "l1":
      return "regression_l1";
    case "quantile":
      return `quantile alpha:${objectiveParams["alpha"] ?? 0.9}`;
    case "tweedie":
      return `tweedie tweedie_variance_power:${objectiveParams["tweedieVariancePower"] ?? 1.5}`;
    case "binary":
      return "binary sigmoid:1";
    case "multiclass":
      return `multiclass num_class:${outputs}`;
    case "custom":
      return undefined;
    default:
      return objective;
  }
}

/** LightGBM's own parser knows no infinities. */
function number(v: number): string {
  if (v === Infinity) return "1.7976931348623157e+308";
  if (v === -Infinity) return "-1.7976931348623157e+308";
  return String(v + 0);
}

const line = (name: string, values: ArrayLike<number>): string =>
  `${name}=${Array.from(values, number).join(" ")}`;

export function writeLightGBM(model: ModelData): string {
  const blocks = foldedTrees(
    model.average ? { ...model, average: false, base: model.base.map(() => 0) } : model,
  ).map((tree, t) => treeText(model.average ? shifted(tree, model.base[t % model.outputs]!) : tree, t));
  const encoder = new TextEncoder();
  const splits = model.featureNames.map(() => 0);
  for (const tree of model.trees) for (const f of tree.feature) splits[f] = splits[f]! + 1;
  const names = model.featureNames.map((name) => name.replace(/[\s=]/g, "_"));
  const objective = objectiveText(model);
  const importances = names
    .map((name, f) => ({ name, count: splits[f]! }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  return [
    "tree",
    "version=v4",
    `num_class=${model.outputs}`,
    `num_tree_per_iteration=${model.outputs}`,
    "label_index=0",
    `max_feature_idx=${names.length - 1}`,
    ...(objective === undefined ? [] : [`objective=${objective}`]),
    ...(model.average ? ["average_output"] : []),
    `feature_names=${names.join(" ")}`,
    `feature_infos=${model.features.map(infoText).join(" ")}`,
    `tree_sizes=${blocks.map((block) => encoder.encode(block).length).join(" ")}`,
    "",
    `${blocks.join("")}end of trees`,
    "",
    "feature_importances:",
    ...importances.map(({ name, count }) => `${name}=${count}`),
    "",
    "parameters:",
    "end of parameters",
    "",
    "pandas_categorical:null",
    "",
  ].join("\n");
}

/** A forest's trees each carry the base: LightGBM takes the mean of whole predictions. */
function shifted(tree: Tree, base: number): Tree {
  return { ...tree, leafValue: tree.leafValue.map((v) => v + base) };
}

function infoText(info: FeatureInfo): string {
  if (info.kind === "unused") return "none";
  if (info.kind === "category") return info.categories.length > 0 ? info.categories.join(":") : "none";
  return `[${number(info.min)}:${number(info.max)}]`;
}

function treeText(tree: Tree, t: number): string {
  const sets = tree.catBounds.length - 1;
  const lines = [`Tree=${t}`, `num_leaves=${tree.leaves}`, `num_cat=${sets}`];
  if (tree.leaves > 1) {
    lines.push(
      line("split_feature", tree.feature),
      line("split_gain", tree.gain),
      line("threshold", tree.threshold),
      line("decision_type", tree.flags),
      line("left_child", tree.left),
      line("right_child", tree.right),
    );
  }
  lines.push(line("leaf_value", tree.leafValue));
  if (tree.leaves > 1) {
    lines.push(
      line("leaf_weight", tree.leafWeight),
      line("leaf_count", tree.leafCount),
      line("internal_value", tree.nodeValue),
      line("internal_weight", tree.nodeWeight),
      line("internal_count", tree.nodeCount),
    );
  }
  if (sets > 0) lines.push(line("cat_boundaries", tree.catBounds), line("cat_threshold", tree.catWords));
  lines.push("is_linear=0", "shrinkage=1", "", "", "");
  return lines.join("\n");
}

/**
 * Reads a LightGBM text model.
 * @throws TreesError on anything else, and on what is not supported: linear trees, sigmoid other than 1,
 *   square-root regression, one-versus-all classes
 */
export function readLightGBM(text: string): ModelData {
  const lines = text.split(/\r?\n/);
  check(lines[0]?.trim() === "tree", 'a LightGBM model begins with the line "tree"');
  const head = new Map<string, string>();
  let at = 1;
  for (; at < lines.length && !lines[at]!.startsWith("Tree=") && lines[at] !== "end of trees"; at++) {
    const split = lines[at]!.indexOf("=");
    if (split > 0) head.set(lines[at]!.slice(0, split), lines[at]!.slice(split + 1));
    else if (lines[at]!.trim() !== "") head.set(lines[at]!.trim(), "");
  }
  const columns = whole(head.get("max_feature_idx"), "max_feature_idx") + 1;
  const featureNames = (head.get("feature_names") ?? "").split(" ").filter((s) => s !== "");
  check(
    featureNames.length === columns,
    `feature_names has ${featureNames.length} names for ${columns} columns`,
  );
  const outputs = whole(head.get("num_tree_per_iteration"), "num_tree_per_iteration");
  const trees: Tree[] = [];
  while (at < lines.length && lines[at]!.startsWith("Tree=")) {
    const block = new Map<string, string>();
    for (at++; at < lines.length && !lines[at]!.startsWith("Tree=") && lines[at] !== "end of trees"; at++) {
      const split = lines[at]!.indexOf("=");
      if (split > 0) block.set(lines[at]!.slice(0, split), lines[at]!.slice(split + 1));
    }
    trees.push(parseTree(block, trees.length));
  }
  check(lines[at] === "end of trees", "the LightGBM model ends before its end");
  const infos = (head.get("feature_infos") ?? "").split(" ");
  return checkModel({
    featureNames,
    features: featureNames.map((_, f) => parseInfo(infos[f] ?? "none")),
    ...parseObjective(head.get("objective")),
    outputs,
    base: new Array<number>(Math.max(0, Math.min(outputs, 1e6))).fill(0),
    trees,
    average: head.has("average_output"),
    float32: false,
  });
}

function parseObjective(text: string | undefined): Pick<ModelData, "objective" | "objectiveParams"> {
  const [name = "", ...rest] = (text ?? "custom").trim().split(/\s+/);
  const given = new Map(
    rest.map((part): [string, number] => [part.split(":")[0]!, Number(part.split(":")[1])]),
  );
  check(!rest.includes("sqrt"), "LightGBM models of square roots are not supported");
  const plain = (objective: ModelData["objective"]) => ({ objective, objectiveParams: {} });
  switch (name) {
    case "regression":
    case "regression_l2":
    case "fair":
      return plain("l2");
    case "regression_l1":
    case "mape":
      return plain("l1");
    case "huber":
    case "poisson":
    case "gamma":
      return plain(name);
    case "quantile":
      return { objective: "quantile", objectiveParams: { alpha: given.get("alpha") ?? 0.9 } };
    case "tweedie":
      return {
        objective: "tweedie",
        objectiveParams: { tweedieVariancePower: given.get("tweedie_variance_power") ?? 1.5 },
      };
    case "binary":
    case "cross_entropy":
      check(
        (given.get("sigmoid") ?? 1) === 1,
        "LightGBM models with a sigmoid other than 1 are not supported",
      );
      return plain("binary");
    case "multiclass":
      return plain("multiclass");
    case "custom":
    case "lambdarank":
    case "rank_xendcg":
      return plain("custom");
    default:
      throw new TreesError(`LightGBM's objective "${name}" is not supported`);
  }
}

function parseInfo(text: string): FeatureInfo {
  const range = /^\[(.*):(.*)\]$/.exec(text);
  if (range) return { kind: "number", min: Number(range[1]), max: Number(range[2]) };
  if (/^-?\d+(:-?\d+)*$/.test(text)) return { kind: "category", categories: text.split(":").map(Number) };
  return { kind: "unused" };
}

function whole(text: string | undefined, name: string): number {
  const n = Number(text);
  check(
    text !== undefined && text.trim() !== "" && Number.isInteger(n) && n >= 0 && n <= 1e7,
    `${name} is missing or no whole number`,
  );
  return n;
}

function parseTree(block: ReadonlyMap<string, string>, t: number): Tree {
  const leaves = whole(block.get("num_leaves"), `num_leaves of tree ${t}`);
  const sets = whole(block.get("num_cat"), `num_cat of tree ${t}`);
  check(leaves >= 1, `tree ${t} has no leaves`);
  check((block.get("is_linear") ?? "0") === "0", "linear trees are not supported");
  const nodes = leaves - 1;
  const list = (name: string, length: number, needed: boolean): number[] => {
    const text = block.get(name)?.trim();
    if (text === undefined || text === "") {
      check(!needed || length === 0, `tree ${t} has no ${name}`);
      return new Array<number>(length).fill(0);
    }
    const values = text.split(/\s+/).map((s) => {
      const v = s === "inf" ? Infinity : s === "-inf" ? -Infinity : Number(s);
      return Math.abs(v) >= 1e308 ? Math.sign(v) * Infinity : v;
    });
    check(
      values.length === length && values.every((v) => !Number.isNaN(v)),
      `tree ${t} has ${values.length} numbers in ${name}, not ${length}`,
    );
    return values;
  };
  // Every length is known to be real text before anything of that size is made.
  const leafValue = list("leaf_value", leaves, true);
  const feature = list("split_feature", nodes, true);
  const bounds = sets > 0 ? list("cat_boundaries", sets + 1, true) : [0];
  const words = sets > 0 ? list("cat_threshold", bounds[sets]!, true) : [];
  return {
    leaves,
    feature: Int32Array.from(feature),
    threshold: Float64Array.from(list("threshold", nodes, true)),
    flags: Uint8Array.from(list("decision_type", nodes, false)),
    left: Int32Array.from(list("left_child", nodes, true)),
    right: Int32Array.from(list("right_child", nodes, true)),
    gain: Float64Array.from(list("split_gain", nodes, false)),
    nodeValue: Float64Array.from(list("internal_value", nodes, false)),
    nodeWeight: Float64Array.from(list("internal_weight", nodes, false)),
    nodeCount: Float64Array.from(list("internal_count", nodes, false)),
    leafValue: Float64Array.from(leafValue),
    leafWeight: Float64Array.from(list("leaf_weight", leaves, false)),
    leafCount: Float64Array.from(list("leaf_count", leaves, false)),
    catBounds: Int32Array.from(bounds),
    catWords: Uint32Array.from(words),
  };
}
