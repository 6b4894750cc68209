import { Team } from "@cityscale/trees/wasm";
import { ForecastError, requireLength } from "../errors.ts";
import { checkMatrix, type Matrix, rowsWhere } from "../matrix.ts";
import { Inputs } from "./inputs.ts";
import { Network } from "./network.ts";
import { type NetworkOptions, outputsOf, type Settings, settingsOf } from "./options.ts";
import { Pauses } from "./pauses.ts";
import { Reporter } from "./reporter.ts";
import { Trainer } from "./trainer.ts";
import { type Counts, initialise, planTraining, shapeOf, usefulWorkers } from "./training-plan.ts";
import { runWorkers } from "./workers.ts";

/** Rows a network learns from. */
export interface NetworkRows {
  readonly matrix: Matrix;
  /** by row; finite, but for rows of weight 0, which are not read */
  readonly label: Float64Array;
  /** by row, at least 0; without it all rows count the same */
  readonly weight?: Float64Array;
}

/** Below this many multiplications and additions a training is over before workers have started. */
const SMALL_WORK = 5e8;

/** Rows whose inputs are written at a time. */
const BLOCK = 4096;

/**
 * Fits a small dense network: numeric inputs standardised and clipped at 4 standard deviations, categories one-hot,
 * hidden layers with ReLU and dropout, a linear output; Adam with a cosine rate and decoupled weight decay. The same
 * seed gives the same bytes, with any number of threads.
 *
 * @throws ForecastError `shape`, `option`, `data` (labels, weights, category codes) or `noRows`; the signal's reason
 */
export async function fitNetwork(rows: NetworkRows, options: NetworkOptions): Promise<Network> {
  return fitWith(rows, options, false);
}

/** `fitNetwork`, on request without WebAssembly. */
export async function fitWith(rows: NetworkRows, options: NetworkOptions, plain: boolean): Promise<Network> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const settings = settingsOf(options);
  const { matrix, label } = rows;
  checkMatrix(matrix);
  requireLength("label", label.length, matrix.rows);
  const weight = rows.weight ?? new Float64Array(matrix.rows).fill(1);
  requireLength("weight", weight.length, matrix.rows);
  const used = usedRows(label, weight);
  const { center, scale, meanWeight } = spreadOfLabels(label, weight, used);

  const { pause } = new Pauses(signal);
  const inputs = await Inputs.fit(matrix, used, pause);
  const counts: Counts = {
    rows: used.length,
    numeric: inputs.numericCount,
    categoricals: inputs.categoricalCount,
    categories: inputs.categoryCount,
  };
  const shape = shapeOf(counts, settings);
  const inWorkers = !plain && used.length * settings.epochs * shape.size >= SMALL_WORK;
  const workers = inWorkers ? Math.min(options.threads, usefulWorkers(counts, settings)) : 1;
  const plan = planTraining(counts, settings, scale, workers, inWorkers, plain);
  const { buffer } = plan.memory;
  const { places } = plan;
  const labels = new Float32Array(buffer, places.labels, used.length);
  const weights = new Float32Array(buffer, places.weights, used.length);
  for (let i = 0; i < used.length; i++) {
    labels[i] = (label[used[i]!]! - center) / scale;
    weights[i] = weight[used[i]!]! / meanWeight;
  }
  const values = new Float32Array(buffer, places.inputs, used.length * shape.numeric);
  const codes = new Int32Array(buffer, places.codes, used.length * counts.categoricals);
  for (let from = 0; from < used.length; from += BLOCK) {
    await pause();
    const count = Math.min(BLOCK, used.length - from);
    inputs.write(
      matrix,
      used,
      from,
      count,
      values.subarray(from * shape.numeric),
      shape.numeric,
      codes.subarray(from * counts.categoricals),
    );
  }
  initialise(plan);
  if (inWorkers) {
    await runWorkers(plan, workers, signal, onProgress);
  } else {
    const trainer = new Trainer(plan, new Team(0, 1, plan.control));
    const reporter = new Reporter(onProgress ?? (() => {}));
    for (let more = true; more; ) {
      await pause();
      more = trainer.step();
      reporter.see(trainer);
    }
  }
  signal?.throwIfAborted();
  return new Network({
    inputs: inputs.parts,
    hidden: settings.hidden,
    outputs: outputsOf(settings.loss),
    center,
    scale,
    parameters: learned(new Float32Array(buffer, places.parameters, shape.size), settings),
  });
}

/** A copy of the parameters. */
function learned(parameters: Float32Array, settings: Settings): Float32Array {
  if (!parameters.every(Number.isFinite)) {
    throw new ForecastError(
      "data",
      `the training diverged; a learning rate below ${settings.learningRate} may help`,
    );
  }
  return Float32Array.from(parameters);
}

/** Rows of weight above 0. */
function usedRows(label: Float64Array, weight: Float64Array): Int32Array {
  for (let i = 0; i < label.length; i++) {
    const w = weight[i]!;
    if (!(w >= 0 && w < Number.POSITIVE_INFINITY)) {
      throw new ForecastError("data", `row ${i} has the weight ${w}, expected a finite number from 0`);
    }
    if (w > 0 && !Number.isFinite(label[i])) {
      throw new ForecastError("data", `row ${i} has the label ${label[i]}, expected a finite number`);
    }
  }
  const used = rowsWhere(label.length, (i) => weight[i]! > 0);
  if (used.length === 0) {
    throw new ForecastError("noRows", `none of ${label.length} rows has a weight above 0`);
  }
  return used;
}

/** Weighted mean and standard deviation of the labels: the network learns what is left. */
function spreadOfLabels(
  label: Float64Array,
  weight: Float64Array,
  used: Int32Array,
): { center: number; scale: number; meanWeight: number } {
  let weightSum = 0;
  let sum = 0;
  for (const i of used) {
    weightSum += weight[i]!;
    sum += weight[i]! * label[i]!;
  }
  const center = sum / weightSum;
  let squares = 0;
  let constant = true;
  for (const i of used) {
    squares += weight[i]! * (label[i]! - center) ** 2;
    constant &&= label[i] === label[used[0]!];
  }
  if (constant) return { center: label[used[0]!]!, scale: 1, meanWeight: weightSum / used.length };
  const scale = Math.sqrt(squares / weightSum);
  if (!(scale > 0 && Number.isFinite(scale) && Number.isFinite(weightSum))) {
    throw new ForecastError(
      "data",
      "labels or weights are too large or too close for their spread to be known",
    );
  }
  return { center, scale, meanWeight: weightSum / used.length };
}
