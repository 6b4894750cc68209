import { Evaluation } from "./evaluation.ts";
import { Grower } from "./grower.ts";
import { outside } from "./kernel-arguments.ts";
import { type Kernels, makeKernels } from "./kernels.ts";
import { renewFromDerivatives, renewToQuantile, type Scales } from "./leaf-values.ts";
import { blockRows, kernelArguments, type TrainingMemory } from "./memory.ts";
import { type Metric, makeMetric } from "./metrics.ts";
import { makeObjective, type Objective, softmax } from "./objectives.ts";
import type { ResolvedParams } from "./params.ts";
import { streamKey, uniform } from "./random.ts";
import { routeRow } from "./route.ts";
import type { Team } from "./team.ts";
import type { Tree } from "./tree.ts";
import type { CustomMetric, CustomObjective, MetricName } from "./types.ts";

/** What one training is to do; plain data but for the functions of a single-threaded one. */
export interface BoostPlan {
  readonly params: ResolvedParams;
  /** Raw score to start from, per output. */
  readonly base: readonly number[];
  /** Rounds already in the model that is continued. */
  readonly startIteration: number;
  readonly earlyStoppingRounds: number;
  readonly metric: MetricName;
  readonly customObjective?: CustomObjective | undefined;
  readonly customMetric?: CustomMetric | undefined;
}

/**
 * One worker's part of a training: the same program in every worker. What is summed over rows is either exact
 * whole numbers or summed block by block in one order, so the model does not depend on the number of workers.
 */
export class Booster {
  readonly #plan: BoostPlan;
  readonly #params: ResolvedParams;
  readonly #memory: TrainingMemory;
  readonly #team: Team;
  readonly #grower: Grower;
  readonly #objective: Objective;
  readonly #evaluation: Evaluation;
  readonly #outputs: number;
  /** Own rows that the current trees see, and those that they do not. */
  #bag: Int32Array;
  #outside: Int32Array;
  #bagCount: number;
  /** 1 for own rows in the bag; undefined: all are. */
  #inBag: Uint8Array | undefined;
  readonly #scales: Scales = { gradient: 1, hessian: 1, fineGradient: 1, fineHessian: 1 };
  // One block's rows at a time.
  readonly #score = new Float64Array(blockRows);
  readonly #label = new Float64Array(blockRows);
  readonly #g: Float64Array;
  readonly #h: Float64Array;
  readonly #kernels: Kernels;
  readonly #custom: { g: Float64Array; h: Float64Array } | undefined;
  /** Trees grown here, kept by the first worker only. */
  readonly trees: Tree[] = [];
  /** Rounds done here. */
  iteration = 0;
  bestIteration = 0;

  constructor(plan: BoostPlan, memory: TrainingMemory, team: Team) {
    this.#plan = plan;
    this.#params = plan.params;
    this.#memory = memory;
    this.#team = team;
    this.#outputs = plan.params.numClass;
    this.#objective = makeObjective(plan.params);
    const metric: Metric = plan.customMetric
      ? {
          name: plan.customMetric.name,
          higherIsBetter: plan.customMetric.higherIsBetter ?? false,
          whole: plan.customMetric.evaluate,
        }
      : makeMetric(plan.metric, plan.params);
    this.#evaluation = new Evaluation(metric, memory, team, plan.base, plan.params.randomForest);
    const { rows } = memory.data;
    const own: number[] = [];
    this.#eachBlock(rows, (from, to) => {
      for (let i = from; i < to; i++) own.push(i);
    });
    this.#bag = Int32Array.from(own);
    this.#outside = new Int32Array(0);
    this.#bagCount = rows;
    // Workers before this one own the rows of their blocks, all full but perhaps the very last.
    let firstRow = 0;
    for (let w = 0; w < team.index; w++) firstRow += ownedRows(rows, w, team.size);
    // What kernels work out from scores and labels alone.
    const derive =
      plan.customObjective || this.#outputs > 1 || plan.params.randomForest
        ? undefined
        : this.#objective.derive;
    const given = kernelArguments(memory, team.index, firstRow, own.length, derive);
    this.#g = given.gradient;
    this.#h = given.hessian;
    this.#kernels = makeKernels(given);
    this.#grower = new Grower(plan.params, memory.data, team, memory, given, this.#kernels);
    this.#custom = plan.customObjective && { g: new Float64Array(rows), h: new Float64Array(rows) };
  }

  /** The newest value of the metric; undefined without a validation set. */
  get lastMetric(): number | undefined {
    return this.#evaluation.last;
  }

  /** Does one round. Returns whether there is more to do. */
  step(): boolean {
    const { numIterations } = this.#params;
    if (this.iteration >= numIterations) return false;
    const round = this.#plan.startIteration + this.iteration;
    this.#drawBag(round);
    if (this.#memory.probabilities) this.#softmaxAll();
    if (this.#custom)
      this.#plan.customObjective?.(this.#memory.scores, this.#memory.label, this.#custom.g, this.#custom.h);
    for (let k = 0; k < this.#outputs; k++) {
      const number = round * this.#outputs + k;
      this.#prepareGradients(number, k);
      this.#growOne(number, k);
    }
    this.iteration++;
    const rounds = this.#plan.startIteration + this.iteration;
    if (this.#evaluation.evaluate(this.iteration === 1, rounds)) this.bestIteration = this.iteration;
    const { earlyStoppingRounds } = this.#plan;
    if (this.#memory.validation && earlyStoppingRounds > 0) {
      if (this.iteration - this.bestIteration >= earlyStoppingRounds) return false;
    }
    return this.iteration < numIterations;
  }

  /** Calls `visit` with this worker's blocks of rows. */
  #eachBlock(rows: number, visit: (from: number, to: number, block: number) => void): void {
    const blocks = Math.ceil(rows / blockRows);
    for (let b = this.#team.index; b < blocks; b += this.#team.size) {
      visit(b * blockRows, Math.min(rows, (b + 1) * blockRows), b);
    }
  }

  #drawBag(round: number): void {
    const { baggingFraction, baggingFreq, seed } = this.#params;
    if (baggingFreq === 0 || baggingFraction >= 1) return;
    const draw = Math.floor(round / baggingFreq);
    if (this.iteration > 0 && round % baggingFreq !== 0) return;
    const key = streamKey(seed, 2, draw);
    this.#inBag ??= new Uint8Array(this.#memory.data.rows);
    const own = this.#bag.length + this.#outside.length;
    const order = new Int32Array(own);
    let inside = 0;
    let last = own;
    this.#eachBlock(this.#memory.data.rows, (from, to) => {
      for (let i = from; i < to; i++) {
        const drawn = uniform(key, i) < baggingFraction;
        this.#inBag![i] = drawn ? 1 : 0;
        if (drawn) order[inside++] = i;
        else order[--last] = i;
      }
    });
    this.#bag = order.subarray(0, inside);
    this.#outside = order.subarray(inside);
    this.#bagCount = this.#sumOverTeam(inside);
  }

  #sumOverTeam(own: number): number {
    const { counts } = this.#memory;
    this.#team.barrier();
    counts[this.#team.index] = own;
    this.#team.barrier();
    let sum = 0;
    for (let w = 0; w < this.#team.size; w++) sum += counts[w]!;
    return sum;
  }

  #softmaxAll(): void {
    const { scores, probabilities, data } = this.#memory;
    const k = this.#outputs;
    this.#eachBlock(data.rows, (from, to) => {
      probabilities!.set(scores.subarray(from * k, to * k), from * k);
      for (let i = from; i < to; i++) softmax(probabilities!, i * k, k);
    });
  }

  /** Writes quantised gradients into the records, at a scale that keeps packed sums exact. */
  #prepareGradients(treeNumber: number, k: number): void {
    const { constantHessian, unit } = this.#memory.records;
    const gradientRoom = Math.min(2 ** 52 / unit, 2 ** 30);
    this.#quantise(treeNumber, k);
    this.#team.barrier();
    const { blockSums } = this.#memory;
    let g = 0;
    let h = 0;
    for (let b = 0; b < blockSums.length; b += 2) {
      g += blockSums[b]!;
      h += blockSums[b + 1]!;
    }
    const gradientScale = powerBelow(gradientRoom / g);
    const hessianScale = constantHessian ? 1 : powerBelow(2 ** 25.5 / h);
    const scales = this.#scales;
    scales.fineGradient = powerBelow(2 ** 50 / g);
    scales.fineHessian = powerBelow(2 ** 50 / h);
    // Both sums depend on the scores alone, so every worker, and a training that continues, sees the same scale.
    if (gradientScale !== scales.gradient || hessianScale !== scales.hessian) {
      scales.gradient = gradientScale;
      scales.hessian = hessianScale;
      this.#team.barrier();
      this.#quantise(treeNumber, k);
    }
    this.#grower.finder.setQuanta(1 / gradientScale, 1 / hessianScale);
  }

  #quantise(treeNumber: number, k: number): void {
    const { data, weight, blockSums } = this.#memory;
    const inBag = this.#inBag;
    const key = streamKey(this.#params.seed, 3, treeNumber);
    const g = this.#g;
    const h = this.#h;
    this.#eachBlock(data.rows, (from, to, block) => {
      const n = to - from;
      this.#blockGradients(from, to, k);
      if (this.#objective.constantHessian && (weight || this.iteration === 0)) h.fill(1, 0, n);
      if (weight && !this.#custom) {
        for (let i = 0; i < n; i++) {
          const w = weight[from + i]!;
          g[i] = g[i]! * w;
          h[i] = h[i]! * w;
        }
      }
      addUp(g, h, n, inBag, from, blockSums, block * 2);
      this.#kernels.quantise(n, from, this.#scales.gradient, this.#scales.hessian, key + from);
    });
  }

  /** Gradient and hessian of rows [from, to) into the block arrays, before weights. */
  #blockGradients(from: number, to: number, k: number): void {
    const { scores, label, probabilities } = this.#memory;
    const n = to - from;
    const g = this.#g;
    const h = this.#h;
    if (this.#custom) {
      g.set(this.#custom.g.subarray(from, to));
      h.set(this.#custom.h.subarray(from, to));
      return;
    }
    if (probabilities) {
      const outputs = this.#outputs;
      const factor = outputs / (outputs - 1);
      for (let i = 0; i < n; i++) {
        const p = probabilities[(from + i) * outputs + k]!;
        g[i] = p - (label[from + i] === k ? 1 : 0);
        h[i] = factor * p * (1 - p);
      }
      return;
    }
    if (this.#kernels.derive) {
      this.#kernels.derive(n, from);
      return;
    }
    this.#label.set(label.subarray(from, to));
    if (this.#params.randomForest) this.#score.fill(this.#plan.base[0]!);
    else this.#score.set(scores.subarray(from, to));
    this.#objective.gradients(this.#score, this.#label, n, g, h);
  }

  #growOne(treeNumber: number, k: number): void {
    const grower = this.#grower;
    grower.rows.set(this.#bag);
    grower.grow(this.#bag.length, this.#bagCount, treeNumber);
    const { leafOf } = this.#memory;
    grower.leaves.forEach((leaf, i) => {
      markRows(leafOf, grower.rows, leaf.begin, leaf.begin + leaf.own, i);
    });
    for (const row of this.#outside) leafOf[row] = outside;
    this.#leafValues();
    const values = this.#memory.leafValues.subarray(0, grower.leaves.length);
    const tree = grower.tree(values, this.#params.learningRate);
    if (this.#team.index === 0) this.trees.push(tree);
    const { data, scores, validation } = this.#memory;
    const outputs = this.#outputs;
    const route = this.#outside.length > 0 || validation ? grower.route(tree) : undefined;
    if (route) for (const row of this.#outside) leafOf[row] = routeRow(route, data, row);
    this.#eachBlock(data.rows, (from, to) => {
      addLeafValues(scores, leafOf, from, to, tree.leafValue, outputs, k);
    });
    if (!validation || !route) return;
    this.#eachBlock(validation.data.rows, (from, to) => {
      for (let row = from; row < to; row++) {
        const at = row * outputs + k;
        validation.scores[at] =
          validation.scores[at]! + tree.leafValue[routeRow(route, validation.data, row)]!;
      }
    });
  }

  /** Sets the shared leaf values, times the learning rate. */
  #leafValues(): void {
    const { leaves, finder } = this.#grower;
    const { learningRate: rate, numLeaves, lambdaL1, randomForest } = this.#params;
    const { renewQuantile } = this.#objective;
    const renewal = { memory: this.#memory, team: this.#team, leaves, numLeaves, rate };
    if (renewQuantile !== undefined) {
      renewToQuantile(renewal, renewQuantile, randomForest ? this.#plan.base[0] : undefined);
    } else if (this.#memory.derivatives) {
      renewFromDerivatives(renewal, this.#kernels, this.#scales, lambdaL1);
    } else {
      // Every worker writes the same numbers.
      leaves.forEach((leaf, i) => {
        this.#memory.leafValues[i] = finder.leafValue(leaf) * rate;
      });
    }
  }
}

/** Rows in the blocks of worker `w` of `size`. */
function ownedRows(rows: number, w: number, size: number): number {
  let sum = 0;
  for (let from = w * blockRows; from < rows; from += size * blockRows)
    sum += Math.min(blockRows, rows - from);
  return sum;
}

/** Sums of |gradient| and of the hessian of a block's rows in the bag; two of each, which need not wait for another. */
function addUp(
  g: Float64Array,
  h: Float64Array,
  n: number,
  inBag: Uint8Array | undefined,
  from: number,
  sums: Float64Array,
  at: number,
): void {
  let g0 = 0;
  let g1 = 0;
  let h0 = 0;
  let h1 = 0;
  for (let i = 0; i < n; i += 2) {
    const j = i + 1 < n ? i + 1 : i;
    const first = inBag ? inBag[from + i]! : 1;
    const second = j > i ? (inBag ? inBag[from + j]! : 1) : 0;
    g0 += Math.abs(g[i]!) * first;
    g1 += Math.abs(g[j]!) * second;
    h0 += h[i]! * first;
    h1 += h[j]! * second;
  }
  sums[at] = g0 + g1;
  sums[at + 1] = h0 + h1;
}

/** The largest power of two not above x. */
function powerBelow(x: number): number {
  if (!(x > 0)) return 1;
  return 2 ** Math.max(-1000, Math.min(1000, Math.floor(Math.log2(x))));
}

function markRows(leafOf: Uint16Array, rows: Int32Array, from: number, to: number, leaf: number): void {
  for (let j = from; j < to; j++) leafOf[rows[j]!] = leaf;
}

function addLeafValues(
  scores: Float64Array,
  leafOf: Uint16Array,
  from: number,
  to: number,
  values: Float64Array,
  outputs: number,
  k: number,
): void {
  for (let row = from, at = from * outputs + k; row < to; row++, at += outputs) {
    scores[at] = scores[at]! + values[leafOf[row]!]!;
  }
}
