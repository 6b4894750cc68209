import type { InputParts } from "./inputs.ts";

/** All that a fitted network is. */
export interface NetworkParts {
  readonly inputs: InputParts;
  readonly hidden: readonly number[];
  readonly outputs: number;
  /** Outputs are multiplied by `scale`, then `center` is added. */
  readonly center: number;
  readonly scale: number;
  /** laid out as `Shape` says */
  readonly parameters: Float32Array;
}
