import type { City } from "../domain/index.ts";
import type { FeatureView } from "../features/index.ts";
import { type Connection, literal } from "../lake/index.ts";

/** What was known of one entity at an origin, on the wall clock. */
export interface KnownSeries {
  readonly entity: number;
  /** Place on the wall clock of the first value (see `Grid.keyOf`); the last is that of the newest step usable. */
  readonly firstKey: number;
  /** One per place, NaN where unknown, masked or a dead counter's. */
  readonly values: Float64Array;
}

/**
 * The newest `most` places of each entity's series as known at an origin (ms UTC), publication lag and later
 * corrections respected. Runs of zeros that had become a dead counter's by then are unknown from their first zero on.
 */
export async function seriesAsKnown(
  connection: Connection,
  city: City,
  view: FeatureView,
  options: { origin: number; lagMs: number; most: number },
): Promise<Map<number, KnownSeries>> {
  const { grid } = city;
  const { origin, lagMs, most } = options;
  const anchor = grid.stepAt(origin - lagMs) - 1;
  const anchorKey = grid.keyOf(anchor);
  const measure = literal(view.measure);
  const at = Math.floor(origin);
  const { e, key, y } = await connection.numbers(`
    SELECT k.e, s.key, k.value AS y FROM (
      SELECT e, t, value FROM observations WHERE measure = ${measure} AND known_at <= ${at}
      UNION ALL
      SELECT e, t, value FROM revisions WHERE measure = ${measure} AND known_from <= ${at} AND known_to > ${at}
    ) k JOIN steps s USING (t)
    WHERE k.t <= ${anchor} AND s.fold = 0 AND s.key > ${anchorKey - most} AND k.value IS NOT NULL
    ORDER BY k.e, s.key`);
  const series = new Map<number, KnownSeries>();
  for (let i = 0; i < e!.length; i++) {
    const entity = e![i]!;
    let known = series.get(entity);
    if (!known) {
      const firstKey = key![i]!;
      known = { entity, firstKey, values: new Float64Array(anchorKey - firstKey + 1).fill(Number.NaN) };
      series.set(entity, known);
    }
    known.values[key![i]! - known.firstKey] = y![i]!;
  }
  for (const { values } of series.values()) maskDead(values, view.stuckSteps);
  return series;
}

/** Zeros of runs without any count that are at least `stuckSteps` long become unknown. */
function maskDead(values: Float64Array, stuckSteps: number): void {
  let alive = -1;
  for (let i = 0; i <= values.length; i++) {
    if (i < values.length && !(values[i]! > 0)) continue;
    if (i - alive - 1 >= stuckSteps) values.fill(Number.NaN, alive + 1, i);
    alive = i;
  }
}
