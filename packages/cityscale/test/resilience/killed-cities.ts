import type { GenerativeBikeShare, GenerativeCity } from "@cityscale/simulator";
import type { CityDeclaration } from "../../src/domain/index.ts";
import type { Stage } from "./app-process.ts";
import { type Checked, checkFolder } from "./invariants.ts";
import { checkShare } from "./share-invariants.ts";
import * as share from "./share-town.ts";
import { declaration, generated, served, testStart } from "./small-city.ts";

/** A city whose processes are killed. */
export interface KilledCity {
  readonly declaration: CityDeclaration;
  readonly generated: GenerativeCity | GenerativeBikeShare;
  /** Names of the sources that the simulator serves. */
  readonly sources: readonly string[];
  /** Virtual instant at which the first process starts, ms UTC, and virtual milliseconds in a real one. */
  readonly start: number;
  readonly speed: number;
  /** Steps of its loop that a kill can be aimed at. */
  readonly stages: readonly Stage[];
  /** Looks at everything in a data folder after its last process has stopped at `now`. */
  check(home: string, simulator: string, now: number): Promise<Checked>;
}

/** Counters: training and promotion among its steps. */
export const smallTown: KilledCity = {
  declaration,
  generated,
  sources: served,
  start: testStart,
  speed: 1800,
  stages: [
    "open",
    "append",
    "merge",
    "export",
    "training",
    "artifact",
    "version",
    "promotion",
    "batch",
    "outcomes",
  ],
  check: checkFolder,
};

/** A bike share: forecasts of every origin, kept profiles and removal among its steps. */
export const shareTown: KilledCity = {
  declaration: share.declaration,
  generated: share.generated,
  sources: ["stations"],
  start: testStart,
  // Three hours a second: days pass, are settled and go.
  speed: 10_800,
  stages: ["open", "append", "merge", "batch", "profiles", "outcomes", "retention"],
  check: checkShare,
};
