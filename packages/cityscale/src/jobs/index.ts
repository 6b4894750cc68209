export { latestTime, nextTime, timesBetween } from "./cron.ts";
export { createJobs, type JobsParts } from "./queue.ts";
export {
  createSchedules,
  type Schedule,
  type ScheduledPayload,
  type ScheduleState,
  type Schedules,
} from "./schedules.ts";
export * from "./types.ts";
