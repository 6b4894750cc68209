import { check, TreesError } from "../errors.ts";
import type { FeatureInfo, ModelData } from "../model-data.ts";
import { categoricalFlag, defaultLeftFlag, missingNaN, type Tree } from "../tree.ts";
import { checkModel } from "../validate.ts";
import { floatBelow } from "./common.ts";
import { looksLikeUbjson, readUbjson, writeUbjson } from "./ubjson.ts";
import { writeJson, xgboostDocument } from "./xgboost-document.ts";

/** XGBoost's model files: one document, in JSON or in UBJSON. */

export function writeXGBoost(model: ModelData): string {
  return writeJson(xgboostDocument(model));
}

export function writeXGBoostUbjson(model: ModelData): Uint8Array {
  return writeUbjson(xgboostDocument(model));
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

/** Old versions wrote some arrays as booleans. */
function numbers(value: unknown, what: string, length?: number): number[] {
  const given = array(value, what);
  check(
    length === undefined || given.length === length,
    `${what} has ${given.length} numbers, not ${length}`,
  );
  return given.map((v) => {
    const number = typeof v === "boolean" ? Number(v) : v;
    check(typeof number === "number" && !Number.isNaN(number), `${what} holds something that is no number`);
    return number;
  });
}

/** A parameter's number; XGBoost writes them as texts. */
function parameter(value: unknown, otherwise: number): number {
  return typeof value === "string" || typeof value === "number" ? Number(value) : otherwise;
}

function strings(value: unknown, what: string): readonly string[] {
  const given = value === undefined ? [] : array(value, what);
  check(
    given.every((v) => typeof v === "string"),
    `${what} holds something that is no text`,
  );
  return given as readonly string[];
}

function parsed(file: string | Uint8Array): unknown {
  if (typeof file !== "string" && looksLikeUbjson(file)) return readUbjson(file);
  try {
    return JSON.parse(typeof file === "string" ? file : new TextDecoder().decode(file));
  } catch (cause) {
    throw new TreesError("the XGBoost model is neither JSON nor UBJSON", { cause });
  }
}

/**
 * Reads an XGBoost model of trees (gbtree or dart): JSON as text, JSON or UBJSON as bytes.
 * @throws TreesError on anything else, and on several targets or vector leaves
 */
export function readXGBoost(file: string | Uint8Array): ModelData {
  const root = parsed(file);
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
  const columns = parameter(param["num_feature"], 0);
  check(Number.isInteger(columns) && columns > 0 && columns <= 1e7, "num_feature is no whole number");
  check(parameter(param["num_target"], 1) <= 1, "XGBoost models of several targets are not supported");
  const outputs = Math.max(1, parameter(param["num_class"], 0));
  check(Number.isInteger(outputs) && outputs <= 1e6, "num_class is no whole number");
  const groups = numbers(model["tree_info"], "tree_info");
  const given = array(model["trees"], "trees");
  const room = { words: maxSetWords };
  check(groups.length === given.length, `tree_info has ${groups.length} entries for ${given.length} trees`);
  check(drop === undefined || drop.length === given.length, "weight_drop does not fit the trees");
  // By output, then round by round, whatever num_parallel_tree was.
  const byOutput: Tree[][] = Array.from({ length: outputs }, () => []);
  given.forEach((tree, t) => {
    const list = byOutput[groups[t]!];
    check(list !== undefined, `tree ${t} belongs to output ${groups[t]} of ${outputs}`);
    list.push(parseTree(object(tree, `tree ${t}`), t, columns, drop?.[t] ?? 1, room));
  });
  check(
    byOutput.every((list) => list.length === byOutput[0]!.length),
    "the outputs have different numbers of trees",
  );
  const trees: Tree[] = [];
  for (let i = 0; i < byOutput[0]!.length; i++) for (const list of byOutput) trees.push(list[i]!);
  const named = strings(learner["feature_names"], "feature_names");
  const types = strings(learner["feature_types"], "feature_types");
  check(
    named.length === 0 || named.length === columns,
    `${named.length} feature names for ${columns} columns`,
  );
  const { objective, objectiveParams } = parseObjective(object(learner["objective"], "objective"));
  return checkModel({
    featureNames: Array.from({ length: columns }, (_, f) => named[f] ?? `f${f}`),
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
  const { name } = json;
  check(typeof name === "string", "the XGBoost model's objective has no name");
  switch (name) {
    case "reg:squarederror":
    case "reg:linear":
      return plain("l2");
    case "reg:absoluteerror":
      return plain("l1");
    case "reg:pseudohubererror":
      return plain("huber");
    case "reg:quantileerror": {
      const text = object(json["quantile_loss_param"] ?? {}, "quantile_loss_param")["quantile_alpha"];
      const alpha = Number(
        String(typeof text === "string" ? text : parameter(text, 0.5))
          .replace(/[[\]()]/g, "")
          .split(",")[0],
      );
      return { objective: "quantile", objectiveParams: { alpha: Number.isFinite(alpha) ? alpha : 0.5 } };
    }
    case "count:poisson":
      return plain("poisson");
    case "reg:gamma":
      return plain("gamma");
    case "reg:tweedie": {
      const { tweedie_variance_power: power } = object(
        json["tweedie_regression_param"] ?? {},
        "tweedie_regression_param",
      );
      return { objective: "tweedie", objectiveParams: { tweedieVariancePower: parameter(power, 1.5) } };
    }
    case "binary:logistic":
    case "reg:logistic":
      return plain("binary");
    case "multi:softprob":
    case "multi:softmax":
      return plain("multiclass");
    default:
      throw new TreesError(`XGBoost's objective "${name}" is not supported`);
  }
}

/** In the file nodes and leaves share one numbering; here they have one each. */
function parseTree(json: Json, t: number, columns: number, scale: number, room: { words: number }): Tree {
  const what = (name: string): string => `${name} of tree ${t}`;
  const left = numbers(json["left_children"], what("left_children"));
  const size = left.length;
  check(size >= 1, `tree ${t} is empty`);
  const right = numbers(json["right_children"], what("right_children"), size);
  const indices = numbers(json["split_indices"], what("split_indices"), size);
  const conditions = numbers(json["split_conditions"], what("split_conditions"), size);
  const defaults = numbers(json["default_left"], what("default_left"), size);
  const optional = (name: string): number[] =>
    json[name] === undefined ? new Array<number>(size).fill(0) : numbers(json[name], what(name), size);
  const hessian = optional("sum_hessian");
  const changes = optional("loss_changes");
  const weights = optional("base_weights");
  const types = optional("split_type");
  const sets = parseSets(json, what, room);
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

/** Bit words of all sets of a model, 64 MB: one category of a high code costs as many as all below it. */
const maxSetWords = 2 ** 24;

/** The bit words of each categorical node's listed categories. */
function parseSets(
  json: Json,
  what: (name: string) => string,
  room: { words: number },
): Map<number, number[]> {
  const out = new Map<number, number[]>();
  if (json["categories_nodes"] === undefined) return out;
  const nodes = numbers(json["categories_nodes"], what("categories_nodes"));
  const segments = numbers(json["categories_segments"], what("categories_segments"), nodes.length);
  const sizes = numbers(json["categories_sizes"], what("categories_sizes"), nodes.length);
  const all = numbers(json["categories"], what("categories"));
  let listed = 0;
  nodes.forEach((n, i) => {
    const [from, size] = [segments[i]!, sizes[i]!];
    listed += size;
    check(
      from >= 0 && size >= 0 && from + size <= all.length && listed <= all.length,
      `${what("categories_sizes")} do not fit its ${all.length} categories`,
    );
    const words: number[] = [];
    for (const category of all.slice(from, from + size)) {
      check(
        Number.isInteger(category) && category >= 0 && category < 2 ** 24,
        `${what("categories")} are out of range`,
      );
      const word = category >>> 5;
      while (words.length <= word) words.push(0);
      words[word] = (words[word]! | (1 << (category & 31))) >>> 0;
    }
    room.words -= words.length;
    check(room.words >= 0, `the model's sets of categories take more than ${maxSetWords} words`);
    out.set(n, words);
  });
  return out;
}
