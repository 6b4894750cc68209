export { buildFeatures, type FeatureSet } from "./build.ts";
export { eventLoadNames, isFar, type ViewPart, viewParts } from "./columns.ts";
export { deadZerosSql } from "./dead-zeros.ts";
export {
  capacityAt,
  comingInstant,
  distanceKm,
  type FallProfile,
  type FallProfiles,
  featureMemoryMs,
  hasWeather,
  inForceAfterMs,
  KeptProfiles,
  LevelHistory,
  type LevelRange,
  type LevelRows,
  type Levels,
  type LevelTarget,
  LevelWindow,
  levelColumnsOf,
  levelHistory,
  type Outcomes,
  type ProfileOptions,
  profileDays,
  profileInstant,
  profileMemoryMs,
  publicHolidays,
  readLevels,
  type Station,
} from "./levels/index.ts";
export { type OnlineStore, type OnlineVectors, openOnlineStore } from "./online.ts";
export type { FeatureRequest, WeatherMode, WhatIf } from "./request.ts";
export { createView, type FeatureView } from "./view.ts";
