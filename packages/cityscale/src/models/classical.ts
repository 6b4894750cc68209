import { type City, localDay, type Target } from "../domain/index.ts";
import type { FeatureView } from "../features/index.ts";
import type { Connection } from "../lake/index.ts";
import type { Forecast } from "./forecaster.ts";
import { judge, type ScoreTable } from "./judge.ts";
import { type JudgedRows, pickRows } from "./judged-rows.ts";
import type { Origins } from "./origins.ts";
import { seriesAsKnown } from "./series-as-known.ts";
import { SeriesWorkers, seriesKinds } from "./series-workers.ts";

/** A fit for every series at every origin takes too long: they are fitted at every so many-th. */
export const classicalStride = 14;

/** Newest steps that a series is fitted to: a year of hours, all of the days there are. */
const mostSteps = 9000;

/** Scores on the rows of every `stride`-th origin. */
export interface ClassicalTable extends Pick<ScoreTable, "rows" | "entities" | "models" | "notes"> {
  readonly stride: number;
  readonly origins: number;
}

export interface ClassicalOptions {
  readonly city: City;
  readonly target: Target;
  readonly view: FeatureView;
  readonly lagMs: number;
  /** All origins of the backtest. */
  readonly origins: Origins;
  /** Names of the judged rows' forecasts. */
  readonly names: readonly string[];
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
}

/**
 * Fits Prophet, ETS and MSTL to each entity's series as known at every 14th origin, and scores them beside all
 * that was forecast for exactly those rows. Throws the signal's reason.
 */
export async function judgeClassical(
  connection: Connection,
  judged: JudgedRows,
  options: ClassicalOptions,
): Promise<ClassicalTable> {
  const { city, origins, names } = options;
  const at = origins.at.filter((_, i) => i % classicalStride === 0);
  const rows = rowsByFirstStep(judged);
  const chosen = Array.from(at, (origin) => rows.get(city.grid.stepAt(origin)) ?? []);
  const sample = pickRows(judged, chosen.flat());
  const { forecasts, notes } = await forecastSeries(connection, sample, at, options);
  const table = await judge(connection, sample.set, {
    before: origins.at[0]!,
    forecasts: [
      ...sample.forecasts.map((forecast, i) => ({ name: names[i]!, forecast })),
      ...seriesKinds.map((name, i) => ({ name, kind: "classical" as const, forecast: forecasts[i]! })),
    ],
  });
  return {
    stride: classicalStride,
    origins: at.length,
    rows: table.rows,
    entities: table.entities,
    models: table.models,
    notes: [...table.notes, ...notes, ...oneWeekday(city, at)],
  };
}

/** Every 14th day is the same weekday, and its scores are not those of the others. */
function oneWeekday(city: City, at: Float64Array): string[] {
  const weekdays = new Set(Array.from(at, (origin) => (localDay(city.timeZone, origin) + 3) % 7));
  return at.length > 1 && weekdays.size === 1 ? ["these origins all lie on one weekday"] : [];
}

/** Rows by the step that their origin lies in, which is that of lead 1. */
function rowsByFirstStep({ set }: JudgedRows): Map<number, number[]> {
  const rows = new Map<number, number[]>();
  for (let i = 0; i < set.rows; i++) {
    const first = set.step[i]! - set.lead[i]! + 1;
    const list = rows.get(first);
    if (list) list.push(i);
    else rows.set(first, [i]);
  }
  return rows;
}

/** Forecasts of each kind for the rows, which are those of the origins given. */
async function forecastSeries(
  connection: Connection,
  judged: JudgedRows,
  at: Float64Array,
  options: ClassicalOptions,
): Promise<{ forecasts: Forecast[]; notes: string[] }> {
  const { city, view, lagMs, signal } = options;
  const { grid } = city;
  const { set } = judged;
  const spd = grid.slotsPerDay;
  const empty = () => new Float64Array(set.rows).fill(Number.NaN);
  const forecasts = seriesKinds.map(() => ({ point: empty(), quantiles: [empty(), empty(), empty()] }));
  const standIns = seriesKinds.map(() => 0);
  const rows = rowsByFirstStep(judged);
  let filled = 0;
  let known = 0;
  let done = 0;
  await using workers = new SeriesWorkers(options.threads);
  for (const [n, origin] of at.entries()) {
    signal?.throwIfAborted();
    const series = await seriesAsKnown(connection, city, view, { origin, lagMs, most: mostSteps });
    const byEntity = Map.groupBy(rows.get(grid.stepAt(origin)) ?? [], (i) => set.entity[i]!);
    const nothing = { firstKey: grid.keyOf(grid.stepAt(origin)), values: new Float64Array(0) };
    const asked = [...byEntity].map(([entity, own]) => {
      const { firstKey, values } = series.get(entity) ?? nothing;
      const end = firstKey + values.length;
      // Places on the wall clock: the hour that autumn repeats is forecast once, for both.
      const ahead = own.map((i) => grid.keyOf(set.step[i]!) - end);
      return { own, ahead, firstKey, values };
    });
    const answers = await workers.forecast(
      asked.map(({ ahead, firstKey, values }) => ({
        series: { startMs: firstKey * grid.stepMs, stepMs: grid.stepMs, values },
        horizon: Math.max(...ahead) + 1,
        periods: spd > 1 ? [spd, 7 * spd] : [7],
        seed: options.target.training.seed,
      })),
      {
        ...(signal ? { signal } : {}),
        onDone: () => {
          done++;
          const share = (n + (done % Math.max(1, asked.length)) / Math.max(1, asked.length)) / at.length;
          options.onProgress?.(`${seriesKinds.join(", ")}: ${done} series fitted`, Math.min(1, share));
        },
      },
    );
    for (const [a, { own, ahead, values }] of asked.entries()) {
      const answer = answers[a]!;
      filled += answer.filled;
      known += values.length;
      for (const [k, forecast] of answer.forecasts.entries()) {
        const { point, quantiles } = forecasts[k]!;
        for (const [j, i] of own.entries()) {
          const value = (of: "point" | "low" | "high") =>
            forecast ? Math.max(0, forecast[of][ahead[j]!]!) : set.expectation[i]!;
          point[i] = value("point");
          quantiles[0]![i] = value("low");
          quantiles[1]![i] = point[i]!;
          quantiles[2]![i] = value("high");
          if (!forecast) standIns[k]!++;
        }
      }
    }
  }
  const notes = [
    `${seriesKinds.join(", ")}: fitted at each origin to the newest ${mostSteps} steps known then, forecasts below 0 raised to 0; ets has no season`,
  ];
  if (filled > 0) {
    const percent = ((100 * filled) / known).toFixed(1);
    notes.push(
      `ets, mstl: ${percent} % of the steps were unknown, masked or dead counters' and interpolated`,
    );
  }
  for (const [k, count] of standIns.entries()) {
    if (count > 0)
      notes.push(
        `${seriesKinds[k]}: ${count} rows of series it cannot be fitted to use the seasonal expectation`,
      );
  }
  return { forecasts, notes };
}
