import { normal, poisson, uniform } from "../random.ts";
import type { Zone } from "../zone.ts";
import type { CityParameters, Place } from "./parameters.ts";

const HOUR = 3_600_000;
const DAY = 86_400_000;
type Category = "stadium" | "concert" | "festival";
const CATEGORIES: readonly Category[] = ["stadium", "concert", "festival"];

interface Venue {
  name: string;
  category: Category;
  lat: number;
  lon: number;
  capacity: number;
}

/** One state of an event as its publisher shows it. */
export interface EventNotice {
  name: string;
  startMs: number;
  endMs: number;
  expectedAttendance: number;
  publishedMs: number;
}

export interface CityEvent {
  id: string;
  venue: Venue;
  /** What was published, oldest first; the newest one whose `publishedMs` has come is what the feed shows. */
  notices: EventNotice[];
  /** Who really came, and when; null if it was cancelled. */
  truth: { startMs: number; endMs: number; attendance: number } | null;
}

const TITLES: Record<Category, readonly string[]> = {
  stadium: ["Rovers v United", "Harriers v City", "Cup tie", "International"],
  concert: ["The Lanterns live", "Orchestra night", "Northern Lights tour", "Jazz at the hall"],
  festival: ["Food festival", "Light festival", "Street parade", "Night market"],
};

/** The city's events. Each day's are drawn by (seed, day), so any period gives the same ones. */
export class Events {
  readonly #seed: number;
  readonly #city: CityParameters;
  readonly #zone: Zone;
  readonly #venues: Venue[];
  readonly #days = new Map<number, CityEvent[]>();

  constructor(seed: number, city: CityParameters, zone: Zone) {
    this.#seed = seed;
    this.#city = city;
    this.#zone = zone;
    const venue = (n: number, name: string, category: Category, capacity: number, far: number): Venue => ({
      name,
      category,
      lat: Math.round((city.latitude + far * normal(seed, 70, n, 0)) * 1e6) / 1e6,
      lon: Math.round((city.longitude + far * normal(seed, 70, n, 1)) * 1e6) / 1e6,
      capacity,
    });
    this.#venues = [
      venue(0, "City Stadium", "stadium", 42_000, 0.008),
      venue(1, "Exhibition Hall", "concert", 8_500, 0.007),
      venue(2, "Town Hall", "concert", 2_200, 0.003),
      venue(3, "Domain Gardens", "festival", 30_000, 0.006),
      venue(4, "Harbour Foreshore", "festival", 55_000, 0.006),
    ];
  }

  /** Events that start on local days `[fromDay, toDay]`. */
  between(fromDay: number, toDay: number): CityEvent[] {
    const found: CityEvent[] = [];
    for (let day = fromDay; day <= toDay; day++) found.push(...this.#onDay(day));
    return found;
  }

  #onDay(day: number): CityEvent[] {
    let known = this.#days.get(day);
    if (known === undefined) {
      known = [];
      const weekday = (((day + 3) % 7) + 7) % 7;
      const weekend = weekday >= 4 ? 1 : 0;
      CATEGORIES.forEach((category, c) => {
        const share = weekend === 1 ? 0.7 / 3 : 0.3 / 4;
        const rate = (this.#city.eventsPerYear[category] / 52) * share;
        const count = poisson(rate, uniform(this.#seed, 71 + c, day, 0));
        for (let n = 0; n < count; n++) known!.push(this.#draw(category, day, weekday, n));
      });
      this.#days.set(day, known);
    }
    return known;
  }

  #draw(category: Category, day: number, weekday: number, n: number): CityEvent {
    const u = (k: number) => uniform(this.#seed, 80 + k, day, n * 3 + CATEGORIES.indexOf(category));
    const venues = this.#venues.filter((venue) => venue.category === category);
    const venue = venues[Math.floor(u(0) * venues.length)]!;
    const hour =
      category === "festival"
        ? 10 + Math.floor(u(1) * 8)
        : category === "stadium" && weekday >= 5 && u(1) < 0.5
          ? 15
          : 19;
    const lengthHours = category === "festival" ? 5 + Math.floor(u(2) * 4) : category === "stadium" ? 2 : 3;
    const startMs = this.#zone.toUtcMs(day * DAY + hour * HOUR + (category === "concert" ? HOUR / 2 : 0));
    const expected = Math.round((venue.capacity * (0.35 + 0.65 * u(3))) / 100) * 100;
    const titles = TITLES[category];
    const name = titles[Math.floor(u(4) * titles.length)]!;
    // Most are known weeks ahead, one in twelve only after it began.
    const ahead = u(5) < 0.08 ? -(0.5 + 3 * u(6)) * HOUR : (10 + 110 * u(6)) * DAY;
    const publishedMs = Math.floor((startMs - ahead) / 60_000) * 60_000;
    const endMs = startMs + lengthHours * HOUR;
    const first: EventNotice = { name, startMs, endMs, expectedAttendance: expected, publishedMs };
    const event: CityEvent = {
      id: `E${day}-${category}-${n}`,
      venue,
      notices: [first],
      truth: { startMs, endMs, attendance: expected * Math.exp(0.2 * normal(this.#seed, 78, day, n)) },
    };
    const change = u(7);
    if (publishedMs >= startMs - DAY) return event;
    const changedMs = Math.floor((publishedMs + u(8) * (startMs - publishedMs)) / 60_000) * 60_000;
    if (change < 0.05) {
      event.notices.push({
        ...first,
        name: `Cancelled: ${name}`,
        expectedAttendance: 0,
        publishedMs: changedMs,
      });
      event.truth = null;
    } else if (change < 0.12) {
      const moved = { startMs: startMs + HOUR, endMs: endMs + HOUR };
      const attendance = Math.round(expected * 0.8);
      event.notices.push({ ...first, ...moved, expectedAttendance: attendance, publishedMs: changedMs });
      event.truth = { ...moved, attendance };
    }
    return event;
  }

  /** What the feed shows at an instant: the newest notice of every event published by then. */
  published(nowMs: number, fromMs: number): { event: CityEvent; notice: EventNotice }[] {
    const rows: { event: CityEvent; notice: EventNotice }[] = [];
    for (const event of this.between(Math.floor(fromMs / DAY) - 1, Math.floor(nowMs / DAY) + 130)) {
      const notice = event.notices.findLast((candidate) => candidate.publishedMs <= nowMs);
      if (notice !== undefined && notice.startMs >= fromMs) rows.push({ event, notice });
    }
    return rows;
  }

  /**
   * People an event adds to the count of the hour beginning at `hourMs`, per entity, added into `out`.
   * They arrive over two hours before the start and leave within an hour or so of the end; a festival's crowd
   * walks about all day. Falls with the distance, to 1/e in 450 m.
   */
  addPeople(event: CityEvent, hourMs: number, places: readonly Place[], out: Float64Array): void {
    const truth = event.truth;
    if (truth === null) return;
    let share = 0;
    for (let quarter = 0; quarter < 4; quarter++) {
      const at = hourMs + (quarter + 0.5) * (HOUR / 4);
      const before = (truth.startMs - at) / HOUR;
      const after = (at - truth.endMs) / HOUR;
      const arriving = Math.exp(-0.5 * ((before - 0.7) / 0.55) ** 2) * 0.72;
      const leaving = Math.exp(-0.5 * ((after - 0.35) / 0.4) ** 2) * 0.95;
      const staying = event.venue.category === "festival" && before < 0 && after < 0 ? 0.35 : 0;
      share += (arriving + leaving + staying) / 4;
    }
    if (share < 0.004) return;
    const strength = this.#city.eventStrength * truth.attendance * share * 0.07;
    const east = Math.cos((this.#city.latitude * Math.PI) / 180);
    for (let e = 0; e < places.length; e++) {
      const place = places[e]!;
      const km = 111 * Math.hypot(place.lat - event.venue.lat, (place.lon - event.venue.lon) * east);
      const reach = place.kind === "station" ? 0.9 : 0.45;
      out[e]! += strength * Math.exp(-km / reach);
    }
  }
}
