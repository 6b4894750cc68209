import {
  createManualClock,
  createMetrics,
  type ManualClock,
  openDatabase,
  silentLog,
} from "../../src/core/index.ts";
import { createJobs, type Jobs, type JobsParts } from "../../src/jobs/index.ts";

export const start = Date.parse("2021-06-01T00:00:00Z");

export interface Engine {
  readonly jobs: Jobs;
  readonly clock: ManualClock;
  readonly parts: JobsParts;
}

/** An engine on a clock that stands, with its own database, cleaned up at the end of the body. */
export async function withEngine(
  body: (engine: Engine) => Promise<void>,
  more: Partial<JobsParts> = {},
): Promise<void> {
  const clock = createManualClock(start);
  const database = await openDatabase(":memory:");
  const parts = { database, clock, log: silentLog, metrics: createMetrics(), ...more };
  const jobs = createJobs(parts);
  try {
    await body({ jobs, clock, parts });
  } finally {
    await jobs.stop({ graceMs: 0 });
    await database.close();
  }
}

/** A promise and what settles it. */
export function gate<T = void>() {
  return Promise.withResolvers<T>();
}
