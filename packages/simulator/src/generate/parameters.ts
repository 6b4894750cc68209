import { normal, uniform } from "../random.ts";

/** What a place is, which decides the shape of its days and how it answers to weather and holidays. */
export type Kind = "office" | "retail" | "station" | "leisure" | "nightlife" | "campus";
export const KINDS: readonly Kind[] = ["office", "retail", "station", "leisure", "nightlife", "campus"];

/** A generated city. Whatever is left out comes from `sydneyPedestrians`. */
export interface GenerativeCity {
  id: string;
  timeZone?: string;
  /** For public holidays, as the `date-holidays` package names them. */
  country?: string;
  region?: string;
  latitude?: number;
  longitude?: number;
  /** How many counters. */
  entities?: number;
  /** How many years of hours there are when the simulator starts. */
  years?: number;
  /** The first hour of history; without it, `years` before the clock at the start. */
  startMs?: number;
  /** Relative frequency of each kind of place. */
  kinds?: Partial<Record<Kind, number>>;
  /** Median count in a busy weekday hour, and the spread (sd of its logarithm) over places. */
  baseLevel?: number;
  baseSpread?: number;
  /** Strengths, 1 = as drawn, 0 = none. */
  weatherStrength?: number;
  holidayStrength?: number;
  schoolStrength?: number;
  eventStrength?: number;
  driftStrength?: number;
  shockStrength?: number;
  /** Counts have variance mean + overdispersion * mean^2. */
  overdispersion?: number;
  eventsPerYear?: Partial<Record<"stadium" | "concert" | "festival", number>>;
  /** Minutes after the end of its hour at which an ordinary count is published. */
  delayMinutes?: number;
  /** Share of rows that come hours late by themselves. */
  lateShare?: number;
  /** Spells, per counter and year: rows absent; rows zero; rows held back and then sent together. */
  outagesPerYear?: number;
  stuckZerosPerYear?: number;
  lateSpellsPerYear?: number;
  /** Outages of the whole network per year. */
  cityOutagesPerYear?: number;
  /** Share of rows published too low and corrected days later; share published twice. */
  correctionShare?: number;
  duplicateShare?: number;
  /** How many counters open, move and retire within the history. */
  opens?: number;
  moves?: number;
  retires?: number;
  climate?: Partial<Climate>;
}

export interface Climate {
  meanC: number;
  /** Half the difference between the warmest and the coldest month's mean. */
  seasonC: number;
  diurnalC: number;
  /** Standard deviation of the passing weather around the season. */
  synopticC: number;
  /** Share of hours with rain. */
  wetShare: number;
  /** Mean rain of a wet hour, mm. */
  rainMm: number;
  windKmh: number;
}

export type CityParameters = Required<
  Omit<GenerativeCity, "startMs" | "kinds" | "eventsPerYear" | "climate">
> & {
  startMs: number;
  kinds: Record<Kind, number>;
  eventsPerYear: Record<"stadium" | "concert" | "festival", number>;
  climate: Climate;
};

export const sydneyPedestrians: Omit<CityParameters, "startMs"> = {
  id: "sydney-pedestrians",
  timeZone: "Australia/Sydney",
  country: "AU",
  region: "NSW",
  latitude: -33.87,
  longitude: 151.207,
  entities: 60,
  years: 2,
  kinds: { office: 0.24, retail: 0.24, station: 0.16, leisure: 0.16, nightlife: 0.12, campus: 0.08 },
  baseLevel: 700,
  baseSpread: 0.7,
  weatherStrength: 1,
  holidayStrength: 1,
  schoolStrength: 1,
  eventStrength: 1,
  driftStrength: 1,
  shockStrength: 1,
  overdispersion: 0.006,
  eventsPerYear: { stadium: 45, concert: 60, festival: 10 },
  delayMinutes: 8,
  lateShare: 0.002,
  outagesPerYear: 3,
  stuckZerosPerYear: 0.25,
  lateSpellsPerYear: 2,
  cityOutagesPerYear: 1,
  correctionShare: 0.001,
  duplicateShare: 0.0003,
  opens: 1,
  moves: 1,
  retires: 1,
  climate: {
    meanC: 18.2,
    seasonC: 5.3,
    diurnalC: 3.6,
    synopticC: 2.9,
    wetShare: 0.11,
    rainMm: 0.85,
    windKmh: 14,
  },
};

/** Every parameter of a city, the Sydney ones where it names none. Southern seasons follow from the latitude. */
export function resolveCity(city: GenerativeCity, nowMs: number): CityParameters {
  const { kinds, eventsPerYear, climate, startMs, ...rest } = city;
  const merged = { ...sydneyPedestrians, ...rest };
  // Without a region a country other than the default one means the whole country.
  if (city.country !== undefined && city.region === undefined) merged.region = "";
  const DAY = 86_400_000;
  return {
    ...merged,
    kinds: { ...sydneyPedestrians.kinds, ...kinds },
    eventsPerYear: { ...sydneyPedestrians.eventsPerYear, ...eventsPerYear },
    climate: { ...sydneyPedestrians.climate, ...climate },
    startMs: startMs ?? Math.floor(nowMs / DAY) * DAY - Math.round(merged.years * 365.25) * DAY,
  };
}

/** A place with a counter, as drawn. */
export interface Place {
  id: string;
  name: string;
  kind: Kind;
  lat: number;
  lon: number;
  /** Busy weekday hour's mean count. */
  base: number;
  /** How much of each response this place shows, around 1. */
  weatherScale: number;
  holidayScale: number;
  schoolScale: number;
  driftSd: number;
  overdispersion: number;
  openedMs: number;
  retiredMs: number;
  /** From `atMs` on the counter stands elsewhere and sees `factor` times as many people. */
  move: { atMs: number; lat: number; lon: number; factor: number } | null;
}

const WAYS = [
  "Harbour",
  "George",
  "Mill",
  "Queen",
  "Market",
  "Elizabeth",
  "Spring",
  "Bridge",
  "Castle",
  "Regent",
];
const SPOTS: Record<Kind, readonly string[]> = {
  office: ["Street", "Place", "Square"],
  retail: ["Arcade", "Mall", "Street North"],
  station: ["Station East", "Station West", "Interchange"],
  leisure: ["Gardens", "Foreshore", "Park"],
  nightlife: ["Lane", "Quay", "Corner"],
  campus: ["College", "Campus Walk", "Library"],
};

/** Draws the places of a city: kinds, positions, levels and lives. The same seed gives the same places. */
export function drawParameters(seed: number, city: CityParameters): Place[] {
  const total = KINDS.reduce((sum, kind) => sum + city.kinds[kind], 0);
  const places: Place[] = [];
  const never = Number.POSITIVE_INFINITY;
  for (let e = 0; e < city.entities; e++) {
    let pick = uniform(seed, 1, e, 0) * total;
    let kind: Kind = "office";
    for (const candidate of KINDS) {
      kind = candidate;
      pick -= city.kinds[candidate];
      if (pick < 0) break;
    }
    const spots = SPOTS[kind];
    const way = WAYS[Math.floor(uniform(seed, 1, e, 1) * WAYS.length)]!;
    const spot = spots[Math.floor(uniform(seed, 1, e, 2) * spots.length)]!;
    places.push({
      id: `A${String(e + 1).padStart(3, "0")}`,
      name: `${way} ${spot} ${e + 1}`,
      kind,
      lat: round6(city.latitude + 0.011 * normal(seed, 1, e, 3)),
      lon: round6(city.longitude + 0.011 * normal(seed, 1, e, 4)),
      base: city.baseLevel * Math.exp(city.baseSpread * normal(seed, 1, e, 5)),
      weatherScale: Math.exp(0.25 * normal(seed, 1, e, 6)),
      holidayScale: Math.exp(0.15 * normal(seed, 1, e, 7)),
      schoolScale: Math.exp(0.3 * normal(seed, 1, e, 8)),
      driftSd: 0.1 * Math.exp(0.4 * normal(seed, 1, e, 9)),
      overdispersion: city.overdispersion * Math.exp(0.5 * normal(seed, 1, e, 10)),
      openedMs: -never,
      retiredMs: never,
      move: null,
    });
  }
  const spanMs = city.years * 365.25 * 86_400_000;
  const at = (n: number, from: number, to: number) => {
    const share = from + (to - from) * uniform(seed, 2, n, 0);
    return city.startMs + Math.floor((share * spanMs) / 86_400_000) * 86_400_000;
  };
  // Lives go to different places, counted from the last one.
  let next = places.length - 1;
  for (let n = 0; n < city.opens && next >= 0; n++, next--) places[next]!.openedMs = at(next, 0.3, 0.7);
  for (let n = 0; n < city.moves && next >= 0; n++, next--) {
    const place = places[next]!;
    place.move = {
      atMs: at(next, 0.3, 0.7),
      lat: round6(place.lat + 0.002 * normal(seed, 2, next, 1)),
      lon: round6(place.lon + 0.002 * normal(seed, 2, next, 2)),
      factor: Math.exp(0.4 * normal(seed, 2, next, 3)),
    };
  }
  for (let n = 0; n < city.retires && next >= 0; n++, next--) places[next]!.retiredMs = at(next, 0.6, 0.9);
  return places;
}

function round6(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
