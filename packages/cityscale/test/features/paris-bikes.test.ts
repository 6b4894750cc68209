import { expect, test } from "vitest";
import paris from "../../../../cities/paris-bikes.ts";
import { buildFeatures, createView } from "../../src/features/index.ts";
import { counts, hourMs, openLake, poll, type Row, smallCity } from "../lake/support.ts";
import { numbersOf } from "./compare.ts";

/** What the city's own features say of the hours from a local midnight on. */
async function featuresFrom(origin: number, days: number) {
  const { features } = paris.targets["bicycles"]!;
  const city = smallCity({ targets: { walkers: { features: [...features], horizon: `${days}d` } } });
  const { lake } = await openLake(city, { at: origin + hourMs });
  try {
    const rows = Array.from(
      { length: 24 * 60 },
      (_, i): Row => ["a", origin - (i + 1) * hourMs, 5 + (i % 24)],
    );
    await poll(lake, "counts", [counts(rows)]);
    const set = await lake.read((connection) =>
      buildFeatures(connection, city, createView(city, city.targets["walkers"]!, 0), {
        origins: Float64Array.of(origin),
        leads: Int32Array.of(24 * days),
        lagMs: 0,
        weather: "issued",
        path: "fast",
        onlyWithTarget: false,
      }),
    );
    return (name: string) => Array.from(numbersOf(set).get(`x_${name}`)!);
  } finally {
    await lake.close();
  }
}

const midnight = (date: string) => Date.parse(`${date}T00:00:00+02:00`);

test("the curfew is on from its hour to six on the days that have one, and on no other night", async () => {
  const told = await featuresFrom(midnight("2021-06-18"), 3);
  const night = Array.from({ length: 24 }, (_, hour) => (hour < 6 || hour === 23 ? 1 : 0));
  expect(told("curfew")).toEqual([...night, ...night, ...new Array(24).fill(0)]);
});

test("a lockdown is all hours of its days", async () => {
  const told = await featuresFrom(midnight("2021-05-02"), 2);
  expect(told("spring_lockdown")).toEqual([...new Array(24).fill(1), ...new Array(24).fill(0)]);
  expect(told("autumn_lockdown")).toEqual(new Array(48).fill(0));
  expect(told("curfew").slice(18, 21)).toEqual([0, 1, 1]);
});
