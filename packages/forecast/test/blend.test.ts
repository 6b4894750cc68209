import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BlendOptions, type BlendWindow, blendForecasts, findBlend, scores } from "../src/index.ts";
import { randomOf } from "./synthetic.ts";

interface Golden {
  windows: { target: number[]; members: number[][] }[];
  worst: { rmsle: number; rmse: number; wape: number };
}
const golden: Golden = JSON.parse(readFileSync(new URL("golden/blend.json", import.meta.url), "utf8"));
const windows: BlendWindow[] = golden.windows.map(({ target, members }) => ({
  target: Float64Array.from(target),
  members: members.map((member) => Float64Array.from(member)),
}));
const arithmetic = { name: "arithmetic" } as const;
const geometric = { name: "geometric", offset: 1 } as const;

const worstOf = (found: ReturnType<typeof findBlend>) => Math.max(...found.losses.map((l) => l.blend));

/** The smallest worst loss over all weights that are multiples of `step`, for three members. */
function bruteForce(all: readonly BlendWindow[], options: BlendOptions, step: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let a = 0; a <= 1 + 1e-9; a += step) {
    for (let b = 0; a + b <= 1 + 1e-9; b += step) {
      const blend = { scale: options.scale, weights: [a, b, Math.max(0, 1 - a - b)] };
      const losses = all.map(({ target, members }) => {
        return scores[options.loss](target, blendForecasts(blend, members))!;
      });
      best = Math.min(best, Math.max(...losses));
    }
  }
  return best;
}

describe("the blend", () => {
  test.each([
    ["rmsle", geometric],
    ["rmse", arithmetic],
    ["wape", arithmetic],
  ] as const)(
    "of five members in four windows is as good by its worst %s as scipy's SLSQP",
    (loss, scale) => {
      const found = findBlend(windows, { loss, scale });
      expect(worstOf(found)).toBeLessThan(golden.worst[loss] * 1.0005);
      expect(Math.abs(found.weights.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-12);
      expect(Math.min(...found.weights)).toBeGreaterThanOrEqual(0);
    },
  );

  test.each([
    ["rmsle", geometric],
    ["rmse", geometric],
    ["wape", geometric],
    ["wape", arithmetic],
  ] as const)(
    "of three members is as good by its worst %s as every blend on a fine grid (%o)",
    (loss, scale) => {
      const three = windows.map((window) => ({ ...window, members: window.members.slice(1, 4) }));
      const options = { loss, scale };
      expect(worstOf(findBlend(three, options))).toBeLessThan(bruteForce(three, options, 0.01) * 1.0005);
    },
  );

  test("says the losses of each member alone beside its own, by the scores' definitions", () => {
    const found = findBlend(windows, { loss: "wape", scale: arithmetic });
    for (const [k, { target, members }] of windows.entries()) {
      expect(found.losses[k]!.blend).toBeCloseTo(scores.wape(target, blendForecasts(found, members))!, 10);
      for (const [m, member] of members.entries()) {
        expect(found.losses[k]!.members[m]).toBeCloseTo(scores.wape(target, member)!, 12);
      }
    }
  });

  test("is chosen by the worst window: a member that fails one season loses its weight", () => {
    const random = randomOf(4);
    const window = (noise: readonly number[]): BlendWindow => {
      const target = Float64Array.from({ length: 300 }, () => 50 + 50 * random());
      return { target, members: noise.map((n) => target.map((y) => y * (1 + n * (random() - 0.5)))) };
    };
    const seasons = [window([0.1, 0.5]), window([0.1, 0.5]), window([2, 0.5])];
    const found = findBlend(seasons, { loss: "wape", scale: arithmetic });
    expect(found.weights[1]!).toBeGreaterThan(0.85);
    const good = findBlend(seasons.slice(0, 2), { loss: "wape", scale: arithmetic });
    expect(good.weights[0]!).toBeGreaterThan(0.9);
  });

  test("is never worse by its worst window than any member, and gives a perfect member everything", () => {
    const value = fc.integer({ min: 0, max: 40 });
    const row = fc.tuple(value, value, value, value);
    const anyWindow = fc.array(row, { minLength: 2, maxLength: 12 }).map((rows) => ({
      target: Float64Array.from(rows, (r) => 1 + r[0]),
      members: [1, 2, 3].map((m) => Float64Array.from(rows, (r) => r[m]!)),
    }));
    fc.assert(
      fc.property(fc.array(anyWindow, { minLength: 1, maxLength: 3 }), (some) => {
        const found = findBlend(some, { loss: "rmse", scale: geometric });
        for (let m = 0; m < 3; m++) {
          const alone = Math.max(...found.losses.map((l) => l.members[m]!));
          expect(worstOf(found)).toBeLessThanOrEqual(alone + 1e-12);
        }
        const perfect = some.map((w) => ({ ...w, members: [w.members[0]!, w.target, w.members[1]!] }));
        expect(worstOf(findBlend(perfect, { loss: "rmse", scale: geometric }))).toBeLessThan(1e-9);
      }),
      { numRuns: 30 },
    );
  });

  test("on the geometric scale is the average of ln(count + offset), never below 0", () => {
    const blend = { scale: { name: "geometric", offset: 5 } as const, weights: [0.25, 0.75] };
    const [value, zero] = blendForecasts(blend, [Float64Array.of(10, 0), Float64Array.of(40, 0)]);
    expect(value).toBeCloseTo(15 ** 0.25 * 45 ** 0.75 - 5, 12);
    expect(zero).toBe(0);
  });

  test("without a member's forecast is the blend of the others", () => {
    const blend = { scale: arithmetic, weights: [0.2, 0.3, 0.5] };
    const nan = Number.NaN;
    const members = [
      Float64Array.of(10, nan, nan),
      Float64Array.of(20, 20, nan),
      Float64Array.of(40, 40, nan),
    ];
    const [all, two, none] = blendForecasts(blend, members);
    expect(all).toBeCloseTo(28, 12);
    expect(two).toBeCloseTo((0.3 * 20 + 0.5 * 40) / 0.8, 12);
    expect(none).toBeNaN();
  });

  test("the same windows give the same weights, and are not changed", () => {
    const before = structuredClone(windows);
    const options = { loss: "wape", scale: geometric } as const;
    expect(findBlend(windows, options)).toEqual(findBlend(windows, options));
    expect(windows).toEqual(before);
  });

  test("what cannot be judged is said", () => {
    const [first] = windows as [BlendWindow];
    const options = { loss: "wape", scale: arithmetic } as const;
    expect(() => findBlend([], options)).toThrow(/needs a window/);
    expect(() => findBlend([{ ...first, members: [] }], options)).toThrow(/needs a window and a member/);
    const unknown = { ...first, target: first.target.map(() => Number.NaN) };
    expect(() => findBlend([first, unknown], options)).toThrow(/window 1 has no row/);
    const zero = { ...first, target: first.target.map(() => 0) };
    expect(() => findBlend([zero], options)).toThrow(/no positive target/);
    const fewer = { ...first, members: first.members.slice(1) };
    expect(() => findBlend([first, fewer], options)).toThrow(/window 1: members has 4/);
    const bad = { loss: "wape", scale: { name: "geometric", offset: 0 } } as const;
    expect(() => findBlend([first], bad)).toThrow(/offset is 0/);
    expect(() => blendForecasts({ scale: geometric, weights: [1] }, [Float64Array.of(-1)])).toThrow(
      /no logarithm/,
    );
  });
});
