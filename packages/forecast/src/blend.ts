import { ForecastError, requireLength } from "./errors.ts";

/**
 * The scale on which members are averaged:
 * - `arithmetic`: the forecasts as they are (counts, probabilities)
 * - `geometric`: ln(forecast + offset). Of members that share their expectation S this is the average on the
 *   transformed scale z of `logRatio` with that offset (`log1pResidual`: 1), as S then cancels.
 */
export type BlendScale =
  | { readonly name: "arithmetic" }
  | { readonly name: "geometric"; readonly offset: number };

/** A blend that was found: plain data, one weight per member, non-negative, summing to 1. */
export interface Blend {
  readonly scale: BlendScale;
  readonly weights: readonly number[];
}

/** A validation window: what came true, and what each member had forecast without having seen it. */
export interface BlendWindow {
  readonly target: Float64Array;
  /** one array per member, in the order of the weights; a row with NaN in any of them is not judged */
  readonly members: readonly Float64Array[];
}

export interface BlendOptions {
  readonly scale: BlendScale;
  readonly loss: "wape" | "rmse" | "rmsle";
}

/** The loss of one window under the blend, and under each member alone on the same rows. */
export interface WindowLosses {
  readonly blend: number;
  readonly members: readonly number[];
}

export interface FoundBlend extends Blend {
  /** in the order of the windows */
  readonly losses: readonly WindowLosses[];
}

/**
 * The weights with the smallest WORST loss over the windows: a member that is good on average and bad in one
 * season does not get its weight from the good ones. Found by moving weight between members in
 * steps that halve, first on a smooth stand-in for the maximum (log-sum-exp), which has no kinks to get
 * caught in, then on the maximum itself. Deterministic; never worse than the member whose worst loss is least.
 * Take windows from validation alone: the losses returned are those the weights were chosen by.
 *
 * @throws ForecastError `shape` on unequal lengths or numbers of members, `option` on an offset that is not
 * above 0, `data` on a forecast without a logarithm, `noRows` on a window without a judged row or positive target
 */
export function findBlend(windows: readonly BlendWindow[], options: BlendOptions): FoundBlend {
  const { scale, loss } = options;
  const judged = windows.map((window, k) => new JudgedWindow(window, options, k));
  const count = judged[0]?.count ?? 0;
  if (count === 0) throw new ForecastError("noRows", "a blend needs a window and a member");
  for (const [k, window] of judged.entries()) requireLength(`window ${k}: members`, window.count, count);

  const single = (m: number) => Float64Array.from({ length: count }, (_, i) => Number(i === m));
  const alone = judged.map((window) => Array.from({ length: count }, (_, m) => window.loss(single(m))));
  const worstAlone = Array.from({ length: count }, (_, m) => Math.max(...alone.map((losses) => losses[m]!)));
  const safest = worstAlone.indexOf(Math.min(...worstAlone));
  if (!Number.isFinite(worstAlone[safest]!)) {
    throw new ForecastError(
      "noRows",
      `the ${loss} of a window cannot be computed: it has no positive target`,
    );
  }

  const unit = Math.max(worstAlone[safest]!, Number.MIN_VALUE);
  let weights = new Float64Array(count).fill(1 / count);
  for (const [smoothness, step] of STAGES) {
    const objective = (w: Float64Array) => {
      const losses = judged.map((window) => window.loss(w));
      return smoothMaximum(losses, smoothness * unit);
    };
    weights = descend(weights, step, objective);
  }
  const worst = (w: Float64Array) => Math.max(...judged.map((window) => window.loss(w)));
  if (worst(weights) > worstAlone[safest]!) weights = single(safest);
  return {
    scale,
    weights: [...weights],
    losses: judged.map((window, k) => ({ blend: window.loss(weights), members: alone[k]! })),
  };
}

/**
 * The blend of members' forecasts, at least 0. Where a member is NaN the others share its weight; NaN where
 * no member with a weight is known.
 *
 * @throws ForecastError `shape` on unequal lengths, `data` on a forecast without a logarithm
 */
export function blendForecasts(blend: Blend, members: readonly Float64Array[]): Float64Array {
  requireLength("members", members.length, blend.weights.length);
  const rows = members[0]?.length ?? 0;
  const sum = new Float64Array(rows);
  const known = new Float64Array(rows);
  for (const [m, forecasts] of members.entries()) {
    requireLength(`member ${m}`, forecasts.length, rows);
    const weight = blend.weights[m]!;
    if (weight === 0) continue;
    for (let i = 0; i < rows; i++) {
      const value = onScale(blend.scale, forecasts[i]!);
      if (Number.isNaN(value)) continue;
      sum[i]! += weight * value;
      known[i]! += weight;
    }
  }
  return sum.map((value, i) => offScale(blend.scale, value / known[i]!));
}

/** One window's known rows, on the scale of the blend. */
class JudgedWindow {
  readonly count: number;
  readonly #rows: number;
  readonly #target: Float64Array;
  readonly #logTarget: Float64Array;
  /** members x rows, member after member */
  readonly #values: Float64Array;
  readonly #options: BlendOptions;

  constructor(window: BlendWindow, options: BlendOptions, index: number) {
    const { target, members } = window;
    for (const [m, forecasts] of members.entries()) {
      requireLength(`window ${index}: member ${m}`, forecasts.length, target.length);
    }
    const known = Int32Array.from(target.keys()).filter(
      (i) => !Number.isNaN(target[i]!) && members.every((forecasts) => !Number.isNaN(forecasts[i]!)),
    );
    if (known.length === 0)
      throw new ForecastError("noRows", `window ${index} has no row that all members know`);
    this.count = members.length;
    this.#rows = known.length;
    this.#options = options;
    this.#target = Float64Array.from(known, (i) => target[i]!);
    this.#logTarget = this.#target.map(Math.log1p);
    this.#values = new Float64Array(members.length * known.length);
    for (const [m, forecasts] of members.entries()) {
      for (const [k, i] of known.entries()) {
        this.#values[m * known.length + k] = onScale(options.scale, forecasts[i]!);
      }
    }
  }

  loss(weights: Float64Array): number {
    const { scale, loss } = this.#options;
    const blended = new Float64Array(this.#rows);
    for (let m = 0; m < this.count; m++) {
      const weight = weights[m]!;
      if (weight === 0) continue;
      const from = m * this.#rows;
      for (let k = 0; k < blended.length; k++) blended[k]! += weight * this.#values[from + k]!;
    }
    let error = 0;
    let total = 0;
    if (loss === "wape") {
      for (let k = 0; k < blended.length; k++) {
        error += Math.abs(this.#target[k]! - offScale(scale, blended[k]!));
        total += Math.abs(this.#target[k]!);
      }
      return total > 0 ? error / total : Number.POSITIVE_INFINITY;
    }
    // The blend of ln(1 + f) is the logarithm this score asks for: no need to leave the scale and come back.
    const isLog = loss === "rmsle" && scale.name === "geometric" && scale.offset === 1;
    for (let k = 0; k < blended.length; k++) {
      let miss: number;
      if (isLog) miss = this.#logTarget[k]! - Math.max(0, blended[k]!);
      else if (loss === "rmsle") miss = this.#logTarget[k]! - Math.log1p(offScale(scale, blended[k]!));
      else miss = this.#target[k]! - offScale(scale, blended[k]!);
      error += miss * miss;
    }
    return Math.sqrt(error / this.#rows);
  }
}

/** Temperature of the smooth maximum, as a share of the loss, and the first step; only the first has far to go. */
const STAGES = [
  [0.01, 1 / 4],
  [0.001, 1 / 32],
  [0, 1 / 32],
] as const;
const LAST_STEP = 1 / 1024;

/**
 * Pattern search on the simplex: a share of the weight moves to one member, from each other one alone and from
 * all together, while that makes `loss` smaller.
 */
function descend(
  start: Float64Array<ArrayBuffer>,
  firstStep: number,
  loss: (w: Float64Array) => number,
): Float64Array<ArrayBuffer> {
  let best = start;
  let bestLoss = loss(start);
  for (let step = firstStep; step >= LAST_STEP; ) {
    let hasMoved = false;
    for (let from = ALL; from < start.length; from++) {
      for (let to = ALL; to < start.length; to++) {
        if (from === to) continue;
        const next = shifted(best, from, to, step);
        const nextLoss = loss(next);
        if (nextLoss < bestLoss) {
          best = next;
          bestLoss = nextLoss;
          hasMoved = true;
        }
      }
    }
    if (!hasMoved) step /= 2;
  }
  return best;
}

/** In place of a member: all of them, in the proportions they have. */
const ALL = -1;

/** `weights` with up to `step` of the weight moved; they sum to 1. */
function shifted(weights: Float64Array, from: number, to: number, step: number): Float64Array<ArrayBuffer> {
  const next = Float64Array.from(weights, (weight) => (from === ALL ? weight * (1 - step) : weight));
  if (from !== ALL) next[from] = Math.max(0, next[from]! - step);
  const left = next.reduce((sum, weight) => sum + weight, 0);
  if (to !== ALL) next[to]! += Math.max(0, 1 - left);
  const total = next.reduce((sum, weight) => sum + weight, 0);
  // A member that had all the weight cannot give some to nobody.
  return total > 0 ? next.map((weight) => weight / total) : Float64Array.from(weights);
}

/** The maximum where `temperature` is 0, else its smooth upper neighbour. */
function smoothMaximum(values: readonly number[], temperature: number): number {
  const highest = Math.max(...values);
  if (temperature === 0) return highest;
  const sum = values.reduce((total, value) => total + Math.exp((value - highest) / temperature), 0);
  return highest + temperature * Math.log(sum);
}

function onScale(scale: BlendScale, forecast: number): number {
  if (scale.name === "arithmetic") return forecast;
  if (!(scale.offset > 0 && Number.isFinite(scale.offset))) {
    throw new ForecastError(
      "option",
      `blend offset is ${scale.offset}, expected above 0: a forecast can be 0`,
    );
  }
  if (forecast + scale.offset <= 0) {
    throw new ForecastError("data", `a forecast of ${forecast} has no logarithm with offset ${scale.offset}`);
  }
  return Math.log(forecast + scale.offset);
}

/** At least 0. */
function offScale(scale: BlendScale, value: number): number {
  const forecast = scale.name === "arithmetic" ? value : Math.exp(value) - scale.offset;
  return forecast <= 0 ? 0 : forecast;
}
