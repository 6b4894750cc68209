import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const work = join(root, ".cityscale/bench-forecast");

const packages = [
  "mlforecast==1.1.0",
  "statsforecast==2.1.1",
  "prophet==1.5.0",
  "lightgbm==4.7.0",
  "pandas==2.3.3",
  "pyarrow==26.0.1",
];

/** Runs a program to its end. Throws with what it wrote to stderr. */
export function run(command: string, args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1e8 });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${done.stderr}`);
  return done.stdout;
}

/** The Python of FORECAST_VENV, or of an environment with the rivals that is made on first use. Undefined without Python. */
export function rivalPython(): string | undefined {
  const venv = process.env["FORECAST_VENV"] ?? join(work, "venv");
  const python = join(venv, "bin/python");
  // pip is the last thing done: what it left half-way is begun again.
  if (
    existsSync(python) &&
    spawnSync(python, ["-c", "import mlforecast, statsforecast, prophet"]).status === 0
  )
    return python;
  if (spawnSync("python3", ["--version"]).status !== 0) return undefined;
  console.log("making a virtual environment with mlforecast, statsforecast and Prophet ...");
  run("python3", ["-m", "venv", venv]);
  run(python, ["-m", "pip", "install", "--quiet", ...packages]);
  return python;
}
