import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CityDeclaration } from "../../src/domain/index.ts";
import { buildFeatures, createView, type FeatureSet, openOnlineStore } from "../../src/features/index.ts";
import { counts, hourMs, openLake, poll, type Row, smallCity } from "../lake/support.ts";
import { differences, numbersOf } from "./compare.ts";

type Feature = NonNullable<CityDeclaration["targets"][string]["features"]>[number];

const start = Date.UTC(2024, 0, 1);
const origin = start + 70 * 24 * hourMs;

async function featuresWith(features: Feature[], path: "fast" | "exact" = "fast"): Promise<FeatureSet> {
  const city = smallCity({ targets: { walkers: { features } } });
  const { lake } = await openLake(city, { at: origin + 60_000 });
  try {
    const rows = ["a", "b"].flatMap((entity, e) =>
      Array.from(
        { length: 70 * 24 },
        (_, i): Row => [entity, start + i * hourMs, 10 + ((i * 7) % 24) + 100 * e],
      ),
    );
    await poll(lake, "counts", [counts(rows)]);
    return await lake.read((connection) =>
      buildFeatures(connection, city, createView(city, city.targets["walkers"]!, 0), {
        origins: Float64Array.of(origin),
        leads: Int32Array.of(24),
        lagMs: 0,
        weather: "issued",
        path,
        onlyWithTarget: false,
      }),
    );
  } finally {
    await lake.close();
  }
}

describe("a custom feature", () => {
  // The same four stand in docs/how-to/add-a-feature.md.
  const four: Feature[] = [
    { name: "letter", block: "static", sql: "SELECT e, ascii(entity) AS letter FROM entities" },
    {
      name: "busiest_60d",
      block: "history",
      sql: `SELECT v, e, t, max(y) OVER (PARTITION BY v, e ORDER BY t ROWS 1439 PRECEDING) AS busiest_60d FROM cells`,
    },
    {
      name: "first_of_month",
      block: "calendar",
      sql: "SELECT s.t, d.day_of_month = 1 AS first_of_month FROM steps s JOIN days d USING (day)",
    },
    {
      name: "last_week_share",
      block: "lookup",
      sql: `SELECT r."row", c.y / 100 AS last_week_share FROM row_keys r
            JOIN cells c ON c.v = r.v AND c.e = r.e AND c.fold = 0 AND c.key = r.key - 168 * r.weeks`,
    },
  ];

  test("of each block joins the rows by its keys, on both paths", async () => {
    const set = await featuresWith(four);
    const numbers = numbersOf(set);
    expect(set.view.columns.slice(-4)).toEqual(four.map(({ name }) => `x_${name}`));
    expect(set.rows).toBe(48);
    for (let row = 0; row < set.rows; row++) {
      const e = set.entity[row]!;
      expect(numbers.get("x_letter")![row]).toBe(97 + e);
      expect(numbers.get("x_busiest_60d")![row]).toBe(33 + 100 * e);
      expect(numbers.get("x_first_of_month")![row]).toBe(0);
      expect(numbers.get("x_last_week_share")![row]).toBeCloseTo(set.naive["last-week"]![row]! / 100, 6);
    }
    expect(differences(set, await featuresWith(four, "exact"))).toEqual([]);
    expect(numbersOf(await featuresWith(four.slice(0, 1))).has("x_letter")).toBe(true);
  });

  test("makes another view, with another id", () => {
    const idWith = (features: Feature[]) => {
      const city = smallCity({ targets: { walkers: { features } } });
      return createView(city, city.targets["walkers"]!, 0).id;
    };
    expect(new Set([idWith([]), idWith(four.slice(0, 1)), idWith(four.slice(1, 2))]).size).toBe(3);
    expect(idWith(four)).toBe(idWith(four));
  });

  const broken: [what: string, feature: Feature][] = [
    ["does not parse", { name: "bad_one", block: "static", sql: "SELECT e, FROM" }],
    [
      "reads a table that is not there",
      { name: "bad_one", block: "static", sql: "SELECT e, 1 AS bad_one FROM nowhere" },
    ],
    [
      "lacks its block's keys",
      { name: "bad_one", block: "history", sql: "SELECT e, 1 AS bad_one FROM entities" },
    ],
    ["lacks its own column", { name: "bad_one", block: "static", sql: "SELECT e, 1 AS other FROM entities" }],
    [
      "fails on a value",
      { name: "bad_one", block: "static", sql: "SELECT e, CAST(entity AS INTEGER) AS bad_one FROM entities" },
    ],
    ["is no number", { name: "bad_one", block: "static", sql: "SELECT e, entity AS bad_one FROM entities" }],
    [
      "has two rows for one key",
      { name: "bad_one", block: "static", sql: "SELECT e, unnest([1, 2]) AS bad_one FROM entities" },
    ],
    ["is no SELECT", { name: "bad_one", block: "static", sql: "DELETE FROM entities" }],
    ["is two statements", { name: "bad_one", block: "static", sql: "SELECT 1; DROP TABLE entities" }],
  ];
  test.each(broken)("that %s is told by its name", async (_what, feature) => {
    await expect(featuresWith([four[0]!, feature])).rejects.toMatchObject({
      code: "FEATURE_SQL_INVALID",
      message: expect.stringContaining('"bad_one"') as string,
    });
  });
});

describe("the online store", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "online-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  test("gives back what was put in, from memory and from the file, swapped at once", async () => {
    const set = await featuresWith([]);
    const path = join(dir, "online.db");
    const store = openOnlineStore(path);
    expect(store.newest("walkers", set.view)).toBeNull();
    store.swap("walkers", origin, set);
    expect(store.newest("walkers", set.view)).toMatchObject({ originAt: origin, viewId: set.view.id });
    const later = { ...set, expectation: set.expectation.map((value) => value + 1) };
    store.swap("walkers", origin + hourMs, later);
    expect(store.newest("walkers", set.view)!.set.expectation).toEqual(later.expectation);
    store.close();

    const again = openOnlineStore(path);
    const found = again.newest("walkers", set.view)!;
    again.close();
    expect(found.originAt).toBe(origin + hourMs);
    expect(differences(later, found.set)).toEqual([]);
    expect([...found.rowsOf]).toEqual([
      [0, { first: 0, count: 24 }],
      [1, { first: 24, count: 24 }],
    ]);
  });

  test("has nothing for another target or another view, in memory and in the file", async () => {
    const set = await featuresWith([]);
    const other = { ...set.view, id: "another" };
    const path = join(dir, "online.db");
    const store = openOnlineStore(path);
    store.swap("walkers", origin, set);
    expect(store.newest("walkers", other)).toBeNull();
    expect(store.newest("riders", set.view)).toBeNull();
    store.close();
    const again = openOnlineStore(path);
    expect(again.newest("walkers", other)).toBeNull();
    again.close();
  });
});
