import { parentPort } from "node:worker_threads";
import { LevelHistory } from "./history.ts";
import { buffersOf, type ProfileTask } from "./profiles.ts";

// The thread that computes profiles; see profiles.ts.

parentPort!.once("message", ({ levels, timeZone, holidays, targets, asOf }: ProfileTask) => {
  const history = new LevelHistory(levels, timeZone, holidays);
  const profiles = targets.map((target) => history.profiles(target, asOf));
  parentPort!.postMessage(
    profiles,
    profiles.flatMap(({ windows }) => windows.flatMap(buffersOf)),
  );
});
