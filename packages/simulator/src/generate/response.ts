import type { Reading } from "../weather.ts";
import type { DayInfo } from "./calendar.ts";
import { KINDS, type Kind } from "./parameters.ts";

/** How a kind of place answers, as changes of the logarithm of its mean. */
interface Response {
  rain: number;
  rainBefore: number;
  cold: number;
  heat: number;
  wind: number;
  holiday: number;
  holidayEve: number;
  school: number;
  yearEnd: number;
  advent: number;
  summer: number;
  friendlyC: number;
}

const RESPONSES: Record<Kind, Response> = {
  office: {
    rain: -0.16,
    rainBefore: 0,
    cold: 0,
    heat: -0.06,
    wind: -0.02,
    holiday: -0.15,
    holidayEve: -0.12,
    school: -0.07,
    yearEnd: -0.65,
    advent: -0.03,
    summer: -0.01,
    friendlyC: 22,
  },
  retail: {
    rain: -0.24,
    rainBefore: -0.05,
    cold: -0.02,
    heat: -0.08,
    wind: -0.04,
    holiday: -0.1,
    holidayEve: 0.06,
    school: 0.09,
    yearEnd: 0.05,
    advent: 0.24,
    summer: 0.03,
    friendlyC: 22,
  },
  station: {
    rain: -0.06,
    rainBefore: 0,
    cold: 0,
    heat: -0.02,
    wind: 0,
    holiday: -0.15,
    holidayEve: 0.02,
    school: -0.09,
    yearEnd: -0.35,
    advent: 0.02,
    summer: 0,
    friendlyC: 22,
  },
  leisure: {
    rain: -0.8,
    rainBefore: -0.3,
    cold: -0.3,
    heat: -0.35,
    wind: -0.22,
    holiday: 0.18,
    holidayEve: 0.05,
    school: 0.18,
    yearEnd: 0.25,
    advent: 0.04,
    summer: 0.24,
    friendlyC: 24,
  },
  nightlife: {
    rain: -0.36,
    rainBefore: -0.08,
    cold: -0.08,
    heat: -0.04,
    wind: -0.06,
    holiday: -0.1,
    holidayEve: 0.35,
    school: 0.02,
    yearEnd: -0.15,
    advent: 0.22,
    summer: 0.07,
    friendlyC: 23,
  },
  campus: {
    rain: -0.18,
    rainBefore: 0,
    cold: 0,
    heat: -0.05,
    wind: -0.02,
    holiday: -0.5,
    holidayEve: -0.1,
    school: -0.4,
    yearEnd: -0.75,
    advent: -0.35,
    summer: -0.06,
    friendlyC: 22,
  },
};

/**
 * Change of the log mean by the weather of an hour, per kind, into `out`. Rain saturates, cold and heat grow with
 * the square of the distance from comfort, wind counts from 25 km/h; people keep away for hours after a wet spell.
 */
export function weatherResponse(reading: Reading, rainLast6: number, out: Float64Array): void {
  const rain = 1 - Math.exp(-(reading.rain ?? 0) / 1.4);
  const before = 1 - Math.exp(-rainLast6 / 5);
  const temperature = reading.temperature_2m ?? 20;
  const wind = Math.max(0, (reading.wind_speed_10m ?? 0) - 25) / 15;
  KINDS.forEach((kind, k) => {
    const r = RESPONSES[kind];
    const colder = Math.max(0, r.friendlyC - 4 - temperature) / 10;
    const hotter = Math.max(0, temperature - r.friendlyC - 5) / 6;
    out[k] =
      r.rain * rain +
      r.rainBefore * before +
      r.cold * colder * colder +
      r.heat * hotter * hotter +
      r.wind * wind;
  });
}

/** Changes of the log mean by the day: public holiday, school holiday and the rest (season, Christmas), per kind. */
export function dayResponse(
  day: DayInfo,
  holiday: Float64Array,
  school: Float64Array,
  season: Float64Array,
): void {
  const advent = day.month === 12 && day.dayOfMonth <= 24 ? day.dayOfMonth / 24 : 0;
  const christmas = day.month === 12 && day.dayOfMonth === 25 ? -0.9 : 0;
  KINDS.forEach((kind, k) => {
    const r = RESPONSES[kind];
    holiday[k] =
      (day.holiday !== null ? r.holiday : 0) + (day.holidayTomorrow ? r.holidayEve : 0) + christmas;
    school[k] = day.schoolHoliday ? r.school : 0;
    season[k] = r.summer * day.summer + r.yearEnd * day.yearEnd + r.advent * advent;
  });
}

/** New Year's Eve: crowds from 18 h until 2 h after midnight, as a change of the log mean. */
export function newYearsEve(day: DayInfo, hour: number, kind: Kind): number {
  const evening = day.month === 12 && day.dayOfMonth === 31 && hour >= 18;
  const night = day.month === 1 && day.dayOfMonth === 1 && hour < 2;
  if (!evening && !night) return 0;
  return kind === "leisure" ? 1.6 : kind === "nightlife" ? 0.7 : kind === "station" ? 1 : 0.3;
}
