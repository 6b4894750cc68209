import { ForecastError, requireLength } from "./errors.ts";

/** An entity with a history: its seasonal expectation by slot (hour of the week, weekday ...), NaN where unknown. */
export interface Donor {
  readonly kind: string;
  readonly lat: number;
  readonly lon: number;
  readonly expectation: Float64Array;
}

/** An entity with little history or none. */
export interface Newcomer {
  readonly kind: string;
  readonly lat: number;
  readonly lon: number;
  /** what was observed of it so far, and in which slot; NaN is left out */
  readonly values: Float64Array;
  readonly slots: Int32Array;
}

export interface ColdStartOptions {
  /** distance in km at which a donor counts exp(-1/2) = .61 of one next door */
  readonly bandwidthKm: number;
  /** what a donor of another kind counts against one of the same kind, 0 .. 1 */
  readonly otherKind: number;
  /** standard deviation of ln(1 + y) of ordinary steps about an entity's own expectation, above 0 */
  readonly noise: number;
}

export interface ColdStart {
  /** by slot, in counts; NaN where no donor knows the slot */
  readonly expectation: Float64Array;
  /** by slot: standard deviation of ln(1 + expectation), how unsure the expectation itself is */
  readonly spread: Float64Array;
  /** share of the newcomer's own level in the expectation: 0 without observations, towards 1 with many */
  readonly ownShare: number;
}

/**
 * A seasonal expectation for an entity that has none of its own: the weighted mean of ln(1 + expectation) of
 * donors of its kind and neighbourhood gives the shape, and its own observations move the level, as far as they
 * can be trusted. Partial pooling (Gelman and Hill 2006, 12.2): the level departs from the donors' by
 * u ~ N(0, between^2), an observation departs from the level by N(0, noise^2), so n observations count
 * n between^2 / (n between^2 + noise^2), and what remains unknown of u is `spread`.
 *
 * @throws ForecastError `noRows` with fewer than two donors that count, `shape` on unequal lengths, `option` on
 * numbers outside their range, `data` on a negative count or a slot that is not there
 */
export function coldStart(
  newcomer: Newcomer,
  donors: readonly Donor[],
  options: ColdStartOptions,
): ColdStart {
  const { bandwidthKm, otherKind, noise } = options;
  if (!(bandwidthKm > 0))
    throw new ForecastError("option", `bandwidthKm is ${bandwidthKm}, expected above 0`);
  if (!(otherKind >= 0 && otherKind <= 1)) throw new ForecastError("option", `otherKind is ${otherKind}`);
  if (!(noise > 0)) throw new ForecastError("option", `noise is ${noise}, expected above 0`);
  requireLength("slots", newcomer.slots.length, newcomer.values.length);
  const weights = donors.map((donor) => {
    const distance = kilometres(newcomer, donor) / bandwidthKm;
    return Math.exp(-0.5 * distance * distance) * (donor.kind === newcomer.kind ? 1 : otherKind);
  });
  const counting = weights.filter((weight) => weight > 0).length;
  if (counting < 2)
    throw new ForecastError("noRows", `${counting} donors of this kind and place, expected 2 up`);

  const slots = donors[0]!.expectation.length;
  for (const [d, donor] of donors.entries()) requireLength(`donor ${d}`, donor.expectation.length, slots);
  const mean = new Float64Array(slots);
  const variance = new Float64Array(slots);
  for (let s = 0; s < slots; s++) {
    const known = donors.flatMap((donor, d) => {
      const log = logCount(donor.expectation[s]!);
      return Number.isNaN(log) || weights[d] === 0 ? [] : [{ log, weight: weights[d]! }];
    });
    const total = known.reduce((sum, k) => sum + k.weight, 0);
    mean[s] = known.reduce((sum, k) => sum + k.weight * k.log, 0) / total;
    const squares = known.reduce((sum, k) => sum + (k.weight / total) ** 2, 0);
    // A weighted sample variance without bias; one donor alone says nothing of how donors differ.
    variance[s] =
      known.reduce((sum, k) => sum + (k.weight / total) * (k.log - mean[s]!) ** 2, 0) / (1 - squares);
  }
  const between = meanKnown(variance);

  const departures = newcomer.values.map((value, i) => {
    const slot = newcomer.slots[i]!;
    if (!(slot >= 0 && slot < slots)) throw new ForecastError("data", `observation ${i} is in slot ${slot}`);
    return logCount(value) - mean[slot]!;
  });
  const n = departures.filter((value) => !Number.isNaN(value)).length;
  const ownShare = n === 0 ? 0 : (n * between) / (n * between + noise * noise);
  const level = n === 0 ? 0 : ownShare * meanKnown(departures);
  return {
    expectation: mean.map((log) => Math.max(0, Math.expm1(log + level))),
    spread: variance.map((v) => Math.sqrt((Number.isNaN(v) ? between : v) * (1 - ownShare))),
    ownShare,
  };
}

/**
 * An interval made wider by the spread of the expectation it stands on: on ln(1 + count) both distances from the
 * point are joined with `deviations` x spread as independent errors are, by the root of the sum of squares.
 *
 * @param deviations of a normal at the interval's levels: 1.2816 for 10 % and 90 %
 */
export function widened(
  forecast: { point: number; low: number; high: number },
  spread: number,
  deviations: number,
): { low: number; high: number } {
  const centre = Math.log1p(forecast.point);
  const extra = deviations * spread;
  const below = Math.hypot(centre - Math.log1p(forecast.low), extra);
  const above = Math.hypot(Math.log1p(forecast.high) - centre, extra);
  return { low: Math.max(0, Math.expm1(centre - below)), high: Math.expm1(centre + above) };
}

function logCount(value: number): number {
  if (value < 0) throw new ForecastError("data", `a count of ${value}, expected at least 0`);
  return Math.log1p(value);
}

function meanKnown(values: Float64Array): number {
  const known = values.filter(Number.isFinite);
  return known.length === 0 ? 0 : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Great-circle distance by the haversine formula. */
function kilometres(a: { lat: number; lon: number }, b: { lat: number; lon: number }): number {
  const radians = Math.PI / 180;
  const half = (from: number, to: number) => Math.sin(((to - from) * radians) / 2) ** 2;
  const chord =
    half(a.lat, b.lat) + Math.cos(a.lat * radians) * Math.cos(b.lat * radians) * half(a.lon, b.lon);
  return 2 * 6371 * Math.asin(Math.sqrt(chord));
}
