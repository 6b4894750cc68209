/** Trains ours once: ours.ts FOLDER OBJECTIVE THREADS SEED ROUNDS. Prints one JSON line, as rival.py does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Dataset, type Params, train } from "@cityscale/trees";

interface Meta {
  readonly rows: number;
  readonly testRows: number;
  readonly columns: number;
  readonly categorical: readonly number[];
  readonly weighted: boolean;
  readonly params: Params & { readonly maxBin: number };
}

const [folder = "", objective = "l2", threads = "1", seed = "1", rounds = "100"] = process.argv.slice(2);
const meta = JSON.parse(readFileSync(join(folder, "meta.json"), "utf8")) as Meta;

function floats(name: string): Float32Array {
  const bytes = readFileSync(join(folder, name));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}
function columnsOf(name: string, rows: number): Float32Array[] {
  const all = floats(name);
  return Array.from({ length: meta.columns }, (_, f) => all.subarray(f * rows, (f + 1) * rows));
}

const { maxBin, ...params } = meta.params;
const bagging = params.baggingFraction !== undefined && params.baggingFraction < 1 ? { baggingFreq: 1 } : {};
const columns = columnsOf("train.x", meta.rows);
const label = floats(`train.y.${objective}`);
const weight = meta.weighted ? { weight: floats("train.w") } : {};
const start = performance.now();
const dataset = Dataset.fromColumns(columns, { categorical: meta.categorical, maxBin });
const binned = performance.now();
const cpu = process.cpuUsage();
const model = await train(
  { dataset, label, ...weight },
  {
    ...params,
    ...bagging,
    objective: objective as "l2",
    alpha: 0.9,
    numIterations: Number(rounds),
    numThreads: Number(threads),
    seed: Number(seed),
  },
);
const done = performance.now();
const used = process.cpuUsage(cpu);
const peakMb = process.resourceUsage().maxRSS / 1024;
const test = columnsOf("test.x", meta.testRows);
const y = floats(`test.y.${objective}`);
const before = performance.now();
const p = model.predict(test);
const predictSeconds = (performance.now() - before) / 1000;
let sum = 0;
for (let i = 0; i < y.length; i++) {
  const q = p[i]!;
  const d = y[i]! - q;
  if (objective === "quantile") sum += d < 0 ? -0.1 * d : 0.9 * d;
  else if (objective === "poisson") sum += 2 * ((y[i]! > 0 ? y[i]! * Math.log(y[i]! / q) : 0) - d);
  else if (objective === "binary") sum -= Math.log(Math.max(1e-15, y[i]! > 0.5 ? q : 1 - q));
  else sum += d * d;
}
const error = objective === "l2" ? Math.sqrt(sum / y.length) : sum / y.length;
console.log(
  JSON.stringify({
    seconds: (done - binned) / 1000,
    cpuSeconds: (used.user + used.system) / 1e6,
    binSeconds: (binned - start) / 1000,
    peakMb,
    error,
    predictRowsPerSecond: meta.testRows / predictSeconds,
  }),
);
