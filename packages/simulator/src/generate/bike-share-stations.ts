import { normal, uniform } from "../random.ts";
import type { BikeShareParameters } from "./bike-share-parameters.ts";

/** A spell of ticks, the last one excluded. */
export interface Spell {
  from: number;
  to: number;
}

/** A place where bikes stand, with what will happen to it. Ticks count from the beginning of the history. */
export interface Dock {
  id: string;
  /** From this tick on it has another id; Infinity for never. */
  renamedAt: number;
  newId: string;
  name: string;
  shortName: string;
  lat: number;
  lon: number;
  region: string;
  capacity: number;
  /** From this tick on it has another number of docks; Infinity for never. */
  changedAt: number;
  newCapacity: number;
  /** How much is going on there, 1 in the middle. */
  popularity: number;
  /** Shares of homes, of offices, and of everything else; they add up to 1. */
  homes: number;
  offices: number;
  leisure: number;
  /** Out of service: no bike is taken or brought. */
  outages: Spell[];
  /** Not in the feed. */
  absences: Spell[];
}

const ticksPerDay = 144;
const regions = ["Manhattan", "Brooklyn", "Queens"] as const;

/**
 * Draws the stations around the middle: offices in it, homes around it.
 * @param ticks ticks for which spells are drawn
 */
export function drawStations(seed: number, city: BikeShareParameters, ticks: number): Dock[] {
  return Array.from({ length: city.stations }, (_, s): Dock => {
    const u = (stream: number) => uniform(seed, stream, s, 0);
    const distance = Math.sqrt(u(301));
    const angle = 2 * Math.PI * u(302);
    const offices = Math.max(0.05, Math.min(0.8, 0.75 - 0.8 * distance + 0.12 * normal(seed, 303, s, 0)));
    const leisure = 0.1 + 0.2 * u(304);
    const share = 1 / (1 + leisure);
    const capacity = Math.round(Math.max(12, Math.min(80, 27 * Math.exp(0.35 * normal(seed, 305, s, 0)))));
    const step = (u(306) < 0.5 ? -1 : 1) * (1 + Math.floor(u(307) * 8));
    const during = (stream: number, chance: number, spread: number) =>
      u(stream) < chance
        ? Math.floor(ticks * (0.1 + 0.8 * uniform(seed, spread, s, 1)))
        : Number.POSITIVE_INFINITY;
    return {
      // Some publishers number their stations beyond what a double holds.
      id:
        s % 20 === 7
          ? `17165408574100${String(10_000 + s).padStart(5, "0")}`
          : `nyc-${String(s + 1).padStart(4, "0")}`,
      renamedAt: during(308, city.idChanges, 309),
      newId: `nyc-${String(s + 1).padStart(4, "0")}-b`,
      name: `${1 + (s % 60)} St & ${1 + Math.floor(s / 60)} Av`,
      shortName: `${4000 + s}.${String(s % 97).padStart(2, "0")}`,
      lat: Number((city.latitude + 0.06 * distance * Math.sin(angle)).toFixed(6)),
      lon: Number((city.longitude + 0.05 * distance * Math.cos(angle)).toFixed(6)),
      region: regions[Math.floor(u(310) * regions.length)]!,
      capacity,
      changedAt: during(311, city.capacityChanges, 312),
      newCapacity: Math.max(8, capacity + step),
      popularity: Math.exp(0.6 * normal(seed, 313, s, 0)) * (capacity / 27) * 0.75,
      homes: share * (1 - offices),
      offices: share * offices,
      leisure: share * leisure,
      outages: drawSpells(seed, 314, s, ticks, city.outagesPerYear, [18, 288]),
      absences: drawSpells(seed, 316, s, ticks, city.absencesPerYear, [3, 200]),
    };
  });
}

/** Spells of a length between two, in ticks, as often a year; at most one in ten days. */
export function drawSpells(
  seed: number,
  stream: number,
  s: number,
  ticks: number,
  perYear: number,
  [shortest, longest]: readonly [number, number],
): Spell[] {
  const spells: Spell[] = [];
  const period = 10 * ticksPerDay;
  for (let p = 0; p * period < ticks; p++) {
    if (uniform(seed, stream, s, 2 * p) >= (perYear * 10) / 365) continue;
    const from = Math.floor((p + uniform(seed, stream + 1, s, 2 * p)) * period);
    const share = uniform(seed, stream + 1, s, 2 * p + 1);
    spells.push({ from, to: from + Math.round(shortest + (longest - shortest) * share * share) });
  }
  return spells;
}

export const within = (spells: readonly Spell[], tick: number): boolean =>
  spells.some(({ from, to }) => tick >= from && tick < to);
