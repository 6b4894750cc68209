/**
 * The training of a day-ahead forecast for Melbourne's 28 sensors, as the product does it: features of every local
 * midnight from 2014-03-05 to 2015-12-31 (some 436,000 rows), then 500 trees; rival: LightGBM on the very same matrix.
 *
 *   npm run -s bench:training -- [--bins 63] [--threads 2] [--trees 500]
 *
 * Needs CITYSCALE_DATA and Python with LightGBM (FORECAST_VENV, or the environment that bench:forecast makes). Both
 * take L1, 63 leaves, rate 0.05, the same bins and threads; seconds hold binning and trees. Exit code 1 where ours
 * is slower.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Dataset, train } from "@cityscale/trees";
import { dayOfDate, startOfLocalDay } from "../../packages/cityscale/src/domain/index.ts";
import { buildFeatures, createView, type FeatureSet } from "../../packages/cityscale/src/features/index.ts";
import { leadsOf } from "../../packages/cityscale/src/models/index.ts";
import { melbourneSensors, openRecorded } from "./city.ts";
import { rivalPython, run, work } from "./python.ts";

const { values: options } = parseArgs({
  options: {
    bins: { type: "string", default: "63" },
    threads: { type: "string", default: "2" },
    trees: { type: "string", default: "500" },
  },
});
const [bins, threads, trees] = [options.bins, options.threads, options.trees].map(Number) as [
  number,
  number,
  number,
];
const params = {
  numIterations: trees,
  learningRate: 0.05,
  numLeaves: 63,
  minDataInLeaf: 100,
  featureFraction: 0.7,
  baggingFraction: 0.8,
  baggingFreq: 1,
  seed: 1,
};

async function features(): Promise<{ set: FeatureSet; seconds: number }> {
  const { city, target, scratch } = await openRecorded("melbourne-pedestrians");
  try {
    using connection = await scratch.lake.connect();
    const wanted = new Set(melbourneSensors);
    const known = await connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities");
    const from = dayOfDate("2014-03-05");
    const days = dayOfDate("2016-01-01") - from;
    const origins = Float64Array.from({ length: days }, (_, i) => startOfLocalDay(city.timeZone, from + i));
    const began = performance.now();
    const set = await buildFeatures(connection, city, createView(city, target, 0, 25), {
      origins,
      leads: Int32Array.from(origins, (origin) => leadsOf(city, origin, "24h")),
      entities: known.filter(({ entity }) => wanted.has(entity)).map(({ e }) => e),
      lagMs: 0,
      weather: "issued-or-observed",
      path: "fast",
      onlyWithTarget: true,
      targetsKnownBy: startOfLocalDay(city.timeZone, from + days),
    });
    return { set, seconds: (performance.now() - began) / 1000 };
  } finally {
    await scratch.close();
  }
}

const python = rivalPython();
if (python === undefined) {
  console.log("there is no python3 here, so there is nothing to compare with");
  process.exit(1);
}
const { set, seconds: featureSeconds } = await features();
const keep = Int32Array.from(Array.from(set.expectation.keys()).filter((i) => set.expectation[i]! >= 0));
const columns = set.columns.map((column) => Float32Array.from(keep, (i) => column[i]!));
const c = set.view.offset;
const label = Float32Array.from(keep, (i) => Math.log((set.target[i]! + c) / (set.expectation[i]! + c)));
const weight = Float32Array.from(keep, (i) => set.expectation[i]! + c);
const categorical = set.view.categorical.map((name) => set.view.columns.indexOf(name));

const began = performance.now();
const dataset = Dataset.fromColumns(columns, { categorical, maxBin: bins });
const model = await train({ dataset, label, weight }, { ...params, objective: "l1", numThreads: threads });
const ours = (performance.now() - began) / 1000;
const predicted = model.predict(columns);
let loss = 0;
let total = 0;
for (let i = 0; i < label.length; i++) {
  loss += weight[i]! * Math.abs(label[i]! - predicted[i]!);
  total += weight[i]!;
}

const folder = join(work, "training");
mkdirSync(folder, { recursive: true });
let rival: { seconds: number; loss: number };
try {
  const write = (name: string, values: Float32Array) => writeFileSync(join(folder, name), values);
  for (const [k, column] of columns.entries()) write(`x${k}`, column);
  write("label", label);
  write("weight", weight);
  writeFileSync(
    join(folder, "meta.json"),
    JSON.stringify({ ...params, objective: "l1", columns: columns.length, categorical, bins, threads }),
  );
  rival = JSON.parse(run(python, [fileURLToPath(new URL("lightgbm_rival.py", import.meta.url)), folder]));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const ratio = ours / rival.seconds;
console.log(
  `${keep.length} rows x ${columns.length} features, ${trees} trees, ${bins} bins, ${threads} threads`,
);
console.log(`                seconds  loss on the rows trained on
features       ${featureSeconds.toFixed(1).padStart(8)}
trees, ours    ${ours.toFixed(1).padStart(8)}  ${(loss / total).toFixed(5)}
trees, LightGBM ${rival.seconds.toFixed(1).padStart(7)}  ${rival.loss.toFixed(5)}`);
console.log(
  `features and trees ${(featureSeconds + ours).toFixed(1)} s; ours over LightGBM ${ratio.toFixed(2)} (limit 1)${ratio > 1 ? "; MISSED" : ""}`,
);
process.exitCode = ratio > 1 ? 1 : 0;
