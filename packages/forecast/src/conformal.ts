import { ForecastError } from "./errors.ts";

/**
 * The split-conformal order statistic of `sorted` (ascending) residuals at level `tau`: a new residual from
 * the same distribution lies at or below it with probability of at least tau (upper half, k = ceil((n + 1)
 * tau)) or below it with at most tau (lower half, k = floor((n + 1) tau)). -Infinity or Infinity where n is
 * too small for the level. (Vovk et al. 2005; signed version, one tail at a time.)
 */
export function conformalQuantile(sorted: Float64Array, tau: number): number {
  // Without the 1e-9, (9 + 1) x 0.9 may round to just above 9 and ask for a tenth residual.
  const position = (sorted.length + 1) * tau;
  const k = tau > 0.5 ? Math.ceil(position - 1e-9) : Math.floor(position + 1e-9);
  if (k < 1) return Number.NEGATIVE_INFINITY;
  if (k > sorted.length) return Number.POSITIVE_INFINITY;
  return sorted[k - 1]!;
}

/** Residuals below which a lead's order statistics are noise: its neighbours are pooled in. */
export const MIN_RESIDUALS = 200;

/**
 * Offsets to add to a quantile forecast at level `tau`, one per lead 1 .. max(lead), from its signed residuals
 * z - q on rows it was not fitted on. A lead with fewer than `minResiduals` takes in the leads at distance
 * 1, 2, ... on both sides until there are enough, or all are pooled.
 *
 * @param residuals one per row; NaN is left out
 * @param lead 1-based, one per row
 * @throws ForecastError `noRows` where all residuals together are too few for the level
 */
export function leadOffsets(
  residuals: Float64Array,
  lead: Int32Array,
  tau: number,
  minResiduals = MIN_RESIDUALS,
): Float64Array {
  const byLead: number[][] = [];
  let known = 0;
  for (let i = 0; i < residuals.length; i++) {
    if (Number.isNaN(residuals[i]!)) continue;
    known++;
    const index = lead[i]! - 1;
    while (byLead.length <= index) byLead.push([]);
    byLead[index]!.push(residuals[i]!);
  }
  const offsets = new Float64Array(byLead.length);
  for (let index = 0; index < offsets.length; index++) {
    let pooled = byLead[index]!;
    for (let reach = 1; pooled.length < minResiduals && reach < offsets.length; reach++) {
      pooled = pooled.concat(byLead[index - reach] ?? [], byLead[index + reach] ?? []);
    }
    offsets[index] = conformalQuantile(Float64Array.from(pooled).sort(), tau);
  }
  if (offsets.length === 0 || !offsets.every(Number.isFinite)) {
    const needed = Math.ceil(1 / Math.min(tau, 1 - tau) - 1e-9) - 1;
    throw new ForecastError(
      "noRows",
      `${known} calibration rows with a known target, level ${tau} needs at least ${needed}`,
    );
  }
  return offsets;
}
