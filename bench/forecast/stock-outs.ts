/**
 * The training of one stock-out forecast on Bay Wheels, as the product does it: sampled rows of February and March
 * 2023, then 400 trees of 15 leaves; rival: LightGBM on the very same matrix.
 *
 *   npm run -s bench:stock-outs -- [--target bikes-out-30] [--threads 2]
 *
 * Needs CITYSCALE_DATA and Python with LightGBM (TREES_VENV or FORECAST_VENV, or the environment that bench:forecast
 * makes). Both take the same bins, weights and threads; seconds hold binning and trees. Exit code 1 where ours is
 * slower.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Dataset, train } from "@cityscale/trees";
import { dayOfDate, startOfLocalDay } from "../../packages/cityscale/src/domain/index.ts";
import { LevelHistory, publicHolidays, readLevels } from "../../packages/cityscale/src/features/index.ts";
import { levelTargetOf, sampleRows, stockOutTrees } from "../../packages/cityscale/src/models/index.ts";
import { openRecorded } from "./city.ts";
import { rivalPython, run, work } from "./python.ts";

const { values: options } = parseArgs({
  options: {
    target: { type: "string", default: "bikes-out-30" },
    threads: { type: "string", default: "2" },
  },
});
const bins = 127;
const numThreads = Number(options.threads);

const venv = process.env["TREES_VENV"];
const python = venv && existsSync(join(venv, "bin/python")) ? join(venv, "bin/python") : rivalPython();
if (python === undefined) {
  console.log("there is no python3 here, so there is nothing to compare with");
  process.exit(1);
}

const { city, scratch } = await openRecorded("bay-wheels");
const [from, until] = ["2023-02-01", "2023-04-01"].map((date) =>
  startOfLocalDay(city.timeZone, dayOfDate(date)),
) as [number, number];
using connection = await scratch.lake.connect();
const levels = await readLevels(connection, { knownBy: until });
const history = new LevelHistory(levels, city.timeZone, await publicHolidays(connection));
const target = city.targets[options.target]!;
let began = performance.now();
const sample = sampleRows(history, levelTargetOf(target), { from, until, seed: target.training.seed });
const featureSeconds = (performance.now() - began) / 1000;
await scratch.close();

const { columns, rows } = sample.set;
const mean = sample.weight.reduce((sum, weight) => sum + weight, 0) / rows;
const weight = Float32Array.from(sample.weight, (value) => value / mean);
const label = Float32Array.from(sample.label);
began = performance.now();
const dataset = Dataset.fromColumns(columns, { maxBin: bins });
const params = { ...stockOutTrees, seed: 1 };
const model = await train({ dataset, label, weight }, { ...params, objective: "binary", numThreads });
const ours = (performance.now() - began) / 1000;
const p = model.predict(columns);
let loss = 0;
for (let i = 0; i < rows; i++) loss -= weight[i]! * Math.log(label[i]! > 0.5 ? p[i]! : 1 - p[i]!);

const folder = join(work, "stock-outs");
mkdirSync(folder, { recursive: true });
let rival: { seconds: number; loss: number };
try {
  for (const [k, column] of columns.entries()) writeFileSync(join(folder, `x${k}`), column);
  writeFileSync(join(folder, "label"), label);
  writeFileSync(join(folder, "weight"), weight);
  writeFileSync(
    join(folder, "meta.json"),
    JSON.stringify({
      ...params,
      objective: "binary",
      columns: columns.length,
      categorical: [],
      bins,
      threads: numThreads,
    }),
  );
  rival = JSON.parse(run(python, [fileURLToPath(new URL("lightgbm_rival.py", import.meta.url)), folder]));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const ratio = ours / rival.seconds;
console.log(
  `${rows} rows x ${columns.length} features, ${params.numIterations} trees, ${bins} bins, ${numThreads} threads`,
);
console.log(`                seconds  log loss on the rows trained on
features        ${featureSeconds.toFixed(1).padStart(7)}
trees, ours     ${ours.toFixed(1).padStart(7)}  ${(loss / rows).toFixed(6)}
trees, LightGBM ${rival.seconds.toFixed(1).padStart(7)}  ${rival.loss.toFixed(6)}
ours over LightGBM ${ratio.toFixed(2)} (limit 1)${ratio > 1 ? "; MISSED" : ""}`);
process.exitCode = ratio > 1 ? 1 : 0;
