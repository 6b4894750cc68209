import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { localDay, localTimeOfDay } from "../../../src/domain/index.ts";
import {
  comingInstant,
  featureMemoryMs,
  profileDays,
  profileInstant,
  profileMemoryMs,
} from "../../../src/features/index.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const west = "America/Los_Angeles";
const local = (instant: number | null, timeZone: string) =>
  instant === null
    ? null
    : `${new Date(localDay(timeZone, instant) * dayMs).toISOString().slice(0, 10)} ${localTimeOfDay(timeZone, instant) / hourMs}`;

describe("profiles of what was known on Monday at 00:00", () => {
  // The clock was set forward on Sunday 2023-03-12, and back on Sunday 2023-11-05.
  test.each([
    ["a usual week, 05:59", west, "2023-04-17T12:59:59.999Z", "2023-04-10 0", "2023-04-17 0"],
    ["a usual week, 06:00", west, "2023-04-17T13:00:00Z", "2023-04-17 0", null],
    ["a week of 167 hours, 05:59", west, "2023-03-13T12:59:59.999Z", "2023-03-06 0", "2023-03-13 0"],
    ["a week of 167 hours, 06:00", west, "2023-03-13T13:00:00Z", "2023-03-13 0", null],
    ["a week of 169 hours, 05:59", west, "2023-11-06T13:59:59.999Z", "2023-10-30 0", "2023-11-06 0"],
    ["a week of 169 hours, 06:00", west, "2023-11-06T14:00:00Z", "2023-11-06 0", null],
    ["the last moment of Sunday", west, "2023-04-17T06:59:59.999Z", "2023-04-10 0", null],
    ["the first of Monday", west, "2023-04-17T07:00:00Z", "2023-04-10 0", "2023-04-17 0"],
    ["east of Greenwich", "Asia/Tokyo", "2023-04-16T20:59:59.999Z", "2023-04-10 0", "2023-04-17 0"],
    ["east of Greenwich, 06:00", "Asia/Tokyo", "2023-04-16T21:00:00Z", "2023-04-17 0", null],
  ])("come into force six hours later: %s", (_, timeZone, origin, inForce, coming) => {
    const at = Date.parse(origin);
    expect(local(profileInstant(timeZone, at), timeZone)).toBe(inForce);
    expect(local(comingInstant(timeZone, at), timeZone)).toBe(coming);
  });

  test("and all that features look at lie within the memory of every origin", () => {
    const zones = fc.constantFrom(west, "Europe/Paris", "Australia/Lord_Howe", "America/Santiago");
    const instants = fc.integer({ min: Date.UTC(2022, 0), max: Date.UTC(2026, 0) });
    fc.assert(
      fc.property(zones, instants, (timeZone, origin) => {
        const asOf = profileInstant(timeZone, origin);
        const coming = comingInstant(timeZone, origin);
        expect(asOf).toBeLessThanOrEqual(origin - 6 * hourMs);
        // Neighbours are stations seen in the week before; profiles read an hour more than their longest window.
        expect(origin - featureMemoryMs).toBeLessThan(asOf - 7 * dayMs);
        expect(origin - profileMemoryMs).toBeLessThan(asOf - profileDays[2] * dayMs - hourMs);
        if (coming !== null) {
          expect(coming).toBeLessThanOrEqual(origin);
          expect(profileInstant(timeZone, coming + 6 * hourMs)).toBe(coming);
          expect(profileInstant(timeZone, coming + 6 * hourMs - 1)).toBe(asOf);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
