import type { Team } from "@cityscale/trees/wasm";
import { ADAM, type AdamStep, type Kernels } from "./kernels.ts";
import { type ScaledLoss, scaledLoss } from "./loss.ts";
import { kernelsFor } from "./memory.ts";
import { outputsOf } from "./options.ts";
import { Pass, SHARD } from "./pass.ts";
import { shuffle, streamKey } from "./random.ts";
import type { Shape } from "./shape.ts";
import { batchOf, shapeOf, type TrainingPlan, transposeRows, usefulWorkers } from "./training-plan.ts";

/** Steps over which the rate rises to its height, if they are no more than a fifth of all. */
const WARM_UP_STEPS = 200;

/**
 * One worker of a training. Each takes its share of a step's shards forward and back, and then its share of the
 * parameters a step on, so that no sum depends on how many workers there are.
 */
export class Trainer {
  readonly #plan: TrainingPlan;
  readonly #team: Team;
  readonly #kernels: Kernels;
  readonly #shape: Shape;
  readonly #pass: Pass;
  readonly #loss: ScaledLoss;
  readonly #outputs: number;
  readonly #batch: number;
  readonly #shards: number;
  readonly #perEpoch: number;
  readonly #order: Int32Array;
  readonly #codes: Int32Array;
  readonly #shardCodes: Int32Array;
  readonly #labels: Float32Array;
  readonly #weights: Float32Array;
  readonly #values: Float32Array;
  readonly #gradients: Float32Array;
  readonly #losses: Float64Array;
  /** Steps in all. */
  readonly of: number;
  #done = 0;
  #lossSum = 0;
  #weightSum = 0;

  constructor(plan: TrainingPlan, team: Team) {
    const { settings, counts, memory, places } = plan;
    const { buffer } = memory;
    this.#plan = plan;
    this.#team = team;
    this.#kernels = kernelsFor(memory);
    this.#shape = shapeOf(counts, settings);
    const own = places.workers[team.index]!;
    this.#pass = new Pass(this.#kernels, buffer, this.#shape, places, own, counts.categoricals);
    this.#loss = scaledLoss(settings.loss, plan.scale);
    this.#outputs = outputsOf(settings.loss);
    this.#batch = batchOf(counts, settings);
    this.#shards = usefulWorkers(counts, settings);
    // What is left over is another remainder in each epoch.
    this.#perEpoch = Math.floor(counts.rows / this.#batch);
    this.of = this.#perEpoch * settings.epochs;
    const width = this.#shape.layers.at(-1)!.outputs;
    this.#order = new Int32Array(buffer, places.order, counts.rows);
    this.#codes = new Int32Array(buffer, places.codes, counts.rows * counts.categoricals);
    this.#shardCodes = new Int32Array(buffer, own.codes, SHARD * counts.categoricals);
    this.#labels = new Float32Array(buffer, places.labels, counts.rows);
    this.#weights = new Float32Array(buffer, places.weights, counts.rows);
    this.#values = new Float32Array(buffer, own.values.at(-1)!, SHARD * width);
    this.#gradients = new Float32Array(buffer, own.gradients.at(-1)!, SHARD * width);
    this.#losses = new Float64Array(buffer, places.losses, this.#shards * 2);
  }

  get done(): number {
    return this.#done;
  }

  /** Mean loss of the epoch so far, in units of the label. Known to the first worker. */
  get loss(): number {
    return this.#weightSum > 0 ? (this.#lossSum / this.#weightSum) * this.#loss.unit : 0;
  }

  /**
   * One step, together with all other workers; whether there are more.
   *
   * @throws Aborted when the abort word is set
   */
  step(): boolean {
    const { settings } = this.#plan;
    const inEpoch = this.#done % this.#perEpoch;
    if (inEpoch === 0 && this.#team.index === 0) {
      shuffle(this.#order, streamKey(settings.seed, 2, this.#done / this.#perEpoch));
      this.#lossSum = 0;
      this.#weightSum = 0;
    }
    if (inEpoch === 0) this.#team.barrier();
    for (let s = this.#team.index; s < this.#shards; s += this.#team.size) this.#learn(inEpoch, s);
    this.#team.barrier();
    if (this.#team.index === 0) {
      for (let s = 0; s < this.#shards; s++) {
        this.#lossSum += this.#losses[2 * s]!;
        this.#weightSum += this.#losses[2 * s + 1]!;
      }
    }
    this.#done++;
    this.#update();
    this.#team.barrier();
    return this.#done < this.of;
  }

  /** Writes the gradients of one shard of the step. */
  #learn(inEpoch: number, shard: number): void {
    const { settings, counts, places } = this.#plan;
    const own = places.workers[this.#team.index]!;
    const first = inEpoch * this.#batch + shard * SHARD;
    const rows = Math.min(SHARD, this.#batch - shard * SHARD);
    const { numeric, categories, size } = this.#shape;
    this.#kernels.copyRows(places.order + first * 4, rows, places.inputs, numeric, own.inputs);
    const perRow = counts.categoricals;
    for (let i = 0; i < rows; i++) {
      const from = this.#order[first + i]! * perRow;
      for (let k = 0; k < perRow; k++) this.#shardCodes[i * perRow + k] = this.#codes[from + k]!;
    }
    const draw = this.#done * this.#shards + shard;
    this.#pass.forward(rows, { share: settings.dropout, seed: settings.seed, draw });
    this.#judge(first, rows, shard);
    const to = places.gradients + shard * size * 4;
    new Float32Array(
      this.#plan.memory.buffer,
      to + categories.at * 4,
      categories.rows * categories.columns,
    ).fill(0);
    this.#pass.backward(rows, to, settings.dropout);
  }

  /** Gradients of the outputs, per row of the batch. */
  #judge(first: number, rows: number, shard: number): void {
    const width = this.#shape.layers.at(-1)!.outputs;
    let lossSum = 0;
    let weightSum = 0;
    for (let i = 0; i < rows; i++) {
      const row = this.#order[first + i]!;
      const label = this.#labels[row]!;
      const weight = this.#weights[row]!;
      weightSum += weight;
      for (let k = 0; k < width; k++) {
        const at = i * width + k;
        if (k >= this.#outputs) {
          this.#gradients[at] = 0;
          continue;
        }
        const difference = this.#values[at]! - label;
        lossSum += weight * this.#loss.value(difference, k);
        this.#gradients[at] = (weight * this.#loss.slope(difference, k)) / this.#batch;
      }
    }
    this.#losses[2 * shard] = lossSum / this.#outputs;
    this.#losses[2 * shard + 1] = weightSum;
  }

  /** Adam, on this worker's rows of each matrix. */
  #update(): void {
    const { places } = this.#plan;
    const { index, size } = this.#team;
    const { keep, ...rates } = this.#rates();
    for (const segment of this.#shape.segments) {
      const first = Math.floor((segment.rows * index) / size);
      const last = Math.floor((segment.rows * (index + 1)) / size);
      if (first === last) continue;
      const at = (segment.at + first * segment.columns) * 4;
      this.#kernels.update(
        places.parameters + at,
        places.firstMoments + at,
        places.secondMoments + at,
        places.gradients + at,
        this.#shape.size * 4,
        this.#shards,
        (last - first) * segment.columns,
        { ...rates, keep: segment.decays ? keep : 1 },
      );
      transposeRows(this.#kernels, places, segment, first, last);
    }
  }

  #rates(): AdamStep {
    const { learningRate, weightDecay } = this.#plan.settings;
    const step = this.#done;
    const rise = Math.min(1, step / Math.max(1, Math.min(WARM_UP_STEPS, this.of / 5)));
    const rate = learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / this.of)) * rise;
    return {
      rate,
      keep: 1 - rate * weightDecay,
      firstCorrection: 1 / (1 - ADAM.first ** step),
      secondCorrection: 1 / (1 - ADAM.second ** step),
    };
  }
}
