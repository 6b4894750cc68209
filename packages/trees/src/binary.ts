import { check, TreesError } from "./errors.ts";
import type { FeatureInfo, ModelData } from "./model-data.ts";
import type { Tree } from "./tree.ts";
import { checkModel } from "./validate.ts";

/**
 * The package's own form: "CSTREES", a version byte, the length of a JSON head (uint32), the head, the trees'
 * arrays, and a CRC-32 of all before it; little-endian. The head holds what is not an array of numbers, and the
 * sizes of each tree, so that a reader knows the file's exact length before it reads an array.
 */
const magic = Uint8Array.from("CSTREES", (c) => c.charCodeAt(0));
const version = 1;

interface Head {
  readonly featureNames: readonly string[];
  readonly features: readonly FeatureInfo[];
  readonly objective: ModelData["objective"];
  readonly objectiveParams: Readonly<Record<string, number>>;
  readonly outputs: number;
  /** As the bits of doubles in hexadecimal: JSON has no infinities. */
  readonly base: readonly string[];
  readonly average: boolean;
  readonly float32: boolean;
  /** Leaves, categorical sets and set words of each tree. */
  readonly sizes: readonly (readonly [number, number, number])[];
}

/** Bytes of a tree's arrays. */
function treeBytes([leaves, sets, words]: readonly [number, number, number]): number {
  const nodes = leaves - 1;
  return nodes * (4 + 8 + 1 + 4 + 4 + 8 * 4) + leaves * 8 * 3 + (sets + 1) * 4 + words * 4;
}

export function writeBinary(model: ModelData): Uint8Array {
  const sizes = model.trees.map((t): [number, number, number] => [
    t.leaves,
    t.catBounds.length - 1,
    t.catWords.length,
  ]);
  const head: Head = {
    featureNames: model.featureNames,
    features: model.features.map((f) =>
      f.kind === "number" && !(Number.isFinite(f.min) && Number.isFinite(f.max)) ? { kind: "unused" } : f,
    ),
    objective: model.objective,
    objectiveParams: model.objectiveParams,
    outputs: model.outputs,
    base: model.base.map(doubleToHex),
    average: model.average,
    float32: model.float32,
    sizes,
  };
  const json = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(12 + json.length + sizes.reduce((n, s) => n + treeBytes(s), 0) + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(magic);
  bytes[7] = version;
  view.setUint32(8, json.length, true);
  bytes.set(json, 12);
  let at = 12 + json.length;
  for (const tree of model.trees) {
    for (const name of floatArrays)
      for (const v of tree[name]) at = put(view.setFloat64.bind(view), at, v, 8);
    for (const name of intArrays) for (const v of tree[name]) at = put(view.setInt32.bind(view), at, v, 4);
    for (const v of tree.catWords) at = put(view.setUint32.bind(view), at, v, 4);
    for (const v of tree.flags) bytes[at++] = v;
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return bytes;
}

function put(
  set: (at: number, v: number, little: boolean) => void,
  at: number,
  v: number,
  size: number,
): number {
  set(at, v, true);
  return at + size;
}

const floatArrays = [
  "threshold",
  "gain",
  "nodeValue",
  "nodeWeight",
  "nodeCount",
  "leafValue",
  "leafWeight",
  "leafCount",
] as const;
const intArrays = ["feature", "left", "right", "catBounds"] as const;

export function readBinary(bytes: Uint8Array): ModelData {
  check(
    bytes instanceof Uint8Array && bytes.length >= 16 && magic.every((b, i) => bytes[i] === b),
    "these bytes are not a model of this package",
  );
  check(bytes[7] === version, `model version ${bytes[7]} is not known, only ${version}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - 4;
  check(
    view.getUint32(end, true) === crc32(bytes.subarray(0, end)),
    "the model's checksum is wrong: it is damaged",
  );
  const length = view.getUint32(8, true);
  check(12 + length <= end, "the model's head is longer than the model");
  const head = parseHead(bytes.subarray(12, 12 + length));
  let total = 0;
  for (const size of head.sizes) {
    check(
      Array.isArray(size) &&
        size.length === 3 &&
        size.every((n) => Number.isInteger(n) && n >= 0) &&
        size[0] >= 1,
      "the model's head has a bad tree size",
    );
    total += treeBytes(size);
  }
  check(12 + length + total === end, "the model's length does not fit its head");
  let at = 12 + length;
  const trees = head.sizes.map((size): Tree => {
    const [leaves, sets, words] = size;
    const nodes = leaves - 1;
    const floats = (n: number): Float64Array => {
      const out = new Float64Array(n);
      for (let i = 0; i < n; i++, at += 8) out[i] = view.getFloat64(at, true);
      return out;
    };
    const ints = (n: number): Int32Array => {
      const out = new Int32Array(n);
      for (let i = 0; i < n; i++, at += 4) out[i] = view.getInt32(at, true);
      return out;
    };
    const threshold = floats(nodes);
    const gain = floats(nodes);
    const nodeValue = floats(nodes);
    const nodeWeight = floats(nodes);
    const nodeCount = floats(nodes);
    const leafValue = floats(leaves);
    const leafWeight = floats(leaves);
    const leafCount = floats(leaves);
    const feature = ints(nodes);
    const left = ints(nodes);
    const right = ints(nodes);
    const catBounds = ints(sets + 1);
    const catWords = Uint32Array.from(ints(words));
    const flags = bytes.slice(at, at + nodes);
    at += nodes;
    return {
      leaves,
      feature,
      threshold,
      flags,
      left,
      right,
      gain,
      nodeValue,
      nodeWeight,
      nodeCount,
      leafValue,
      leafWeight,
      leafCount,
      catBounds,
      catWords,
    };
  });
  const { featureNames, features, objective, objectiveParams, outputs, average, float32 } = head;
  const base = head.base.map(hexToDouble);
  return checkModel({
    featureNames,
    features,
    objective,
    objectiveParams,
    outputs,
    base,
    trees,
    average,
    float32,
  });
}

function parseHead(bytes: Uint8Array): Head {
  let head: unknown;
  try {
    head = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TreesError("the model's head is not JSON", { cause });
  }
  check(typeof head === "object" && head !== null, "the model's head is not an object");
  const { base, sizes } = head as Partial<Head>;
  check(Array.isArray(base) && base.every((b) => typeof b === "string"), "the model's head has no base");
  check(Array.isArray(sizes), "the model's head has no sizes");
  // The rest is checked with the trees, by checkModel.
  return head as Head;
}

function doubleToHex(v: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, v);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
}

function hexToDouble(text: string): number {
  check(/^[0-9a-f]{16}$/.test(text), "the model's head has a bad number");
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${text}`));
  return view.getFloat64(0);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32 (IEEE 802.3). */
function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = crcTable[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
