import type { FeatureSet } from "../../src/features/index.ts";

/** All numbers of a feature set by name, in row order. */
export function numbersOf(set: FeatureSet): Map<string, ArrayLike<number>> {
  return new Map<string, ArrayLike<number>>([
    ...set.view.columns.map((name, i) => [name, set.columns[i]!] as const),
    ["(expectation)", set.expectation],
    ...Object.entries(set.naive).map(([name, values]) => [`(${name})`, values] as const),
    ["(naive low)", set.naiveLow],
    ["(naive high)", set.naiveHigh],
    ["(weather issued)", set.weatherIssued],
    ["(weather issued at)", set.weatherIssuedAt],
    ["(entity)", set.entity],
    ["(lead)", set.lead],
    ["(step)", set.step],
  ]);
}

/** The rows of one origin of a set. */
export function rowsOf(set: FeatureSet, origin: number): FeatureSet {
  const at = [...set.origin.keys()].filter((row) => set.origin[row] === origin);
  const take = <T extends Float32Array | Float64Array | Int32Array | Uint8Array>(values: T): T =>
    values.filter((_, row) => set.origin[row] === origin) as T;
  return {
    ...set,
    rows: at.length,
    columns: set.columns.map(take),
    entity: take(set.entity),
    origin: take(set.origin),
    lead: take(set.lead),
    step: take(set.step),
    target: take(set.target),
    dead: take(set.dead),
    expectation: take(set.expectation),
    naive: Object.fromEntries(Object.entries(set.naive).map(([name, values]) => [name, take(values)])),
    naiveLow: take(set.naiveLow),
    naiveHigh: take(set.naiveHigh),
    weatherIssued: take(set.weatherIssued),
    weatherIssuedAt: take(set.weatherIssuedAt),
  };
}

/** What differs by more than 1e-6 of its size, one line a column; empty when the sets are equal. */
export function differences(one: FeatureSet, other: FeatureSet): string[] {
  if (one.rows !== other.rows) return [`${one.rows} rows and ${other.rows} rows`];
  const right = numbersOf(other);
  return [...numbersOf(one)].flatMap(([name, a]) => {
    const b = right.get(name)!;
    for (let row = 0; row < one.rows; row++) {
      const [x, y] = [a[row]!, b[row]!];
      if (Number.isNaN(x) && Number.isNaN(y)) continue;
      if (!(Math.abs(x - y) <= 1e-6 * Math.max(1, Math.abs(x)))) {
        return [`${name}: ${x} and ${y} (entity ${one.entity[row]}, lead ${one.lead[row]})`];
      }
    }
    return [];
  });
}
