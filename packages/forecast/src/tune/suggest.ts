import { categorical, type Density, parzen } from "./parzen.ts";
import {
  type Choice,
  type Dimension,
  fromSearched,
  type Space,
  searchedInterval,
  toSearched,
  type ValuesOf,
} from "./space.ts";
import type { Trial } from "./trial.ts";

/** Draws from the density of the good trials, of which the most promising is taken. */
const CANDIDATES = 24;

/**
 * The next parameters to try. Each dimension on its own, as in the paper: the best tenth of the trials (at most
 * 25) give a density l, the others a density g, and of some draws from l the one with the largest l / g is
 * taken, which has the largest expected improvement. Pruned and failed trials count among the others.
 *
 * @param trials none for parameters at random
 */
export function suggest<S extends Space>(
  space: S,
  trials: readonly Trial<S>[],
  random: () => number,
): ValuesOf<S> {
  const ranked = trials.toSorted((a, b) => rank(a) - rank(b) || a.index - b.index);
  // The tenth is of all trials: those that were pruned are known to be no better than the complete ones.
  const complete = trials.filter(({ state }) => state === "complete").length;
  const good = ranked.slice(0, Math.min(25, complete, Math.ceil(0.1 * trials.length)));
  const others = ranked.slice(good.length);
  const params: Record<string, Choice> = {};
  for (const [name, dimension] of Object.entries(space)) {
    const placesOf = (some: readonly Trial<S>[]) =>
      some.map((trial) => placeOf(dimension, trial.params[name as keyof S] as Choice));
    if (good.length === 0) {
      params[name] = valueAt(dimension, uniform(dimension, random));
      continue;
    }
    const l = densityOf(dimension, placesOf(good));
    const g = densityOf(dimension, placesOf(others));
    let best = Number.NaN;
    let bestGain = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < CANDIDATES; c++) {
      const place = l.draw(random);
      const gain = l.logDensity(place) - g.logDensity(place);
      if (gain > bestGain) {
        best = place;
        bestGain = gain;
      }
    }
    params[name] = valueAt(dimension, best);
  }
  return params as ValuesOf<S>;
}

function rank({ state, value }: Trial<Space>): number {
  return state === "complete" ? value! : Number.MAX_VALUE;
}

function densityOf(dimension: Dimension, places: readonly number[]): Density {
  if (dimension.kind === "categorical") return categorical(places, dimension.choices.length);
  const { low, high } = searchedInterval(dimension);
  return parzen(places, low, high);
}

function uniform(dimension: Dimension, random: () => number): number {
  if (dimension.kind === "categorical") return Math.floor(random() * dimension.choices.length);
  const { low, high } = searchedInterval(dimension);
  return low + (high - low) * random();
}

/** A categorical value is its index among the choices. */
function placeOf(dimension: Dimension, value: Choice): number {
  if (dimension.kind === "categorical") return dimension.choices.indexOf(value);
  return toSearched(dimension, value as number);
}

function valueAt(dimension: Dimension, place: number): Choice {
  if (dimension.kind === "categorical") return dimension.choices[place]!;
  return fromSearched(dimension, place);
}
