import { describe, expect, test } from "vitest";
import {
  type ColdStartOptions,
  coldStart,
  type Donor,
  type Newcomer,
  scores,
  widened,
} from "../src/index.ts";
import { normalOf, randomOf } from "../src/random.ts";

const SLOTS = 24;
const options: ColdStartOptions = { bandwidthKm: 2, otherKind: 0.05, noise: 0.3 };

/** Two kinds with their own day, levels that differ between entities and rise to the east. */
function world(seed: number, count: number) {
  const random = randomOf(seed);
  const normal = normalOf(random);
  const entities = Array.from({ length: count }, (_, e) => {
    const kind = e % 2 === 0 ? "commute" : "leisure";
    const [lat, lon] = [48.85 + 0.05 * random(), 2.3 + 0.1 * random()];
    const level = 4 + 10 * (lon - 2.35) + 0.4 * normal();
    const shape = (h: number) => (kind === "commute" ? Math.cos((h - 8) / 2) : Math.sin((h - 6) / 4));
    const logs = Float64Array.from({ length: SLOTS }, (_, h) => level + 0.8 * shape(h));
    return { kind, lat, lon, expectation: logs.map((log) => Math.max(0, Math.expm1(log))) };
  });
  /** The entity as if it had only `steps` observations. */
  const newcomer = (entity: Donor, steps: number): Newcomer => {
    const slots = Int32Array.from({ length: steps }, (_, t) => (t * 5) % SLOTS);
    const values = Float64Array.from(slots, (s) => {
      return Math.max(0, Math.expm1(Math.log1p(entity.expectation[s]!) + 0.3 * normal()));
    });
    return { ...entity, values, slots };
  };
  return { entities, newcomer };
}

/** Each entity in turn as the newcomer, the others as its donors. */
function leaveOneOut(steps: number) {
  const { entities, newcomer } = world(1, 120);
  return entities.map((entity) => {
    const donors = entities.filter((other) => other !== entity);
    return { entity, started: coldStart(newcomer(entity, steps), donors, options), donors };
  });
}
const flat = (parts: readonly Float64Array[]) => Float64Array.from(parts.flatMap((part) => [...part]));

describe("cold start", () => {
  test("comes nearer than the mean of all entities, and nearer with each observation", () => {
    const errorAt = (steps: number) => {
      const all = leaveOneOut(steps);
      return scores.rmsle(
        flat(all.map((a) => a.entity.expectation)),
        flat(all.map((a) => a.started.expectation)),
      )!;
    };
    const all = leaveOneOut(0);
    const plain = flat(
      all.map(({ donors }) => {
        return Float64Array.from({ length: SLOTS }, (_, s) => {
          return Math.expm1(
            donors.reduce((sum, d) => sum + Math.log1p(d.expectation[s]!), 0) / donors.length,
          );
        });
      }),
    );
    const global = scores.rmsle(flat(all.map((a) => a.entity.expectation)), plain)!;
    const errors = [0, 3, 24, 200].map(errorAt);
    expect(errors[0]).toBeLessThan(0.75 * global);
    for (let k = 1; k < errors.length; k++) expect(errors[k]).toBeLessThan(errors[k - 1]!);
    expect(errors[3]).toBeLessThan(0.12);
  });

  test("says how unsure it is: 80 % of the true expectations lie within 1.28 spreads", () => {
    for (const steps of [0, 6]) {
      const all = leaveOneOut(steps);
      const inside = all.flatMap(({ entity, started }) => {
        return Array.from(started.expectation, (value, s) => {
          const miss = Math.log1p(entity.expectation[s]!) - Math.log1p(value);
          return Number(Math.abs(miss) <= 1.2816 * started.spread[s]!);
        });
      });
      const share = inside.reduce((a, b) => a + b) / inside.length;
      expect(share).toBeGreaterThan(0.7);
      expect(share).toBeLessThan(0.92);
    }
  });

  test("takes the mean of two equal neighbours without observations, its own level with many", () => {
    const donor = (value: number): Donor => ({
      kind: "a",
      lat: 0,
      lon: 0,
      expectation: Float64Array.of(value, 2 * value + 1),
    });
    const donors = [donor(9), donor(39)]; // ln 10 and ln 40: 20 in the middle
    const newcomer = { kind: "a", lat: 0, lon: 0, values: new Float64Array(0), slots: new Int32Array(0) };
    const none = coldStart(newcomer, donors, options);
    expect(none.expectation[0]).toBeCloseTo(19, 10);
    expect(none.expectation[1]).toBeCloseTo(39, 10);
    expect(none.spread[0]).toBeCloseTo(Math.log(4) / Math.SQRT2, 10);
    expect(none.ownShare).toBe(0);
    const values = new Float64Array(500).fill(79);
    const many = coldStart({ ...newcomer, values, slots: new Int32Array(500) }, donors, options);
    expect(many.expectation[0]).toBeGreaterThan(78);
    expect(many.expectation[1]).toBeGreaterThan(156);
    expect(many.spread[0]).toBeLessThan(0.02);
  });

  test("an unknown slot of a donor is left out, one that nobody knows stays unknown", () => {
    const { entities, newcomer } = world(2, 10);
    const donors = entities.map((entity, e) => {
      const expectation = entity.expectation.slice();
      expectation[3] = Number.NaN;
      if (e === 0) expectation[5] = Number.NaN;
      return { ...entity, expectation };
    });
    const { expectation } = coldStart(newcomer(entities[0]!, 4), donors, options);
    expect(expectation[3]).toBeNaN();
    expect(expectation.filter(Number.isFinite).length).toBe(SLOTS - 1);
  });

  test("an interval is widened by the spread, and by none stays as it is", () => {
    const forecast = { point: 100, low: 80, high: 125 };
    const same = widened(forecast, 0, 1.2816);
    expect(same.low).toBeCloseTo(80, 10);
    expect(same.high).toBeCloseTo(125, 10);
    const wide = widened(forecast, 0.5, 1.2816);
    expect(Math.log(101 / (1 + wide.low))).toBeCloseTo(Math.hypot(Math.log(101 / 81), 0.6408), 10);
    expect(wide.high).toBeGreaterThan(180);
    expect(widened({ point: 0, low: 0, high: 1 }, 1, 1.3).low).toBe(0);
  });

  test("what cannot be pooled is said", () => {
    const { entities, newcomer } = world(3, 6);
    const start = (donors: readonly Donor[], change: Partial<ColdStartOptions> = {}) =>
      coldStart(newcomer(entities[0]!, 2), donors, { ...options, ...change });
    expect(() => start([])).toThrow(/0 donors/);
    expect(() => start(entities.slice(1, 2))).toThrow(/1 donors/);
    expect(() => start(entities, { noise: 0 })).toThrow(/noise is 0/);
    expect(() => start(entities, { bandwidthKm: -1 })).toThrow(/bandwidthKm is -1/);
    expect(() => start([{ ...entities[1]!, expectation: new Float64Array(3) }, ...entities])).toThrow(
      /donor 1 has/,
    );
  });
});
