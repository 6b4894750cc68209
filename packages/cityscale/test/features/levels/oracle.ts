import { localDay, localTimeOfDay, startOfLocalDay } from "../../../src/domain/index.ts";
import { enlargedAt, enlargedTo, holiday, places, type Reading, timeZone, townWeather } from "./town.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface Question {
  readonly measure: "bikes" | "docks";
  readonly horizonMs: number;
  readonly below: number;
}

interface Seen {
  readonly at: number;
  readonly count: number;
}

const nan = Number.NaN;
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]) => {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.length === 0 ? nan : sum(known) / known.length;
};
const clipped = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/**
 * Every feature of every station at one origin, from its definition written out: reads nothing but rows with
 * `knownAt <= origin`, keeps no sums, shares no code with the fast path beyond the local clock.
 */
export function featuresByDefinition(
  all: readonly Reading[],
  origin: number,
  { measure, horizonMs, below }: Question,
): Map<string, Record<string, number>> {
  const other = measure === "bikes" ? "docks" : "bikes";
  const known = all.filter(({ knownAt }) => knownAt <= origin);
  const stamps = new Map(known.map(({ at, knownAt }) => [at, knownAt]));
  // A snapshot known only after a later one is left out.
  const snapshots = [...stamps.keys()]
    .filter((at) => ![...stamps].some(([later, stamp]) => later > at && stamp < stamps.get(at)!))
    .sort((a, b) => a - b);
  const taken = snapshots.at(-1)!;
  const atOrBefore = (instant: number) => snapshots.findLast((at) => at <= instant);
  const rowsOf = new Map(known.map((row) => [`${row.station} ${row.at}`, row]));
  const reading = (station: string, at: number | undefined) => rowsOf.get(`${station} ${at}`);
  const countOf = (station: string, at: number | undefined, side = measure): number => {
    const row = reading(station, at);
    const open = side === "bikes" ? row?.renting : row?.returning;
    return open ? (row?.[side] ?? nan) : nan;
  };
  const observed = new Map<string, Seen[]>(
    places.map(({ station }) => [
      station,
      snapshots
        .map((at) => ({ at, count: countOf(station, at) }))
        .filter(({ count }) => !Number.isNaN(count)),
    ]),
  );

  const placeOf = (instant: number) => {
    const localDate = localDay(timeZone, instant);
    const weekday = new Date(localDate * day).getUTCDay();
    const type = localDate === holiday || weekday === 0 ? 2 : weekday === 6 ? 1 : 0;
    const clock = localTimeOfDay(timeZone, instant) / hour;
    return { type, half: Math.floor(clock * 2), clock, weekday: (weekday + 6) % 7, localDate };
  };
  const here = placeOf(origin);
  // Profiles of what was known on Monday at 00:00 are read from 06:00 on.
  const since = here.weekday === 0 && here.clock < 6 ? 7 : here.weekday;
  const monday = startOfLocalDay(timeZone, here.localDate - since);

  /** Lowest count of (at, at + horizon] and when it was known; undefined where it is not known. */
  const outcome = (station: string, at: number) => {
    const end = at + horizonMs;
    const settledBy = snapshots.find((later) => later >= end);
    if (settledBy === undefined || Number.isNaN(countOf(station, at))) return undefined;
    const within = observed.get(station)!.filter((seen) => seen.at > at && seen.at <= end);
    const times = [at, ...within.map((seen) => seen.at), end];
    if (times.some((time, i) => i > 0 && time - times[i - 1]! > 20 * minute)) return undefined;
    if (within.length === 0) return undefined;
    return { lowest: Math.min(...within.map(({ count }) => count)), knownAt: stamps.get(settledBy)! };
  };
  const falls = (station: string, from: number, to: number, sign: 1 | -1) =>
    sum(
      observed.get(station)!.map(({ at, count }, i, list) => {
        const previous = list[i - 1];
        if (!previous || at <= from || at > to || at - previous.at > 40 * minute) return 0;
        return Math.max(0, sign * (previous.count - count));
      }),
    );

  const history = snapshots.map((at) => ({ at, ...placeOf(at) }));
  /** Rows of profiles: outcomes known by that Monday. */
  const past = places.flatMap(({ station }) =>
    history
      .filter(({ at }) => at <= monday)
      .flatMap(({ at, type, half }) => {
        const came = outcome(station, at);
        if (!came || came.knownAt > monday) return [];
        const count = countOf(station, at);
        const end = atOrBefore(at + horizonMs)!;
        return [
          {
            ...{ at, station, type, half, count },
            fell: clipped(count - came.lowest, 0, 15),
            from: Math.min(15, count),
            falls: falls(station, at, end, 1),
            rises: falls(station, at, end, -1),
          },
        ];
      }),
  );
  type Row = (typeof past)[number];
  const near = (row: Row, type: number, half: number) => {
    if (row.type !== type) return 0;
    const apart = Math.abs(row.half - half);
    return apart === 0 ? 1 : apart === 1 || apart === 47 ? 0.5 : 0;
  };
  const profileOf = (days: number) => {
    const rows = past.filter(({ at }) => at >= monday - days * day);
    const rate = (k: number, weight: (row: Row) => number) => {
      let [hits, n] = [0, 0];
      for (const row of rows) {
        if (row.from < k) continue;
        n += weight(row);
        if (row.fell >= k) hits += weight(row);
      }
      return { hits, n };
    };
    const overall = (k: number) => {
      const { hits, n } = rate(k, () => 2);
      return hits / Math.max(n, 1);
    };
    const shrunk = ({ hits, n }: { hits: number; n: number }, k: number) =>
      (hits + 50 * overall(k)) / (n + 50);
    const ofStation = (station: string, k: number) =>
      shrunk(
        rate(k, (row) => (row.station === station ? 2 : 0)),
        k,
      );
    return {
      fall(station: string, type: number, half: number, k: number) {
        const ofSlot = shrunk(
          rate(k, (row) => near(row, type, half)),
          k,
        );
        const prior = Math.min(1, (ofStation(station, k) * ofSlot) / Math.max(overall(k), 1e-9));
        const { hits, n } = rate(k, (row) => (row.station === station ? near(row, type, half) : 0));
        return (hits + 10 * prior) / (n + 10);
      },
      ofStation,
      /** Mean of a value over a station's rows, over all slots (half and shrunk by 3 rows in a slot). */
      usual(station: string, of: (row: Row) => number, slot?: { type: number; half: number }) {
        const own = rows.filter((row) => row.station === station);
        const whole = (2 * sum(own.map(of))) / Math.max(1, 2 * own.length);
        if (!slot) return whole;
        const weights = own.map((row) => near(row, slot.type, slot.half));
        return (sum(own.map((row, i) => weights[i]! * of(row))) + 3 * whole) / (sum(weights) + 3);
      },
      meanCount(station: string, slot: { type: number; half: number }) {
        const own = rows.filter((row) => row.station === station);
        const weights = own.map((row) => near(row, slot.type, slot.half));
        return sum(own.map((row, i) => weights[i]! * row.count)) / sum(weights);
      },
    };
  };
  const [short, main, long] = [profileOf(21), profileOf(56), profileOf(110)];
  const next = { type: here.type, half: (here.half + 1) % 48 };
  const perHour = hour / horizonMs;

  const result = new Map<string, Record<string, number>>();
  for (const { station, capacity: first } of places) {
    const f: Record<string, number> = {};
    result.set(station, f);
    const now = reading(station, taken);
    const seen = observed.get(station)!;
    const count = countOf(station, taken);
    const isKnown = !Number.isNaN(count);
    const capacity = station === "a" && origin >= enlargedAt ? enlargedTo : first;
    const spare = count - (below - 1);
    f["count"] = count;
    f["capacity"] = capacity;
    f["filled"] = count / capacity;
    f["other_side"] = countOf(station, taken, other);
    f["ebikes"] = now?.ebikes ?? nan;
    f["ebike_share"] = f["ebikes"] / Math.max(1, now?.bikes ?? nan);
    f["disabled"] = now?.disabled ?? nan;
    f["report_age"] =
      now?.reportedAt == null ? nan : Math.min(600, Math.floor((taken - now.reportedAt) / minute));
    const change = seen.findLast(({ count: value }, i) => i > 0 && value !== seen[i - 1]!.count);
    f["since_change"] = isKnown ? Math.min(720, change ? (taken - change.at) / minute : 720) : nan;
    f["spare"] = spare;
    f["spare_share"] = spare / capacity;

    for (const minutes of [10, 20, 30, 60, 120]) {
      const then = atOrBefore(taken - minutes * minute + minute);
      const since = then === undefined ? undefined : seen.findLast(({ at }) => at <= then)?.at;
      const times = since === undefined ? [] : seen.map(({ at }) => at).filter((at) => at >= since);
      const watched =
        isKnown &&
        since !== undefined &&
        times.every((at, i) => i === 0 || at - times[i - 1]! <= 40 * minute);
      f[`change_${minutes}`] = watched ? count - countOf(station, then) : nan;
      if (minutes === 10) continue;
      f[`fell_${minutes}`] = watched ? falls(station, then!, taken, 1) : nan;
      f[`rose_${minutes}`] = watched ? falls(station, then!, taken, -1) : nan;
    }
    const lastHour = seen.filter(({ at }) => at >= taken - 61 * minute);
    f["lowest_60"] = lastHour.length === 0 ? nan : Math.min(...lastHour.map((one) => one.count));
    for (const k of [1, 2, 3]) f[`count_before_${k}`] = countOf(station, snapshots.at(-1 - k));
    f["snapshot_gap"] = (taken - snapshots.at(-2)!) / minute;

    for (const ago of [1, 7]) {
      const wanted = taken - ago * day;
      const found = atOrBefore(wanted + minute);
      const then = found !== undefined && wanted - found < 30 * minute ? found : undefined;
      f[`count_${ago}d`] = countOf(station, then);
      const came = then === undefined ? undefined : outcome(station, then);
      f[`fall_${ago}d`] = came ? countOf(station, then) - came.lowest : nan;
      f[`fall_beyond_${ago}d`] = f[`fall_${ago}d`]! - spare;
    }

    Object.assign(f, weatherByDefinition(origin));

    f["hour"] = here.clock;
    f["hour_sin"] = Math.sin((here.clock / 24) * 2 * Math.PI);
    f["hour_cos"] = Math.cos((here.clock / 24) * 2 * Math.PI);
    f["weekday"] = here.weekday;
    f["day_type"] = here.type;

    const depth = clipped(spare, 0, 15);
    const probability = (profile: typeof main, slot: { type: number; half: number }, k: number) =>
      isKnown ? profile.fall(station, slot.type, slot.half, Math.min(15, k)) : nan;
    f["fall_probability"] = probability(main, here, depth);
    f["fall_probability_next"] = probability(main, next, depth);
    f["fall_probability_2_more"] = probability(main, here, depth + 2);
    f["fall_probability_short"] = probability(short, here, depth);
    f["fall_probability_long"] = probability(long, here, depth);
    const net = (profile: typeof main, slot: { type: number; half: number }) =>
      profile.usual(station, (row) => row.rises - row.falls, slot);
    f["usual_falls"] = main.usual(station, (row) => row.falls, here);
    f["usual_rises"] = main.usual(station, (row) => row.rises, here);
    f["usual_net"] = net(main, here);
    f["usual_net_next"] = net(main, next);
    f["usual_net_short"] = net(short, here);
    f["usual_net_long"] = net(long, here);
    f["usual_short"] = main.usual(station, (row) => Number(row.count < below), here);
    f["usual_short_next"] = main.usual(station, (row) => Number(row.count < below), next);
    f["usual_count"] = main.meanCount(station, here);
    f["above_usual_count"] = count - f["usual_count"];
    f["short_share"] = main.usual(station, (row) => Number(row.count < below));
    f["turnover"] = main.usual(station, (row) => row.falls + row.rises);
    f["fall_by_3"] = main.ofStation(station, 3);
    f["spare_after_usual"] = (spare + f["usual_net"]) / Math.sqrt(f["usual_falls"] + f["usual_rises"] + 0.3);
    f["fell_60_beyond_usual"] = f["fell_60"]! - f["usual_falls"] * perHour;
    f["rose_60_beyond_usual"] = f["rose_60"]! - f["usual_rises"] * perHour;
  }

  const watched = [...result.values()].filter((f) => !Number.isNaN(f["fell_60"]!));
  const usual = sum(watched.map((f) => (f["usual_falls"]! + f["usual_rises"]!) * perHour));
  const activity = usual > 0 ? sum(watched.map((f) => f["fell_60"]! + f["rose_60"]!)) / usual : nan;
  const factor = Number.isNaN(activity) ? 1 : clipped(activity, 0.3, 3);
  const seenLastWeek = new Set(
    snapshots
      .filter((at) => at > monday - 7 * day && stamps.get(at)! <= monday)
      .flatMap((at) => places.filter(({ station }) => reading(station, at)).map(({ station }) => station)),
  );
  for (const place of places) {
    const f = result.get(place.station)!;
    f["city_activity"] = activity;
    f["spare_after_activity"] =
      (f["spare"]! + f["usual_net"]! * factor) /
      Math.sqrt((f["usual_falls"]! + f["usual_rises"]!) * factor + 0.3);
    const km = (to: typeof place) =>
      111.32 *
      Math.hypot(
        to.lat - place.lat,
        (to.lon - place.lon) * Math.cos(((to.lat + place.lat) / 2) * (Math.PI / 180)),
      );
    const close = !seenLastWeek.has(place.station)
      ? []
      : places
          .filter((to) => to !== place && seenLastWeek.has(to.station) && km(to) <= 0.8)
          .sort((a, b) => km(a) - km(b))
          .slice(0, 6)
          .map(({ station }) => result.get(station)!);
    for (const [name, of] of Object.entries({
      near_count: "count",
      near_filled: "filled",
      near_change_30: "change_30",
      near_fell_60: "fell_60",
      near_rose_60: "rose_60",
      near_usual_net: "usual_net",
      near_fall_probability: "fall_probability",
    })) {
      f[name] = mean(close.map((one) => one[of]!));
    }
    f["near_short"] = mean(
      close.map((one) => (Number.isNaN(one["count"]!) ? nan : Number(one["count"]! < below))),
    );
    f["near_stations"] = close.length;
  }
  return result;
}

/** The columns of weather at an origin, from their definition written out. */
export function weatherByDefinition(origin: number): Record<string, number> {
  /** What was observed of the hour so many after the origin's, else what the newest forecast said that reaches it. */
  const rain = (after: number): number => {
    const at = Math.floor(origin / hour) * hour + after * hour;
    const told = townWeather.filter(
      (row) => row.validAt === at && row.knownAt <= origin && row.rain !== null,
    );
    const observed = told.find(({ issuedAt }) => issuedAt === null);
    const forecasts = told
      .filter(({ issuedAt }) => issuedAt !== null && at - issuedAt <= 72 * hour)
      .sort((a, b) => b.issuedAt! - a.issuedAt!);
    return (observed ?? forecasts[0])?.rain ?? nan;
  };
  return {
    rain: rain(0),
    rain_before: mean([-3, -2, -1].map(rain)),
    rain_ahead: mean([1, 2].map(rain)),
  };
}
