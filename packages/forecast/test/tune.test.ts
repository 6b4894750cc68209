import { describe, expect, test } from "vitest";
import { type Running, type Space, type Trial, tune } from "../src/index.ts";
import { randomOf } from "../src/random.ts";
import { categorical, normalBelow, parzen } from "../src/tune/parzen.ts";

/** Three minima of 0.397887 (Branin 1972). */
function branin(x: number, y: number): number {
  const a = y - (5.1 / (4 * Math.PI ** 2)) * x * x + (5 / Math.PI) * x - 6;
  return a * a + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10;
}

const HARTMANN = {
  alpha: [1, 1.2, 3, 3.2],
  a: [
    [10, 3, 17, 3.5, 1.7, 8],
    [0.05, 10, 17, 0.1, 8, 14],
    [3, 3.5, 1.7, 10, 17, 8],
    [17, 8, 0.05, 10, 0.1, 14],
  ],
  p: [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
  ],
};

/** Least at -3.32237 (Hartmann 1973). */
function hartmann(x: readonly number[]): number {
  const { alpha, a, p } = HARTMANN;
  return -alpha.reduce((sum, weight, i) => {
    const distance = x.reduce((d, value, j) => d + a[i]![j]! * (value - p[i]![j]!) ** 2, 0);
    return sum + weight * Math.exp(-distance);
  }, 0);
}

const unit = { kind: "float", low: 0, high: 1 } as const;
const plane = {
  x: { kind: "float", low: -5, high: 10 },
  y: { kind: "float", low: 0, high: 15 },
} as const;
const cube = { a: unit, b: unit, c: unit, d: unit, e: unit, f: unit };
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const seeds = Array.from({ length: 15 }, (_, k) => k + 1);

/** Median best value over the seeds, by the estimator and by chance alone. */
async function compare<S extends Space>(objective: Parameters<typeof tune<S>>[0], space: S, trials: number) {
  const bests = (startupTrials: number) =>
    Promise.all(
      seeds.map(async (seed) => (await tune(objective, space, { trials, seed, startupTrials })).best.value),
    );
  return { tpe: median(await bests(10)), random: median(await bests(trials)) };
}

describe("tuning", () => {
  test("comes nearer to the optimum than random search on Branin", async () => {
    const { tpe, random } = await compare(({ x, y }) => branin(x, y), plane, 80);
    expect(tpe - 0.397887).toBeLessThan((random - 0.397887) / 2);
  });

  test("comes nearer to the optimum than random search on Hartmann in six dimensions", async () => {
    const { tpe, random } = await compare((p) => hartmann([p.a, p.b, p.c, p.d, p.e, p.f]), cube, 120);
    expect(tpe).toBeLessThan(random - 0.3);
  });

  test("finds a rate over five orders of magnitude, a whole number and a choice", async () => {
    const space = {
      rate: { kind: "float", low: 1e-5, high: 1, log: true },
      leaves: { kind: "int", low: 2, high: 256, log: true },
      kind: { kind: "categorical", choices: ["trees", "ridge", null] },
    } as const;
    const objective = (p: { rate: number; leaves: number; kind: string | null }) =>
      Math.log10(p.rate / 0.03) ** 2 + Math.log2(p.leaves / 31) ** 2 + (p.kind === "ridge" ? 0 : 3);
    const { tpe, random } = await compare(objective, space, 60);
    expect(tpe).toBeLessThan(random);
    const { best, trials } = await tune(objective, space, { trials: 80, seed: 3 });
    expect(best.params.kind).toBe("ridge");
    expect(Math.abs(Math.log10(best.params.rate / 0.03))).toBeLessThan(0.5);
    for (const { params } of trials) {
      expect(Number.isInteger(params.leaves) && params.leaves >= 2 && params.leaves <= 256).toBe(true);
      expect(params.rate >= 1e-5 && params.rate <= 1).toBe(true);
    }
    const kinds = new Set(trials.map((trial) => trial.params.kind));
    expect(kinds).toEqual(new Set(["trees", "ridge", null]));
  });

  test("the same seed gives the same trials, another seed others", async () => {
    const run = (seed: number) => tune(({ x, y }) => branin(x, y), plane, { trials: 30, seed });
    expect(await run(4)).toEqual(await run(4));
    expect((await run(5)).trials).not.toEqual((await run(4)).trials);
  });

  test("an interrupted tuning goes on as if it had never been interrupted", async () => {
    const objective = ({ x, y }: { x: number; y: number }) => branin(x, y);
    const whole = await tune(objective, plane, { trials: 40, seed: 6 });
    const stored: Trial<typeof plane>[] = JSON.parse(JSON.stringify(whole.trials.slice(0, 17)));
    expect(await tune(objective, plane, { trials: 40, seed: 6, previous: stored })).toEqual(whole);
  });

  test("pruning saves steps and hardly changes the best", async () => {
    const STEPS = 20;
    const run = async (seed: number, pruner: null | undefined) => {
      let steps = 0;
      // A fit that comes down to its final value from above.
      const objective = ({ x, y }: { x: number; y: number }, trial: Running) => {
        for (let step = 1; step <= STEPS; step++) {
          steps++;
          trial.report(step, branin(x, y) + 40 / step);
        }
        return branin(x, y);
      };
      const { best, trials } = await tune(objective, plane, {
        trials: 80,
        seed,
        ...(pruner === null && { pruner }),
      });
      return { steps, best: best.value, pruned: trials.filter((t) => t.state === "pruned").length };
    };
    const pruned = await Promise.all(seeds.map((seed) => run(seed, undefined)));
    const full = await Promise.all(seeds.map((seed) => run(seed, null)));
    expect(full.every(({ steps, pruned: count }) => steps === 80 * STEPS && count === 0)).toBe(true);
    expect(median(pruned.map(({ steps }) => steps))).toBeLessThan(0.6 * 80 * STEPS);
    expect(median(pruned.map(({ best }) => best))).toBeLessThan(median(full.map(({ best }) => best)) + 0.02);
  });

  test("no trial is pruned on a value better than the median", async () => {
    const { trials } = await tune(
      ({ x }, trial) => {
        trial.report(1, x);
        return x;
      },
      { x: unit },
      { trials: 60, seed: 2, pruner: { startupTrials: 8 } },
    );
    for (const trial of trials) {
      const before = trials.slice(0, trial.index).filter((t) => t.state === "complete");
      const values = before.map((t) => t.interim[0]!.value).toSorted((a, b) => a - b);
      const middle = (values[(values.length - 1) >> 1]! + values[values.length >> 1]!) / 2;
      expect(trial.state === "pruned").toBe(before.length >= 8 && trial.params.x > middle);
    }
    expect(trials.some((trial) => trial.state === "pruned")).toBe(true);
  });

  test("is stopped by its signal, which the objective sees", async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const stopped = tune(
      (_, { index, signal }) => {
        expect(signal).toBe(controller.signal);
        if (index === 3) controller.abort(new Error("enough"));
        return index;
      },
      { x: unit },
      { trials: 50, seed: 1, signal: controller.signal, onTrial: ({ index }) => seen.push(index) },
    );
    await expect(stopped).rejects.toThrow("enough");
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  test("a trial without a finite value is failed, an error of the objective is the caller's", async () => {
    const { best, trials } = await tune(
      ({ x }) => (x < 0.7 ? Number.NaN : x),
      { x: unit },
      { trials: 40, seed: 1 },
    );
    expect(trials.filter(({ state }) => state === "failed").every(({ value }) => value === null)).toBe(true);
    expect(best.value).toBeGreaterThanOrEqual(0.7);
    const nothing = tune(() => Number.NaN, { x: unit }, { trials: 3, seed: 1 });
    await expect(nothing).rejects.toThrow(/none of 3 trials/);
    const broken = () => {
      throw new TypeError("no such column");
    };
    await expect(tune(broken, { x: unit }, { trials: 3, seed: 1 })).rejects.toThrow("no such column");
  });

  test("a dimension with a single value has it; one that cannot be searched is named", async () => {
    const space = {
      fixed: { kind: "float", low: 2, high: 2 },
      one: { kind: "int", low: 7, high: 7 },
      only: { kind: "categorical", choices: ["a"] },
      x: unit,
    } as const;
    const { trials } = await tune(({ x }) => x, space, { trials: 25, seed: 1 });
    for (const { params } of trials) expect(params).toMatchObject({ fixed: 2, one: 7, only: "a" });
    const run = (bad: Space) => tune(() => 0, bad, { trials: 1, seed: 1 });
    await expect(run({})).rejects.toThrow(/empty/);
    await expect(run({ x: { kind: "float", low: 0, high: 1, log: true } })).rejects.toThrow(
      /"x": a logarithmic/,
    );
    await expect(run({ x: { kind: "int", low: 0.5, high: 1 } })).rejects.toThrow(/"x": whole numbers/);
    await expect(run({ x: { kind: "float", low: 2, high: 1 } })).rejects.toThrow(/bounds 2 to 1/);
    await expect(run({ x: { kind: "categorical", choices: [] } })).rejects.toThrow(/no choices/);
    await expect(tune(() => 0, { x: unit }, { trials: 0, seed: 1 })).rejects.toThrow(/0 trials/);
  });
});

describe("the Parzen estimator", () => {
  test("is a density: it integrates to 1, and draws follow it", () => {
    const density = parzen([0.1, 0.12, 0.8], 0, 2);
    let integral = 0;
    for (let k = 0; k < 2000; k++) integral += Math.exp(density.logDensity((k + 0.5) / 1000)) / 1000;
    expect(integral).toBeCloseTo(1, 4);
    const random = randomOf(3);
    const draws = Array.from({ length: 20_000 }, () => density.draw(random));
    let below = 0;
    for (let k = 0; k < 500; k++) below += Math.exp(density.logDensity((k + 0.5) / 1000)) / 1000;
    expect(draws.every((value) => value >= 0 && value <= 2)).toBe(true);
    expect(Math.abs(draws.filter((value) => value < 0.5).length / 20_000 - below)).toBeLessThan(0.015);
  });

  test("of choices gives what was seen more often more weight, and the unseen some", () => {
    const density = categorical([1, 1, 2], 4);
    const weights = [0, 1, 2, 3].map((choice) => Math.exp(density.logDensity(choice)));
    expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(weights.map((w) => w * 16)).toEqual([1, 9, 5, 1].map((w) => expect.closeTo(w, 10)));
    const random = randomOf(1);
    const draws = Array.from({ length: 16_000 }, () => density.draw(random));
    for (const choice of [0, 1, 2, 3]) {
      expect(Math.abs(draws.filter((d) => d === choice).length / 16_000 - weights[choice]!)).toBeLessThan(
        0.015,
      );
    }
  });

  test("the normal distribution has its known values", () => {
    for (const [x, share] of [
      [0, 0.5],
      [1, 0.8413447461],
      [-1.96, 0.0249978951],
      [4, 0.9999683288],
    ] as const) {
      expect(Math.abs(normalBelow(x) - share)).toBeLessThan(1e-7);
    }
  });
});
