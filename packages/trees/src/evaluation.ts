import { blockRows, type TrainingMemory } from "./memory.ts";
import type { Metric } from "./metrics.ts";
import type { Team } from "./team.ts";

/** Follows a metric on the validation set over the rounds. Every worker computes the same numbers. */
export class Evaluation {
  readonly #metric: Metric;
  readonly #memory: TrainingMemory;
  readonly #team: Team;
  readonly #base: readonly number[];
  readonly #forest: boolean;
  /** The newest value; undefined without a validation set. */
  last: number | undefined;
  #best = Number.NaN;

  constructor(metric: Metric, memory: TrainingMemory, team: Team, base: readonly number[], forest: boolean) {
    this.#metric = metric;
    this.#memory = memory;
    this.#team = team;
    this.#base = base;
    this.#forest = forest;
  }

  /**
   * Computes the metric after a round; returns whether it is the best so far (always, without a validation set).
   * @param first whether this is the training's first round
   * @param rounds rounds in the model so far
   */
  evaluate(first: boolean, rounds: number): boolean {
    const { validation } = this.#memory;
    if (!validation) return true;
    // A mean over a forest, or a metric of all rows, is taken when all workers are done with theirs.
    if (this.#forest || !("row" in this.#metric)) this.#team.barrier();
    const scores = this.#forest ? this.#averaged(validation.scores, rounds) : validation.scores;
    const value = "row" in this.#metric ? this.#byRow(scores) : this.#ofAll(scores);
    this.last = value;
    const better = first || (this.#metric.higherIsBetter ? value > this.#best : value < this.#best);
    if (better) this.#best = value;
    return better;
  }

  #byRow(scores: Float64Array): number {
    const metric = this.#metric;
    if (!("row" in metric)) return Number.NaN;
    const { label, weight, data } = this.#memory.validation!;
    const { metricSums } = this.#memory;
    const outputs = this.#base.length;
    const { size, index } = this.#team;
    for (let block = index; block * blockRows < data.rows; block += size) {
      let loss = 0;
      let total = 0;
      for (let i = block * blockRows; i < Math.min(data.rows, (block + 1) * blockRows); i++) {
        const w = weight ? weight[i]! : 1;
        loss += w * metric.row(scores, i * outputs, label[i]!);
        total += w;
      }
      metricSums[block * 2] = loss;
      metricSums[block * 2 + 1] = total;
    }
    this.#team.barrier();
    let loss = 0;
    let total = 0;
    for (let b = 0; b + 1 < metricSums.length; b += 2) {
      loss += metricSums[b]!;
      total += metricSums[b + 1]!;
    }
    return metric.finish(loss / total);
  }

  /** The first worker computes it for all. */
  #ofAll(scores: Float64Array): number {
    const metric = this.#metric;
    const { metricSums, validation } = this.#memory;
    const at = metricSums.length - 1;
    if (this.#team.index === 0 && "whole" in metric) {
      metricSums[at] = metric.whole(scores, validation!.label, validation!.weight);
    }
    this.#team.barrier();
    return metricSums[at]!;
  }

  /** A forest's scores so far: the start plus the mean of the trees. */
  #averaged(sums: Float64Array, rounds: number): Float64Array {
    return sums.map((s, i) => {
      const b = this.#base[i % this.#base.length]!;
      return b + (s - b) / rounds;
    });
  }
}
