import type { Loss } from "./options.ts";

/** A loss of labels that were divided by `scale`. */
export interface ScaledLoss {
  /** @param output which output: its quantile level counts */
  value(difference: number, output: number): number;
  /** The derivative of `value`. */
  slope(difference: number, output: number): number;
  /** Times this, a value is in units of the label (squared: in their square). */
  readonly unit: number;
}

export function scaledLoss(loss: Loss, scale: number): ScaledLoss {
  if (loss.kind === "squared") return { value: (d) => (d * d) / 2, slope: (d) => d, unit: scale * scale };
  const delta = loss.delta / scale;
  const value = (d: number) => (Math.abs(d) <= delta ? (d * d) / (2 * delta) : Math.abs(d) - delta / 2);
  const slope = (d: number) => Math.min(1, Math.max(-1, d / delta));
  if (loss.kind === "smoothL1") return { value, slope, unit: scale };
  const { levels } = loss;
  const share = (d: number, k: number) => (d > 0 ? 1 - levels[k]! : levels[k]!);
  return { value: (d, k) => share(d, k) * value(d), slope: (d, k) => share(d, k) * slope(d), unit: scale };
}
