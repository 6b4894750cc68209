import type { CityDeclaration } from "./city.ts";
import { levelNames } from "./vocabulary.ts";

/** Minutes ahead at which a dispatcher can still do something. */
const horizons = [30, 60, 120] as const;

/** The binary targets of a bike share: fewer than three bikes, or docks, at any moment of each horizon. */
export function stockOutTargets(): CityDeclaration["targets"] {
  return Object.fromEntries(
    levelNames.flatMap((measure) =>
      horizons.map((minutes) => [
        `${measure}-out-${minutes}`,
        { kind: "binary" as const, measure, horizon: `${minutes}m`, below: 3 },
      ]),
    ),
  );
}
