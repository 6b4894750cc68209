export { buildFeatures, type FeatureSet } from "./build.ts";
export { type ViewPart, viewParts } from "./columns.ts";
export { type OnlineStore, type OnlineVectors, openOnlineStore } from "./online.ts";
export type { FeatureRequest, WeatherMode, WhatIf } from "./request.ts";
export { createView, type FeatureView } from "./view.ts";
