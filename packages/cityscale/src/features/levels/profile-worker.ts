import { parentPort } from "node:worker_threads";
import type { FallProfiles } from "./fall-profile.ts";
import { LevelHistory } from "./history.ts";
import { buffersOf, type ProfileTask } from "./profiles.ts";

// The thread that computes profiles; see profiles.ts.

parentPort!.once("message", ({ levels, timeZone, holidays, targets, asOf }: ProfileTask) => {
  const profiles = new Array<FallProfiles>(targets.length);
  // What the history of one level holds is gone before the other's is made.
  for (const level of new Set(targets.map(({ measure }) => measure))) {
    const history = new LevelHistory(levels, timeZone, holidays);
    for (const [i, target] of targets.entries())
      if (target.measure === level) profiles[i] = history.profiles(target, asOf);
  }
  parentPort!.postMessage(
    profiles,
    profiles.flatMap(({ windows }) => windows.flatMap(buffersOf)),
  );
});
