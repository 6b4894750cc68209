import { mondayOf } from "./slots.ts";

/**
 * Profiles of what was known on a local Monday at 00:00 come into force so long after it, at 06:00: to make them takes
 * seconds, and no batch is to wait until they are made. They are the same for an origin whenever they were made.
 */
export const inForceAfterMs = 6 * 3_600_000;

/** The instant (ms UTC) of whose knowledge the profiles in force at an origin are. */
export const profileInstant = (timeZone: string, origin: number): number =>
  mondayOf(timeZone, origin - inForceAfterMs);

/** The instant of profiles that can be made by now and are not in force yet; null where there are none. */
export function comingInstant(timeZone: string, now: number): number | null {
  const coming = mondayOf(timeZone, now);
  return coming > profileInstant(timeZone, now) ? coming : null;
}
