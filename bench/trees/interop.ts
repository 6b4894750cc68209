/**
 * Writes models of every objective in every format, for interop.py to load into the real libraries.
 * Usage: node bench/trees/interop.ts FOLDER
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Column, Dataset, type Params, trainSync } from "@cityscale/trees";
import { writeXGBoostUbjson } from "../../packages/trees/src/formats/xgboost.ts";

const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: node bench/trees/interop.ts FOLDER");
mkdirSync(folder, { recursive: true });

let state = 12345;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
};
const rows = 3000;
const column = (value: () => number): Float32Array => Float32Array.from({ length: rows }, value);
const columns: Column[] = [
  column(() => random() * 10 - 5),
  column(() => random() - 0.5),
  column(() => Math.floor(random() * 12)),
  column(() => (random() < 0.2 ? Number.NaN : random())),
  column(() => Math.floor(random() * 5)),
  column(() => random()),
];
const effect = [3, -1, 4, 1, -5, 9, -2, 6, -5, 3, 5, -8];
const raw = Float64Array.from({ length: rows }, (_, i) => {
  const missing = Number.isNaN(columns[3]![i]!);
  return (
    Math.sin(columns[0]![i]!) * 2 +
    columns[1]![i]! * 3 +
    effect[columns[2]![i]!]! * 0.4 +
    (missing ? 2 : 0) +
    random()
  );
});
const dataset = Dataset.fromColumns(columns, { categorical: [2] });
const count = raw.map((v) => Math.round(Math.exp(v / 4)));
const kinds: Record<string, { params: Params; label: Float64Array }> = {
  l2: { params: { objective: "l2" }, label: raw },
  l1: { params: { objective: "l1" }, label: raw },
  huber: { params: { objective: "huber" }, label: raw },
  quantile: { params: { objective: "quantile", alpha: 0.8 }, label: raw },
  poisson: { params: { objective: "poisson" }, label: count },
  gamma: { params: { objective: "gamma" }, label: raw.map((v) => Math.exp(v / 4)) },
  tweedie: { params: { objective: "tweedie" }, label: count },
  binary: { params: { objective: "binary" }, label: raw.map((v) => (v > 1 ? 1 : 0)) },
  multiclass: {
    params: { objective: "multiclass", numClass: 3 },
    label: raw.map((v) => (v > 2 ? 2 : v > 0 ? 1 : 0)),
  },
  forest: {
    params: { objective: "l2", boosting: "rf", baggingFraction: 0.6, baggingFreq: 1, featureFraction: 0.7 },
    label: raw,
  },
};
// As large as a model in use: contributions must hold there too.
kinds["large"] = {
  params: { objective: "l2", numIterations: 300, numLeaves: 63, minDataInLeaf: 5 },
  label: raw,
};
const shown = 300;
const some = columns.map((c) => c.slice(0, shown));
const models: Record<string, { prediction: number[]; contributions?: number[] }> = {};
for (const [name, { params, label }] of Object.entries(kinds)) {
  const model = trainSync({ dataset, label }, { numIterations: 30, minDataPerGroup: 20, ...params });
  writeFileSync(join(folder, `${name}.txt`), model.toLightGBM());
  writeFileSync(join(folder, `${name}.json`), model.toXGBoost());
  writeFileSync(join(folder, `${name}.ubj`), writeXGBoostUbjson(model.data));
  writeFileSync(join(folder, `${name}.onnx`), model.toOnnx());
  models[name] = {
    prediction: [...model.predict(some)],
    contributions: [...model.predictContributions(some)],
  };
}
const table = Array.from({ length: shown }, (_, i) => some.map((c) => (Number.isNaN(c[i]!) ? null : c[i]!)));
writeFileSync(join(folder, "index.json"), JSON.stringify({ rows: table, models }));
