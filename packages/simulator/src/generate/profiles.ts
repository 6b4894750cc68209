import { normal } from "../random.ts";
import { KINDS, type Kind } from "./parameters.ts";

/** A bump of people around an hour of some days: [days, hour, width h, height]. Hours past 24 are the next morning. */
type Bump = readonly [
  days: "week" | "fri" | "sat" | "sun" | "thu" | "all",
  hour: number,
  width: number,
  height: number,
];

const BUMPS: Record<Kind, readonly Bump[]> = {
  office: [
    ["all", 13, 4.5, 0.06],
    ["week", 8.4, 0.9, 0.95],
    ["week", 12.6, 1.0, 0.8],
    ["week", 17.4, 1.1, 1],
    ["sat", 13, 3, 0.14],
    ["sun", 13, 3, 0.1],
  ],
  retail: [
    ["week", 12.7, 1.5, 0.85],
    ["week", 16.8, 2.2, 0.7],
    ["week", 9.3, 1.2, 0.25],
    ["thu", 19.2, 1.4, 0.5],
    ["fri", 19, 1.6, 0.25],
    ["sat", 13.4, 2.7, 1.25],
    ["sun", 13.6, 2.4, 1],
  ],
  station: [
    ["all", 13, 5, 0.16],
    ["week", 8.1, 0.8, 1],
    ["week", 17.6, 1.1, 1.05],
    ["week", 12.8, 1.6, 0.2],
    ["fri", 22.5, 1.8, 0.16],
    ["sat", 15, 4, 0.33],
    ["sun", 14.5, 3.6, 0.26],
  ],
  leisure: [
    ["week", 6.8, 0.9, 0.25],
    ["week", 12.6, 1.3, 0.45],
    ["week", 17.8, 1.5, 0.45],
    ["all", 14, 4, 0.2],
    ["sat", 13.5, 3.2, 1],
    ["sun", 13.2, 3.1, 1.1],
  ],
  nightlife: [
    ["all", 13, 3, 0.2],
    ["week", 19.2, 1.8, 0.5],
    ["fri", 21.6, 2.2, 0.8],
    ["fri", 24.6, 1.8, 0.55],
    ["sat", 20.5, 2.3, 0.9],
    ["sat", 25, 2, 0.75],
    ["sun", 18, 2.2, 0.3],
  ],
  campus: [
    ["week", 9.2, 1.1, 0.8],
    ["week", 12.8, 1.9, 1],
    ["week", 16.6, 1.3, 0.7],
    ["sat", 13, 2.5, 0.1],
    ["sun", 13, 2.5, 0.07],
  ],
};

const DAYS: Record<Bump[0], readonly number[]> = {
  week: [0, 1, 2, 3, 4],
  thu: [3],
  fri: [4],
  sat: [5],
  sun: [6],
  all: [0, 1, 2, 3, 4, 5, 6],
};

/** Weekday factors, Monday first. */
const WEEKDAY: Record<Kind, readonly number[]> = {
  office: [0.9, 1.04, 1.06, 1.04, 0.88, 1, 1],
  retail: [0.9, 0.93, 0.95, 1.02, 1.06, 1, 1],
  station: [0.95, 1.02, 1.03, 1.03, 0.98, 1, 1],
  leisure: [0.93, 0.96, 0.98, 1, 1.06, 1, 1],
  nightlife: [0.7, 0.78, 0.9, 1.1, 1.2, 1, 1],
  campus: [1.02, 1.08, 1.05, 0.98, 0.72, 1, 1],
};

/**
 * One place's week: 168 hours from Monday 00, about 1 in its busy weekday hours. Two places of a kind differ in
 * the time of their bumps, their heights and widths, and a little in every hour.
 */
export function weekProfile(seed: number, entity: number, kind: Kind): Float64Array {
  const week = new Float64Array(168).fill(0.006);
  const k = KINDS.indexOf(kind);
  const shift = 0.25 * normal(seed, 10, entity, 0);
  BUMPS[kind].forEach(([days, hour, width, height], b) => {
    const at = hour + shift + 0.15 * normal(seed, 11, entity, b);
    const wide = width * Math.exp(0.12 * normal(seed, 12, entity, b));
    const high = height * Math.exp(0.25 * normal(seed, 13, entity, b));
    for (const day of DAYS[days]) {
      const factor = WEEKDAY[kind][day]! * Math.exp(0.03 * normal(seed, 14 + k, entity, day));
      // A count of hour h gathers the minutes from h to h + 1: its middle is h + 0.5.
      for (let h = -12; h < 36; h++) {
        const z = (h + 0.5 - at) / wide;
        if (Math.abs(z) < 5) week[(day * 24 + h + 168) % 168]! += factor * high * Math.exp(-0.5 * z * z);
      }
    }
  });
  for (let h = 0; h < 168; h++) week[h]! *= Math.exp(0.05 * normal(seed, 15, entity, h));
  return week;
}
