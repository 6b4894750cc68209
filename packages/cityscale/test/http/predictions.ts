import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "./client.ts";
import { city, list, local, points, predict, rowsStored } from "./world.ts";

describe("predictions", () => {
  it("an explanation sums to the forecast that it explains, and stands for the same origin", async () => {
    const prediction = await predict({ leads: [1, 9] });
    const { status, json } = await local("POST", "/v1/explain", {
      body: { entity: prediction["entity"], leads: [1, 9] },
    });
    expect(status).toBe(200);
    const told = json as unknown as {
      originAt: string;
      forecasts: {
        lead: number;
        point: number;
        expectation: number;
        parts: { part: string; contribution: number }[];
        columns: { column: string; contribution: number }[];
      }[];
    };
    expect(told.originAt).toBe(prediction["originAt"]);
    expect(told.forecasts.map(({ point }) => point)).toEqual(points(prediction));
    for (const { point, expectation, parts, columns } of told.forecasts) {
      const sum = parts.reduce((total, { contribution }) => total + contribution, expectation);
      expect(sum).toBeCloseTo(point, 6);
      expect(parts.map(({ part }) => part)).toContain("weather");
      expect(columns).toHaveLength(8);
      expect(Math.abs(columns[0]!.contribution)).toBeGreaterThan(0);
    }
  });

  it("equal the batch that was issued from the same origin", async () => {
    const stored = list((await local("GET", `${city}/forecasts?entity=A002`)).json["forecasts"]);
    const single = await predict({ entity: "A002" });
    expect(single).toMatchObject({
      city: "littleton",
      modelVersion: 1,
      whatIf: false,
      timeZone: "Australia/Sydney",
    });
    expect(points(single)).toEqual(stored.map((row) => row["point"]));
    expect(list(single["forecasts"]).map((row) => row["validAt"])).toEqual(
      stored.map((row) => row["validAt"]),
    );
  });

  it("can be asked by lead or by time, but not outside the horizon", async () => {
    const all = await predict({ city: "littleton", target: "pedestrians" });
    expect(points(await predict({ leads: [3, 1] }))).toEqual([points(all)[2], points(all)[0]]);
    const times = [String(list(all["forecasts"])[4]!["validAtLocal"])];
    expect(points(await predict({ times }))).toEqual([points(all)[4]]);
    expect((await predict({ leads: [400] }))["error"]).toMatchObject({
      code: "REQUEST_INVALID",
      details: { leads: points(all).length },
    });
    expect((await predict({ entity: "A999" }))["error"]).toMatchObject({ code: "ENTITY_UNKNOWN" });
    expect((await predict({ leads: [1], times }))["error"]).toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("fall in a downpour that is only supposed, and nothing of it is stored", async () => {
    const before = await rowsStored();
    const sum = (json: Json) => points(json).reduce((a, b) => a + b, 0);
    const dry = await predict({ whatIf: { weather: { rain: 0 } } });
    const wet = await predict({ whatIf: { weather: { rain: 12, humidity: 98, cloud: 100, radiation: 0 } } });
    expect(wet["whatIf"]).toBe(true);
    expect(sum(wet)).toBeLessThan(sum(dry));
    expect(await rowsStored()).toBe(before);
    // The real forecast is as it was.
    expect(points(await predict({}))).toEqual(
      list((await local("GET", `${city}/forecasts?entity=A001`)).json["forecasts"]).map(
        (row) => row["point"],
      ),
    );
  });

  it("answer any JSON whatever without a 5xx", async () => {
    const weird = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(
        "constructor",
        "__proto__",
        "\u0000",
        "A001",
        "littleton",
        "pedestrians",
        -1,
        0,
        1,
        1e308,
        "2026-03-12",
        "2026-03-12T05:00:00Z",
      ),
    );
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          city: weird,
          target: weird,
          entity: fc.oneof(fc.constant("A001"), weird),
          leads: fc.oneof(weird, fc.array(weird, { maxLength: 5 })),
          times: fc.oneof(weird, fc.array(weird, { maxLength: 5 })),
          whatIf: fc.oneof(
            weird,
            fc.record(
              {
                weather: weird,
                holidays: fc.oneof(weird, fc.dictionary(fc.string(), weird, { maxKeys: 3 })),
                event: weird,
              },
              { requiredKeys: [] },
            ),
          ),
        },
        { requiredKeys: [] },
      ),
    );
    await fc.assert(
      fc.asyncProperty(body, async (value) => {
        const { status } = await local("POST", "/v1/predict", { raw: JSON.stringify(value) });
        expect(status).toBeLessThan(500);
      }),
      { numRuns: 250 },
    );
  }, 60_000);

  it("answer any what-if that the schema lets through", async () => {
    const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });
    const date = fc.date({ min: new Date("1900-01-02"), max: new Date("2199-12-30"), noInvalidDate: true });
    const whatIf = fc.record(
      {
        weather: fc.record(
          { temperature: number(-90, 60), rain: number(0, 500), wind: number(0, 120) },
          { requiredKeys: [] },
        ),
        holidays: fc.dictionary(
          date.map((at) => at.toISOString().slice(0, 10)),
          fc.boolean(),
          { maxKeys: 4 },
        ),
        event: fc.tuple(date, fc.integer({ min: 1, max: 9e7 })).map(([at, ms]) => ({
          start: at.toISOString(),
          end: new Date(at.getTime() + ms).toISOString(),
          lat: -33.87,
          lon: 1e-9,
          attendance: 5e6,
        })),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(whatIf, async (value) => {
        const { status, json } = await local("POST", "/v1/predict", {
          body: { entity: "A001", whatIf: value },
        });
        // An event that starts in 2199 and ends in 2200 is refused.
        if (status !== 400) expect(points(json).every(Number.isFinite) && status).toBe(200);
      }),
      { numRuns: 5 },
    );
  }, 60_000);
});

it("any path and query end in an answer below 500", async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "v1",
      "cities",
      "littleton",
      "entities",
      "observations",
      "observations.csv",
      "forecasts",
      "models",
      "runs",
      "jobs",
      "keys",
      "..",
      "%2e%2e",
      "%00",
      "%ff",
      ";",
      "*",
      "constructor",
      "pedestrians",
      "1",
      "-1",
      "99999999999999999999",
    ),
    fc.string({ maxLength: 12 }).map(encodeURIComponent),
  );
  const value = fc.oneof(
    fc.constantFrom(
      "1",
      "-1",
      "0",
      "NaN",
      "'; DROP TABLE forecasts; --",
      "2026-03-10",
      "0000-00-00",
      "9999-12-31T23:59:59Z",
      "latest",
      "all",
      "1.2",
      "1.2.3",
      "A001",
      "%",
    ),
    fc.string({ maxLength: 12 }),
  );
  const name = fc.constantFrom(
    "limit",
    "cursor",
    "entity",
    "target",
    "measure",
    "from",
    "to",
    "origin",
    "city",
    "at",
    "before",
    "state",
    "kind",
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 6 }),
      fc.dictionary(name, value, { maxKeys: 4 }),
      fc.boolean(),
      async (pieces, query, known) => {
        const path = known
          ? `${city}/${["observations", "forecasts", "entities", "batches"][pieces.length % 4]}`
          : `/${pieces.join("/")}`;
        const { status } = await local("GET", `${path}?${new URLSearchParams(query)}`);
        expect(status).toBeLessThan(500);
      },
    ),
    { numRuns: 400 },
  );
}, 60_000);
