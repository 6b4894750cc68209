import { normalOf } from "../random.ts";

/** A density that can be drawn from. */
export interface Density {
  draw(random: () => number): number;
  logDensity(value: number): number;
}

/**
 * The adaptive Parzen estimator of Bergstra et al. 2011 (Algorithms for Hyper-Parameter Optimization, 4.2): a
 * mixture of equally weighted normals truncated to [low, high], one at each observation and a broad one of the
 * prior in the middle. A normal is as wide as the larger distance to its two neighbours, within
 * [range / min(100, n + 1), range].
 */
export function parzen(observations: readonly number[], low: number, high: number): Density {
  const range = high - low;
  const middle = (low + high) / 2;
  if (range === 0) return { draw: () => low, logDensity: () => 0 };
  const centres = Float64Array.from([...observations, middle]).sort();
  const prior = centres.indexOf(middle);
  const least = range / Math.min(100, observations.length + 2);
  const widths = centres.map((centre, i) => {
    if (i === prior) return range;
    const left = centre - (centres[i - 1] ?? low);
    const right = (centres[i + 1] ?? high) - centre;
    return Math.min(range, Math.max(least, left, right));
  });
  const inside = centres.map((centre, i) => {
    return normalBelow((high - centre) / widths[i]!) - normalBelow((low - centre) / widths[i]!);
  });
  return {
    draw(random) {
      const i = Math.min(centres.length - 1, Math.floor(random() * centres.length));
      const normal = normalOf(random);
      // At least a quarter of each normal lies inside, as its centre does and it is no wider than the range.
      for (;;) {
        const value = centres[i]! + widths[i]! * normal();
        if (value >= low && value <= high) return value;
      }
    },
    logDensity(value) {
      let sum = 0;
      for (let i = 0; i < centres.length; i++) {
        const u = (value - centres[i]!) / widths[i]!;
        sum += Math.exp(-0.5 * u * u) / (widths[i]! * inside[i]!);
      }
      return Math.log(sum / (centres.length * Math.sqrt(2 * Math.PI)) + Number.MIN_VALUE);
    },
  };
}

/** Choices 0 .. count - 1 as often as observed, with one observation's worth of prior spread evenly. */
export function categorical(observations: readonly number[], count: number): Density {
  const weights = new Float64Array(count).fill(1 / count);
  for (const choice of observations) weights[choice]! += 1;
  const total = observations.length + 1;
  return {
    draw(random) {
      let left = random() * total;
      for (let choice = 0; choice < count - 1; choice++) {
        left -= weights[choice]!;
        if (left < 0) return choice;
      }
      return count - 1;
    },
    logDensity: (choice) => Math.log(weights[choice]! / total),
  };
}

/** Share of the standard normal below x; Abramowitz and Stegun 26.2.17, to 7.5e-8. */
export function normalBelow(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const poly =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * poly;
  return x >= 0 ? 1 - tail : tail;
}
