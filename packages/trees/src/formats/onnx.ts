import { check } from "../errors.ts";
import type { ModelData } from "../model-data.ts";
import { linkOf } from "../objectives.ts";
import { categoricalFlag, type Tree } from "../tree.ts";
import { categoriesOf, floatAtMost, foldedTrees, nanGoesLeft } from "./common.ts";

/**
 * An ONNX model: TreeEnsembleRegressor (ai.onnx.ml 3) on float input "X" [N, columns], then the link as a node of
 * its own, to float output "Y" [N, outputs]. Protocol buffers are written by hand; field numbers are those of
 * onnx.proto3.
 */
export function writeOnnx(model: ModelData): Uint8Array {
  const ensemble = new Ensemble();
  foldedTrees(model).forEach((tree, t) => {
    ensemble.addTree(tree, t, t % model.outputs);
  });
  const link = linkOf(model.objective);
  const operator = { exp: "Exp", sigmoid: "Sigmoid", softmax: "Softmax", identity: undefined }[link];
  const scores = operator === undefined ? "Y" : "scores";
  const nodes = [ensemble.node(model.outputs, scores)];
  if (operator !== undefined) {
    const softmaxAxis = operator === "Softmax" ? [bytes(5, intAttribute("axis", 1))] : [];
    nodes.push(join(text(1, "scores"), text(2, "Y"), text(3, operator), text(4, operator), ...softmaxAxis));
  }
  const graph = join(
    ...nodes.map((node) => bytes(1, node)),
    text(2, "trees"),
    bytes(11, valueInfo("X", model.featureNames.length)),
    bytes(12, valueInfo("Y", model.outputs)),
  );
  const opset = (domain: string, version: number): Uint8Array => join(text(1, domain), varint(2, version));
  return join(
    varint(1, 8),
    text(2, "trees"),
    bytes(7, graph),
    bytes(8, opset("", 13)),
    bytes(8, opset("ai.onnx.ml", 3)),
  );
}

/** The parallel arrays of a TreeEnsembleRegressor. */
class Ensemble {
  readonly #treeIds: number[] = [];
  readonly #nodeIds: number[] = [];
  readonly #features: number[] = [];
  readonly #modes: string[] = [];
  readonly #values: number[] = [];
  readonly #trueIds: number[] = [];
  readonly #falseIds: number[] = [];
  readonly #missingTrue: number[] = [];
  readonly #targetTrees: number[] = [];
  readonly #targetNodes: number[] = [];
  readonly #targetIds: number[] = [];
  readonly #targetWeights: number[] = [];

  addTree(tree: Tree, t: number, target: number): void {
    // Node n of the tree has id n, leaf l has id (leaves - 1) + l; further tests of a category set come after.
    const nodes = tree.leaves - 1;
    let next = nodes + tree.leaves;
    const id = (child: number): number => (child >= 0 ? child : nodes + ~child);
    for (let n = 0; n < nodes; n++) {
      const f = tree.feature[n]!;
      const left = id(tree.left[n]!);
      const right = id(tree.right[n]!);
      if ((tree.flags[n]! & categoricalFlag) === 0) {
        // The largest float32 not above the threshold decides the same for every float32 value.
        const threshold = tree.threshold[n]!;
        const value = threshold === Infinity ? Infinity : floatAtMost(threshold);
        this.#add(t, n, f, "BRANCH_LEQ", value, left, right, nanGoesLeft(tree, n));
        continue;
      }
      const categories = categoriesOf(tree, tree.threshold[n]!);
      // "In the set" is a chain of equalities that share their true side (ONNX Runtime reads it as a set).
      let at = n;
      categories.forEach((category, i) => {
        check(category < 2 ** 24, `category ${category} is too large for ONNX's float32`);
        const last = i === categories.length - 1;
        const other = last ? right : next++;
        this.#add(t, at, f, "BRANCH_EQ", category, left, other, false);
        at = other;
      });
      if (categories.length === 0) this.#add(t, n, f, "BRANCH_LEQ", -Infinity, right, right, false);
    }
    for (let l = 0; l < tree.leaves; l++) {
      this.#add(t, nodes + l, 0, "LEAF", 0, 0, 0, false);
      this.#targetTrees.push(t);
      this.#targetNodes.push(nodes + l);
      this.#targetIds.push(target);
      this.#targetWeights.push(tree.leafValue[l]!);
    }
  }

  #add(
    t: number,
    id: number,
    f: number,
    mode: string,
    v: number,
    yes: number,
    no: number,
    missing: boolean,
  ): void {
    this.#treeIds.push(t);
    this.#nodeIds.push(id);
    this.#features.push(f);
    this.#modes.push(mode);
    this.#values.push(v);
    this.#trueIds.push(yes);
    this.#falseIds.push(no);
    this.#missingTrue.push(missing ? 1 : 0);
  }

  node(outputs: number, output: string): Uint8Array {
    const attributes = [
      intAttribute("n_targets", outputs),
      textAttribute("post_transform", "NONE"),
      intsAttribute("nodes_treeids", this.#treeIds),
      intsAttribute("nodes_nodeids", this.#nodeIds),
      intsAttribute("nodes_featureids", this.#features),
      textsAttribute("nodes_modes", this.#modes),
      floatsAttribute("nodes_values", this.#values),
      intsAttribute("nodes_truenodeids", this.#trueIds),
      intsAttribute("nodes_falsenodeids", this.#falseIds),
      intsAttribute("nodes_missing_value_tracks_true", this.#missingTrue),
      intsAttribute("target_treeids", this.#targetTrees),
      intsAttribute("target_nodeids", this.#targetNodes),
      intsAttribute("target_ids", this.#targetIds),
      floatsAttribute("target_weights", this.#targetWeights),
    ];
    return join(
      text(1, "X"),
      text(2, output),
      text(3, "trees"),
      text(4, "TreeEnsembleRegressor"),
      ...attributes.map((a) => bytes(5, a)),
      text(7, "ai.onnx.ml"),
    );
  }
}

/** [N, width] floats: ValueInfoProto > TypeProto > Tensor > shape. */
function valueInfo(name: string, width: number): Uint8Array {
  const shape = join(bytes(1, text(2, "N")), bytes(1, varint(1, width)));
  return join(text(1, name), bytes(2, bytes(1, join(varint(1, 1), bytes(2, shape)))));
}

// AttributeProto: name 1, f 2, i 3, s 4, floats 7, ints 8, strings 9, type 20.
function intAttribute(name: string, value: number): Uint8Array {
  return join(text(1, name), varint(3, value), varint(20, 2));
}
function textAttribute(name: string, value: string): Uint8Array {
  return join(text(1, name), text(4, value), varint(20, 3));
}
function floatsAttribute(name: string, values: readonly number[]): Uint8Array {
  const raw = new Uint8Array(values.length * 4);
  const view = new DataView(raw.buffer);
  values.forEach((v, i) => {
    view.setFloat32(i * 4, v, true);
  });
  return join(text(1, name), bytes(7, raw), varint(20, 6));
}
function intsAttribute(name: string, values: readonly number[]): Uint8Array {
  const raw: number[] = [];
  for (const v of values) pushVarint(raw, v);
  return join(text(1, name), bytes(8, Uint8Array.from(raw)), varint(20, 7));
}
function textsAttribute(name: string, values: readonly string[]): Uint8Array {
  return join(text(1, name), ...values.map((v) => text(9, v)), varint(20, 8));
}

function pushVarint(out: number[], value: number): void {
  let rest = value;
  while (rest > 127) {
    out.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

function varint(field: number, value: number): Uint8Array {
  const out: number[] = [];
  pushVarint(out, field * 8);
  pushVarint(out, value);
  return Uint8Array.from(out);
}

function bytes(field: number, content: Uint8Array): Uint8Array {
  const head: number[] = [];
  pushVarint(head, field * 8 + 2);
  pushVarint(head, content.length);
  return join(Uint8Array.from(head), content);
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value));
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
