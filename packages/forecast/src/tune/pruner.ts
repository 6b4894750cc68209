import { quantileSorted } from "../quantile.ts";

/** An interim value of a trial: smaller is better; steps ascend. */
export interface Interim {
  readonly step: number;
  readonly value: number;
}

export interface PrunerOptions {
  /** nothing is pruned before so many trials are complete; default 5 */
  readonly startupTrials?: number;
  /** nothing is pruned on steps below this; default 0 */
  readonly warmupSteps?: number;
}

/**
 * The median rule (Golovin et al. 2017, Google Vizier, 3.2): stop a trial whose best interim value so far is
 * worse than the median, over the complete trials, of the values they reported on this very step.
 */
export function shouldPrune(
  interim: readonly Interim[],
  complete: readonly (readonly Interim[])[],
  options: PrunerOptions = {},
): boolean {
  const { startupTrials = 5, warmupSteps = 0 } = options;
  const latest = interim.at(-1);
  if (latest === undefined || latest.step < warmupSteps || complete.length < startupTrials) return false;
  const others = complete.flatMap((reported) => reported.find(({ step }) => step === latest.step) ?? []);
  if (others.length === 0) return false;
  const sorted = Float64Array.from(others, ({ value }) => value).sort();
  const best = Math.min(
    ...interim.map(({ value }) => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : value)),
  );
  return best > quantileSorted(sorted, 0.5);
}
