import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type StationOutlook, suggestMoves } from "../../src/models/index.ts";

const below = 3;
/** Falls by at least k: half as likely with each step. */
const halving = Array.from({ length: 16 }, (_, k) => 0.5 ** k);

function station(
  name: string,
  bikes: number,
  docks: number,
  more: Partial<StationOutlook> = {},
): StationOutlook {
  const side = (count: number) => ({
    count,
    risks: [0.4, 0.7, 1].map((share) => (count < below ? 1 : share * halving[Math.min(15, count - 2)]!)),
    falls: halving,
  });
  return {
    ...{ station: name, lat: 37.77, lon: -122.42, capacity: bikes + docks },
    ...{ bikes: side(bikes), docks: side(docks) },
    ...more,
  };
}

describe("suggested moves", () => {
  test("bring bikes from the nearest station that can spare them", () => {
    const plan = suggestMoves(
      [
        station("empty soon", 3, 20),
        station("far", 14, 14, { lat: 37.785 }),
        station("near", 14, 14, { lat: 37.772 }),
      ],
      { top: 1, below },
    );
    expect(plan).toHaveLength(1);
    expect(plan[0]).toMatchObject({ station: "empty soon", measure: "bikes", risk: 0.5, partner: "near" });
    // From a risk of 0.5, halved by each bike, 4 bring it under 0.05.
    expect(plan[0]!.bikes).toBe(4);
    // Short by 1 with 0.5, by 2 with 0.25, by 3 with 0.125.
    expect(plan[0]!.shortfall).toBeCloseTo(0.875, 12);
  });

  test("take bikes from a station that fills up, to one with docks", () => {
    const [move] = suggestMoves([station("full soon", 20, 4), station("roomy", 8, 20)], { top: 1, below });
    expect(move).toMatchObject({ station: "full soon", measure: "docks", bikes: -3, partner: "roomy" });
  });

  test("what has run out already is not told, what is out of reach gets no partner", () => {
    const plan = suggestMoves(
      [station("out", 2, 20), station("soon", 4, 20), station("far", 14, 14, { lat: 38 })],
      {
        top: 3,
        below,
      },
    );
    expect(plan.map(({ station }) => station)).toEqual(["soon", "far", "far"]);
    expect(plan[0]).toMatchObject({ bikes: 0, partner: null, distanceKm: null });
  });

  test("a partner is not asked twice for the same bikes", () => {
    const plan = suggestMoves([station("one", 3, 20), station("two", 3, 20), station("giver", 14, 14)], {
      top: 2,
      below,
      partnerRisk: 0.01,
    });
    // 12 spare: 0.5 ** 7 is the last risk under 0.01, so 5 in all.
    expect(plan.map(({ bikes }) => bikes)).toEqual([4, 1]);
  });

  test("no plan overfills, empties or endangers anyone", () => {
    const side = fc.record({
      count: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.constant(Number.NaN)),
      risks: fc
        .tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }))
        .map((risks) => risks.sort((a, b) => a - b)),
      falls: fc
        .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 15, maxLength: 15 })
        .map((falls) => [1, ...falls.sort((a, b) => b - a)]),
    });
    const outlook = fc.record({
      lat: fc.double({ min: 37.7, max: 37.75, noNaN: true }),
      lon: fc.constant(-122.4),
      capacity: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(Number.NaN)),
      bikes: side,
      docks: side,
    });
    fc.assert(
      fc.property(fc.array(outlook, { maxLength: 12 }), fc.integer({ min: 1, max: 12 }), (list, top) => {
        const outlooks = list.map((one, i) => ({ ...one, station: `s${i}` }));
        const plan = suggestMoves(outlooks, { top, below, partnerRisk: 0.02, withinKm: 2 });
        expect(plan.length).toBeLessThanOrEqual(top);
        const change = new Map<string, number>();
        const add = (name: string, bikes: number) => change.set(name, (change.get(name) ?? 0) + bikes);
        for (const { station, bikes, partner, urgency, shortfall, distanceKm } of plan) {
          expect(urgency).toBeGreaterThan(0);
          expect(shortfall).toBeLessThanOrEqual(below);
          expect(partner === null).toBe(bikes === 0);
          if (partner === null) continue;
          expect(plan.some((other) => other.station === partner)).toBe(false);
          expect(distanceKm!).toBeLessThanOrEqual(2);
          add(station, bikes);
          add(partner, -bikes);
        }
        for (const [i, move] of plan.entries())
          if (i > 0) expect(move.urgency).toBeLessThanOrEqual(plan[i - 1]!.urgency);
        for (const { station, bikes, docks, capacity } of outlooks) {
          const moved = change.get(station) ?? 0;
          if (moved === 0) continue;
          // Whoever gives a bike or a dock has the bound left.
          const left = moved < 0 ? bikes.count + moved : docks.count - moved;
          expect(left).toBeGreaterThanOrEqual(below);
          // Where the bikes are not known, the free docks have told that there is room.
          if (!Number.isNaN(capacity) && !Number.isNaN(bikes.count) && moved > 0)
            expect(bikes.count + moved).toBeLessThanOrEqual(capacity);
          if (plan.some((move) => move.station === station)) continue;
          const gives = moved < 0 ? bikes : docks;
          const spare = gives.count - (below - 1);
          const risk = gives.falls[Math.min(15, spare)]!;
          const after = gives.falls[Math.max(0, spare - Math.abs(moved))] ?? 0;
          if (risk > 0 && spare < 16)
            expect(gives.risks.at(-1)! * after).toBeLessThanOrEqual(0.02 * risk + 1e-12);
        }
      }),
    );
  });
});
