/** Random numbers as functions of (seed, what, index): no draw depends on which worker asks, or when. */

/** Mixes 32 bits well (the finaliser of MurmurHash3). */
export function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const GOLDEN = 0x9e3779b1;

/** A key for a stream of draws. */
export function streamKey(seed: number, a: number, b = 0): number {
  return mix(mix(mix(seed | 0) + Math.imul(a, GOLDEN)) + Math.imul(b, 0x7feb352d));
}

/** 32 random bits: draw number `index` of a stream. */
export function bits(key: number, index: number): number {
  return mix(key + Math.imul(index, GOLDEN));
}

/** Uniform in (0, 1). */
export function uniform(key: number, index: number): number {
  return (bits(key, index) + 0.5) / 2 ** 32;
}

/** Standard normal, by the transform of Box and Muller. */
export function normal(key: number, index: number): number {
  const radius = Math.sqrt(-2 * Math.log(uniform(key, 2 * index)));
  return radius * Math.cos(2 * Math.PI * uniform(key, 2 * index + 1));
}

/** Shuffles in place (Fisher-Yates). */
export function shuffle(values: Int32Array, key: number): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(uniform(key, i) * (i + 1));
    const value = values[i]!;
    values[i] = values[j]!;
    values[j] = value;
  }
}
