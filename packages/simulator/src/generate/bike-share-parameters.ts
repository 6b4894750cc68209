import type { Climate } from "./parameters.ts";

/** A generated bike share. Whatever is left out comes from `nycBikeShare`. */
export interface GenerativeBikeShare {
  kind: "bike-share";
  id: string;
  name?: string;
  timeZone?: string;
  country?: string;
  region?: string;
  latitude?: number;
  longitude?: number;
  stations?: number;
  /** Days of snapshots that there are when the simulator starts. */
  days?: number;
  /** First instant of the history, ms; without it, `days` before the clock at the start. */
  startMs?: number;
  /** Departures from a station of the middle in an hour, over a week. */
  tripsPerHour?: number;
  /** Loads that trucks move in an hour. */
  truckLoadsPerHour?: number;
  /** Spells, per station and year: out of service; absent from the feed. */
  outagesPerYear?: number;
  absencesPerYear?: number;
  /** Share of stations whose docks become more or fewer in the history, and of those that get another id. */
  capacityChanges?: number;
  idChanges?: number;
  /** Spells per year in which the whole feed stands still, up to two and a half hours. */
  standstillsPerYear?: number;
  climate?: Partial<Climate>;
}

export type BikeShareParameters = Required<Omit<GenerativeBikeShare, "startMs" | "climate">> & {
  startMs: number;
  climate: Partial<Climate>;
};

export const nycBikeShare: Omit<BikeShareParameters, "startMs"> = {
  kind: "bike-share",
  id: "nyc-bikeshare",
  name: "New York bike share (generated)",
  timeZone: "America/New_York",
  country: "US",
  region: "NY",
  latitude: 40.735,
  longitude: -73.985,
  stations: 600,
  days: 75,
  tripsPerHour: 2.4,
  truckLoadsPerHour: 8,
  outagesPerYear: 3,
  absencesPerYear: 1.5,
  capacityChanges: 0.03,
  idChanges: 0.005,
  standstillsPerYear: 25,
  climate: { meanC: 13, seasonC: 12, diurnalC: 8, synopticC: 5, wetShare: 0.09, rainMm: 1.6, windKmh: 15 },
};

const DAY_MS = 86_400_000;

/**
 * @param nowMs where the history ends if it is not said where it starts; it then starts at midnight UTC
 * @throws RangeError for more stations than a batch of rows holds
 */
export function resolveBikeShare(spec: GenerativeBikeShare, nowMs: number): BikeShareParameters {
  if (spec.stations !== undefined && !(spec.stations > 0 && spec.stations <= 2000))
    throw new RangeError(`a bike share has 1 to 2000 stations, not ${spec.stations}`);
  const days = spec.days ?? nycBikeShare.days;
  const startMs = spec.startMs ?? Math.floor(nowMs / DAY_MS - days) * DAY_MS;
  return { ...nycBikeShare, ...spec, days, startMs, climate: { ...nycBikeShare.climate, ...spec.climate } };
}
