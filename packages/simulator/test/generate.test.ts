import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateCity } from "../src/generate/city.ts";
import type { GenerativeCity } from "../src/generate/parameters.ts";
import { DAY, HOUR, type Movable, startMovable } from "./support.ts";

const NOW = Date.parse("2026-04-20T00:00:00Z");
const SMALL: GenerativeCity = { id: "small", entities: 12, years: 0.5 };

function make(spec: GenerativeCity, seed = 1, nowMs = NOW) {
  const city = generateCity(seed, spec, nowMs);
  city.counts.ensure(nowMs);
  return city;
}

/** Every (entity, hour) with its value when all is published. */
function values(city: ReturnType<typeof make>, fromMs: number, toMs: number): Map<string, number> {
  const { table, entityIds } = city.counts;
  const found = new Map<string, number>();
  for (let p = table.firstOf(fromMs / HOUR); p < table.firstOf(toMs / HOUR); p++) {
    found.set(`${entityIds[table.entity[p]!]} ${table.hour[p]}`, table.valueAt(p, Number.POSITIVE_INFINITY));
  }
  return found;
}

describe("a generated city", () => {
  it("is the same for the same seed and another for another", () => {
    const [a, b, c] = [make(SMALL, 1), make(SMALL, 1), make(SMALL, 2)];
    const period = [NOW - 20 * DAY, NOW] as const;
    expect(values(a, ...period)).toEqual(values(b, ...period));
    expect(values(a, ...period)).not.toEqual(values(c, ...period));
  });

  it("has the same counts in an hour however long its history is and however it was extended", () => {
    // Lives depend on the history's length, so they are left out.
    const spec = { ...SMALL, opens: 0, moves: 0, retires: 0 };
    const long = make({ ...spec, startMs: NOW - 300 * DAY });
    const short = make({ ...spec, startMs: NOW - 45 * DAY });
    const extended = make({ ...spec, startMs: NOW - 45 * DAY }, 1, NOW - 30 * DAY);
    for (let day = 29; day >= 0; day--) extended.counts.ensure(NOW - day * DAY);
    const expected = values(long, NOW - 40 * DAY, NOW);
    expect(expected.size).toBeGreaterThan(10_000);
    expect(values(short, NOW - 40 * DAY, NOW)).toEqual(expected);
    expect(values(extended, NOW - 40 * DAY, NOW)).toEqual(expected);
  });

  it("numbers rows in the order of their publication, in whatever steps the clock came", () => {
    const whole = make(SMALL).counts.table;
    const steps = make(SMALL, 1, NOW - 90 * DAY);
    // The same first hour, or ids would count from elsewhere.
    const stepped = make({ ...SMALL, startMs: steps.city.startMs }, 1, NOW - 90 * DAY);
    for (let day = 89; day >= 0; day--) stepped.counts.ensure(NOW - day * DAY);
    let before = 0;
    for (let id = 1; id <= whole.visibleRows(NOW); id++) {
      const published = whole.published[whole.positionOf(id)]!;
      expect(published).toBeGreaterThanOrEqual(before);
      before = published;
    }
    const again = make({ ...SMALL, startMs: steps.city.startMs }).counts.table;
    const visible = again.visibleRows(NOW);
    expect(stepped.counts.table.visibleRows(NOW)).toBe(visible);
    for (let id = 1; id <= visible; id += 97) {
      expect(stepped.counts.table.positionOf(id)).toBe(again.positionOf(id));
    }
  });

  it("has outages, zeros of stuck counters, late rows, corrections and duplicates, and none when their rates are 0", () => {
    const rates = {
      outagesPerYear: 20,
      stuckZerosPerYear: 4,
      lateSpellsPerYear: 10,
      lateShare: 0.01,
      correctionShare: 0.01,
      duplicateShare: 0.01,
    };
    const faulty = make({ ...SMALL, ...rates, opens: 0, retires: 0 });
    const table = faulty.counts.table;
    const hours = Math.round((NOW - faulty.city.startMs) / HOUR);
    const keys = new Set<number>();
    let duplicates = 0;
    let late = 0;
    for (let p = 0; p < table.firstOf(NOW / HOUR); p++) {
      const key = table.hour[p]! * 100 + table.entity[p]!;
      if (keys.has(key)) duplicates++;
      keys.add(key);
      if (table.published[p]! > (table.hour[p]! + 1) * HOUR + HOUR) late++;
    }
    expect(keys.size).toBeLessThan(hours * 12 * 0.99);
    expect(duplicates).toBeGreaterThan(100);
    expect(late).toBeGreaterThan(300);
    expect(table.corrections.size).toBeGreaterThan(100);

    const none = Object.fromEntries(Object.keys(rates).map((name) => [name, 0]));
    const clean = make({ ...SMALL, ...none, cityOutagesPerYear: 0, opens: 0, retires: 0 }).counts.table;
    expect(clean.firstOf(NOW / HOUR)).toBe(hours * 12);
    expect(clean.corrections.size).toBe(0);
  });

  it("falls short of the usual in rain, at leisure places more than at stations", () => {
    const spec = {
      ...SMALL,
      entities: 30,
      kinds: { office: 0, retail: 0, station: 1, leisure: 1, nightlife: 0, campus: 0 },
    };
    const [rainy, dry] = [make(spec), make({ ...spec, weatherStrength: 0 })];
    const from = Math.floor(NOW / HOUR) - 24 * 60;
    const [a, b] = [rainy.counts.means(from, 24 * 60), dry.counts.means(from, 24 * 60)];
    const loss = { station: [0, 0], leisure: [0, 0] };
    for (let i = 0; i < 24 * 60; i++) {
      if (rainy.weather.rainMm(from + i) < 0.5) continue;
      rainy.places.forEach((place, e) => {
        const sums = loss[place.kind as "station" | "leisure"];
        sums[0]! += a[i * 30 + e]!;
        sums[1]! += b[i * 30 + e]!;
      });
    }
    expect(loss.leisure[0]! / loss.leisure[1]!).toBeLessThan(0.7);
    expect(loss.station[0]! / loss.station[1]!).toBeGreaterThan(0.85);
  });

  it("can stand in another country and zone", () => {
    const lyon = make({
      id: "lyon",
      country: "FR",
      timeZone: "Europe/Paris",
      latitude: 45.76,
      longitude: 4.84,
      entities: 3,
      years: 0.1,
    });
    expect(lyon.calendar.publicHolidays(2026).get("2026-07-14")).toBeDefined();
    expect(lyon.calendar.publicHolidays(2026).get("2026-01-26")).toBeUndefined();
    expect(lyon.counts.table.visibleRows(NOW)).toBeGreaterThan(1000);
  });
});

describe("the virtual clock", () => {
  const LAYER =
    "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Automatic_Hourly_Pedestrian_Count/FeatureServer/0/query?f=json";
  const busy = { ...SMALL, correctionShare: 0.02, eventsPerYear: { stadium: 200, concert: 200 } };
  let city: Movable;
  beforeAll(async () => {
    city = await startMovable("2026-04-20T00:00:00Z", busy);
  });
  afterAll(() => city.close());

  it("hides a count until its hour is over and its delay has passed", async () => {
    const newest = async () => {
      const page = await city.json(
        "counts",
        `${LAYER}&where=1%3D1&outFields=Date&orderByFields=Date%20DESC&resultRecordCount=1`,
      );
      return (page["features"] as { attributes: { Date: number } }[])[0]!.attributes.Date;
    };
    const hour = Date.parse("2026-04-21T06:00:00Z");
    city.at(hour + 7 * 60_000);
    expect(await newest()).toBe(hour - 2 * HOUR);
    city.at(hour + 13 * 60_000);
    expect(await newest()).toBe(hour - HOUR);
  });

  it("republishes a corrected count under the same id when its time has come", async () => {
    const generated = make(busy);
    const table = generated.counts.table;
    const [position, correction] = [...table.corrections].find(
      ([p, c]) => table.rowId[p]! > 0 && c.atMs < NOW,
    )!;
    const value = async () => {
      const page = await city.json(
        "counts",
        `${LAYER}&where=ObjectId%3D${table.rowId[position]}&outFields=TotalCount,ObjectId`,
      );
      return (page["features"] as { attributes: { TotalCount: number } }[])[0]!.attributes.TotalCount;
    };
    city.at(correction.atMs - 1);
    expect(await value()).toBe(table.count[position]);
    city.at(correction.atMs);
    expect(await value()).toBe(correction.count);
    expect(correction.count).toBeGreaterThan(table.count[position]!);
  });

  it("shows an event from its publication on, and changes and cancellations when they are made", async () => {
    const events = async (iso: string) => {
      city.at(iso);
      const lines = (await city.get("events", "/events.csv")).text.trim().split("\r\n");
      return new Map(lines.slice(1).map((line) => [line.split(",")[0]!, line]));
    };
    const [early, late] = [await events("2026-01-01T00:00:00Z"), await events("2026-04-20T00:00:00Z")];
    expect(late.size).toBeGreaterThan(early.size + 10);
    for (const line of early.values())
      expect(Date.parse(line.split(",").at(-1)!)).toBeLessThanOrEqual(Date.parse("2026-01-01"));
    expect([...early].some(([id, line]) => late.has(id) && late.get(id) !== line)).toBe(true);
    expect([...late.values()].some((line) => /Cancelled: .*,0,/.test(line))).toBe(true);
  });
});
