import type { Interim } from "./pruner.ts";
import type { Space, ValuesOf } from "./space.ts";

/**
 * One evaluation of the objective; plain data, so that it can be stored.
 * - `complete`: `value` is what the objective returned
 * - `pruned`: stopped early; `value` is the last interim value
 * - `failed`: the objective returned no finite number; `value` is null
 */
export interface Trial<S extends Space> {
  /** from 0 */
  readonly index: number;
  readonly params: ValuesOf<S>;
  readonly state: "complete" | "pruned" | "failed";
  readonly value: number | null;
  readonly interim: readonly Interim[];
}
