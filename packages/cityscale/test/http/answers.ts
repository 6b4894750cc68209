import { describe, expect, it } from "vitest";
import { z } from "zod";
import { now } from "./app.ts";
import { ask, type Json } from "./client.ts";
import { routes } from "./routes.ts";
import { city, list, local, predict, rowsStored, test } from "./world.ts";

describe("answers", () => {
  it("is ready once there are forecasts", async () => {
    expect((await ask(test.address)("GET", "/readyz")).json).toEqual({ status: "ready" });
  });

  it("have exactly the documented shape, on every route that reads", async () => {
    const document = (await local("GET", "/openapi.json")).json;
    const ids = {
      run: String(list((await local("GET", "/v1/runs")).json["runs"])[0]!["id"]),
      job: String(list((await local("GET", "/v1/jobs")).json["jobs"])[0]!["id"]),
    };
    let checked = 0;
    for (const [method, pattern] of routes) {
      const content =
        document["paths"]![pattern]![method.toLowerCase()]!["responses"]!["200"]?.["content"]?.[
          "application/json"
        ];
      if (method !== "GET" || content === undefined) continue;
      // Of cities with binary targets; held to their shapes in test/serving.
      if (pattern.includes("/risk")) {
        const { status, json } = await local("GET", pattern.replace("{city}", "littleton"));
        expect([status, json["error"]!["code"]]).toEqual([404, "TARGET_UNKNOWN"]);
        continue;
      }
      const path = pattern
        .replace("{city}", "littleton")
        .replace("{target}", "pedestrians")
        .replace("{version}", "1");
      const id = pattern.startsWith("/v1/runs") ? ids.run : ids.job;
      const query = pattern === "/v1/models/champion" ? "?city=littleton" : "";
      const answer = await local("GET", path.replace("{id}", id) + query);
      expect([path, answer.status]).toEqual([path, 200]);
      const shape = z.fromJSONSchema(content["schema"] as unknown as Parameters<typeof z.fromJSONSchema>[0]);
      expect({ path, problems: shape.safeParse(answer.json).error?.issues ?? [] }).toEqual({
        path,
        problems: [],
      });
      checked++;
    }
    expect(checked).toBeGreaterThan(18);
    const shape =
      document["paths"]!["/v1/predict"]!["post"]!["responses"]!["200"]!["content"]!["application/json"]![
        "schema"
      ];
    const prediction = await predict({});
    expect(
      z.fromJSONSchema(shape as unknown as Parameters<typeof z.fromJSONSchema>[0]).safeParse(prediction)
        .error,
    ).toBeUndefined();
  });

  it("tell a city with its entities, ages and quality", async () => {
    const { json } = await local("GET", city);
    expect(json).toMatchObject({
      id: "littleton",
      entities: 4,
      targets: [{ target: "pedestrians", champion: 1, forecastAgeMs: 0 }],
    });
    const first = (await local("GET", `${city}/entities?limit=3`)).json;
    const second = (await local("GET", `${city}/entities?limit=3&cursor=${String(first["nextCursor"])}`))
      .json;
    expect([...list(first["entities"]), ...list(second["entities"])].map((row) => row["entity"])).toEqual([
      "A001",
      "A002",
      "A003",
      "A004",
    ]);
    expect(second["nextCursor"]).toBeNull();
    const quality = (await local("GET", `${city}/quality`)).json;
    expect(list(quality["sources"]).map((source) => source["state"])).toEqual(["ok", "ok", "ok", "ok"]);
    expect(list(quality["measures"])[0]).toMatchObject({ measure: "pedestrians", fresh: true });
    test.clock.advance(3_600_000);
    const freshness = (await local("GET", `${city}/freshness`)).json;
    expect(list(freshness["targets"])[0]).toMatchObject({
      target: "pedestrians",
      ageMs: 3_600_000,
      version: 1,
    });
    const metrics = (await local("GET", "/metrics")).text;
    expect(metrics).toMatch(
      /^cityscale_forecast_age_seconds\{city="littleton",target="pedestrians"\} 3600$/m,
    );
    expect(metrics).toMatch(/^cityscale_source_age_seconds\{city="littleton",source="counts"\} 3600$/m);
    test.clock.advance(-3_600_000);
  });

  it("show live scores beside the naive forecast's", async () => {
    const scores = list((await local("GET", `${city}/live-scores`)).json["liveScores"]);
    expect(scores.length).toBeGreaterThan(0);
    for (const score of scores) {
      expect(Number(score["wape"])).toBeGreaterThan(0);
      expect(Number(score["naiveWape"])).toBeGreaterThan(0);
    }
  });

  it("page through observations without losing or doubling a row", async () => {
    const period = "from=2026-03-01&to=2026-03-02";
    const all = list((await local("GET", `${city}/observations?${period}&limit=10000`)).json["observations"]);
    const paged: Json[] = [];
    for (let cursor = "", pages = 0; pages < 20; pages++) {
      const { json } = await local("GET", `${city}/observations?${period}&limit=17${cursor}`);
      paged.push(...list(json["observations"]));
      if (json["nextCursor"] === null) break;
      cursor = `&cursor=${String(json["nextCursor"])}`;
    }
    expect(paged).toEqual(all);
    expect(all.length).toBeGreaterThan(80);
    // The local day in Sydney, which begins at 13:00 UTC of the day before.
    expect([all[0]!["validAt"], all[0]!["validAtLocal"]]).toEqual([
      "2026-02-28T13:00:00.000Z",
      "2026-03-01T00:00:00+11:00",
    ]);
    expect(all.at(-1)!["validAt"]).toBe("2026-03-01T12:00:00.000Z");
    const one = list((await local("GET", `${city}/observations?${period}&entity=A003`)).json["observations"]);
    expect(one).toEqual(all.filter((row) => String(row["entity"]) === "A003"));
  });

  it("give the newest origin's forecasts, an older one's, or all, each with how it was made", async () => {
    const newest = (await local("GET", `${city}/forecasts`)).json;
    const batches = list((await local("GET", `${city}/batches`)).json["batches"]);
    expect(batches).toHaveLength(2);
    expect(list(newest["batches"])).toMatchObject([
      {
        batch: batches[0]!["batch"],
        modelVersion: 1,
        modelKind: "trees",
        ageMs: 0,
        weather: "issued",
        fellBack: false,
      },
    ]);
    expect(list(newest["batches"])[0]!["datasetVersion"]).toMatch(/^[0-9a-f]{20}$/);
    const older = (await local("GET", `${city}/forecasts?origin=${new Date(now).toISOString()}&entity=A001`))
      .json;
    expect(list(older["batches"])).toMatchObject([{ batch: batches[1]!["batch"], ageMs: 49 * 3_600_000 }]);
    expect(list(older["forecasts"]).map((row) => row["lead"])).toEqual(
      Array.from({ length: list(older["forecasts"]).length }, (_, i) => i + 1),
    );
    const all: Json[] = [];
    for (let cursor = ""; ; ) {
      const { json } = await local("GET", `${city}/forecasts?origin=all&limit=31${cursor}`);
      all.push(...list(json["forecasts"]));
      if (json["nextCursor"] === null) break;
      cursor = `&cursor=${String(json["nextCursor"])}`;
    }
    expect(all).toHaveLength(await rowsStored());
    expect(new Set(all.map((row) => JSON.stringify([row["batch"], row["entity"], row["lead"]]))).size).toBe(
      all.length,
    );
  });
});

describe("the status page", () => {
  it("shows the champion's scores beside the naive ones, escapes names, credits publishers and tells no secret", async () => {
    const { text, headers } = await ask(test.address)("GET", "/");
    for (const name of ["last-week", "mean-4-weeks", "median-8-weeks", "trees"])
      expect(text).toMatch(new RegExp(`<td>${name}</td><td>0\\.\\d{3}</td>`));
    expect(text).toContain("Littleton &#60;b&#62;&#38; Sons&#60;/b&#62;");
    expect(text).toContain('<a href="https://data.example.org">Ville de Littleton – Données</a>, CC BY 4.0');
    expect(text).toContain("What came true:");
    for (const secret of [test.app.owner.record.token, test.home, "127.0.0.1"])
      expect(text).not.toContain(secret);
    expect(text).not.toMatch(/<script|src=|<link/);
    expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-/);
  });
});
