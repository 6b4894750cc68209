import { describe, expect, test } from "vitest";
import {
  type ColdStartOptions,
  coldStart,
  coldStartErrors,
  type Donor,
  type Place,
  scores,
  widened,
} from "../src/index.ts";
import { normalOf, randomOf } from "../src/random.ts";

const HOURS = 24;
const DAYS = 20;
const hours = (days: number, first = 0) =>
  Int32Array.from({ length: days * HOURS }, (_, i) => (first + i) % HOURS);
const options: ColdStartOptions = {
  bandwidthKm: 2,
  otherKind: 0.05,
  groupings: [{ past: hours(DAYS), ahead: hours(1) }],
};
const plain: ColdStartOptions = { ...options, groupings: [] };

/** Two kinds with their own day, levels that differ between entities and rise to the east; all share a day's shock. */
function world(seed: number, count: number) {
  const random = randomOf(seed);
  const normal = normalOf(random);
  const shocks = Array.from({ length: DAYS + 1 }, () => 0.2 * normal());
  return Array.from({ length: count }, (_, e): Donor => {
    const kind = e % 2 === 0 ? "commute" : "leisure";
    const [lat, lon] = [48.85 + 0.05 * random(), 2.3 + 0.1 * random()];
    const level = 4 + 10 * (lon - 2.35) + 0.4 * normal();
    const own = Array.from({ length: HOURS }, () => 0.2 * normal());
    const shape = (h: number) => (kind === "commute" ? Math.cos((h - 8) / 2) : Math.sin((h - 6) / 4));
    const counts = Float64Array.from({ length: (DAYS + 1) * HOURS }, (_, i) => {
      const h = i % HOURS;
      const log = level + 0.8 * shape(h) + own[h]! + shocks[Math.floor(i / HOURS)]! + 0.1 * normal();
      return Math.max(0, Math.expm1(log));
    });
    const point = counts.slice(DAYS * HOURS);
    const ahead = { point, low: point.map((y) => 0.8 * y), high: point.map((y) => 1.25 * y) };
    return { kind, lat, lon, past: counts.slice(0, DAYS * HOURS), ahead };
  });
}

/** The entity as if only its newest steps were known. */
const newcomer = (entity: Place, steps: number): Place => ({
  ...entity,
  past: entity.past.map((y, i) => (i < DAYS * HOURS - steps ? Number.NaN : y)),
});

/** RMSLE of each entity in turn as the newcomer, the others as its donors. */
function errorOf(entities: readonly Donor[], steps: number, by = options): number {
  const parts = entities.map((entity) => {
    const donors = entities.filter((other) => other !== entity);
    return [entity.ahead.point, coldStart(newcomer(entity, steps), donors, by).point] as const;
  });
  const flat = (k: 0 | 1) => Float64Array.from(parts.flatMap((part) => [...part[k]]));
  return scores.rmsle(flat(0), flat(1))!;
}

describe("cold start", () => {
  test("comes nearer than the mean of all entities, and nearer with each observation", () => {
    const entities = world(1, 60);
    const global = errorOf(entities, 0, { ...plain, bandwidthKm: 1e6, otherKind: 1 });
    const errors = [0, 6, 48, 400].map((steps) => errorOf(entities, steps));
    expect(errors[0]).toBeLessThan(0.75 * global);
    for (let k = 1; k < errors.length; k++) expect(errors[k]).toBeLessThan(errors[k - 1]!);
    expect(errors[3]).toBeLessThan(0.16);
    // What is its own at an hour is learned by hour.
    expect(errors[3]).toBeLessThan(0.8 * errorOf(entities, 400, plain));
  });

  test("donors that run as the newcomer does weigh most, whatever they are called", () => {
    const entities = world(2, 40).map((entity) => ({ ...entity, kind: "counter" }));
    expect(errorOf(entities, 24, plain)).toBeLessThan(0.75 * errorOf(entities, 5, plain));
  });

  test("pretending that known entities were new tells how far a new one is missed", () => {
    const { bandwidthKm, otherKind } = options;
    const groupings = [hours(DAYS)];
    const widths = [0, 6, 200].map((observed) => {
      const entities = world(3, 80);
      const known = entities.slice(0, 40);
      const errors = coldStartErrors(
        known,
        { bandwidthKm, otherKind, groupings },
        { observed, steps: HOURS, share: 0.8 },
      );
      expect(errors).toHaveLength(HOURS);
      const inside = entities.slice(40).flatMap((entity) => {
        const { point } = coldStart(newcomer(entity, observed), known, options);
        return Array.from(point, (value, h) => {
          const miss = Math.log1p(entity.ahead.point[h]!) - Math.log1p(value);
          return Number(Math.abs(miss) <= errors[h]!);
        });
      });
      const share = inside.reduce((a, b) => a + b) / inside.length;
      expect(share).toBeGreaterThan(0.68);
      expect(share).toBeLessThan(0.9);
      return errors[12]!;
    });
    expect(widths[0]).toBeGreaterThan(widths[1]!);
    expect(widths[1]).toBeGreaterThan(widths[2]!);
  });

  test("takes the mean of two equal neighbours without observations, its own level with many", () => {
    const steps = 500;
    const donor = (value: number): Donor => {
      const ahead = Float64Array.of(value, 2 * value + 1);
      return {
        kind: "a",
        lat: 0,
        lon: 0,
        past: new Float64Array(steps).fill(value),
        ahead: { point: ahead, low: ahead, high: ahead },
      };
    };
    const donors = [donor(9), donor(39)]; // ln 10 and ln 40: 20 in the middle
    const own = (value: number) => ({ kind: "a", lat: 0, lon: 0, past: new Float64Array(steps).fill(value) });
    const none = coldStart(own(Number.NaN), donors, plain).point;
    expect(none[0]).toBeCloseTo(19, 10);
    expect(none[1]).toBeCloseTo(39, 10);
    const many = coldStart(own(79), donors, plain).point;
    expect(many[0]).toBeGreaterThan(78);
    expect(many[1]).toBeGreaterThan(155);
    // Where no place is known, none is nearer than another.
    const nowhere = donors.map((one) => ({ ...one, lat: Number.NaN, lon: Number.NaN }));
    expect(coldStart(own(Number.NaN), nowhere, plain).point).toEqual(none);
  });

  test("an unknown step of a donor is left out, one that nobody forecasts stays unknown", () => {
    const donors = world(2, 10).map((entity, e): Donor => {
      const point = entity.ahead.point.slice();
      point[3] = Number.NaN;
      if (e === 0) point[5] = Number.NaN;
      return { ...entity, past: entity.past.with(7, Number.NaN), ahead: { ...entity.ahead, point } };
    });
    const { point } = coldStart(newcomer(donors[0]!, 4), donors.slice(1), options);
    expect(point[3]).toBeNaN();
    expect(point.filter(Number.isFinite).length).toBe(HOURS - 1);
  });

  test("an interval is widened by another error, and by none stays as it is", () => {
    const forecast = { point: 100, low: 80, high: 125 };
    const same = widened(forecast, 0);
    expect(same.low).toBeCloseTo(80, 10);
    expect(same.high).toBeCloseTo(125, 10);
    const wide = widened(forecast, 0.6408);
    expect(Math.log(101 / (1 + wide.low))).toBeCloseTo(Math.hypot(Math.log(101 / 81), 0.6408), 10);
    expect(wide.high).toBeGreaterThan(180);
    expect(widened({ point: 0, low: 0, high: 1 }, 1.3).low).toBe(0);
  });

  test("what cannot be pooled is said", () => {
    const entities = world(3, 6);
    const start = (donors: readonly Donor[], change: Partial<ColdStartOptions> = {}) =>
      coldStart(newcomer(entities[0]!, 2), donors, { ...options, ...change });
    expect(() => start([])).toThrow(/0 donors/);
    expect(() => start(entities.slice(1, 2))).toThrow(/1 donors/);
    expect(() => start(entities, { otherKind: -1 })).toThrow(/otherKind is -1/);
    expect(() => start(entities, { bandwidthKm: -1 })).toThrow(/bandwidthKm is -1/);
    expect(() => start([{ ...entities[1]!, past: new Float64Array(3) }, ...entities])).toThrow(/donor 0/);
    expect(() => start(entities, { groupings: [{ past: hours(1), ahead: hours(1) }] })).toThrow(/groups/);
    const { bandwidthKm, otherKind } = options;
    const errors = (steps: number) =>
      coldStartErrors(
        entities,
        { bandwidthKm, otherKind, groupings: [] },
        { observed: 5, steps, share: 0.8 },
      );
    expect(() => errors(DAYS * HOURS)).toThrow(/steps behind/);
  });
});
