import { describe, expect, test } from "vitest";
import {
  type City,
  type CityDeclaration,
  dateOfDay,
  dayOfDate,
  startOfLocalDay,
} from "../../src/domain/index.ts";
import { buildFeatures, createView } from "../../src/features/index.ts";
import { leadsOf } from "../../src/models/index.ts";
import { counts, dayMs, hourMs, openLake, poll, type Row, randomOf, smallCity } from "../lake/support.ts";
import { numbersOf } from "./compare.ts";
import { createOracle, type Hours, type World } from "./oracle.ts";

const target = "walkers";

const withEvents = {
  counts: { kind: "csv" },
  weather: { kind: "csv" },
  events: { kind: "eventsCsv" },
} as const;

/** Three counters with gaps, dead hours and a late start; holidays, events and weather; up to the last origin. */
function makeWorld(city: City, from: number, until: number, issuedAt: number, seed: number): World {
  const random = randomOf(seed);
  const { grid } = city;
  const [first, last] = [grid.stepAt(from), grid.stepAt(until) - 1];
  const values = [0, 1, 2].map((e) => {
    const born = e === 2 ? Math.round(first + (last - first) * 0.8) : first;
    const out = new Map<number, number>();
    let zeros = 0;
    // The second one was away for ten weeks, so that its expectation has to come from further back.
    const away = e === 1 ? [last - 75 * grid.slotsPerDay, last - 3 * grid.slotsPerDay] : [1, 0];
    for (let t = born; t <= last; t++) {
      if (zeros === 0 && random() < 0.01) zeros = 1 + Math.floor(random() * 12);
      if (random() > 0.05 && !(t > away[0]! && t < away[1]!))
        out.set(t, zeros > 0 ? 0 : Math.floor(5 + 200 * random()));
      zeros = Math.max(0, zeros - 1);
    }
    return out;
  });
  const today = Math.floor(grid.keyOf(last) / grid.slotsPerDay);
  const holidays = new Map<number, string>();
  for (const back of [-8, -1, 0, 1, 6, 14, 21, 30, 45, 60])
    holidays.set(today - back, back % 2 ? "Odd day" : "Even day");
  const school = new Set<number>();
  for (let back = -20; back < 400; back++) if (Math.floor(back / 12) % 3 === 0) school.add(today - back);
  const events = Array.from({ length: 12 }, (_, i) => ({
    id: `e${i}`,
    name: "",
    startAt: until + (i - 3) * 7 * hourMs + 1_200_000,
    endAt: until + (i - 3) * 7 * hourMs + (2 + i) * hourMs,
    lat: 48.86 + i * 0.001,
    lon: 2.351,
    venue: null,
    category: null,
    attendance: i === 4 ? null : 100 * (i + 1),
    cancelled: i === 5,
    publishedAt: null,
  }));
  const weather = (low: number, high: number): Hours => {
    const hours = new Map<number, Record<string, number>>();
    for (let at = Math.ceil(low / hourMs) * hourMs; at < high; at += hourMs) {
      if (random() > 0.03)
        hours.set(at, { temperature: Math.fround(40 * random()), rain: Math.fround(5 * random()) });
    }
    return hours;
  };
  return {
    city,
    stuckSteps: 6,
    values,
    places: [
      [48.86, 2.35],
      [48.865, 2.351],
      [48.87, 2.36],
    ],
    holidays,
    school,
    events,
    observed: weather(until - 70 * dayMs, until),
    // Ends at noon of a day.
    forecast: weather(issuedAt, issuedAt + 10 * dayMs + 15 * hourMs),
    issuedAt,
  };
}

async function feed(world: World, at: number, origins: readonly number[], horizon: string, lagMs: number) {
  const { city } = world;
  const { lake } = await openLake(city, {
    at,
    lagMs: new Map([
      ["counts", lagMs],
      ["weather", 0],
    ]),
  });
  const column = (hours: Hours, name: string) => Float64Array.from(hours.values(), (values) => values[name]!);
  const page = (hours: Hours, issuedAt: number | null) => ({
    stream: "weather" as const,
    issuedAt,
    validAt: Float64Array.from(hours.keys()),
    values: { temperature: column(hours, "temperature"), rain: column(hours, "rain") },
  });
  const rows = world.values.flatMap((values, e) =>
    [...values].map(([t, value]): Row => [`c${e}`, city.grid.startOf(t), value]),
  );
  await poll(lake, "weather", [page(world.observed, null), page(world.forecast, world.issuedAt)]);
  await poll(lake, "counts", [
    {
      stream: "entities",
      rows: world.places.map(([lat, lon], e) => ({
        entity: `c${e}`,
        name: null,
        lat,
        lon,
        openedAt: null,
        retiredAt: null,
        attributes: {},
      })),
    },
    {
      stream: "holidays",
      rows: [
        ...[...world.holidays].map(([day, name]) => ({
          date: dateOfDay(day),
          name,
          kind: "public" as const,
        })),
        ...[...world.school].map((day) => ({
          date: dateOfDay(day),
          name: "School",
          kind: "school" as const,
        })),
      ],
    },
    { stream: "events", rows: world.events },
    counts(rows),
  ]);
  try {
    return await lake.read((connection) =>
      buildFeatures(connection, city, createView(city, city.targets[target]!, lagMs), {
        origins: Float64Array.from(origins),
        leads: Int32Array.from(origins, (origin) => leadsOf(city, origin, horizon)),
        lagMs,
        weather: "issued",
        path: "fast",
        onlyWithTarget: false,
      }),
    );
  } finally {
    await lake.close();
  }
}

const hourly = (timeZone: string, horizon = "26h"): Partial<CityDeclaration> => ({
  timeZone,
  targets: { walkers: { horizon } },
});
const cases: [name: string, date: string, days: number, lag: number, city: Partial<CityDeclaration>][] = [
  ["Sydney, 23 hours, with a year behind it", "2024-10-06", 440, 0, hourly("Australia/Sydney")],
  ["Sydney, 25 hours, beyond a week", "2024-04-07", 100, 0, hourly("Australia/Sydney", "10d")],
  ["Paris, 25 hours", "2024-10-27", 100, 2, hourly("Europe/Paris")],
  [
    "Paris, relative errors",
    "2024-10-27",
    250,
    2,
    { timeZone: "Europe/Paris", targets: { walkers: { horizon: "26h", errors: "relative" } } },
  ],
  ["Paris, 23 hours", "2024-03-31", 100, 26, hourly("Europe/Paris")],
  ["Paris, 23 hours, far ahead", "2024-03-31", 250, 26, hourly("Europe/Paris", "15d")],
  ["New York, 25 hours", "2024-11-03", 100, 0, hourly("America/New_York")],
  ["Adelaide, 25 hours on the half hour", "2024-04-07", 100, 0, hourly("Australia/Adelaide")],
  ["Kolkata, which never changes", "2024-04-07", 100, 0, hourly("Asia/Kolkata")],
  ["Lord Howe, 24 and a half hours", "2024-04-07", 100, 0, hourly("Australia/Lord_Howe")],
  [
    "New York by days in winter, with two days of lag",
    "2024-12-29",
    440,
    50,
    { timeZone: "America/New_York", step: "1d", targets: { walkers: { horizon: "9d" } } },
  ],
  [
    "Sydney by days, two weeks ahead",
    "2024-04-07",
    440,
    0,
    { timeZone: "Australia/Sydney", step: "1d", targets: { walkers: { horizon: "14d" } } },
  ],
];

describe("every feature is what its definition says", () => {
  test.each(cases)(
    "%s",
    async (_name, date, days, lagHours, declaration) => {
      const city = smallCity({
        sources: withEvents,
        ...declaration,
        // The first two of three places are near each other, and so are the last two.
        targets: { walkers: { ...declaration.targets?.["walkers"], neighboursWithinKm: 0.9 } },
        measures: {
          walkers: {
            kind: "flow",
            from: "counts",
            contract: { stuckZeros: declaration.step === "1d" ? "6d" : "6h" },
          },
        },
      });
      const horizon = city.targets[target]!.horizon;
      const change = dayOfDate(date);
      // At midnight before the change, in the middle of its day, and on the day after.
      const daily = city.stepMs === dayMs;
      const origins = [
        startOfLocalDay(city.timeZone, change),
        startOfLocalDay(city.timeZone, change) + 10.5 * hourMs,
        startOfLocalDay(city.timeZone, change + 1),
      ];
      const until = Math.ceil(origins[2]! / hourMs) * hourMs + 40 * 60_000;
      const lagMs = lagHours * hourMs;
      const issuedAt = Math.floor(origins[0]! / hourMs) * hourMs - 3 * hourMs;
      const world = makeWorld(city, origins[0]! - days * dayMs, until, issuedAt, change);
      // All was there from the start of reading: what was known when is the other tests' matter.
      const set = await feed(world, until + 40 * dayMs, origins, horizon, lagMs);
      const numbers = numbersOf(set);
      const oracles = origins.map((origin) => createOracle(world, origin, lagMs));
      expect(new Set(set.origin).size).toBe(3);
      expect(set.rows).toBeGreaterThan(daily ? 70 : 150);
      const wrong = new Set<string>();
      const filled = new Set<string>();
      for (let row = 0; row < set.rows; row++) {
        const expected = oracles[set.origin[row]!]!.row(set.entity[row]!, set.step[row]!);
        for (const [name, value] of Object.entries(expected)) {
          const found = numbers.get(name)![row]!;
          if (!Number.isNaN(value)) filled.add(name);
          const equal = Number.isNaN(value)
            ? Number.isNaN(found)
            : Math.abs(found - value) <= 1e-5 * Math.max(1, Math.abs(value));
          if (!equal && ![...wrong].some((text) => text.startsWith(`${name}:`))) {
            wrong.add(
              `${name}: ${found} instead of ${value} (origin ${set.origin[row]}, entity ${set.entity[row]}, lead ${set.lead[row]})`,
            );
          }
        }
      }
      expect([...wrong]).toEqual([]);
      const far = !daily && horizon === "15d";
      expect(set.view.columns.includes("twilight")).toBe(far);
      if (far) {
        const sun = Array.from(numbers.get("sun")!);
        const clipped = sun.map((height) => Math.max(-12, Math.min(6, height)));
        expect(Array.from(numbers.get("twilight")!)).toEqual(clipped);
        expect(new Set(clipped).size).toBeGreaterThan(10);
      }
      for (const name of [
        "(expectation)",
        "r_day_4",
        "y_week_4",
        "level_7d",
        "city_7d",
        "sunday_like",
        "r_last_holiday",
        "events_near",
        "event_load",
        "event_start_load",
        "event_end_load",
        ...(daily ? [] : ["event_starts_in", "event_ended_ago"]),
        "wxdep_rain",
        "wxchange_rain",
        "wxdaychange_rain",
        "median_26_weeks",
        "fading_mean",
        "school_holiday_left",
        ...(days > 400 ? ["r_year", "r_year_week"] : []),
        ...(far
          ? ["class_slot", "wx_heat", "wx_cold", "wxday_heat", "wx_rain_root", "wxnear_rain_root"]
          : []),
        ...(daily
          ? ["log_mean_56d", "fading_15", "year_change", "temperature_base_sin", "heating_base"]
          : []),
      ]) {
        expect(filled).toContain(name);
      }
    },
    60_000,
  );
});

describe("on the local clock", () => {
  const wallHour = (timeZone: string, at: number) =>
    Number(new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", hourCycle: "h23" }).format(at));

  test.each(["Australia/Sydney", "Europe/Paris", "America/New_York", "Australia/Adelaide"])(
    "%s: counts that follow the wall clock are expected exactly, across both changes of the year",
    async (timeZone) => {
      const city = smallCity(hourly(timeZone, "48h"));
      const all: number[] = [];
      for (
        let at = startOfLocalDay(timeZone, dayOfDate("2024-01-01"));
        at < Date.UTC(2024, 11, 1);
        at += hourMs
      )
        all.push(at);
      const { lake } = await openLake(city, { at: Date.UTC(2024, 11, 5) });
      try {
        await poll(lake, "counts", [counts(all.map((at): Row => ["a", at, 10 + wallHour(timeZone, at)]))]);
        const origins = [
          "2024-03-10",
          "2024-03-31",
          "2024-04-07",
          "2024-10-06",
          "2024-10-27",
          "2024-11-03",
        ].map((date) => startOfLocalDay(timeZone, dayOfDate(date)));
        const set = await lake.read((connection) =>
          buildFeatures(connection, city, createView(city, city.targets[target]!, 0), {
            origins: Float64Array.from(origins),
            leads: Int32Array.from(origins, (origin) => leadsOf(city, origin, "48h")),
            lagMs: 0,
            weather: "none",
            path: "fast",
            onlyWithTarget: true,
          }),
        );
        const numbers = numbersOf(set);
        expect(set.rows).toBeGreaterThan(6 * 46);
        for (let row = 0; row < set.rows; row++) {
          const hour = wallHour(timeZone, city.grid.startOf(set.step[row]!));
          expect(set.target[row]).toBe(10 + hour);
          expect(set.expectation[row]).toBe(10 + hour);
          // The hour that spring skips is missing where it is looked for; nothing stands in for it.
          const lags = ["r_day_1", "r_day_2", "y_week_1", "y_week_2"].map((name) => numbers.get(name)![row]!);
          expect(lags.filter((value) => !Number.isNaN(value) && value !== 0)).toEqual([]);
          if (hour > 3) expect(lags.slice(2)).toEqual([0, 0]);
        }
      } finally {
        await lake.close();
      }
    },
  );

  test("a day ahead has 23, 24 or 25 leads", () => {
    const leads = (timeZone: string, date: string) => {
      const city = smallCity({ timeZone });
      return leadsOf(city, startOfLocalDay(timeZone, dayOfDate(date)), "24h");
    };
    expect(["2024-03-30", "2024-03-31", "2024-10-27"].map((date) => leads("Europe/Paris", date))).toEqual([
      24, 23, 25,
    ]);
    expect(["2024-10-06", "2024-04-07"].map((date) => leads("Australia/Sydney", date))).toEqual([23, 25]);
    expect(["2024-03-10", "2024-11-03"].map((date) => leads("America/New_York", date))).toEqual([23, 25]);
    expect(leads("Asia/Kolkata", "2024-03-31")).toBe(24);
  });

  test("more leads than a view was made for are refused, for their weekly values would lie after the origin", async () => {
    const city = smallCity();
    const { lake } = await openLake(city);
    const view = createView(city, city.targets[target]!, 0);
    const request = {
      origins: Float64Array.of(Date.UTC(2024, 0, 1)),
      lagMs: 0,
      weather: "none",
      path: "fast",
      onlyWithTarget: false,
    } as const;
    await expect(
      lake.read((connection) =>
        buildFeatures(connection, city, view, { ...request, leads: Int32Array.of(200) }),
      ),
    ).rejects.toThrow(RangeError);
    await lake.close();
  });
});
