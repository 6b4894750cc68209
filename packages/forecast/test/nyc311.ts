import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fitRidge, type Matrix } from "../src/index.ts";
import { medianKnown } from "../src/quantile.ts";

const DAY = 86_400_000;
const START = Date.UTC(2021, 0, 1);

/** Days on which the 311 service published half a day's requests. */
export const HALF_LOADED = [
  "2023-09-15",
  "2023-09-23",
  "2023-11-26",
  "2023-11-27",
  "2024-02-12",
  "2024-07-28",
  "2025-01-25",
].map(dayOf);

/** Where the recorded daily requests are, or null. */
export function nyc311Folder(): string | null {
  const data = process.env["CITYSCALE_DATA"] ?? join(import.meta.dirname, "../../../../shared/data");
  const folder = resolve(data, "nyc311");
  return existsSync(folder) ? folder : null;
}

/** Days since 2021-01-01. */
export function dayOf(date: string): number {
  return Math.round((Date.parse(date) - START) / DAY);
}

/** Daily requests from 2021 on by series, NaN where a day is missing; half-loaded days as published. */
export function readSeries(folder: string): Map<string, Float64Array> {
  const series = new Map<string, Float64Array>();
  const put = (name: string, date: string, count: string) => {
    const day = dayOf(date);
    if (day < 0) return;
    if (!series.has(name)) series.set(name, new Float64Array(dayOf("2026-03-20")).fill(Number.NaN));
    series.get(name)![day] = Number(count);
  };
  const rows = (file: string) => readFileSync(join(folder, file), "utf8").trim().split("\n").slice(1);
  for (const row of rows("daily_by_type.csv")) {
    const [date, ...rest] = row.trim().split(",");
    put(rest.slice(0, -1).join(","), date!, rest.at(-1)!);
  }
  for (const row of rows("daily_total.csv")) put("ALL 311", row.split(",")[0]!, row.split(",")[1]!);
  return series;
}

/**
 * One-day-ahead forecasts by a ridge refitted every 28 days, on the log-ratio to the mean of the last four same
 * weekdays, with levels and the calendar but no weather. NaN before `from`.
 */
export function forecastOneDayAhead(actual: Float64Array, from: number): Float64Array {
  const filled = fillFromThePast(actual);
  const logs = filled.map(Math.log1p);
  const base = filled.map((_, p) => Math.log1p(mean([7, 14, 21, 28].map((k) => filled[p - k]!))));
  const rows = featureRows(filled, logs, base);
  const names = Object.keys(rows.at(-1)!).filter((name) => name !== "weekday");
  const matrix: Matrix = {
    rows: rows.length,
    names: [...names, "weekday"],
    columns: [...names, "weekday"].map((name) => Float32Array.from(rows, (row) => row[name] ?? Number.NaN)),
    categorical: ["weekday"],
  };
  const forecast = new Float64Array(actual.length).fill(Number.NaN);
  const first = actual.findIndex((y) => !Number.isNaN(y)) + 130;
  for (let origin = from - 1; origin < actual.length - 1; origin += 28) {
    const target = actual.map((y, p) => (p >= first && p <= origin ? Math.log1p(y) - base[p]! : Number.NaN));
    const z = fitRidge({ matrix, target }, { alpha: 30, clipTarget: 0.005 }).predict(matrix);
    for (let p = origin + 1; p <= origin + 28 && p < actual.length; p++) {
      forecast[p] = Math.expm1(base[p]! + z[p]!);
    }
  }
  return forecast;
}

function featureRows(filled: Float64Array, logs: Float64Array, base: Float64Array): Record<string, number>[] {
  const holidays = holidayDays();
  const isHoliday = (day: number) => Number(holidays.has(day));
  const level = (p: number, days: number) => Math.log1p(mean([...filled.slice(Math.max(0, p - days), p)]));
  const departure = logs.map((value, p) => value - base[p]!);
  const centred = logs.map((value, p) => value - mean([...logs.slice(Math.max(0, p - 3), p + 4)]));
  return Array.from(filled, (_, p): Record<string, number> => {
    if (p < 100) return {};
    const date = new Date(START + p * DAY);
    const b = base[p]!;
    const season = (2 * Math.PI * (START + p * DAY - Date.UTC(date.getUTCFullYear(), 0, 0))) / DAY / 365.25;
    const sameDays = [7, 14, 21, 28].map((k) => p - k);
    // What a weekday adds, known at the origin p - 1 from centred means that end there.
    const factor = (day: number) => {
      const days = Array.from({ length: 70 }, (_, k) => p - 4 - k).filter((d) => (d - day) % 7 === 0);
      return medianKnown(Float64Array.from(days, (d) => centred[d]!));
    };
    const smoothed = (alpha: number) => {
      let sum = 0;
      let weights = 0;
      for (let k = 0; k < 29; k++) {
        const weight = alpha * (1 - alpha) ** k;
        sum += weight * (logs[p - 1 - k]! - factor(p - 1 - k));
        weights += weight;
      }
      return sum / weights + factor(p) - b;
    };
    const [month, dayOfMonth] = [date.getUTCMonth() + 1, date.getUTCDate()];
    return {
      weekday: date.getUTCDay(),
      holiday: isHoliday(p),
      afterHoliday: isHoliday(p - 1),
      beforeHoliday: isHoliday(p + 1),
      christmas: Number((month === 12 && dayOfMonth >= 23) || (month === 1 && dayOfMonth <= 2)),
      july4: Number(month === 7 && dayOfMonth >= 3 && dayOfMonth <= 5),
      baseHolidays: sameDays.reduce((sum, day) => sum + isHoliday(day), 0),
      sin: Math.sin(season),
      cos: Math.cos(season),
      departure1: departure[p - 1]!,
      departure2: departure[p - 2]!,
      departure3: mean([1, 2, 3].map((k) => departure[p - k]!)),
      departure7: mean([1, 2, 3, 4, 5, 6, 7].map((k) => departure[p - k]!)),
      level7: level(p, 7) - b,
      level28: level(p, 28) - b,
      level56: level(p, 56) - b,
      yesterday: logs[p - 1]! - b,
      lastWeek: logs[p - 7]! - b,
      median: Math.log1p(medianKnown(Float64Array.from(sameDays, (day) => filled[day]!))) - b,
      lastYear: departure[p - 364] ?? Number.NaN,
      smoothed15: smoothed(0.15),
      smoothed50: smoothed(0.5),
      smoothed90: smoothed(0.9),
      factor: factor(p),
    };
  });
}

/** An unknown day takes the value of a week before; days before the first known one stay unknown. */
function fillFromThePast(actual: Float64Array): Float64Array {
  const filled = actual.slice();
  for (let p = 7; p < filled.length; p++) if (Number.isNaN(filled[p]!)) filled[p] = filled[p - 7]!;
  return filled;
}

function holidayDays(): Set<number> {
  const days = new Set<number>();
  for (let year = 2021; year <= 2026; year++) {
    const at = (month: number, day: number) => Math.round((Date.UTC(year, month - 1, day) - START) / DAY);
    const weekday = (day: number) => new Date(START + day * DAY).getUTCDay();
    const nth = (month: number, wanted: number, n: number) => {
      const first = at(month, 1);
      return first + ((wanted - weekday(first) + 7) % 7) + 7 * (n - 1);
    };
    const lastMonday = nth(5, 1, 5) < at(6, 1) ? nth(5, 1, 5) : nth(5, 1, 4);
    for (const day of [nth(1, 1, 3), nth(2, 1, 3), lastMonday, nth(9, 1, 1), nth(10, 1, 2), nth(11, 4, 4)]) {
      days.add(day);
    }
    for (const day of [at(1, 1), at(6, 19), at(7, 4), at(11, 11), at(12, 25)]) {
      days.add(day);
      if (weekday(day) === 6) days.add(day - 1);
      if (weekday(day) === 0) days.add(day + 1);
    }
  }
  return days;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
