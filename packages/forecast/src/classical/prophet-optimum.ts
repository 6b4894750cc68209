import type { ProphetOptimizedParams, ProphetStanData } from "@bsull/augurs/prophet";
import { choleskySolve } from "../cholesky.ts";
import { ForecastError } from "../errors.ts";

/** Prophet's parameters as plain numbers. */
export interface ProphetParameters {
  readonly k: number;
  readonly m: number;
  readonly sigma: number;
  readonly delta: Float64Array;
  readonly beta: Float64Array;
}

const MAX_ROUNDS = 500;
const TREND_FLAT = 2;

/**
 * The most probable parameters of Prophet's additive model (Taylor and Letham 2018; `prophet.stan`):
 * y ~ N(trend + X beta, sigma), trend = k t + m + sum delta_s max(0, t - t_s), priors k, m ~ N(0, 5),
 * delta ~ Laplace(0, tau), beta_j ~ N(0, sigmas_j), sigma ~ half-N(0, 0.5).
 *
 * All but sigma enter linearly, so this is a regression with a quadratic and an absolute penalty: each round
 * replaces |d| by its quadratic upper bound at the last d (d^2 / (2 |d|) + |d| / 2; Hunter and Li 2005), solves
 * the normal equations exactly, and sets sigma to its optimum given the residuals. The posterior rises in every
 * round. Stan climbs the same surface by L-BFGS and stops a little earlier.
 */
export function prophetOptimum(data: ProphetStanData): ProphetParameters {
  if (data.trend_indicator === 1 || data.s_m.some((flag) => flag !== 0)) {
    throw new ForecastError("option", "logistic growth and multiplicative seasons are not supported");
  }
  const isFlat = data.trend_indicator === TREND_FLAT;
  // Typed as one flat list, sent as one list per row.
  const X = data.X as unknown as readonly (readonly number[])[];
  const { T: rows, S: changes, K: features } = data;
  const width = 2 + changes + features;
  const gram = new Float64Array(width * width);
  const right = new Float64Array(width);
  let square = 0;
  const row = new Float64Array(width);
  for (let i = 0; i < rows; i++) {
    const t = data.t[i]!;
    row[0] = isFlat ? 0 : t;
    row[1] = 1;
    for (let s = 0; s < changes; s++) row[2 + s] = isFlat ? 0 : Math.max(0, t - data.t_change[s]!);
    for (let j = 0; j < features; j++) row[2 + changes + j] = X[i]![j]!;
    const y = data.y[i]!;
    square += y * y;
    for (let a = 0; a < width; a++) {
      right[a]! += row[a]! * y;
      for (let b = 0; b <= a; b++) gram[a * width + b]! += row[a]! * row[b]!;
    }
  }

  const prior = new Float64Array(width);
  prior.fill(1 / 25, 0, 2);
  for (let j = 0; j < features; j++) prior[2 + changes + j] = 1 / data.sigmas[j]! ** 2;
  let theta: Float64Array = new Float64Array(width).fill(1, 2, 2 + changes);
  let sigma = 0.5;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    // Below 1e-9 of the series' height a change of slope is none; the bound keeps its penalty finite.
    for (let s = 2; s < 2 + changes; s++) prior[s] = 1 / (data.tau * Math.max(1e-9, Math.abs(theta[s]!)));
    const a = gram.slice();
    for (let j = 0; j < width; j++) a[j * width + j]! += sigma * sigma * prior[j]!;
    const next = right.slice();
    if (!choleskySolve(a, next)) throw new ForecastError("data", "prophet: the columns depend on each other");
    const error = Math.max(0, squaredError(gram, right, square, next));
    sigma = bestSigma(error, rows);
    const moved = next.reduce((most, value, j) => Math.max(most, Math.abs(value - theta[j]!)), 0);
    theta = next;
    if (moved < 1e-8) break;
  }
  return {
    k: theta[0]!,
    m: theta[1]!,
    sigma,
    delta: theta.slice(2, 2 + changes),
    beta: theta.slice(2 + changes),
  };
}

/** |y - A theta|^2 from the lower triangle of A'A, A'y and |y|^2. */
function squaredError(gram: Float64Array, right: Float64Array, square: number, theta: Float64Array): number {
  const width = theta.length;
  let sum = square;
  for (let a = 0; a < width; a++) {
    sum -= 2 * theta[a]! * right[a]!;
    for (let b = 0; b < a; b++) sum += 2 * theta[a]! * theta[b]! * gram[a * width + b]!;
    sum += theta[a]! ** 2 * gram[a * width + a]!;
  }
  return sum;
}

/** Where n ln s + error / (2 s^2) + 2 s^2 is least: 4 s^4 + n s^2 = error. At least 1e-4, as an exact fit has none. */
function bestSigma(error: number, rows: number): number {
  return Math.max(1e-4, Math.sqrt((-rows + Math.sqrt(rows * rows + 16 * error)) / 8));
}

/** As augurs wants them, with the trend they give at the times of the data. */
export function toOptimized(p: ProphetParameters, data: ProphetStanData): ProphetOptimizedParams {
  const isFlat = data.trend_indicator === TREND_FLAT;
  const trend = Float64Array.from(data.t, (t) => {
    if (isFlat) return p.m;
    return p.delta.reduce((sum, d, s) => sum + d * Math.max(0, t - data.t_change[s]!), p.k * t + p.m);
  });
  const { k, m, sigma: sigmaObs, delta, beta } = p;
  return { k, m, sigmaObs, delta: delta.slice(), beta: beta.slice(), trend };
}
