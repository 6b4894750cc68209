import { control } from "@cityscale/trees/wasm";
import type { Kernels } from "./kernels.ts";
import { allocate, type KernelMemory, kernelsFor, Plan } from "./memory.ts";
import { outputsOf, type Settings } from "./options.ts";
import { type PassPlaces, planPass, SHARD } from "./pass.ts";
import { normal, streamKey } from "./random.ts";
import { type Segment, Shape } from "./shape.ts";

/** Counts that a training starts from. */
export interface Counts {
  readonly rows: number;
  /** numeric inputs */
  readonly numeric: number;
  /** categorical columns */
  readonly categoricals: number;
  /** categories of all of them */
  readonly categories: number;
}

/** All that the workers of one training share. */
export interface TrainingPlan {
  readonly settings: Settings;
  readonly counts: Counts;
  readonly memory: KernelMemory;
  readonly control: Int32Array;
  /** what labels were divided by */
  readonly scale: number;
  readonly places: {
    /** rows x numeric inputs (padded) */
    readonly inputs: number;
    /** rows x categorical columns */
    readonly codes: number;
    readonly labels: number;
    readonly weights: number;
    readonly order: number;
    readonly parameters: number;
    readonly transposed: number;
    readonly firstMoments: number;
    readonly secondMoments: number;
    readonly gradients: number;
    /** two f64 by shard: sum of losses, sum of weights */
    readonly losses: number;
    readonly workers: readonly PassPlaces[];
  };
}

export function shapeOf(counts: Counts, settings: Settings): Shape {
  return new Shape(counts.numeric, counts.categories, settings.hidden, outputsOf(settings.loss));
}

/** Rows of a step. */
export function batchOf(counts: Counts, settings: Settings): number {
  return Math.min(settings.batch, counts.rows);
}

/** How many workers can share the work of a step. */
export function usefulWorkers(counts: Counts, settings: Settings): number {
  return Math.ceil(batchOf(counts, settings) / SHARD);
}

/**
 * Makes room for a training; inputs, labels and weights are still to be written.
 *
 * @throws ForecastError `data` where it would be over 4 GiB
 */
export function planTraining(
  counts: Counts,
  settings: Settings,
  scale: number,
  workers: number,
  shared: boolean,
  plain: boolean,
): TrainingPlan {
  const shape = shapeOf(counts, settings);
  const shards = usefulWorkers(counts, settings);
  const plan = new Plan();
  const places = {
    inputs: plan.take(counts.rows * shape.numeric * 4),
    codes: plan.take(counts.rows * counts.categoricals * 4),
    labels: plan.take(counts.rows * 4),
    weights: plan.take(counts.rows * 4),
    order: plan.take(counts.rows * 4),
    parameters: plan.take(shape.size * 4),
    transposed: plan.take(shape.transposedSize * 4),
    firstMoments: plan.take(shape.size * 4),
    secondMoments: plan.take(shape.size * 4),
    gradients: plan.take(shards * shape.size * 4),
    losses: plan.take(shards * 16),
    workers: Array.from({ length: workers }, () => planPass(plan, shape, counts.categoricals)),
  };
  const memory = allocate(plan, shared, plain);
  const words = shared ? new SharedArrayBuffer(control.size * 4) : new ArrayBuffer(control.size * 4);
  return { settings, counts, memory, control: new Int32Array(words), scale, places };
}

/** Draws the first parameters (He et al. 2015; the outputs start near 0), and the order of the first epoch. */
export function initialise(plan: TrainingPlan): void {
  const { settings, counts, memory, places } = plan;
  const shape = shapeOf(counts, settings);
  const parameters = new Float32Array(memory.buffer, places.parameters, shape.size);
  const widths = [counts.numeric + counts.categories, ...settings.hidden, outputsOf(settings.loss)];
  shape.layers.forEach((layer, k) => {
    const key = streamKey(settings.seed, 1, k);
    const inputs = widths[k]!;
    const outputs = widths[k + 1]!;
    const spread = Math.sqrt(2 / Math.max(1, inputs)) * (k === shape.layers.length - 1 ? 0.1 : 1);
    const { at, columns } = layer.weights;
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j < outputs; j++) {
        const place =
          k > 0
            ? at + i * columns + j
            : i < counts.numeric
              ? at + j * columns + i
              : shape.categories.at + (i - counts.numeric) * shape.categories.columns + j;
        parameters[place] = normal(key, i * outputs + j) * spread;
      }
    }
  });
  const kernels = kernelsFor(memory);
  for (const segment of shape.segments) transposeRows(kernels, places, segment, 0, segment.rows);
  const order = new Int32Array(memory.buffer, places.order, counts.rows);
  for (let i = 0; i < order.length; i++) order[i] = i;
}

/** Copies rows [first, last) of a segment into its transposed copy, if it has one. */
export function transposeRows(
  kernels: Kernels,
  at: { readonly parameters: number; readonly transposed: number },
  segment: Segment,
  first: number,
  last: number,
): void {
  if (segment.transposed === undefined) return;
  const { rows, columns } = segment;
  const out = at.transposed + segment.transposed * 4;
  kernels.transpose(at.parameters + segment.at * 4, rows, columns, first, last, out);
}
