import type { Clock, Log, MetadataDatabase } from "../core/index.ts";
import type { Artifacts } from "./artifacts.ts";
import { type Calibrations, createCalibrations } from "./calibrations.ts";
import { createPromotions, type Promotions } from "./promotions.ts";
import { createRuns, type Runs } from "./runs.ts";
import { createVersions, type Versions } from "./versions.ts";

/** What was tried, what came of it, and who serves: runs, their artifacts, model versions, promotions, calibrations. */
export interface Registry {
  readonly runs: Runs;
  readonly versions: Versions;
  readonly promotions: Promotions;
  readonly calibrations: Calibrations;
  readonly artifacts: Artifacts;
}

export function createRegistry(parts: {
  database: MetadataDatabase;
  artifacts: Artifacts;
  clock: Clock;
  log: Log;
}): Registry {
  const { artifacts, clock, log } = parts;
  const { db } = parts.database;
  return {
    runs: createRuns({ db, clock }),
    versions: createVersions({ db, clock }),
    promotions: createPromotions({ db, clock, log }),
    calibrations: createCalibrations({ db, clock }),
    artifacts,
  };
}
