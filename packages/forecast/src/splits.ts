import { ForecastError } from "./errors.ts";

/** One fit of a backtest and the origins it forecasts. Instants are milliseconds of the epoch. */
export interface Split {
  /** Rows may be trained on only where their target was known before this instant. */
  readonly trainBefore: number;
  readonly origins: readonly number[];
}

/**
 * Instants fromMs, fromMs + everyMs, ... below toMs. For origins at a local time of day pass a calendar's own
 * list to `expandingWindows` instead: local days are not all equally long.
 *
 * @throws ForecastError `option` unless everyMs > 0 and both ends are finite
 */
export function rollingOrigins(window: { fromMs: number; toMs: number; everyMs: number }): number[] {
  const { fromMs, toMs, everyMs } = window;
  if (!(everyMs > 0) || !Number.isFinite(fromMs) || !Number.isFinite(toMs)) {
    throw new ForecastError("option", `cannot step from ${fromMs} to ${toMs} every ${everyMs} ms`);
  }
  const origins: number[] = [];
  // Multiplied, not summed: a fractional step must not drift.
  for (let k = 0; fromMs + k * everyMs < toMs; k++) origins.push(fromMs + k * everyMs);
  return origins;
}

/**
 * Expanding-window refits: the first fit stands at the first origin, and a new one is made at the first
 * origin that lies `refitEveryMs` or more after the fit in use. `knownAfterMs` is how long after its own time
 * a target becomes known (step length + publication lag), so that `trainBefore` compares with the target's
 * time: a row is trained on where validAt + knownAfterMs <= origin of the fit, that is validAt < trainBefore.
 *
 * @param origins ascending instants in ms
 * @throws ForecastError `option` where origins do not ascend or refitEveryMs is not above 0
 */
export function expandingWindows(
  origins: readonly number[],
  policy: { refitEveryMs: number; knownAfterMs?: number },
): Split[] {
  const { refitEveryMs, knownAfterMs = 0 } = policy;
  if (!(refitEveryMs > 0))
    throw new ForecastError("option", `refitEveryMs is ${refitEveryMs}, expected above 0`);
  const splits: { trainBefore: number; origins: number[] }[] = [];
  let fittedAt = Number.NEGATIVE_INFINITY;
  let previous = Number.NEGATIVE_INFINITY;
  for (const origin of origins) {
    if (!(origin > previous)) {
      throw new ForecastError("option", `origin ${origin} does not come after ${previous}`);
    }
    previous = origin;
    if (origin - fittedAt >= refitEveryMs) {
      fittedAt = origin;
      // One millisecond past the last admissible time, so that "before" stays a strict comparison.
      splits.push({ trainBefore: origin - knownAfterMs + 1, origins: [] });
    }
    splits.at(-1)!.origins.push(origin);
  }
  return splits;
}

/**
 * 1 for the rows of the later calibration window [trainBefore - windowMs, trainBefore), by the time of the
 * TARGET: a row whose origin lies before the window but whose target lies in it would otherwise be trained
 * on and leak the window's values into the models that are calibrated on it.
 *
 * @param validAtMs time of each row's target
 */
export function calibrationMask(
  validAtMs: Float64Array,
  window: { trainBefore: number; windowMs: number },
): Uint8Array {
  const from = window.trainBefore - window.windowMs;
  const mask = new Uint8Array(validAtMs.length);
  for (let i = 0; i < mask.length; i++) {
    if (validAtMs[i]! >= from && validAtMs[i]! < window.trainBefore) mask[i] = 1;
  }
  return mask;
}
