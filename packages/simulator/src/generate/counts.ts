import { type Correction, type CountFeed, CountTable, HOUR_MS } from "../count-table.ts";
import { negativeBinomial, normal, smoothNoise, uniform } from "../random.ts";
import type { Zone } from "../zone.ts";
import type { Calendar, DayInfo } from "./calendar.ts";
import type { CityEvent, Events } from "./events.ts";
import { type CityParameters, KINDS, type Place } from "./parameters.ts";
import { weekProfile } from "./profiles.ts";
import { dayResponse, newYearsEve, weatherResponse } from "./response.ts";
import { spells } from "./spells.ts";
import type { GeneratedWeather } from "./weather.ts";

const DAY_MS = 86_400_000;
const CHUNK_HOURS = 24 * 28;
const MAX_LATE_HOURS = 72;
const CITY = 0xffff;

/** The parts of a generated city. */
export interface GeneratedParts {
  seed: number;
  city: CityParameters;
  zone: Zone;
  places: readonly Place[];
  calendar: Calendar;
  weather: GeneratedWeather;
  events: Events;
}

/**
 * The counts of a generated city and their publication. Every number is drawn by (seed, entity, hour), so making
 * a longer or another period changes none of them; ids of rows depend on the first hour of history.
 */
export class GeneratedCounts implements CountFeed {
  readonly table: CountTable;
  readonly entityIds: readonly string[];
  readonly entityNames: readonly string[];
  readonly #parts: GeneratedParts;
  readonly #profiles: Float64Array[];
  readonly #kindOf: Int32Array;

  constructor(parts: GeneratedParts) {
    this.#parts = parts;
    const { seed, places, city } = parts;
    this.entityIds = places.map((place) => place.id);
    this.entityNames = places.map((place) => place.name);
    this.#profiles = places.map((place, e) => weekProfile(seed, e, place.kind));
    this.#kindOf = Int32Array.from(places, (place) => KINDS.indexOf(place.kind));
    this.table = new CountTable(places.length, Math.ceil(city.startMs / HOUR_MS));
  }

  ensure(nowMs: number): void {
    while (this.table.toHour * HOUR_MS < nowMs) {
      const first = this.table.length;
      this.#chunk(this.table.toHour, CHUNK_HOURS);
      this.table.finish(first, this.table.toHour * HOUR_MS);
    }
  }

  /** The mean of every entity's true count in the hours `[fromHour, fromHour + hours)`, row-major by hour. */
  means(fromHour: number, hours: number): Float64Array {
    const { seed, city, zone, places, calendar, weather, events } = this.#parts;
    const E = places.length;
    const means = new Float64Array(hours * E);
    const people = new Float64Array(E);
    const levels = new Float64Array(E);
    const byWeather = new Float64Array(KINDS.length);
    let today = Number.NaN;
    let info: DayInfo = calendar.day(0);
    let near: CityEvent[] = [];
    let standing: readonly Place[] = places;
    const works = places.map((_, e) => spells(seed, 25, e, 0.5, 24 * 5, 24 * 28, fromHour, fromHour + hours));
    for (let i = 0; i < hours; i++) {
      const hour = fromHour + i;
      const hourMs = hour * HOUR_MS;
      const localMs = hourMs + zone.offsetMs(hourMs);
      const day = Math.floor(localMs / DAY_MS);
      const localHour = Math.floor((localMs - day * DAY_MS) / HOUR_MS);
      if (day !== today) {
        today = day;
        info = calendar.day(day);
        near = events.between(day - 1, day);
        standing = places.map((place) =>
          place.move !== null && hourMs >= place.move.atMs ? { ...place, ...place.move } : place,
        );
        this.#dayLevels(day, info, levels);
      }
      let rainLast6 = 0;
      for (let back = 1; back <= 6; back++) rainLast6 += weather.rainMm(hour - back);
      weatherResponse(weather.observed(hour)!, rainLast6, byWeather);
      people.fill(0);
      for (const event of near) events.addPeople(event, hourMs, standing, people);
      const asSunday = info.holiday === null ? 0 : Math.min(1, city.holidayStrength);
      for (let e = 0; e < E; e++) {
        const place = places[e]!;
        const profile = this.#profiles[e]!;
        const usual = profile[info.weekday * 24 + localHour]!;
        const shape =
          asSunday === 0 ? usual : (1 - asSunday) * usual + asSunday * profile[6 * 24 + localHour]!;
        let log = byWeather[this.#kindOf[e]!]! * city.weatherStrength * place.weatherScale;
        log += 0.045 * city.shockStrength * smoothNoise(seed, 22, e, hour / 7);
        log += city.holidayStrength * newYearsEve(info, localHour, place.kind);
        for (const work of works[e]!)
          if (hour >= work.from && hour < work.to) log -= 0.3 * city.driftStrength;
        const move = place.move;
        const factor = move !== null && hourMs >= move.atMs ? move.factor : 1;
        means[i * E + e] = factor * levels[e]! * shape * Math.exp(log) + people[e]!;
      }
    }
    return means;
  }

  /** Level of a busy weekday hour on one day, per entity: base, drift, season, holidays and the day's shocks. */
  #dayLevels(day: number, info: DayInfo, levels: Float64Array): void {
    const { seed, city, places } = this.#parts;
    const K = KINDS.length;
    const [holiday, school, season] = [new Float64Array(K), new Float64Array(K), new Float64Array(K)];
    dayResponse(info, holiday, school, season);
    const cityShock = 0.035 * shock(seed, 20, CITY, day);
    const kindShocks = KINDS.map((_, k) => 0.03 * shock(seed, 20, CITY + 1 + k, day));
    for (let e = 0; e < places.length; e++) {
      const place = places[e]!;
      const k = this.#kindOf[e]!;
      const drift = 0.8 * smoothNoise(seed, 23, e, day / 140) + 0.6 * smoothNoise(seed, 24, e, day / 35);
      levels[e] =
        place.base *
        Math.exp(
          city.driftStrength * place.driftSd * drift +
            season[k]! +
            city.holidayStrength * place.holidayScale * holiday[k]! +
            city.schoolStrength * place.schoolScale * school[k]! +
            city.shockStrength * (cityShock + kindShocks[k]! + 0.045 * shock(seed, 21, e, day)),
        );
    }
  }

  #chunk(fromHour: number, hours: number): void {
    const { seed, city, places } = this.#parts;
    const E = places.length;
    const toHour = fromHour + hours;
    const means = this.means(fromHour, hours);
    const absent = new Uint8Array(hours * E);
    const stuck = new Uint8Array(hours * E);
    const heldUntil = new Int32Array(hours * E);
    const mark = (column: Uint8Array | Int32Array, e: number, from: number, to: number, value: number) => {
      for (let hour = Math.max(from, fromHour); hour < Math.min(to, toHour); hour++) {
        column[(hour - fromHour) * E + e] = value;
      }
    };
    const dark = spells(seed, 90, CITY, city.cityOutagesPerYear, 2, 20, fromHour, toHour);
    for (let e = 0; e < E; e++) {
      for (const { from, to } of dark) mark(absent, e, from, to, 1);
      for (const { from, to } of spells(seed, 91, e, city.outagesPerYear, 2, 240, fromHour, toHour))
        mark(absent, e, from, to, 1);
      for (const { from, to } of spells(seed, 92, e, city.stuckZerosPerYear, 48, 504, fromHour, toHour))
        mark(stuck, e, from, to, 1);
      for (const { from, to } of spells(
        seed,
        93,
        e,
        city.lateSpellsPerYear,
        3,
        MAX_LATE_HOURS,
        fromHour,
        toHour,
      ))
        mark(heldUntil, e, from, to, to);
    }
    for (let i = 0; i < hours; i++) {
      const hour = fromHour + i;
      const hourMs = hour * HOUR_MS;
      this.table.beginHour();
      for (let e = 0; e < E; e++) {
        const at = i * E + e;
        const place = places[e]!;
        if (absent[at] === 1 || hourMs < place.openedMs || hourMs >= place.retiredMs) continue;
        const isStuck = stuck[at] === 1;
        const count = isStuck
          ? 0
          : negativeBinomial(means[at]!, place.overdispersion, uniform(seed, 100, e, hour));
        const fate = uniform(seed, 101, e, hour);
        const amount = uniform(seed, 102, e, hour);
        const jitterMs = Math.floor(uniform(seed, 103, e, hour) * 240) * 1000;
        const usualMs = hourMs + HOUR_MS + city.delayMinutes * 60_000 + jitterMs;
        let publishedMs = Math.max(usualMs, heldUntil[at]! * HOUR_MS + jitterMs + 60_000);
        if (fate < city.lateShare) publishedMs += Math.floor(MAX_LATE_HOURS ** amount * 3600) * 1000;
        let correction: Correction | null = null;
        let first = count;
        if (!isStuck && count > 0 && fate > 1 - city.correctionShare) {
          correction = { atMs: publishedMs + Math.floor((1 + 9 * amount) * 86_400) * 1000, count };
          first = Math.floor(count * (0.2 + 0.6 * uniform(seed, 104, e, hour)));
        }
        this.table.add(e, first, publishedMs, correction);
        if (uniform(seed, 105, e, hour) < city.duplicateShare)
          this.table.add(e, first, publishedMs, correction);
      }
    }
  }
}

/** A day's shock with variance 1 and memory 0.6 a day, summed from the last fortnight's draws. */
function shock(seed: number, stream: number, entity: number, day: number): number {
  let sum = 0;
  let weight = 0.8;
  for (let back = 0; back < 14; back++) {
    sum += weight * normal(seed, stream, entity, day - back);
    weight *= 0.6;
  }
  return sum;
}
