/**
 * A network of 128 and 64 units on a million made rows of 120 numbers and 3 categories (75 one-hot inputs), ten
 * epochs; rival: the same network in numpy (its BLAS), on the same rows.
 *
 *   npm run bench:network -- [--rows 1000000] [--threads 1,2] [--epochs 10] [--seeds 1]
 *
 * The rival runs where TREES_VENV names a virtual environment with numpy. Seconds include the preparation of the
 * inputs; the loss is the mean on 50,000 rows held out. Exit code 1 where two threads take over 90 s.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fitNetwork, type Matrix } from "@cityscale/forecast";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = join(here, "../../.cityscale/bench-network");
const LIMIT_SECONDS = 90;
const HELD_OUT = 50_000;
const NUMERIC = 120;
const CATEGORIES = [24, 8, 43];
const DELTA = 0.1;

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "1000000" },
    threads: { type: "string", default: "1,2" },
    epochs: { type: "string", default: "10" },
    seeds: { type: "string", default: "1" },
  },
});
const rows = Number(options.rows);
const epochs = Number(options.epochs);

/** Numbers of 20 factors, some of them missing; a label of curves, products and category effects with heavy noise. */
function makeRows(total: number): { columns: Float32Array[]; label: Float64Array; weight: Float64Array } {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const bell = (): number => (random() + random() + random() + random() - 2) * 1.73;
  const columns = Array.from({ length: NUMERIC + CATEGORIES.length }, () => new Float32Array(total));
  const effects = CATEGORIES.map((count) => Array.from({ length: count }, bell));
  const label = new Float64Array(total);
  const weight = new Float64Array(total);
  const factors = new Float64Array(20);
  for (let i = 0; i < total; i++) {
    for (let f = 0; f < 20; f++) factors[f] = bell();
    for (let k = 0; k < NUMERIC; k++) {
      const value = factors[k % 20]! + 0.5 * factors[(7 * k + 3) % 20]! + 0.7 * bell();
      columns[k]![i] = k % 5 === 0 && random() < 0.1 ? Number.NaN : 10 * k + (1 + k) * value;
    }
    const codes = CATEGORIES.map((count) => Math.floor(random() * count));
    for (const [k, code] of codes.entries()) columns[NUMERIC + k]![i] = code;
    const [hour, day, site] = codes.map((code, k) => effects[k]![code]!);
    const signal =
      Math.tanh(factors[0]! + hour!) +
      0.7 * factors[1]! * Math.sin(2 * factors[2]!) +
      0.5 * day! * factors[3]! +
      0.4 * Math.max(0, factors[4]! - site!) +
      0.3 * factors[5]!;
    label[i] = 0.15 * signal + 0.15 * bell() * (random() < 0.05 ? 4 : 1);
    weight[i] = Math.min(6, 0.2 + 2 * random() ** 4 * 5);
  }
  return { columns, label, weight };
}

const made = makeRows(rows + HELD_OUT);
const names = made.columns.map((_, k) => `x${k}`);
const part = (from: number, to: number): Matrix => ({
  rows: to - from,
  names,
  columns: made.columns.map((column) => column.subarray(from, to)),
  categorical: names.slice(NUMERIC),
});
const held = part(rows, rows + HELD_OUT);
const heldLabel = made.label.subarray(rows);

function report(who: string, threads: string, seed: number, seconds: number, loss: number): void {
  console.log(
    `${who.padEnd(6)} ${threads.padStart(7)} ${String(seed).padStart(4)} ${seconds.toFixed(1).padStart(8)} ${loss.toFixed(5)}`,
  );
}

console.log("       threads seed  seconds loss");
let missed = false;
const python = process.env["TREES_VENV"] && join(process.env["TREES_VENV"], "bin/python");
if (python) {
  mkdirSync(work, { recursive: true });
  const write = (name: string, values: Float32Array) =>
    writeFileSync(join(work, name), new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  for (const [k, column] of made.columns.entries()) write(`x${k}`, column);
  write("label", Float32Array.from(made.label));
  write("weight", Float32Array.from(made.weight));
}
try {
  for (const threads of options.threads.split(",")) {
    for (let seed = 1; seed <= Number(options.seeds); seed++) {
      const start = performance.now();
      const fitted = await fitNetwork(
        { matrix: part(0, rows), label: made.label.subarray(0, rows), weight: made.weight.subarray(0, rows) },
        { epochs, seed, threads: Number(threads), loss: { kind: "smoothL1", delta: DELTA } },
      );
      const seconds = (performance.now() - start) / 1000;
      const predicted = fitted.predict(held)[0]!;
      let sum = 0;
      for (let i = 0; i < HELD_OUT; i++) {
        const d = Math.abs(predicted[i]! - heldLabel[i]!);
        sum += d <= DELTA ? (d * d) / (2 * DELTA) : d - DELTA / 2;
      }
      report("ours", threads, seed, seconds, sum / HELD_OUT);
      if (threads === "2" && seconds > LIMIT_SECONDS) missed = true;
      if (!python) continue;
      const args = [join(here, "network.py"), work, rows, epochs, seed, ...CATEGORIES].map(String);
      const env = { ...process.env, OPENBLAS_NUM_THREADS: threads };
      const run = spawnSync(python, args, { encoding: "utf8", env });
      if (run.status !== 0) throw new Error(`the rival failed:\n${run.stderr}`);
      const rival = JSON.parse(run.stdout) as { seconds: number; loss: number };
      report("numpy", threads, seed, rival.seconds, rival.loss);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
if (missed) console.log(`MISSED: over ${LIMIT_SECONDS} s on two threads`);
process.exitCode = missed ? 1 : 0;
