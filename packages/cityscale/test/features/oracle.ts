import type { City, CityEvent } from "../../src/domain/index.ts";

/** Weather by the hour: variable -> value; the tests use temperature and rain. */
export type Hours = ReadonlyMap<number, Readonly<Record<string, number>>>;

export interface World {
  readonly city: City;
  readonly stuckSteps: number;
  /** Counts by entity and step. */
  readonly values: readonly ReadonlyMap<number, number>[];
  readonly places: readonly (readonly [lat: number, lon: number])[];
  /** Names of public holidays by local day. */
  readonly holidays: ReadonlyMap<number, string>;
  /** Local days of school holidays. */
  readonly school: ReadonlySet<number>;
  readonly events: readonly CityEvent[];
  readonly observed: Hours;
  readonly forecast: Hours;
  readonly issuedAt: number;
}

const mean = (values: readonly number[]) =>
  values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Quantile with linear interpolation between order statistics (Hyndman and Fan's type 7). */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted.length === 0
    ? Number.NaN
    : sorted[low]! + (at - low) * ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!);
}

const known = (values: readonly number[]) => values.filter((value) => !Number.isNaN(value));

/** The features by their definitions, one number at a time, out of what is known at one origin. */
export function createOracle(world: World, origin: number, lagMs: number) {
  const { city, holidays, school } = world;
  const { grid } = city;
  const c = 5;
  const spd = grid.slotsPerDay;
  const week = 7 * spd;
  const first = Math.min(...world.values.flatMap((values) => [...values.keys()]));
  const firstOf = world.values.map((values) => Math.min(...values.keys()));
  let anchor = grid.stepAt(origin);
  while (grid.endOf(anchor) + lagMs > origin) anchor--;
  const anchorKey = grid.keyOf(anchor);

  const stepOfKey = new Map<number, number>();
  for (let t = first; t <= anchor; t++) if (!stepOfKey.has(grid.keyOf(t))) stepOfKey.set(grid.keyOf(t), t);
  const holiday = (key: number) => holidays.has(Math.floor(key / spd));

  function y(e: number, t: number): number {
    const value = t <= anchor ? world.values[e]!.get(t) : undefined;
    if (value === undefined) return Number.NaN;
    if (value > 0) return value;
    // Dead when no count came in all of the last steps, and there were as many since the first one.
    for (let back = 0; back < world.stuckSteps; back++) {
      if (t - back < firstOf[e]! || (world.values[e]!.get(t - back) ?? 0) > 0) return value;
    }
    return Number.NaN;
  }
  const yAt = (e: number, key: number) => (stepOfKey.has(key) ? y(e, stepOfKey.get(key)!) : Number.NaN);
  const plainAt = (e: number, key: number) => (holiday(key) ? Number.NaN : yAt(e, key));
  const weeksBack = (e: number, key: number, from: number, count: number) =>
    known(Array.from({ length: count }, (_, i) => plainAt(e, key - (from + i) * week)));
  const cache = new Map<string, number>();
  const { expectation: named, horizonSteps, neighboursWithinKm } = Object.values(city.targets)[0]!;
  const far = spd > 1 && horizonSteps + lagMs / city.stepMs >= 2 * week;
  const relative = named === "geometric-mean-8";
  const average = (values: readonly number[]) =>
    relative ? Math.exp(mean(values.map((value) => Math.log(value + c)))) - c : mean(values);
  const middle = (values: readonly number[]) => (relative ? average(values) : quantile(values, 0.5));
  function expectation(e: number, key: number, weeks: number): number {
    const name = `${e} ${key} ${weeks}`;
    let s = cache.get(name);
    if (s === undefined) {
      const eight = weeksBack(e, key, weeks, 8);
      const older = weeksBack(e, key, weeks + 8, 31);
      const four = named === "mean-4" ? weeksBack(e, key, weeks, 4) : [];
      s =
        four.length > 0
          ? mean(four)
          : eight.length > 0
            ? middle(eight)
            : older.length > 0
              ? average(older)
              : meanBefore(e, key, weeks);
      cache.set(name, s);
    }
    return s;
  }
  function meanBefore(e: number, key: number, weeks: number): number {
    const all: number[] = [];
    for (let at = key - 400 * spd; at <= key - weeks * week; at++) all.push(yAt(e, at));
    return average(known(all));
  }
  const r = (e: number, t: number) => Math.log((y(e, t) + c) / (expectation(e, grid.keyOf(t), 1) + c));
  const rAt = (e: number, key: number) =>
    key <= anchorKey && stepOfKey.has(key) ? r(e, stepOfKey.get(key)!) : Number.NaN;
  const lastSteps = (count: number) => Array.from({ length: count }, (_, i) => anchor - i);
  const level = (values: readonly number[]) =>
    known(values).length >= Math.max(1, Math.ceil(0.3 * values.length)) ? mean(known(values)) : Number.NaN;
  const cityAt = (t: number) => mean(known(world.values.map((_, e) => r(e, t))));
  const metres = ([lat, lon]: readonly [number, number], to: readonly [number, number]) =>
    Math.hypot((lat - to[0]) * 111_195, (lon - to[1]) * 111_195 * Math.cos((lat * Math.PI) / 180));
  const nearAt = (e: number, t: number) =>
    mean(
      known(
        world.places.map((place, other) =>
          other !== e && metres(world.places[e]!, place) <= 1000 * neighboursWithinKm!
            ? r(other, t)
            : Number.NaN,
        ),
      ),
    );
  const days = (text: string) =>
    Math.round((Number.parseInt(text, 10) * (text.endsWith("d") ? 86_400_000 : 3_600_000)) / city.stepMs);
  const cityLevels = new Map<string, number>();

  const bySteps = (hours: Hours) => Map.groupBy(hours, ([at]) => grid.stepAt(at));
  const records = (hours: Hours) =>
    new Map([...bySteps(hours)].map(([step, entries]) => [step, entries.map(([, values]) => values)]));
  const forecast = records(world.forecast);
  if (spd === 1) {
    // Some hours of a last day are no day.
    const most = Math.max(...[...forecast.values()].map((hours) => hours.length));
    const end = Math.max(...forecast.keys());
    if (forecast.get(end)!.length < 0.7 * most) forecast.delete(end);
  }
  const seen = records(new Map([...world.observed].filter(([at]) => at <= world.issuedAt)));
  const past = [...seen.keys()];
  const active = (key: number) => {
    const hour = Math.floor(((key % spd) * 24) / spd);
    return hour >= 8 && hour <= 20;
  };

  const off = (day: number) => holidays.has(day) || (day + 3) % 7 >= 5;
  /** Days in a row, back or forth from a day and with it, that are of a sort. */
  const run = (day: number, step: 1 | -1, sort: (day: number) => boolean): number =>
    sort(day) ? 1 + run(day + step, step, sort) : 0;
  const nearestHoliday = (day: number, step: 1 | -1) => {
    let away = 0;
    while (away < 15 && !holidays.has(day + step * away)) away++;
    return away;
  };
  function fadingMean(e: number, key: number, weeks: number): number {
    let sum = 0;
    let weight = 0;
    for (let back = 0; back < 10; back++) {
      const value = plainAt(e, key - (weeks + back) * week);
      if (Number.isNaN(value)) continue;
      sum += 0.8 ** back * Math.log(value + c);
      weight += 0.8 ** back;
    }
    return sum / weight;
  }
  return {
    anchor,
    /** Every feature of a row that this oracle defines; NaN = missing. */
    row(e: number, t: number): Record<string, number> {
      const key = grid.keyOf(t);
      const day = Math.floor(key / spd);
      const weeks = Math.max(1, Math.ceil((key - anchorKey) / week));
      const s = expectation(e, key, weeks);
      const ratio = (value: number) => Math.log((value + c) / (s + c));
      const eight = weeksBack(e, key, weeks, 8);
      const weekday = (day + 3) % 7;
      const out: Record<string, number> = {
        "(expectation)": s,
        "(last-week)": yAt(e, key - weeks * week),
        "(median-8-weeks)": eight.length > 0 ? quantile(eight, 0.5) : s,
        "(mean-4-weeks)": mean(weeksBack(e, key, weeks, 4)),
        "(naive low)": quantile(eight, 0.1),
        "(naive high)": quantile(eight, 0.9),
        slot: key % spd,
        weekday,
        day_type: holidays.has(day) ? 7 : weekday,
        holiday: holidays.has(day) ? 1 : 0,
        holiday_tomorrow: holidays.has(day + 1) ? 1 : 0,
        holiday_yesterday: holidays.has(day - 1) ? 1 : 0,
        days_to_holiday: nearestHoliday(day, 1),
        days_since_holiday: nearestHoliday(day, -1),
        days_off: off(day) ? run(day, -1, off) + run(day, 1, off) - 1 : 0,
        bridge:
          !off(day) && ((weekday === 4 && holidays.has(day - 1)) || (weekday === 0 && holidays.has(day + 1)))
            ? 1
            : 0,
        school_holiday: school.has(day) ? 1 : 0,
        school_holiday_day: Math.min(
          45,
          run(day, -1, (at) => school.has(at)),
        ),
        school_holiday_left: Math.min(
          45,
          run(day, 1, (at) => school.has(at)),
        ),
        school_holiday_week_ago: school.has(day - 7) ? 1 : 0,
        school_holiday_share: mean(Array.from({ length: 56 }, (_, i) => (school.has(day - 1 - i) ? 1 : 0))),
        fading_mean: fadingMean(e, key, weeks) - Math.log(s + c),
        origin_slot: anchorKey % spd,
        log_expectation: Math.log(s + c),
        spread: Math.log((quantile(eight, 0.8) + c) / (quantile(eight, 0.2) + c)),
        mean_4_weeks: ratio(mean(weeksBack(e, key, weeks, 4))),
        y_day_1: key - spd <= anchorKey ? ratio(yAt(e, key - spd)) : Number.NaN,
        sunday_like: ratio(expectation(e, key - (1 + weekday) * spd, weeks)),
        city_day_1:
          key - spd <= anchorKey && stepOfKey.has(key - spd) ? cityAt(stepOfKey.get(key - spd)!) : Number.NaN,
        r_year: rAt(e, key - 364 * spd),
        level_plain_7d: level(lastSteps(week).map((at) => (holiday(grid.keyOf(at)) ? Number.NaN : r(e, at)))),
        level_plain_28d: level(
          lastSteps(4 * week).map((at) => (holiday(grid.keyOf(at)) ? Number.NaN : r(e, at))),
        ),
        volatility_28d: level(lastSteps(4 * week).map((at) => Math.abs(r(e, at)))),
        observed_share_7d: known(lastSteps(week).map((at) => y(e, at))).length / week,
      };
      for (const n of [3, 4, 12, 26])
        out[`median_${n}_weeks`] = ratio(quantile(weeksBack(e, key, weeks, n), 0.5));
      const half = Math.floor(3.5 * spd);
      out["r_year_week"] = mean(
        known(Array.from({ length: 2 * half + 1 }, (_, i) => rAt(e, key - 364 * spd - half + i))),
      );
      for (let lag = 1; lag <= 6; lag++) out[`r_day_${lag}`] = rAt(e, key - lag * spd);
      for (let lag = 1; lag <= 4; lag++) out[`y_week_${lag}`] = ratio(yAt(e, key - (weeks + lag - 1) * week));
      for (const name of ["1h", "3h", "6h", "1d", "3d", "7d"]) {
        if (days(name) >= 1) out[`level_${name}`] = level(lastSteps(days(name)).map((at) => r(e, at)));
      }
      for (const name of ["1h", "3h", "1d", "7d"]) {
        if (days(name) < 1) continue;
        if (!cityLevels.has(name)) cityLevels.set(name, level(lastSteps(days(name)).map(cityAt)));
        out[`city_${name}`] = cityLevels.get(name)!;
        if (neighboursWithinKm) out[`near_${name}`] = level(lastSteps(days(name)).map((at) => nearAt(e, at)));
      }
      if (neighboursWithinKm) {
        out["near_day_1"] =
          key - spd <= anchorKey && stepOfKey.has(key - spd)
            ? nearAt(e, stepOfKey.get(key - spd)!)
            : Number.NaN;
      }
      let before = day - 1;
      while (before > day - 500 && holidays.get(before) !== holidays.get(day)) before--;
      out["r_last_holiday"] =
        holidays.has(day) && before > day - 500 ? rAt(e, before * spd + (key % spd)) : Number.NaN;
      if (spd === 1) Object.assign(out, daysAt(e, key, s), temperaturesAt(t, weeks));
      const weather = weatherAt(t);
      if (far) Object.assign(out, farAt(key, weather));
      return { ...out, ...eventsAt(e, t, s), ...weather };
    },
  };

  /** What only horizons far beyond the newest counts have. */
  function farAt(key: number, weather: Readonly<Record<string, number>>): Record<string, number> {
    const day = Math.floor(key / spd);
    const weekday = holidays.has(day) ? 6 : (day + 3) % 7;
    const over = (degrees: number) => (degrees < 0 ? 0 : degrees);
    return {
      class_slot: Math.max(0, weekday - 4) * spd + (key % spd),
      wx_heat: over(weather["wx_temperature"]! - 20),
      wx_cold: over(6 - weather["wx_temperature"]!),
      wxday_heat: over(weather["wxday_temperature"]! - 20),
      wx_rain_root: Math.min(9, weather["wx_rain"]!) ** 0.5,
      wxday_rain_root: Math.min(9, weather["wxday_rain"]!) ** 0.5,
      wxnear_rain_root: Math.min(9, weather["wxnear_rain"]!) ** 0.5,
    };
  }

  /** Levels in logarithms, without the week's shape, and the change of last year; of daily steps. */
  function daysAt(e: number, key: number, s: number): Record<string, number> {
    const base = Math.log(s + c);
    const log = (at: number) => Math.log(yAt(e, at) + c);
    const enough = (values: readonly number[], of: number) =>
      known(values).length >= Math.ceil(0.3 * of) ? mean(known(values)) : Number.NaN;
    const factor = (weekday: number) => {
      const departures: number[] = [];
      for (let back = 3; back < 73; back++) {
        const at = anchorKey - back;
        if ((at + 3) % 7 !== weekday) continue;
        const week = Array.from({ length: 7 }, (_, i) => log(at - 3 + i));
        if (known(week).length === 7) departures.push(log(at) - mean(week));
      }
      return quantile(departures, 0.5);
    };
    const factors = Array.from({ length: 7 }, (_, weekday) => factor(weekday));
    const own = factors[(key + 3) % 7]!;
    const fading = (share: number) => {
      let sum = 0;
      let weight = 0;
      for (let back = 0; back < 29; back++) {
        const value = log(anchorKey - back) - factors[(anchorKey - back + 3) % 7]!;
        if (Number.isNaN(value)) continue;
        sum += (1 - share) ** back * value;
        weight += (1 - share) ** back;
      }
      return sum / weight + own - base;
    };
    const around = (middle: number) =>
      enough(
        Array.from({ length: 21 }, (_, i) => log(middle - 10 + i)),
        21,
      );
    const meanOf = (count: number) =>
      Math.log(
        enough(
          Array.from({ length: count }, (_, i) => yAt(e, anchorKey - i)),
          count,
        ) + c,
      ) - base;
    const date = new Date(key * 86_400_000);
    const [month, dayOfMonth] = [date.getUTCMonth() + 1, date.getUTCDate()];
    return {
      log_day: log(anchorKey) - base,
      log_mean_7d: meanOf(7),
      log_mean_28d: meanOf(28),
      log_mean_56d: meanOf(56),
      weekday_factor: own,
      fading_15: fading(0.15),
      fading_50: fading(0.5),
      fading_90: fading(0.9),
      year_change: around(key - 364) - around(anchorKey - 378),
      holiday_origin: holiday(anchorKey) ? 1 : 0,
      christmas_week: (month === 12 && dayOfMonth >= 23) || (month === 1 && dayOfMonth <= 2) ? 1 : 0,
    };
  }

  /** Temperatures ahead against those that had been observed by the origin; of daily steps. */
  function temperaturesAt(t: number, weeks: number): Record<string, number> {
    const first = grid.stepAt(origin);
    const behind = records(new Map([...world.observed].filter(([at]) => at <= origin)));
    const hours = (step: number) => (behind.get(step) ?? []).map((hour) => hour["temperature"]!);
    const dayMean = (step: number) => mean(known(hours(step)));
    const ofDay = (step: number) => known((forecast.get(step) ?? []).map((hour) => hour["temperature"]!));
    const ahead = ofDay(t);
    // For three days more it is as warm as on the last, against the days departed from.
    const last = Math.max(...forecast.keys());
    const warmth = mean(t > last && t <= last + 3 ? ofDay(last) : ahead);
    const heating = (temperature: number) =>
      Number.isNaN(temperature) ? Number.NaN : Math.max(0, 16.7 - temperature);
    const baseDays = Array.from({ length: 4 }, (_, i) => dayMean(t - 7 * (weeks + i)));
    const week = Array.from({ length: 7 }, (_, i) => dayMean(first - 7 + i));
    const changesOf = (temperature: number) => ({
      temperature_week: temperature - mean(known(week)),
      temperature_base: temperature - mean(known(baseDays)),
      temperature_today: temperature - dayMean(first - 1),
      heating_base: heating(temperature) - mean(known(baseDays).map(heating)),
    });
    const changes = changesOf(mean(ahead));
    const { temperature_base, heating_base } = changesOf(warmth);
    const date = new Date(grid.keyOf(t) * 86_400_000);
    const dayOfYear = 1 + (date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000;
    const angle = (2 * Math.PI * dayOfYear) / 365.25;
    return {
      temperature_low: ahead.length > 0 ? Math.min(...ahead) : Number.NaN,
      temperature_high: ahead.length > 0 ? Math.max(...ahead) : Number.NaN,
      heating: heating(mean(ahead)),
      ...Object.fromEntries(
        Object.entries(changes).flatMap(([name, change]) => [
          [name, change],
          [`${name}_sin`, change * Math.sin(angle)],
          [`${name}_cos`, change * Math.cos(angle)],
        ]),
      ),
      temperature_base,
      heating_base,
    };
  }

  function eventsAt(e: number, t: number, s: number): Record<string, number> {
    const [lat, lon] = world.places[e]!;
    const [start, end] = [grid.startOf(t), grid.endOf(t)];
    const near = (event: CityEvent) =>
      (event.attendance ?? 1000) * Math.exp(-metres([lat, lon], [event.lat!, event.lon!]) / 600);
    const sum = (events: readonly CityEvent[]) =>
      events.length === 0 ? Number.NaN : events.reduce((total, event) => total + near(event), 0);
    const on = world.events.filter((event) => !event.cancelled);
    const during = on.filter((event) => start < event.endAt && end > event.startAt);
    const before = on.filter((event) => start <= event.startAt && end > event.startAt - 7_200_000);
    const after = on.filter((event) => end > event.endAt && start < event.endAt + 7_200_000);
    const hoursOfLargest = (events: readonly CityEvent[], hours: (event: CityEvent) => number) =>
      events.length === 0
        ? Number.NaN
        : hours(events.reduce((largest, event) => (near(event) > near(largest) ? event : largest)));
    const middle = (start + end) / 2;
    return {
      events_near: Math.log(1 + sum(during)),
      events_city:
        during.length === 0
          ? Number.NaN
          : Math.log(1 + Math.max(...during.map((event) => event.attendance ?? 1000))),
      event_start_soon: Math.log(1 + sum(before)),
      event_end_recent: Math.log(1 + sum(after)),
      event_load: Math.log(1 + sum(during) / (s + c)),
      event_start_load: Math.log(1 + sum(before) / (s + c)),
      event_end_load: Math.log(1 + sum(after) / (s + c)),
      ...(spd > 1
        ? {
            event_starts_in: hoursOfLargest(before, (event) => (event.startAt - middle) / 3_600_000),
            event_ended_ago: hoursOfLargest(after, (event) => (middle - event.endAt) / 3_600_000),
          }
        : {}),
    };
  }

  function weatherAt(t: number): Record<string, number> {
    const key = grid.keyOf(t);
    const out: Record<string, number> = {};
    for (const name of ["temperature", "rain"]) {
      // Rain of a step longer than an hour is the sum of its hours.
      const sum = name === "rain" && spd < 24;
      const pooled = (
        hours: ReadonlyMap<number, Readonly<Record<string, number>>[]>,
        steps: readonly number[],
      ) => {
        const mine = steps.filter((step) => hours.has(step));
        const values = known(mine.flatMap((step) => hours.get(step)!.map((hour) => hour[name]!)));
        return sum && values.length > 0 ? (mean(values) * values.length) / mine.length : mean(values);
      };
      const value = pooled(forecast, [t]);
      out[`wx_${name}`] = value;
      // What was seen fills the forecast's own days, and the day before them.
      const filled = (step: number) => {
        const ahead = pooled(forecast, [step]);
        const own = Math.floor(grid.keyOf(step) / spd);
        return Number.isNaN(ahead) && (touched.has(own) || touched.has(own + 1))
          ? pooled(seen, [step])
          : ahead;
      };
      const touched = new Set([...forecast.keys()].map((step) => Math.floor(grid.keyOf(step) / spd)));
      const dayMean = (day: number) => {
        const steps: number[] = [];
        for (let step = t - 3 * spd; step <= t + 3 * spd; step++) {
          if (Math.floor(grid.keyOf(step) / spd) === day && (spd === 1 || active(grid.keyOf(step))))
            steps.push(step);
        }
        return mean(known(steps.map(filled)));
      };
      const day = Math.floor(key / spd);
      const there = (number: number) => (Number.isNaN(value) ? Number.NaN : number);
      out[`wxday_${name}`] = there(dayMean(day));
      out[`wxdaychange_${name}`] = there(dayMean(day) - dayMean(day - 1));
      const before = Array.from({ length: 3 * spd + 3 }, (_, i) => t - 3 * spd + i).find(
        (step) => grid.keyOf(step) === key - spd,
      );
      out[`wxchange_${name}`] = before === undefined ? Number.NaN : value - filled(before);
      if (spd >= 24) {
        const near = Math.floor((3 * 3_600_000) / city.stepMs);
        out[`wxnear_${name}`] = there(
          mean(known(Array.from({ length: 2 * near + 1 }, (_, i) => filled(t - near + i)))),
        );
      }
      const weeks = new Set(Array.from({ length: 8 }, (_, i) => key - (i + 1) * week));
      out[`wxdep_${name}`] =
        value -
        pooled(
          seen,
          past.filter((step) => weeks.has(grid.keyOf(step))),
        );
    }
    return out;
  }
}
