import { createHash } from "node:crypto";
import { inForceAfterMs, type LevelTarget, levelColumnsOf, profileDays } from "../../features/index.ts";

/** Counts up when the columns mean something else under the same names. */
const definition = 1;

/** The features of a binary target, as a model version pins them; `id` hashes all that gives them meaning. */
export interface StockOutView {
  readonly id: string;
  readonly columns: readonly string[];
}

export function stockOutView(target: LevelTarget, withWeather: boolean): StockOutView {
  const view = { columns: levelColumnsOf(withWeather) };
  const id = createHash("sha256")
    .update(JSON.stringify({ definition, target, profileDays, inForceAfterMs, ...view }))
    .digest("hex")
    .slice(0, 16);
  return { id, ...view };
}
