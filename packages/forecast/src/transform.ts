import { ForecastError } from "./errors.ts";

/**
 * What a forecaster learns in place of the count y, given the seasonal expectation S of the same slot:
 * - `logRatio`: z = ln((y + c) / (S + c)), c = `offset` in counts; weight S + c. With L1 the weight makes the
 *   loss of z that of the count to first order: |y - f| ~ (S + c) |z - zf|.
 * - `log1pResidual`: z = ln(1 + y) - ln(1 + S), weight 1: for scores on ln(1 + y).
 * - `log`: z = ln(1 + y / c), c = `offset` in counts, weight 1; S is not read: for horizons beyond its reach.
 * - `identity`: z = y, weight 1; S is not read.
 */
export type TransformSpec =
  | { readonly name: "logRatio"; readonly offset: number }
  | { readonly name: "log1pResidual" }
  | { readonly name: "log"; readonly offset: number }
  | { readonly name: "identity" };

/** Increasing in y and z, so quantiles of z are quantiles of y. NaN in, NaN out. */
export interface Transform {
  forward(y: number, expectation: number): number;
  /** The count, at least 0. */
  inverse(z: number, expectation: number): number;
  weight(expectation: number): number;
}

/** @throws ForecastError `option` on an unknown name or an offset that is not above 0. */
export function transformOf(spec: TransformSpec): Transform {
  switch (spec.name) {
    case "logRatio": {
      const c = checkedOffset(spec.offset);
      return {
        forward: (y, s) => Math.log((y + c) / (s + c)),
        inverse: (z, s) => atLeastZero(Math.exp(z) * (s + c) - c),
        weight: (s) => s + c,
      };
    }
    case "log1pResidual":
      return {
        forward: (y, s) => Math.log1p(y) - Math.log1p(s),
        inverse: (z, s) => atLeastZero(Math.exp(z) * (1 + s) - 1),
        weight: () => 1,
      };
    case "log": {
      const c = checkedOffset(spec.offset);
      return {
        forward: (y) => Math.log1p(y / c),
        inverse: (z) => atLeastZero(Math.expm1(z) * c),
        weight: () => 1,
      };
    }
    case "identity":
      return { forward: (y) => y, inverse: atLeastZero, weight: () => 1 };
    default:
      throw new ForecastError("option", `unknown transform ${JSON.stringify(spec satisfies never)}`);
  }
}

function checkedOffset(c: number): number {
  if (c > 0 && Number.isFinite(c)) return c;
  throw new ForecastError("option", `transform offset is ${c}, expected above 0: a count can be 0`);
}

/** Whether the transform departs from a seasonal expectation. */
export const readsExpectation = ({ name }: TransformSpec): boolean => name !== "identity" && name !== "log";

/** Not Math.max(value, 0), which may return -0 for it; NaN stays NaN. */
function atLeastZero(value: number): number {
  return value <= 0 ? 0 : value;
}
