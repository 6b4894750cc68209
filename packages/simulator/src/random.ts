/**
 * Random numbers by key instead of by order: the same key gives the same number whatever was drawn before,
 * so any hour of any place can be made alone and comes out the same.
 */

/** 32 well-mixed bits of four integers (the finaliser of MurmurHash3 between multiplications). */
export function hash4(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 13)) + b, 0xc2b2ae35);
  h = Math.imul((h ^ (h >>> 16)) + c, 0x27d4eb2f);
  h = Math.imul((h ^ (h >>> 15)) + d, 0x165667b1);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Uniform in (0, 1), never 0 or 1. */
export function uniform(seed: number, stream: number, i: number, j: number): number {
  return (hash4(seed, stream, i, j) + 0.5) / 4294967296;
}

/** Standard normal. */
export function normal(seed: number, stream: number, i: number, j: number): number {
  return normalQuantile((hash4(seed, stream, i, j) + 0.5) / 4294967296);
}

/** Inverse of the normal distribution (P. J. Acklam's rational approximation, relative error < 1.2e-9). */
export function normalQuantile(p: number): number {
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return tail(q);
  }
  if (p > 1 - 0.02425) {
    const q = Math.sqrt(-2 * Math.log(1 - p));
    return -tail(q);
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    ((((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.357751867269) * r -
      30.66479806614716) *
      r +
      2.506628277459239) *
      q) /
    (((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r -
      13.28068155288572) *
      r +
      1)
  );
}

function tail(q: number): number {
  return (
    (((((-0.007784894002430293 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) *
      q +
      4.374664141464968) *
      q +
      2.938163982698783) /
    ((((0.007784695709041462 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q +
      1)
  );
}

/** A count with the given mean and variance mean + overdispersion * mean^2 (negative binomial). */
export function negativeBinomial(mean: number, overdispersion: number, u: number): number {
  if (mean <= 0) return 0;
  if (mean >= 40) {
    // The cube-root normal approximation (Wilson and Hilferty) of a gamma with the same two moments.
    const variance = mean + overdispersion * mean * mean;
    const shape = (mean * mean) / variance;
    const root = 1 - 1 / (9 * shape) + normalQuantile(u) / (3 * Math.sqrt(shape));
    return root <= 0 ? 0 : Math.round(mean * root * root * root);
  }
  const size = 1 / Math.max(overdispersion, 1e-6);
  const q = mean / (mean + size);
  let p = Math.exp(-size * Math.log1p(mean / size));
  let sum = p;
  let count = 0;
  while (sum < u && count < 2000) {
    p *= (q * (size + count)) / (count + 1);
    count++;
    sum += p;
  }
  return count;
}

/** A Poisson number for small means. */
export function poisson(mean: number, u: number): number {
  let p = Math.exp(-mean);
  let sum = p;
  let count = 0;
  while (sum < u && count < 1000) {
    count++;
    p *= mean / count;
    sum += p;
  }
  return count;
}

/** Smooth noise with variance about 1: independent normals at whole `x`, cosine-interpolated between. */
export function smoothNoise(seed: number, stream: number, i: number, x: number): number {
  const knot = Math.floor(x);
  const w = 0.5 - 0.5 * Math.cos(Math.PI * (x - knot));
  const a = normal(seed, stream, i, knot);
  const b = normal(seed, stream, i, knot + 1);
  return ((1 - w) * a + w * b) / Math.sqrt((1 - w) * (1 - w) + w * w);
}
