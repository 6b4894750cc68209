import { ForecastError } from "../errors.ts";

/** One parameter to search: both bounds are included; `log` spreads the search evenly over orders of magnitude. */
export type Dimension =
  | { readonly kind: "float"; readonly low: number; readonly high: number; readonly log?: boolean }
  | { readonly kind: "int"; readonly low: number; readonly high: number; readonly log?: boolean }
  | { readonly kind: "categorical"; readonly choices: readonly Choice[] };

export type Choice = string | number | boolean | null;

export type Space = Readonly<Record<string, Dimension>>;

/** The values of one trial, by parameter. */
export type ValuesOf<S extends Space> = {
  readonly [K in keyof S]: S[K] extends { readonly choices: readonly (infer C)[] } ? C : number;
};

/** @throws ForecastError `option` naming the dimension that cannot be searched */
export function checkSpace(space: Space): void {
  const names = Object.keys(space);
  if (names.length === 0) throw new ForecastError("option", "the search space is empty");
  for (const [name, dimension] of Object.entries(space)) {
    const fail = (what: string) => {
      throw new ForecastError("option", `dimension "${name}": ${what}`);
    };
    if (dimension.kind === "categorical") {
      if (dimension.choices.length === 0) fail("no choices");
      if (new Set(dimension.choices).size !== dimension.choices.length) fail("two choices are the same");
      continue;
    }
    const { low, high, log } = dimension;
    if (!(Number.isFinite(low) && Number.isFinite(high) && low <= high)) fail(`bounds ${low} to ${high}`);
    if (log && low <= 0) fail(`a logarithmic search from ${low}, expected above 0`);
    if (dimension.kind === "int" && !(Number.isInteger(low) && Number.isInteger(high))) {
      fail(`whole numbers from ${low} to ${high}`);
    }
  }
}

type Numeric = Exclude<Dimension, { kind: "categorical" }>;

/**
 * The interval in which a numeric dimension is searched: logarithms where `log`, and half a step more on both
 * sides of whole numbers, so that the first and the last are as likely as the others.
 */
export function searchedInterval({ kind, low, high, log }: Numeric): { low: number; high: number } {
  const margin = kind === "int" ? 0.5 : 0;
  const at = (value: number) => (log ? Math.log(value) : value);
  return { low: at(low - margin), high: at(high + margin) };
}

/** Where a value lies in that interval. */
export function toSearched({ log }: Numeric, value: number): number {
  return log ? Math.log(value) : value;
}

/** The value at a place in that interval. */
export function fromSearched({ kind, low, high, log }: Numeric, place: number): number {
  const value = log ? Math.exp(place) : place;
  return Math.min(high, Math.max(low, kind === "int" ? Math.round(value) : value));
}
