import type { City, Target } from "../domain/index.ts";
import { literal } from "../lake/index.ts";

/** First step that starts at or after an instant. */
const stepFrom = (city: City, at: number) => city.grid.stepAt(at - 1) + 1;

/** Conditions on the steps of a period [from, to). */
function within(city: City, column: string, period: { from?: number; to?: number }): string[] {
  return [
    ...(period.from === undefined ? [] : [`${column} >= ${stepFrom(city, period.from)}`]),
    ...(period.to === undefined ? [] : [`${column} < ${stepFrom(city, period.to)}`]),
  ];
}

const allOf = (conditions: readonly string[]) => conditions.join(" AND ") || "true";

export interface ObservationFilter {
  readonly measure: string;
  /** Number of the entity. */
  readonly e?: number;
  readonly from?: number;
  readonly to?: number;
}

/** FROM and WHERE of observations: `o` with entities `n` and steps `s`. */
export function observationsFrom(city: City, filter: ObservationFilter): string {
  const conditions = [
    `o.measure = ${literal(filter.measure)}`,
    ...(filter.e === undefined ? [] : [`o.e = ${filter.e}`]),
    ...within(city, "o.t", filter),
  ];
  return `FROM observations o JOIN entities n USING (e) JOIN steps s USING (t) WHERE ${allOf(conditions)}`;
}

export interface ForecastFilter {
  readonly target: Target;
  /** An origin, the newest one, or every one. */
  readonly origin: number | "latest" | "all";
  readonly e?: number;
  readonly from?: number;
  readonly to?: number;
}

/** FROM and WHERE of forecasts: `f` with their batches `b`, entities `n` and steps `s`. */
export function forecastsFrom(city: City, filter: ForecastFilter): string {
  const target = literal(filter.target.name);
  const at = typeof filter.origin === "number" ? `AND origin_at = ${Math.floor(filter.origin)}` : "";
  // Of two batches of one origin (a backfill after a promotion) the one issued last counts.
  const batches = `SELECT batch FROM batches WHERE target = ${target} ${at}
    QUALIFY row_number() OVER (PARTITION BY origin_at ORDER BY issued_at DESC, version DESC) = 1
    ORDER BY origin_at DESC ${filter.origin === "all" ? "" : "LIMIT 1"}`;
  const conditions = [
    `f.target = ${target}`,
    `f.batch IN (${batches})`,
    ...(filter.e === undefined ? [] : [`f.e = ${filter.e}`]),
    ...within(city, "f.t", filter),
  ];
  return `FROM forecasts f JOIN batches b USING (batch) JOIN entities n USING (e) JOIN steps s USING (t) WHERE ${allOf(conditions)}`;
}
