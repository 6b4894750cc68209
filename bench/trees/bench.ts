/**
 * Ours against LightGBM and XGBoost, on the same data with the same bins, leaves, rate, rounds and threads.
 *
 *   npm run bench:trees -- [--sets made,paris,baywheels] [--objectives l2,quantile,poisson,binary]
 *                          [--threads 1,2] [--runs 5] [--rounds N]
 *
 * Every run is a process of its own, engines take turns, run r has seed r; seconds are medians, errors means.
 * `paris` and `baywheels` need CITYSCALE_RECIPES (the folder of the Python recipes) and CITYSCALE_DATA.
 * The rivals' virtual environment and the data are made once, under .cityscale/bench-trees (not in git), or the
 * environment is taken from TREES_VENV. Exit code 1 where a limit is missed.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const work = join(root, ".cityscale/bench-trees");
const limits = { time: 0.9, error: 1.01, memory: 1 };

const { values: options } = parseArgs({
  options: {
    sets: { type: "string", default: "made,paris,baywheels" },
    objectives: { type: "string", default: "l2,quantile,poisson,binary" },
    threads: { type: "string", default: "1,2" },
    runs: { type: "string", default: "5" },
    rounds: { type: "string" },
  },
});

interface Run {
  readonly seconds: number;
  /** Processor time of all threads: on one thread it says the same on a busy machine. */
  readonly cpuSeconds: number;
  readonly binSeconds: number;
  readonly peakMb: number;
  readonly error: number;
  readonly predictRowsPerSecond?: number;
}

function run(command: string, args: readonly string[]): string {
  const data = process.env["CITYSCALE_DATA"] ?? join(root, "../shared/data");
  const done = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, CITYSCALE_DATA: data },
    maxBuffer: 1e8,
  });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${done.stderr}`);
  return done.stdout;
}

/** The Python with the rivals in it; made on first use. Undefined without Python. */
function rivals(): string | undefined {
  const venv = process.env["TREES_VENV"] ?? join(work, "venv");
  const python = join(venv, "bin/python");
  if (existsSync(python)) return python;
  if (spawnSync("python3", ["--version"]).status !== 0) return undefined;
  console.log("making a virtual environment with LightGBM and XGBoost ...");
  run("python3", ["-m", "venv", venv]);
  const packages = [
    "lightgbm",
    "xgboost",
    "numpy",
    "scipy",
    "pandas",
    "duckdb",
    "pyarrow",
    "holidays",
    "onnxruntime",
  ];
  run(python, ["-m", "pip", "install", "--quiet", ...packages]);
  return python;
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

const python = rivals();
if (python === undefined) {
  console.log("there is no python3 here, so there is nothing to compare with");
  process.exit(1);
}
const worst = { time: 0, error: 0, memory: 0, predict: Infinity };
console.log(
  "set        objective threads | seconds ours LightGBM XGBoost | processor seconds | error ours LightGBM XGBoost | peak MB | ratios",
);
for (const set of options.sets.split(",")) {
  const folder = join(work, set);
  if (!existsSync(join(folder, "meta.json"))) run(python, [join(here, "data.py"), set, folder]);
  const { params } = (await import(join(folder, "meta.json"), { with: { type: "json" } })).default;
  const rounds = options.rounds ?? String(params.numIterations);
  for (const objective of options.objectives.split(",")) {
    for (const threads of options.threads.split(",")) {
      const runs: { ours: Run[]; lightgbm: Run[]; xgboost: Run[] } = { ours: [], lightgbm: [], xgboost: [] };
      for (let seed = 1; seed <= Number(options.runs); seed++) {
        const args = [folder, objective, threads, String(seed), rounds];
        runs.ours.push(JSON.parse(run(process.execPath, [join(here, "ours.ts"), ...args])));
        for (const engine of ["lightgbm", "xgboost"] as const) {
          runs[engine].push(JSON.parse(run(python, [join(here, "rival.py"), engine, ...args])));
        }
      }
      report(set, objective, threads, runs);
    }
  }
}

function report(
  set: string,
  objective: string,
  threads: string,
  runs: Record<"ours" | "lightgbm" | "xgboost", Run[]>,
) {
  const engines = [runs.ours, runs.lightgbm, runs.xgboost];
  const seconds = engines.map((list) => median(list.map((r) => r.seconds)));
  const cpu = engines.map((list) => median(list.map((r) => r.cpuSeconds)));
  const errors = engines.map((list) => mean(list.map((r) => r.error)));
  const peaks = engines.map((list) => median(list.map((r) => r.peakMb)));
  const time = seconds[0]! / Math.min(seconds[1]!, seconds[2]!);
  const error = errors[0]! / Math.min(errors[1]!, errors[2]!);
  const memory = peaks[0]! / peaks[2]!;
  worst.time = Math.max(worst.time, time);
  worst.error = Math.max(worst.error, error);
  worst.memory = Math.max(worst.memory, memory);
  worst.predict = Math.min(worst.predict, median(runs.ours.map((r) => r.predictRowsPerSecond ?? 0)));
  const cells = [
    seconds.map((v) => v.toFixed(2).padStart(7)).join(" "),
    cpu.map((v) => v.toFixed(2).padStart(7)).join(" "),
    errors.map((v) => v.toFixed(5)).join(" "),
    peaks.map((v) => v.toFixed(0)).join(" "),
    `time ${time.toFixed(2)} cpu ${(cpu[0]! / Math.min(cpu[1]!, cpu[2]!)).toFixed(2)} error ${error.toFixed(4)} memory ${memory.toFixed(2)}`,
  ];
  console.log(`${set.padEnd(10)} ${objective.padEnd(9)} ${threads.padEnd(7)} | ${cells.join(" | ")}`);
}

const missed = (["time", "error", "memory"] as const).filter((k) => !(worst[k] <= limits[k]));
console.log(
  `worst ratios: time ${worst.time.toFixed(2)} (limit ${limits.time}), error ${worst.error.toFixed(4)} (limit ` +
    `${limits.error}), memory ${worst.memory.toFixed(2)} (limit ${limits.memory}); prediction at least ` +
    `${Math.round(worst.predict / 1000)} k rows/s${missed.length > 0 ? `; MISSED: ${missed.join(", ")}` : ""}`,
);
process.exitCode = missed.length > 0 ? 1 : 0;
