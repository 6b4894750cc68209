import { ForecastError } from "../errors.ts";
import { randomOf } from "../random.ts";
import { type Interim, type PrunerOptions, shouldPrune } from "./pruner.ts";
import { checkSpace, type Space, type ValuesOf } from "./space.ts";
import { suggest } from "./suggest.ts";
import type { Trial } from "./trial.ts";

/** What the objective may use of its trial. */
export interface Running {
  readonly index: number;
  /** aborted together with the tuning */
  readonly signal: AbortSignal;
  /**
   * Reports the value of a step (a fold, a number of trees); steps ascend. Throws `TrialPruned` where the trial
   * is not worth finishing: let it pass.
   */
  report(step: number, value: number): void;
}

/** Thrown by `report`; ends the trial, not the tuning. */
export class TrialPruned extends Error {
  constructor(index: number, step: number) {
    super(`trial ${index} was stopped at step ${step}: worse than the median of the trials before`);
    this.name = "TrialPruned";
  }
}

export interface TuneOptions<S extends Space> {
  /** evaluations of the objective, the `previous` ones included */
  readonly trials: number;
  readonly seed: number;
  /** trials drawn at random before the estimators are trusted; default 10 */
  readonly startupTrials?: number;
  /** the median rule's options, or null to finish every trial; default the rule with its defaults */
  readonly pruner?: PrunerOptions | null;
  /** trials of an interrupted tuning with the same space and seed, in order: it goes on as if never interrupted */
  readonly previous?: readonly Trial<S>[];
  readonly signal?: AbortSignal;
  readonly onTrial?: (trial: Trial<S>) => void;
}

export interface Tuned<S extends Space> {
  /** the complete trial with the smallest value, the earlier one of equals */
  readonly best: Trial<S> & { readonly value: number };
  readonly trials: readonly Trial<S>[];
}

/**
 * Searches for the parameters with the SMALLEST objective by the tree-structured Parzen estimator (Bergstra et
 * al. 2011). The same seed and objective give the same trials: each draws from its own generator, seeded by its
 * index. An error of the objective other than `TrialPruned` ends the tuning.
 *
 * @throws ForecastError `option` on a space or options that cannot be searched, `data` where no trial was
 * complete; the signal's reason once it is aborted
 */
export async function tune<S extends Space>(
  objective: (params: ValuesOf<S>, trial: Running) => number | Promise<number>,
  space: S,
  options: TuneOptions<S>,
): Promise<Tuned<S>> {
  const { trials: count, seed, startupTrials = 10, pruner = {}, previous = [], onTrial } = options;
  checkSpace(space);
  if (!(Number.isInteger(count) && count >= 1)) throw new ForecastError("option", `${count} trials`);
  const signal = options.signal ?? new AbortController().signal;
  const trials: Trial<S>[] = [...previous];
  while (trials.length < count) {
    signal.throwIfAborted();
    const index = trials.length;
    const random = randomOf(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
    const params = suggest(space, index < startupTrials ? [] : trials, random);
    const interim: Interim[] = [];
    const complete = trials.filter(({ state }) => state === "complete").map((trial) => trial.interim);
    const report = (step: number, value: number) => {
      const last = interim.at(-1)?.step ?? Number.NEGATIVE_INFINITY;
      if (!(step > last)) throw new ForecastError("option", `step ${step} was reported after step ${last}`);
      interim.push({ step, value });
      if (pruner !== null && shouldPrune(interim, complete, pruner)) throw new TrialPruned(index, step);
    };
    let trial: Trial<S>;
    try {
      const value = await objective(params, { index, signal, report });
      trial = Number.isFinite(value)
        ? { index, params, state: "complete", value, interim }
        : { index, params, state: "failed", value: null, interim };
    } catch (error) {
      if (!(error instanceof TrialPruned)) throw error;
      trial = { index, params, state: "pruned", value: interim.at(-1)!.value, interim };
    }
    trials.push(trial);
    onTrial?.(trial);
  }
  signal.throwIfAborted();
  const best = bestOf(trials);
  if (best === null) throw new ForecastError("data", `none of ${trials.length} trials gave a finite value`);
  return { best, trials };
}

function bestOf<S extends Space>(trials: readonly Trial<S>[]): Tuned<S>["best"] | null {
  let best: Tuned<S>["best"] | null = null;
  for (const trial of trials) {
    if (trial.state !== "complete" || trial.value === null) continue;
    if (best === null || trial.value < best.value) best = { ...trial, value: trial.value };
  }
  return best;
}
