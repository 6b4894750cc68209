import type { Fields } from "./container.ts";
import { ForecastError } from "./errors.ts";

/** An increasing correction of a probability, fitted on rows the model has not seen. Plain JSON. */
export type ProbabilityMap =
  | { readonly kind: "identity" }
  /** 1 / (1 + exp(-(slope logit(p) + intercept))) */
  | { readonly kind: "platt"; readonly slope: number; readonly intercept: number }
  /**
   * From each `x` to its `y`; between and beyond the knots log-odds are moved by as much as at the knots beside them, so
   * that a ranking stays as it is.
   */
  | { readonly kind: "isotonic"; readonly x: readonly number[]; readonly y: readonly number[] };

/** Rows to fit a map on: label 0 or 1, forecast probability, weight above 0. */
export interface Labelled {
  readonly y: Float64Array;
  readonly p: Float64Array;
  readonly weight: Float64Array;
}

/** Parts of the calibration rows, in row order, each of which a map has to improve. */
const blocks = 4;

/**
 * The map with the smallest log loss out of sample (it tells small probabilities apart, which a Brier score does not):
 * each candidate is fitted on three quarters of the rows and judged on the fourth, four times (quarters in row order,
 * because neighbouring rows resemble each other and would let isotonic overfit unseen), then the winner is fitted on
 * all rows. A map that makes any quarter worse than the model's own probabilities is no candidate: a level that a week
 * of rain moved is moved back by the sun.
 */
export function chooseMap(rows: Labelled): ProbabilityMap {
  const cuts = Array.from({ length: blocks + 1 }, (_, i) => Math.floor((i * rows.y.length) / blocks));
  const lossesOf = (fit: (rows: Labelled) => ProbabilityMap) =>
    cuts.slice(1).map((end, i) => logLoss(fit(without(rows, cuts[i]!, end)), slice(rows, cuts[i]!, end)));
  const plain = lossesOf(fitIdentity);
  const sum = (losses: readonly number[]) => losses.reduce((total, loss) => total + loss, 0);
  let best: ProbabilityMap = { kind: "identity" };
  let bestLoss = sum(plain);
  for (const fit of [fitPlatt, fitIsotonic]) {
    const losses = lossesOf(fit);
    if (losses.some((loss, i) => loss > plain[i]!) || sum(losses) >= bestLoss) continue;
    bestLoss = sum(losses);
    best = fit(rows);
  }
  return best;
}

/** Corrects `p` in place. */
export function applyMap(map: ProbabilityMap, p: Float64Array): Float64Array {
  if (map.kind === "platt") {
    for (let i = 0; i < p.length; i++) p[i] = sigmoid(map.slope * logit(p[i]!) + map.intercept);
  } else if (map.kind === "isotonic") {
    const x = Float64Array.from(map.x, logit);
    const shift = Float64Array.from(map.y, (y, k) => logit(y) - x[k]!);
    for (let i = 0; i < p.length; i++) {
      const at = logit(p[i]!);
      p[i] = sigmoid(at + interpolate(x, shift, at));
    }
  }
  return p;
}

/** @throws ForecastError `bytes` unless the fields are those of a map. */
export function readMap(fields: Fields): ProbabilityMap {
  const kind = fields.string("kind");
  if (kind === "identity") return { kind };
  if (kind === "platt") {
    const slope = fields.number("slope");
    if (!(slope > 0)) throw new ForecastError("bytes", `a Platt map with slope ${slope}`);
    return { kind, slope, intercept: fields.number("intercept") };
  }
  if (kind === "isotonic") {
    const x = fields.numbers("x");
    const y = fields.numbers("y");
    const rises = x.every((value, k) => k === 0 || (value > x[k - 1]! && y[k]! >= y[k - 1]!));
    if (x.length === 0 || x.length !== y.length || !rises || !(y[0]! >= 0 && y.at(-1)! <= 1)) {
      throw new ForecastError("bytes", "the knots of an isotonic map do not rise inside [0, 1]");
    }
    return { kind, x, y };
  }
  throw new ForecastError("bytes", `unknown probability map "${kind}"`);
}

function fitIdentity(): ProbabilityMap {
  return { kind: "identity" };
}

/**
 * Platt scaling by Newton's method on the weighted logistic loss, with Platt's smoothed labels (1999), which
 * keep it finite where the classes can be separated. The identity where the slope is not above 0: a map
 * that turns the ranking round says that the rows are too few.
 */
export function fitPlatt({ y, p, weight }: Labelled): ProbabilityMap {
  let positives = 0;
  for (let i = 0; i < y.length; i++) positives += y[i]!;
  const high = (positives + 1) / (positives + 2);
  const low = 1 / (y.length - positives + 2);
  let slope = 1;
  let intercept = 0;
  for (let step = 0; step < 50; step++) {
    let g0 = 0;
    let g1 = 0;
    let h00 = 1e-12;
    let h01 = 0;
    let h11 = 1e-12;
    for (let i = 0; i < y.length; i++) {
      const x = logit(p[i]!);
      const q = sigmoid(slope * x + intercept);
      const error = weight[i]! * (q - (y[i]! > 0.5 ? high : low));
      const curve = weight[i]! * q * (1 - q);
      g0 += error;
      g1 += error * x;
      h00 += curve;
      h01 += curve * x;
      h11 += curve * x * x;
    }
    const determinant = h00 * h11 - h01 * h01;
    if (!(determinant > 1e-12 * h00 * h11)) return { kind: "identity" }; // all p alike: no slope to find
    const down = (h00 * g1 - h01 * g0) / determinant;
    const over = (h11 * g0 - h01 * g1) / determinant;
    // A step of more than 2 on the logit scale is where Newton's method overshoots.
    const damp = Math.min(1, 2 / Math.max(Math.abs(down), Math.abs(over), 1e-300));
    slope -= damp * down;
    intercept -= damp * over;
    if (Math.abs(down) + Math.abs(over) < 1e-10) break;
  }
  return slope > 0 && Number.isFinite(intercept) ? { kind: "platt", slope, intercept } : { kind: "identity" };
}

/** Shares of the rows that isotonic regression pools first. */
const isotonicBins = 20;

/** Rows whose log-odds differ by less are taken as one: no map tells them apart, and nothing has to be sorted. */
const cellWidth = 1 / 256;
const widestOdds = 28;

/**
 * Isotonic regression by pooling adjacent violators, of bins of equal weight by `p`; a knot per pool at its mean `p`. A
 * twentieth of the rows tells how often the event comes at some probability; a pool of a few rows tells of chance, and
 * would tie what the model tells apart. Pools are kept off 0 and 1 by 1 / (n + 2): a few rows are no proof of certainty.
 */
export function fitIsotonic({ y, p, weight }: Labelled, bins = isotonicBins): ProbabilityMap {
  const cells = 2 * Math.ceil(widestOdds / cellWidth);
  const [weights, ps, ys] = [new Float64Array(cells), new Float64Array(cells), new Float64Array(cells)];
  for (let i = 0; i < y.length; i++) {
    const cell = Math.floor((logit(p[i]!) + widestOdds) / cellWidth);
    weights[cell]! += weight[i]!;
    ps[cell]! += weight[i]! * p[i]!;
    ys[cell]! += weight[i]! * y[i]!;
  }
  const total = weights.reduce((sum, value) => sum + value, 0);
  const binned: Pool[] = [];
  let [bin, before] = [-1, 0];
  for (let cell = 0; cell < cells; cell++) {
    const w = weights[cell]!;
    if (w === 0) continue;
    const of = { weight: w, x: ps[cell]! / w, y: ys[cell]! / w };
    const next = Math.min(bins - 1, Math.floor((bins * before) / total));
    if (next > bin) binned.push(of);
    else binned[binned.length - 1] = merge(binned.at(-1)!, of);
    bin = next;
    before += w;
  }
  const pools: Pool[] = [];
  for (let pool of binned) {
    for (let last = pools.at(-1); last && last.y >= pool.y; last = pools.at(-1)) {
      pools.pop();
      pool = merge(last, pool);
    }
    pools.push(pool);
  }
  if (pools.length === 0) return { kind: "identity" };
  const margin = 1 / (y.length + 2);
  return {
    kind: "isotonic",
    x: pools.map((pool) => pool.x),
    y: pools.map((pool) => Math.min(1 - margin, Math.max(margin, pool.y))),
  };
}

interface Pool {
  readonly weight: number;
  readonly x: number;
  readonly y: number;
}

function merge(a: Pool, b: Pool): Pool {
  const weight = a.weight + b.weight;
  const share = b.weight / weight;
  return { weight, x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y) };
}

/** Linear between the knots, constant beyond. */
function interpolate(x: Float64Array, y: Float64Array, at: number): number {
  if (Number.isNaN(at)) return at;
  if (at <= x[0]!) return y[0]!;
  if (at >= x[x.length - 1]!) return y[y.length - 1]!;
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle]! <= at) low = middle;
    else high = middle;
  }
  return y[low]! + ((at - x[low]!) / (x[high]! - x[low]!)) * (y[high]! - y[low]!);
}

function logLoss(map: ProbabilityMap, rows: Labelled): number {
  const p = applyMap(map, rows.p.slice());
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const came = rows.y[i]! > 0.5 ? p[i]! : 1 - p[i]!;
    sum -= rows.weight[i]! * Math.log(Math.max(1e-12, came));
  }
  return sum;
}

function slice(rows: Labelled, from: number, to: number): Labelled {
  return { y: rows.y.slice(from, to), p: rows.p.slice(from, to), weight: rows.weight.slice(from, to) };
}

function without(rows: Labelled, from: number, to: number): Labelled {
  const rest = (values: Float64Array) => values.filter((_, i) => i < from || i >= to);
  return { y: rest(rows.y), p: rest(rows.p), weight: rest(rows.weight) };
}

function logit(p: number): number {
  const inside = Math.min(1 - 1e-12, Math.max(1e-12, p));
  return Math.log(inside / (1 - inside));
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
