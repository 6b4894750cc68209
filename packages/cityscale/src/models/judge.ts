import { naiveNames, type WeatherBasis } from "../domain/index.ts";
import type { Connection } from "../lake/index.ts";
import { literal } from "../lake/index.ts";
import type { Forecast } from "./forecaster.ts";
import type { OutcomeRows } from "./judged-rows.ts";
import { type ModelForecasts, type ModelScores, scoreModel } from "./scores.ts";

/** A table of scores on the same rows, naive forecasts always among them. */
export interface ScoreTable {
  readonly rows: number;
  readonly entities: number;
  readonly models: readonly ModelScores[];
  /** Name of the naive forecast with the smallest WAPE. */
  readonly bestNaive: string;
  /** 1 - WAPE of the trained model / WAPE of the best naive forecast; null where either is missing. */
  readonly gain: number | null;
  readonly weather: WeatherBasis;
  readonly notes: readonly string[];
}

/** Mean absolute same-hour-last-week error of each entity before an instant: what MASE divides by. */
export async function weeklyScale(
  connection: Connection,
  measure: string,
  slotsPerDay: number,
  before: number,
): Promise<Map<number, number>> {
  const rows = await connection.rows<{ e: number; scale: number }>(`
    SELECT a.e, avg(abs(a.value - b.value)) AS scale
    FROM observations a JOIN steps s ON s.t = a.t
      JOIN steps p ON p.key = s.key - ${7 * slotsPerDay} AND p.fold = 0
      JOIN observations b ON b.measure = a.measure AND b.e = a.e AND b.t = p.t
    WHERE a.measure = ${literal(measure)} AND a.known_at <= ${Math.floor(before)} GROUP BY a.e`);
  return new Map(rows.map((row) => [row.e, row.scale]));
}

export async function entityNames(connection: Connection): Promise<Map<number, string>> {
  const rows = await connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities");
  return new Map(rows.map((row) => [row.e, row.entity]));
}

/**
 * Scores naive forecasts and models on exactly the same rows (the first model is the one judged): those whose target came true, is
 * not a dead counter's, and for which an expectation exists.
 */
export async function judge(
  connection: Connection,
  set: OutcomeRows,
  options: {
    before: number;
    forecasts: readonly { name: string; kind?: ModelScores["kind"]; forecast: Forecast }[];
  },
): Promise<ScoreTable> {
  const notes: string[] = [];
  const keep: number[] = [];
  let dead = 0;
  let unknown = 0;
  let bare = 0;
  for (let i = 0; i < set.rows; i++) {
    if (Number.isNaN(set.target[i]!)) unknown++;
    else if (set.dead[i] === 1) dead++;
    else if (Number.isNaN(set.expectation[i]!)) bare++;
    else keep.push(i);
  }
  if (dead > 0)
    notes.push(
      `${dead} rows lie in runs of zeros that, seen afterwards, are dead counters' and are left out of the scores`,
    );
  if (unknown > 0) notes.push(`${unknown} rows have no observed value and cannot be scored`);
  if (bare > 0) notes.push(`${bare} rows have no history to forecast from, naive or not`);
  const pick = (values: Float64Array) => Float64Array.from(keep, (i) => values[i]!);
  // Every model answers every row: where a naive forecast has no past value of its own the expectation stands in.
  const filled = (values: Float64Array, name: string) => {
    let count = 0;
    const out = Float64Array.from(keep, (i) => {
      if (!Number.isNaN(values[i]!)) return values[i]!;
      count++;
      return set.expectation[i]!;
    });
    if (count > 0)
      notes.push(`${name}: ${count} rows without a value of last week use the seasonal expectation`);
    return out;
  };
  const models: ModelForecasts[] = naiveNames.map((name) => ({
    name,
    kind: "naive" as const,
    point: filled(set.naive[name]!, name),
    ...(name === "median-8-weeks" ? { low: pick(set.naiveLow), high: pick(set.naiveHigh) } : {}),
  }));
  for (const { name, kind = "trained", forecast } of options.forecasts) {
    models.push({
      name,
      kind,
      point: pick(forecast.point),
      low: pick(forecast.quantiles[0]!),
      high: pick(forecast.quantiles[2]!),
    });
  }
  const scales = await weeklyScale(connection, set.view.measure, set.view.slotsPerDay, options.before);
  const entity = Int32Array.from(keep, (i) => set.entity[i]!);
  const rows = {
    target: pick(set.target),
    lead: Int32Array.from(keep, (i) => set.lead[i]!),
    entity,
    entityNames: await entityNames(connection),
    eachLead: set.view.slotsPerDay === 1,
    scale: Float64Array.from(entity, (e) => scales.get(e) ?? Number.NaN),
  };
  const scored = models.map((model) => scoreModel(rows, model, false));
  const wapeOf = (model: ModelScores | undefined) => model?.wape ?? Number.POSITIVE_INFINITY;
  const best = scored
    .filter((model) => model.kind === "naive")
    .reduce((a, b) => (wapeOf(b) < wapeOf(a) ? b : a));
  const trained = scored.find((model) => model.kind === "trained");
  const winner = trained && wapeOf(trained) < wapeOf(best) ? trained : best;
  const gain =
    trained?.wape != null && best.wape != null && best.wape > 0 ? 1 - trained.wape / best.wape : null;
  const issued = set.weatherIssued.reduce((sum, flag) => sum + (flag === 1 ? 1 : 0), 0);
  const observed = set.weatherIssued.reduce((sum, flag) => sum + (flag === 0 ? 1 : 0), 0);
  if (observed > 0) {
    notes.push(
      `weather at the target time is what was later observed on ${observed} of ${set.rows} rows: a perfect forecast, which live forecasts do not have`,
    );
  }
  return {
    rows: keep.length,
    entities: new Set(entity).size,
    models: scored.map((model) => ({ ...model, champion: model.name === winner.name })),
    bestNaive: best.name,
    gain,
    weather: observed > 0 ? "observed" : issued > 0 ? "issued" : "none",
    notes,
  };
}
