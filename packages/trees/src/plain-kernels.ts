import { type KernelArguments, outside, perDraw, perHalfDraw, rounder } from "./kernel-arguments.ts";
import { mix } from "./random.ts";

/** See `Kernels.partition`. Without a branch on the data: both targets are written, one of them moves on. */
export function partition(given: KernelArguments, from: number, to: number, column: number): number {
  const { rows, spareRows, bins, table } = given;
  let left = from;
  let right = 0;
  for (let i = from; i < to; i++) {
    const row = rows[i]!;
    const goes = table[bins[column + row]!]!;
    rows[left] = row;
    spareRows[right] = row;
    left += goes;
    right += 1 - goes;
  }
  rows.set(spareRows.subarray(0, right), left);
  return left - from;
}

/** See `Kernels.quantise`. */
export function quantise(
  given: KernelArguments,
  n: number,
  row: number,
  gradientScale: number,
  hessianScale: number,
  key: number,
): void {
  const { records, gradient, hessian, derivatives } = given;
  const { ints, stride, binWords, constantHessian } = records;
  for (let i = 0, at = row * stride + binWords; i < n; i++, at += stride) {
    const draw = mix(key + i);
    ints[at] = Math.floor(gradient[i]! * gradientScale + draw * perDraw);
    if (!constantHessian)
      ints[at + 1] = Math.floor(hessian[i]! * hessianScale + (draw & 65535) * perHalfDraw);
    if (derivatives) {
      derivatives[(row + i) * 2] = gradient[i]! * gradientScale;
      derivatives[(row + i) * 2 + 1] = hessian[i]! * hessianScale;
    }
  }
}

/** See `Kernels.sumDerivatives`. */
export function sumDerivatives(
  given: KernelArguments,
  from: number,
  to: number,
  gs: number,
  hs: number,
): void {
  const { leafOf, leafSums } = given;
  const derivatives = given.derivatives!;
  for (let i = from; i < to; i++) {
    const leaf = leafOf[i]!;
    const k = leaf === outside ? leafSums.length - 2 : leaf * 2;
    leafSums[k] = leafSums[k]! + (derivatives[i * 2]! * gs + rounder - rounder);
    leafSums[k + 1] = leafSums[k + 1]! + (derivatives[i * 2 + 1]! * hs + rounder - rounder);
  }
}
