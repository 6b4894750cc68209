import { localDay, localTimeOfDay, offsetMs, startOfLocalDay } from "./local-time.ts";

/**
 * The grid of steps on a city's local calendar. Steps have contiguous whole numbers `t`; a step shorter than a
 * day has a fixed length, a step of one day is the local day (23, 24 or 25 hours).
 */
export interface Grid {
  readonly timeZone: string;
  /** Nominal length of a step; a local day counts as 24 h. */
  readonly stepMs: number;
  readonly slotsPerDay: number;
  /** Step that contains an instant. */
  stepAt(at: number): number;
  /** Start and end of a step. */
  startOf(t: number): number;
  endOf(t: number): number;
  /** `localDay * slotsPerDay + slot`: the step's place on the wall clock. Repeated in autumn, skipped in spring. */
  keyOf(t: number): number;
  /** True when an instant is the start of a step. */
  isStart(at: number): boolean;
}

const dayMs = 86_400_000;

/** Throws RangeError when the step does not divide a day. */
export function createGrid(timeZone: string, stepMs: number): Grid {
  if (!(stepMs > 0) || dayMs % stepMs !== 0) {
    throw new RangeError(`a step of ${stepMs} ms does not divide a day; use for example 10m, 1h or 1d`);
  }
  const slotsPerDay = dayMs / stepMs;
  if (slotsPerDay === 1) {
    return {
      timeZone,
      stepMs,
      slotsPerDay,
      stepAt: (at) => localDay(timeZone, at),
      startOf: (t) => startOfLocalDay(timeZone, t),
      endOf: (t) => startOfLocalDay(timeZone, t + 1),
      keyOf: (t) => t,
      isStart: (at) => startOfLocalDay(timeZone, localDay(timeZone, at)) === at,
    };
  }
  // Zones with a half-hour offset have hours that begin at half past in UTC. A zone whose clock change is
  // shorter than the step (Lord Howe) keeps its winter or summer alignment of 2020.
  const shift = offsetMs(timeZone, Date.UTC(2020, 6, 1)) % stepMs;
  return {
    timeZone,
    stepMs,
    slotsPerDay,
    stepAt: (at) => Math.floor((at + shift) / stepMs),
    startOf: (t) => t * stepMs - shift,
    endOf: (t) => (t + 1) * stepMs - shift,
    keyOf: (t) => {
      const at = t * stepMs - shift;
      return localDay(timeZone, at) * slotsPerDay + Math.floor(localTimeOfDay(timeZone, at) / stepMs);
    },
    isStart: (at) => (((at + shift) % stepMs) + stepMs) % stepMs === 0,
  };
}
