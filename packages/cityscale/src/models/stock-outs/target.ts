import { levelNames, parseDuration, type Target } from "../../domain/index.ts";
import type { LevelTarget } from "../../features/index.ts";

/** What a binary target asks of its level. Throws RangeError for any other target. */
export function levelTargetOf(target: Pick<Target, "name" | "measure" | "horizon" | "below">): LevelTarget {
  const measure = levelNames.find((name) => name === target.measure);
  if (measure === undefined || target.below === null) {
    throw new RangeError(`${target.name} is no binary target of a level`);
  }
  return { measure, horizonMs: parseDuration(target.horizon), below: target.below };
}
