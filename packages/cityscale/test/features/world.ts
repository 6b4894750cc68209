import type { City, CityEvent, StreamPage, WeatherPage } from "../../src/domain/index.ts";
import { dateOfDay, localDay } from "../../src/domain/index.ts";
import { weatherColumns } from "../../src/lake/index.ts";
import { counts, dayMs, hourMs, type Row, randomOf } from "../lake/support.ts";

/** What one read of all sources brings. */
export interface Poll {
  readonly at: number;
  readonly counts: readonly StreamPage[];
  readonly weather: readonly StreamPage[];
}

interface Telling {
  readonly at: number;
  readonly row: Row;
}

/**
 * A city's feeds over time, as awkward as real ones: rows come late, are corrected and corrected again, are told
 * twice, never come; counters die and live again; events move and are cancelled; forecasts of the weather are
 * issued at each read, some of them in two parts. Steps may be hours or days.
 */
export function awkwardWorld(city: City, seed: number, start: number, days: number, lagMs: number): Poll[] {
  const random = randomOf(seed);
  const entities = ["a", "b", "c", "d", "e"];
  const { grid } = city;
  const first = grid.stepAt(start);
  const last = grid.stepAt(start + days * dayMs);
  const end = grid.endOf(last);
  const tellings: Telling[] = [];
  for (const [number, entity] of entities.entries()) {
    const born = entity === "e" ? first + Math.floor((last - first) * 0.4) : first;
    const died = entity === "d" ? first + Math.floor((last - first) * 0.7) : last;
    let zeros = 0;
    for (let t = born; t <= died; t++) {
      if (zeros === 0 && random() < 0.004) zeros = 3 + Math.floor(random() * 14);
      const slot = ((grid.keyOf(t) % grid.slotsPerDay) / grid.slotsPerDay) * 6.28;
      const level = (20 + 10 * number) * (1.3 - Math.cos(slot)) * (0.6 + 0.8 * random());
      const value = zeros > 0 ? 0 : Math.round(level);
      zeros = Math.max(0, zeros - 1);
      const due = grid.endOf(t) + lagMs;
      const draw = random();
      const say = (at: number, count: number) => tellings.push({ at, row: [entity, grid.startOf(t), count] });
      if (draw < 0.03) continue;
      if (draw < 0.08) say(due + random() * 9 * dayMs, value);
      else if (draw < 0.14) {
        say(due, value + 40);
        say(due + random() * 6 * dayMs, value);
      } else if (draw < 0.16) {
        say(due, 3 * value + 7);
        say(due + random() * 3 * dayMs, value + 25);
        say(due + 3 * dayMs + random() * 6 * dayMs, random() < 0.5 ? value : 3 * value + 7);
      } else say(due, value);
    }
  }
  tellings.sort((one, other) => one.at - other.at);
  const polls: Poll[] = [];
  let told = 0;
  let newest: Row[] = [];
  let weatherFrom = start;
  for (let at = start + 0.4 * days * dayMs + 5 * 60_000; at < end; at += (0.2 + random()) * 55 * hourMs) {
    const rows: Row[] = [];
    while (told < tellings.length && tellings[told]!.at <= at) rows.push(tellings[told++]!.row);
    // Some of what was told before, again as it stood; and a few rows twice in one page.
    const latest = new Map(rows.map((row) => [`${row[0]} ${row[1]}`, row]));
    const again = newest.filter((row) => random() < 0.1 && !latest.has(`${row[0]} ${row[1]}`));
    const page = [
      ...again,
      ...rows,
      ...rows.filter((row) => random() < 0.02 && latest.get(`${row[0]} ${row[1]}`) === row),
    ];
    newest = [...latest.values()].slice(-200);
    polls.push({
      at,
      counts: [
        ...(polls.length === 0 ? [places(entities), holidays(city, start, days + 40)] : []),
        counts(page),
        events(random, polls.length, start, end, at),
      ],
      weather: [
        observed(random, weatherFrom, at),
        ...(polls.length % 3 === 2 ? [forecast(random, polls.at(-1)!.at)] : []),
        forecast(random, at),
      ],
    });
    weatherFrom = Math.floor(at / hourMs) * hourMs;
  }
  return polls;
}

const places = (entities: readonly string[]): StreamPage => ({
  stream: "entities",
  rows: entities.map((entity, i) => ({
    entity,
    name: entity,
    lat: 48.86 + i * 0.002,
    lon: 2.35,
    openedAt: null,
    retiredAt: null,
    attributes: {},
  })),
});

function holidays(city: City, start: number, days: number): StreamPage {
  const from = localDay(city.timeZone, start);
  const every = (step: number) => Array.from({ length: Math.floor(days / step) }, (_, i) => from + i * step);
  return {
    stream: "holidays",
    rows: [
      ...every(4).map((day, i) => ({
        date: dateOfDay(day),
        name: i % 2 ? "Fair" : "Flower",
        kind: "public" as const,
      })),
      ...every(3).map((day) => ({ date: dateOfDay(day), name: "Break", kind: "school" as const })),
    ],
  };
}

/** Forty events, of which each read tells some anew: moved, smaller, cancelled, and back. */
function events(random: () => number, number: number, start: number, end: number, at: number): StreamPage {
  const rows: CityEvent[] = [];
  for (let i = 0; i < 40; i++) {
    if (number > 0 && random() < 0.85) continue;
    const startAt =
      Math.floor((start + ((i + 1) / 41) * (end - start)) / hourMs) * hourMs + (number % 3) * 1_800_000;
    rows.push({
      id: `event-${i}`,
      name: `Event ${i}`,
      startAt,
      endAt: startAt + (2 + i) * hourMs,
      lat: 48.86 + random() * 0.008,
      lon: 2.35,
      venue: null,
      category: null,
      attendance: random() < 0.2 ? null : Math.round(1000 * random()),
      cancelled: random() < 0.2,
      publishedAt: null,
    });
  }
  return { stream: "events", rows: rows.filter((row) => row.startAt < at + 12 * dayMs) };
}

function weatherPage(random: () => number, issuedAt: number | null, from: number, to: number): WeatherPage {
  const validAt: number[] = [];
  for (let hour = Math.ceil(from / hourMs) * hourMs; hour < to; hour += hourMs) {
    if (random() > 0.02) validAt.push(hour);
  }
  const values = Object.fromEntries(
    weatherColumns.map((name) => [
      name,
      Float64Array.from(validAt, () =>
        random() < 0.01 ? Number.NaN : (name === "pressure" ? 950 : 0) + Math.round(random() * 200) / 10,
      ),
    ]),
  );
  return { stream: "weather", issuedAt, validAt: Float64Array.from(validAt), values };
}

/** Hours since the last read, and some of the two days before that did not come then. */
const observed = (random: () => number, from: number, at: number) =>
  weatherPage(random, null, from - 2 * dayMs, at);

const forecast = (random: () => number, at: number) => {
  const issuedAt = Math.floor(at / hourMs) * hourMs;
  return weatherPage(random, issuedAt, issuedAt, issuedAt + 5 * dayMs);
};
