import { leadOffsets } from "./conformal.ts";
import { ForecastError, requireLength } from "./errors.ts";

/** What is pooled of an entity. */
export interface Place {
  /** Entities of one kind count alike. */
  readonly kind: string;
  /** Degrees; NaN where unknown: then no distance counts. */
  readonly lat: number;
  readonly lon: number;
  /** Counts at the steps behind, one for each that is looked back on; NaN where unknown. */
  readonly past: Float64Array;
}

/** An entity with a history: what it counted, and what is forecast of it for the steps ahead. */
export interface Donor extends Place {
  readonly ahead: Forecast;
}

/** Counts of each step ahead; NaN where there is no forecast. Low and high are the bounds of an interval. */
export interface Forecast {
  readonly point: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export interface ColdStartOptions {
  /** distance in km at which a donor counts exp(-1/2) = .61 of one next door */
  readonly bandwidthKm: number;
  /** what a donor of another kind counts against one of the same kind, 0 .. 1 */
  readonly otherKind: number;
  /**
   * Steps that are alike by number of their group, coarse groupings first (hours, then hours of working days): what an
   * entity has more or less than its donors is learned for each group. None learns its level alone.
   */
  readonly groupings: readonly { readonly past: Int32Array; readonly ahead: Int32Array }[];
}

/** Common steps from which the shape of a donor can be told from another's. */
const fewestCommon = 6;
/** Variance of the logarithm within which donors are alike enough: that of ordinary steps. */
const alikeVariance = 0.02;

/**
 * Forecasts of an entity with little history or none: the weighted mean of ln(1 + forecast) of donors, moved by what the
 * entity's own counts were above or below the donors' at the same steps. Donors of its kind, near it, and whose counts
 * rose and fell as its own did, weigh most. Departures are pooled partially (Gelman and Hill 2006, 12.2), first the
 * level, then by each grouping what the one before left: the mean of n departures counts n / (n + 1/2).
 *
 * The interval is the donors'; it has nothing of what is unknown of the entity (see `coldStartErrors`, `widened`).
 *
 * @throws ForecastError `noRows` with fewer than two donors that count, `shape` on unequal lengths, `option` on
 * numbers outside their range, `data` on a negative count
 */
export function coldStart(newcomer: Place, donors: readonly Donor[], options: ColdStartOptions): Forecast {
  check(newcomer, donors, options);
  const own = logs(newcomer.past);
  const past = donors.map((donor) => logs(donor.past));
  const weights = donors.map((donor, d) => weightOf(newcomer, donor, own, past[d]!, options));
  const pooledPast = pool(past, weights);
  const departures = own.map((log, i) => log - pooledPast[i]!);
  const effect = new Float64Array(donors[0]!.ahead.point.length);
  const all = { past: new Int32Array(own.length), ahead: new Int32Array(effect.length) };
  for (const { past: groups, ahead } of [all, ...options.groupings]) {
    const effects = groupEffects(departures, groups);
    for (let i = 0; i < departures.length; i++) departures[i]! -= effects.get(groups[i]!) ?? 0;
    for (let h = 0; h < effect.length; h++) effect[h]! += effects.get(ahead[h]!) ?? 0;
  }
  const ahead = (of: (donor: Donor) => Float64Array) => {
    const pooled = pool(
      donors.map((donor) => logs(of(donor))),
      weights,
    );
    return pooled.map((log, h) => Math.max(0, Math.expm1(log + effect[h]!)));
  };
  return {
    point: ahead((donor) => donor.ahead.point),
    low: ahead((donor) => donor.ahead.low),
    high: ahead((donor) => donor.ahead.high),
  };
}

/**
 * How far cold starts miss: each donor in turn is taken for an entity of which only the `observed` steps before the
 * newest ones are known, and forecast from the others, whose forecasts are taken to come true. Split conformal.
 *
 * @param observed steps known of the newcomer
 * @param groupings of the steps behind; the newest `steps` of them are forecast
 * @param share of the misses that lie within what is returned, 0 .. 1
 * @returns for each of the `steps`, the |ln(1 + count) - ln(1 + forecast)| that so many misses keep to
 * @throws ForecastError as `coldStart`; `noRows` where there are too few donors for the share
 */
export function coldStartErrors(
  donors: readonly Place[],
  options: Omit<ColdStartOptions, "groupings"> & { readonly groupings: readonly Int32Array[] },
  { observed, steps, share }: { observed: number; steps: number; share: number },
): Float64Array {
  const length = donors[0]?.past.length ?? 0;
  const split = length - steps;
  if (!(split > 0)) throw new ForecastError("option", `${steps} of ${length} steps behind, expected fewer`);
  const groupings = options.groupings.map((groups) => ({
    past: groups.subarray(0, split),
    ahead: groups.subarray(split),
  }));
  const whole = donors.map((donor): Donor => {
    const after = donor.past.subarray(split);
    return {
      ...donor,
      past: donor.past.subarray(0, split),
      ahead: { point: after, low: after, high: after },
    };
  });
  const misses: number[] = [];
  const lead: number[] = [];
  for (const donor of whole) {
    const past = donor.past.slice();
    past.fill(Number.NaN, 0, Math.max(0, split - observed));
    const others = whole.filter((other) => other !== donor);
    const { point } = coldStart({ ...donor, past }, others, { ...options, groupings });
    for (let h = 0; h < steps; h++) {
      misses.push(Math.abs(logCount(donor.ahead.point[h]!) - logCount(point[h]!)));
      lead.push(h + 1);
    }
  }
  return leadOffsets(Float64Array.from(misses), Int32Array.from(lead), share);
}

/**
 * An interval made wider by another, independent error: on ln(1 + count) both distances from the point are joined
 * with `extra` by the root of the sum of squares.
 */
export function widened(
  forecast: { point: number; low: number; high: number },
  extra: number,
): { low: number; high: number } {
  const centre = Math.log1p(forecast.point);
  const below = Math.hypot(centre - Math.log1p(forecast.low), extra);
  const above = Math.hypot(Math.log1p(forecast.high) - centre, extra);
  return { low: Math.max(0, Math.expm1(centre - below)), high: Math.expm1(centre + above) };
}

function check(newcomer: Place, donors: readonly Donor[], options: ColdStartOptions): void {
  const { bandwidthKm, otherKind, groupings } = options;
  if (!(bandwidthKm > 0))
    throw new ForecastError("option", `bandwidthKm is ${bandwidthKm}, expected above 0`);
  if (!(otherKind >= 0 && otherKind <= 1)) throw new ForecastError("option", `otherKind is ${otherKind}`);
  const counting = donors.filter(({ kind }) => kind === newcomer.kind || otherKind > 0).length;
  if (counting < 2) throw new ForecastError("noRows", `${counting} donors of this kind, expected 2 up`);
  const leads = donors[0]!.ahead.point.length;
  for (const [d, { past, ahead }] of donors.entries()) {
    requireLength(`past of donor ${d}`, past.length, newcomer.past.length);
    for (const values of [ahead.point, ahead.low, ahead.high])
      requireLength(`forecast of donor ${d}`, values.length, leads);
  }
  for (const grouping of groupings) {
    requireLength("groups of the past", grouping.past.length, newcomer.past.length);
    requireLength("groups ahead", grouping.ahead.length, leads);
  }
}

/** By kind, distance, and how nearly the two logarithms run in parallel. */
function weightOf(
  newcomer: Place,
  donor: Place,
  own: Float64Array,
  other: Float64Array,
  { bandwidthKm, otherKind }: ColdStartOptions,
): number {
  const distance = kilometres(newcomer, donor) / bandwidthKm;
  const near = Number.isNaN(distance) ? 1 : Math.exp(-0.5 * distance * distance);
  // Far donors still count where there is no other.
  const prior = Math.max(1e-6, near) * (donor.kind === newcomer.kind ? 1 : otherKind);
  let n = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < own.length; i++) {
    const difference = own[i]! - other[i]!;
    if (Number.isNaN(difference)) continue;
    n++;
    sum += difference;
    squares += difference * difference;
  }
  if (n < fewestCommon) return prior;
  const variance = Math.max(0, squares / n - (sum / n) ** 2);
  return prior / (variance + alikeVariance) ** 2;
}

/** Weighted means of what is known; NaN where nothing is. */
function pool(values: readonly Float64Array[], weights: readonly number[]): Float64Array {
  return values[0]!.map((_, i) => {
    let sum = 0;
    let total = 0;
    for (let d = 0; d < values.length; d++) {
      const value = values[d]![i]!;
      if (Number.isNaN(value)) continue;
      sum += weights[d]! * value;
      total += weights[d]!;
    }
    return sum / total;
  });
}

function groupEffects(departures: Float64Array, groups: Int32Array): Map<number, number> {
  const sums = new Map<number, { sum: number; n: number }>();
  for (let i = 0; i < departures.length; i++) {
    if (Number.isNaN(departures[i]!)) continue;
    const group = sums.get(groups[i]!) ?? { sum: 0, n: 0 };
    group.sum += departures[i]!;
    group.n++;
    sums.set(groups[i]!, group);
  }
  return new Map([...sums].map(([group, { sum, n }]) => [group, sum / (n + 0.5)]));
}

const logs = (values: Float64Array): Float64Array => values.map(logCount);

function logCount(value: number): number {
  if (value < 0) throw new ForecastError("data", `a count of ${value}, expected at least 0`);
  return Math.log1p(value);
}

/** Great-circle distance by the haversine formula. */
function kilometres(a: { lat: number; lon: number }, b: { lat: number; lon: number }): number {
  const radians = Math.PI / 180;
  const half = (from: number, to: number) => Math.sin(((to - from) * radians) / 2) ** 2;
  const chord =
    half(a.lat, b.lat) + Math.cos(a.lat * radians) * Math.cos(b.lat * radians) * half(a.lon, b.lon);
  return 2 * 6371 * Math.asin(Math.sqrt(chord));
}
