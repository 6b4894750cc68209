export { levelColumnsOf } from "./columns.ts";
export { type FallProfile, type FallProfiles, profileDays } from "./fall-profile.ts";
export {
  featureMemoryMs,
  LevelHistory,
  type LevelRows,
  type LevelTarget,
  levelHistory,
  profileMemoryMs,
  publicHolidays,
} from "./history.ts";
export { KeptProfiles } from "./kept-profiles.ts";
export {
  capacityAt,
  type LevelRange,
  type Levels,
  readLevels,
  type Station,
} from "./levels.ts";
export { distanceKm } from "./neighbours.ts";
export type { Outcomes } from "./outcomes.ts";
export { comingInstant, inForceAfterMs, profileInstant } from "./profile-instant.ts";
export type { ProfileOptions } from "./profiles.ts";
export { hasWeather } from "./weather.ts";
export { LevelWindow } from "./window.ts";
