/**
 * Ours against LightGBM and XGBoost, on the same data with the same bins, leaves, rate, rounds and threads.
 *
 *   npm run bench:trees -- [--sets made,paris,baywheels] [--objectives l2,quantile,poisson,binary]
 *                          [--threads 1,2] [--runs 3] [--rounds N]
 *
 * Every run is a process of its own and engines take turns. Seconds are medians over the runs of one number of
 * threads; errors are means over the seeds of all of them (threads do not change a model of ours), which by default
 * are five: 1 to 3 on the first number of threads, 3 to 5 on the second.
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
    runs: { type: "string", default: "3" },
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

type Runs = Record<"ours" | "lightgbm" | "xgboost", Run[]>;

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
  "set        objective threads | seconds ours LightGBM XGBoost | processor seconds | peak MB | ratios",
);
for (const set of options.sets.split(",")) {
  const folder = join(work, set);
  if (!existsSync(join(folder, "meta.json"))) run(python, [join(here, "data.py"), set, folder]);
  const { params } = (await import(join(folder, "meta.json"), { with: { type: "json" } })).default;
  const rounds = options.rounds ?? String(params.numIterations);
  for (const objective of options.objectives.split(",")) {
    const bySeed = new Map<number, number[]>();
    const counts = Number(options.runs);
    for (const [k, threads] of options.threads.split(",").entries()) {
      const runs: Runs = { ours: [], lightgbm: [], xgboost: [] };
      for (let seed = 1 + k * (counts - 1); seed <= counts + k * (counts - 1); seed++) {
        const args = [folder, objective, threads, String(seed), rounds];
        runs.ours.push(JSON.parse(run(process.execPath, [join(here, "ours.ts"), ...args])));
        for (const engine of ["lightgbm", "xgboost"] as const) {
          runs[engine].push(JSON.parse(run(python, [join(here, "rival.py"), engine, ...args])));
        }
        bySeed.set(
          seed,
          [runs.ours, runs.lightgbm, runs.xgboost].map((list) => list.at(-1)!.error),
        );
      }
      report(set, objective, threads, runs);
    }
    const errors = [0, 1, 2].map((engine) => mean([...bySeed.values()].map((list) => list[engine]!)));
    const ratio = errors[0]! / Math.min(errors[1]!, errors[2]!);
    worst.error = Math.max(worst.error, ratio);
    console.log(
      `${set.padEnd(10)} ${objective.padEnd(9)} error, mean of ${bySeed.size} seeds: ` +
        `${errors.map((v) => v.toFixed(5)).join(" ")}, ratio ${ratio.toFixed(4)}`,
    );
  }
}

function report(set: string, objective: string, threads: string, runs: Runs) {
  const engines = [runs.ours, runs.lightgbm, runs.xgboost];
  const seconds = engines.map((list) => median(list.map((r) => r.seconds)));
  const cpu = engines.map((list) => median(list.map((r) => r.cpuSeconds)));
  const peaks = engines.map((list) => median(list.map((r) => r.peakMb)));
  const time = seconds[0]! / Math.min(seconds[1]!, seconds[2]!);
  const memory = peaks[0]! / peaks[2]!;
  worst.time = Math.max(worst.time, time);
  worst.memory = Math.max(worst.memory, memory);
  worst.predict = Math.min(worst.predict, median(runs.ours.map((r) => r.predictRowsPerSecond ?? 0)));
  const cells = [
    seconds.map((v) => v.toFixed(2).padStart(7)).join(" "),
    cpu.map((v) => v.toFixed(2).padStart(7)).join(" "),
    peaks.map((v) => v.toFixed(0)).join(" "),
    `time ${time.toFixed(2)} cpu ${(cpu[0]! / Math.min(cpu[1]!, cpu[2]!)).toFixed(2)} memory ${memory.toFixed(2)}`,
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
