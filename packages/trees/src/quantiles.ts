/** Quantiles by selection. Both functions reorder what they are given; results do not depend on its order. */

/** Puts the k-th smallest (0-based) of values[from, to) at from + k, smaller ones before it; returns it. */
export function select(values: Float64Array, from: number, to: number, k: number): number {
  let low = from;
  let high = to - 1;
  const at = from + k;
  while (low < high) {
    const pivot = medianOfThree(values[low]!, values[(low + high) >> 1]!, values[high]!);
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const t = values[i]!;
      values[i++] = values[j]!;
      values[j--] = t;
    }
    if (at <= j) high = j;
    else if (at >= i) low = i;
    else break;
  }
  return values[at]!;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** The alpha-quantile of values[from, to), interpolated as LightGBM's PercentileFun does. */
export function quantile(values: Float64Array, from: number, to: number, alpha: number): number {
  const n = to - from;
  if (n === 1) return values[from]!;
  // LightGBM counts from the largest down: position (1 - alpha) n, between two order statistics.
  const position = (1 - alpha) * n;
  const whole = Math.floor(position);
  if (whole < 1) return select(values, from, to, n - 1);
  if (whole >= n) return select(values, from, to, 0);
  const upper = select(values, from, to, n - whole);
  let lower = -Infinity;
  for (let i = from; i < from + n - whole; i++) if (values[i]! > lower) lower = values[i]!;
  return upper - (upper - lower) * (position - whole);
}

/**
 * The smallest value whose cumulated weight passes alpha of the total. Weights must be whole numbers with a sum
 * below 2^53, so that sums are exact in any order.
 */
export function weightedQuantile(
  values: Float64Array,
  weights: Float64Array,
  from: number,
  to: number,
  alpha: number,
): number {
  let total = 0;
  for (let i = from; i < to; i++) total += weights[i]!;
  let target = total * alpha;
  let low = from;
  let high = to - 1;
  while (low < high) {
    const pivot = medianOfThree(values[low]!, values[(low + high) >> 1]!, values[high]!);
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      swap(values, i, j);
      swap(weights, i, j);
      i++;
      j--;
    }
    // [low, j] <= pivot, (j, i) equal it, [i, high] >= pivot.
    let below = 0;
    for (let k = low; k <= j; k++) below += weights[k]!;
    if (below > target) {
      high = j;
      continue;
    }
    for (let k = j + 1; k < i; k++) below += weights[k]!;
    if (below > target || i > high) return pivot;
    target -= below;
    low = i;
  }
  return values[low]!;
}

function swap(a: Float64Array, i: number, j: number): void {
  const t = a[i]!;
  a[i] = a[j]!;
  a[j] = t;
}
