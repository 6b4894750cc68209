import { type City, startOfLocalDay, type Target } from "../domain/index.ts";
import { type Connection, literal } from "../lake/index.ts";

/**
 * Local days of one entity, oldest first and without gaps, NaN where unknown: what was counted, and what had been
 * forecast for the same steps before the day began. Steps that lack either are in neither sum.
 */
export interface DaySums {
  readonly e: number;
  readonly entity: string;
  /** Local day number of the first. */
  readonly firstDay: number;
  readonly actual: Float64Array;
  readonly forecast: Float64Array;
  /** Sums of the bounds of the central 80 % interval: wider than the interval of the sum where a day has many steps. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** When the newest of the day's values became known, ms UTC. */
  readonly knownAt: Float64Array;
}

/** Share of a day's steps that must be counted and forecast. */
const enough = 0.8;

/** Forecasts of steps, as a SQL relation with the columns e, t, point, low, high: one forecast for each step. */
export type ForecastRelation = string;

/**
 * Forecasts that were issued in time: for each entity and local day those of the newest origin that the day's first
 * step was forecast from. A batch made later than this after its origin was made in hindsight.
 */
export function liveForecasts(city: City, target: Target, fromDay: number, liveWithinMs: number): string {
  const from = city.grid.stepAt(startOfLocalDay(city.timeZone, fromDay));
  return `
    SELECT f.e, f.t, f.point, f.low, f.high
    FROM forecasts f JOIN steps s USING (t) JOIN (
      SELECT f.e, s.day, arg_max(f.batch, (b.origin_at, b.issued_at)) AS batch
      FROM forecasts f JOIN batches b USING (batch) JOIN steps s USING (t)
        JOIN (SELECT day, min(t) AS t FROM steps GROUP BY day) d ON d.day = s.day AND d.t = f.t
      WHERE f.target = ${literal(target.name)} AND f.t >= ${from} AND b.issued_at - b.origin_at <= ${liveWithinMs}
      GROUP BY f.e, s.day
    ) chosen ON chosen.e = f.e AND chosen.day = s.day AND chosen.batch = f.batch
    WHERE f.target = ${literal(target.name)} AND f.t >= ${from}`;
}

/**
 * Values as the publisher has them (what an annotation hides is judged all the same) beside forecasts, by entity and
 * local day, from a day on. Only days that are over at `now`.
 */
export async function daySums(
  connection: Connection,
  city: City,
  target: Target,
  forecasts: ForecastRelation,
  period: { readonly fromDay: number; readonly now: number },
): Promise<DaySums[]> {
  const { fromDay, now } = period;
  const from = city.grid.stepAt(startOfLocalDay(city.timeZone, fromDay));
  // Days without a forecast still count for detectors that hold a day against other days.
  const rows = await connection.numbers(`
    WITH days AS (
      SELECT day, count(*) AS steps FROM steps WHERE t >= ${from} GROUP BY day HAVING max(end_at) <= ${Math.floor(now)}
    ), cells AS (
      SELECT o.e, s.day, o.value, o.known_at, f.point, f.low, f.high, f.t IS NOT NULL AS has_forecast
      FROM clean_observations o JOIN steps s USING (t) LEFT JOIN (${forecasts}) f ON f.e = o.e AND f.t = o.t
      WHERE o.measure = ${literal(target.measure)} AND o.t >= ${from} AND o.value IS NOT NULL AND o.known_at <= ${Math.floor(now)}
    ), sums AS (
      SELECT e, day, count(*) AS n, sum(value) AS y, max(known_at) AS known_at,
        count(*) FILTER (has_forecast) AS forecast_n, sum(value) FILTER (has_forecast) AS forecast_y,
        sum(greatest(0, point)) AS point,
        CASE WHEN count(low) = count(*) FILTER (has_forecast) THEN sum(greatest(0, low)) END AS low,
        CASE WHEN count(high) = count(*) FILTER (has_forecast) THEN sum(greatest(0, high)) END AS high
      FROM cells GROUP BY e, day
    )
    SELECT s.e, s.day, s.known_at,
      CASE WHEN forecast_n >= ${enough} * d.steps THEN forecast_y WHEN n >= ${enough} * d.steps THEN y END AS y,
      CASE WHEN forecast_n >= ${enough} * d.steps THEN point END AS point,
      CASE WHEN forecast_n >= ${enough} * d.steps THEN low END AS low,
      CASE WHEN forecast_n >= ${enough} * d.steps THEN high END AS high
    FROM sums s JOIN days d USING (day) ORDER BY s.e, s.day`);
  const names = await connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities");
  return dense(rows, new Map(names.map(({ e, entity }) => [e, entity])));
}

type Columns = Awaited<ReturnType<Connection["numbers"]>>;

function dense(rows: Columns, names: ReadonlyMap<number, string>): DaySums[] {
  const { e, day, y, point, low, high, known_at: knownAt } = rows as Record<string, Float64Array>;
  const all: DaySums[] = [];
  for (let from = 0; from < e!.length; ) {
    let to = from;
    while (to < e!.length && e![to] === e![from]) to++;
    const firstDay = day![from]!;
    const spread = (values: Float64Array) => {
      const out = new Float64Array(day![to - 1]! - firstDay + 1).fill(Number.NaN);
      for (let i = from; i < to; i++) out[day![i]! - firstDay] = values[i]!;
      return out;
    };
    all.push({
      e: e![from]!,
      entity: names.get(e![from]!)!,
      firstDay,
      actual: spread(y!),
      forecast: spread(point!),
      low: spread(low!),
      high: spread(high!),
      knownAt: spread(knownAt!),
    });
    from = to;
  }
  return all;
}
