import type { Config } from "../core/index.ts";
import {
  type AnomalyRule,
  anomalyRule,
  type City,
  type DetectorName,
  dateOfDay,
  dayOfDate,
  startOfLocalDay,
  type Target,
} from "../domain/index.ts";
import type { Annotation, Connection } from "../lake/index.ts";
import { backtest, type JudgedRows } from "../models/index.ts";
import { judgedAnomalies, windowDays } from "../monitoring/index.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { duration, localDate, type PeriodFlags, withPeriod } from "./period.ts";
import { whole } from "./table.ts";

export interface PastAnomaliesOptions {
  readonly city: string;
  /** Folder with the data, laid out as the recordings. */
  readonly data: string;
  readonly from: string;
  readonly to: string;
  readonly target?: string;
  readonly detector?: DetectorName;
  /** Trees alone. */
  readonly fast: boolean;
  readonly refit: string;
}

export interface PastAnomalies extends AnomalyRule {
  readonly city: string;
  readonly timeZone: string;
  readonly target: string;
  /** Days of entities that could be judged. */
  readonly judgedDays: number;
  readonly anomalies: readonly Annotation[];
  readonly notes: readonly string[];
}

/**
 * What would have been found in a past period, had it been forecast day by day: a backtest on given data, in a lake of
 * its own, from the window before the period on. Throws UsageError, and what `backtest` throws.
 */
export async function pastAnomalies(
  options: PastAnomaliesOptions,
  config: Config,
  io: Io,
  signal: AbortSignal,
): Promise<PastAnomalies> {
  const { from, to, data } = options;
  const [fromDay, toDay] = [dayOfDate(localDate("--from", from)), dayOfDate(localDate("--to", to))];
  if (toDay < fromDay) throw new UsageError(`--to ${to} lies before --from ${from}`);
  // Days are held against what was forecast at their midnight from all days before.
  const flags: PeriodFlags = {
    data,
    from: dateOfDay(fromDay - windowDays),
    to,
    every: "24h",
    horizon: "24h",
    lag: "0h",
    weather: true,
    ...(options.target === undefined ? {} : { target: options.target }),
  };
  let past: PastAnomalies | undefined;
  await withPeriod(
    options.city,
    flags,
    { config, io, signal },
    async ({ connection, period, notes, progress }) => {
      const { city } = period;
      const target = ruledBy(city, period.target, options.detector);
      let forecasts: JudgedRows | undefined;
      const result = await backtest(connection, {
        ...period,
        refit: duration("--refit", options.refit, city),
        kind: options.fast ? "trees" : "blend",
        threads: config.threads,
        signal,
        onProgress: (message, share) => progress.update("backtest", "forecasting day by day", share, message),
        onForecasts: (rows) => {
          forecasts = rows;
        },
      });
      progress.finish("backtest", "forecasting day by day", `${whole(result.rows)} forecasts`);
      const { anomalies, days } = await judgedAnomalies(connection, city, target, {
        forecasts: await storeForecasts(connection, forecasts!),
        fromDay,
        toDay,
        now: startOfLocalDay(city.timeZone, toDay + 1),
      });
      past = {
        city: city.id,
        timeZone: city.timeZone,
        target: target.name,
        ...target.anomalies,
        judgedDays: days,
        anomalies,
        notes: [...notes, ...(result.weather === "observed" ? result.notes : [])],
      };
    },
  );
  return past!;
}

/** The target with another detector at its own thresholds; as declared when none is named. */
function ruledBy(city: City, target: Target, detector: DetectorName | undefined): Target {
  if (detector === undefined || detector === target.anomalies.detector) return target;
  return { ...target, anomalies: anomalyRule({ detector }, city.measures[target.measure]!.kind === "log") };
}

/** The judged model's forecasts as a table of this connection. */
async function storeForecasts(connection: Connection, { set, forecasts }: JudgedRows): Promise<string> {
  const [model] = forecasts;
  await connection.run(
    "CREATE OR REPLACE TEMP TABLE past_forecasts (e DOUBLE, t DOUBLE, point DOUBLE, low DOUBLE, high DOUBLE)",
  );
  await connection.append("past_forecasts", [
    Float64Array.from(set.entity),
    Float64Array.from(set.step),
    model!.point,
    model!.quantiles[0]!,
    model!.quantiles[2]!,
  ]);
  return "SELECT * FROM past_forecasts WHERE isfinite(point)";
}
