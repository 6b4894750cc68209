/**
 * Random numbers as pure functions of (seed, what, index), so that the draw for a row does not depend on which
 * worker asks or in which order.
 */

/** Mixes 32 bits well (the finaliser of MurmurHash3). */
export function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** A key for a stream of draws. */
export function streamKey(seed: number, a: number, b = 0): number {
  return mix(mix(mix(seed | 0) + Math.imul(a, 0x9e3779b1)) + Math.imul(b, 0x7feb352d));
}

/** Uniform in [0, 1): draw number `index` of a stream. */
export function uniform(key: number, index: number): number {
  return mix(key + Math.imul(index, 0x9e3779b1)) * 2.3283064365386963e-10;
}

/** `count` distinct indices out of `from`, ascending. */
export function sampleIndices(key: number, from: readonly number[], count: number): number[] {
  const pool = from.slice();
  const n = Math.min(count, pool.length);
  for (let i = 0; i < n; i++) {
    const j = i + Math.floor(uniform(key, i) * (pool.length - i));
    const t = pool[i]!;
    pool[i] = pool[j]!;
    pool[j] = t;
  }
  return pool.slice(0, n).sort((a, b) => a - b);
}
