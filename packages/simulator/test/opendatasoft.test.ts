import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordedPeriod, startSimulator } from "../src/index.ts";
import { dataFolder, HOUR, type Movable, makeRecordings, startMovable } from "./support.ts";

const DATASETS = "/api/explore/v2.1/catalog/datasets";
const COUNTS = `${DATASETS}/comptage-velo-donnees-compteurs`;
const FIRST = Date.parse("2020-10-20T00:00Z");

interface Records {
  total_count: number;
  results: Record<string, unknown>[];
  error_code?: string;
  message?: string;
}

let made: { root: string; remove: () => Promise<void> };
let city: Movable;
beforeAll(async () => {
  made = await makeRecordings();
  city = await startMovable("2020-12-01T00:00:00Z", { recordings: made.root, city: "paris-bikes" });
});
afterAll(async () => {
  await city.close();
  await made.remove();
});

async function records(query: string, dataset = COUNTS): Promise<Records> {
  const path = `${dataset}/records?${new URLSearchParams(query)}`;
  return (await city.json("counts", path)) as unknown as Records;
}

describe("the Explore API's records", () => {
  it("are flat objects with every field, ten by default", async () => {
    const { total_count, results } = await records("order_by=date,id_compteur");
    expect(total_count).toBe(3 * 240 + 24);
    expect(results.length).toBe(10);
    expect(results[0]).toEqual({
      id_compteur: "100-1",
      nom_compteur: "Quai, A N-S",
      id: "100",
      name: "Quai, A",
      sum_counts: 0,
      date: "2020-10-20T00:00:00+00:00",
      installation_date: "2018-01-02",
      coordinates: { lon: 2.34, lat: 48.85 },
      mois_annee_comptage: "2020-10",
    });
  });

  it("page through everything once", async () => {
    const seen = new Set<string>();
    for (let offset = 0; offset < 744; offset += 100) {
      for (const row of (await records(`order_by=date,id_compteur&limit=100&offset=${offset}`)).results) {
        seen.add(`${row["id_compteur"]} ${row["date"]}`);
      }
    }
    expect(seen.size).toBe(744);
  });

  it.each([
    ["limit=101", "Invalid value for limit API parameter: 101 was found but -1 <= limit <= 100 is expected."],
    ["limit=-2", "Invalid value for limit API parameter: -2 was found but -1 <= limit <= 100 is expected."],
    [
      "limit=100&offset=9901",
      "Invalid value for sum of offset + limit API parameter: 10001 was found but <= 10000 is expected.",
    ],
    ["offset=-1", "Invalid value for offset API parameter: -1 was found but >= 0 is expected."],
    ["timezone=Nowhere/Land", "Invalid value for timezone API parameter: Nowhere/Land was found."],
  ])("refuse %s", async (query, message) => {
    const { status, text } = await city.get("counts", `${COUNTS}/records?${query}`);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toEqual({ error_code: "InvalidRESTParameterError", message });
  });

  it("reach as far as offset 9900 with limit 100", async () => {
    expect((await city.get("counts", `${COUNTS}/records?limit=100&offset=9900`)).status).toBe(200);
  });

  it.each([
    "where=bogus=1",
    "where=sum_counts >",
    "select=bogus",
    "order_by=bogus",
    "where=date>'soon'",
    "refine=bogus:1",
  ])("call %s a malformed query", async (query) => {
    const { status, text } = await city.get("counts", `${COUNTS}/records?${new URLSearchParams(query)}`);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({
      error_code: "ODSQLError",
      message: expect.stringMatching(/^ODSQL query is malformed: /),
    });
  });

  it.each([
    ["where=sum_counts<5 and id_compteur='100-1'", 5],
    ['where=id_compteur in ("100-1","200-1") and not sum_counts>=1000', 240],
    ["where=nom_compteur like 'rue'", 240],
    ["where=nom_compteur is null", 24],
    ["where=(sum_counts=1 or sum_counts=2) and id='100'", 2],
    ["where=date>=date'2020-10-29T00:00:00%2B01:00'&refine=id_compteur:100-2", 25],
    ["where=date>=\"2020-10-29T00:00:00\" and id_compteur='100-2'", 24],
    ["where=date>=date'2020-10-29' and id_compteur='100-2'&timezone=Europe/Paris", 25],
    ["where=sum_counts != 7 and id_compteur='300-9'", 0],
    ["where=installation_date = date'2020-10-24'&timezone=Europe/Paris", 240],
  ])("%s gives %i rows", async (query, count) => {
    expect((await records(query)).total_count).toBe(count);
  });

  it("write times in the zone asked for, across a change of the clocks", async () => {
    const { results } = await records(
      "select=date&where=id_compteur='100-1' and date>=date'2020-10-25' and date<date'2020-10-26'&timezone=Europe/Paris&order_by=date&limit=100",
    );
    // The day the clocks go back has 25 hours.
    expect(results.length).toBe(25);
    expect(results.slice(1, 5).map((row) => row["date"])).toEqual([
      "2020-10-25T01:00:00+02:00",
      "2020-10-25T02:00:00+02:00",
      "2020-10-25T02:00:00+01:00",
      "2020-10-25T03:00:00+01:00",
    ]);
  });

  it("group, count and fold", async () => {
    const { results, total_count } = await records(
      "select=id_compteur,count(*) as n,min(date),max(sum_counts) as most&group_by=id_compteur&order_by=n desc,id_compteur&limit=200",
    );
    expect(total_count).toBe(4);
    expect(results[1]).toEqual({
      id_compteur: "100-2",
      n: 240,
      "min(date)": "2020-10-20T00:00:00+00:00",
      most: 1239,
    });
    expect((await records("select=max(date) as latest")).results).toEqual([
      { latest: "2020-10-30T23:00:00+00:00" },
    ]);
  });

  it("are not there for an unknown dataset", async () => {
    const { status, text } = await city.get("counts", `${DATASETS}/nothing/records`);
    expect(status).toBe(404);
    expect(JSON.parse(text)).toHaveProperty("message");
  });
});

describe("the Explore API's exports", () => {
  it("are complete in each format", async () => {
    const json = JSON.parse((await city.get("counts", `${COUNTS}/exports/json`)).text) as unknown[];
    const lines = (await city.get("counts", `${COUNTS}/exports/jsonl?select=date,sum_counts`)).text
      .trim()
      .split("\n");
    const csv = (await city.get("counts", `${COUNTS}/exports/csv`)).text.trim().split("\r\n");
    expect([json.length, lines.length, csv.length - 1]).toEqual([744, 744, 744]);
    expect(JSON.parse(lines[0]!)).toEqual({ date: "2020-10-20T00:00:00+00:00", sum_counts: 0 });
    expect(csv[0]).toBe(
      "id_compteur;nom_compteur;id;name;sum_counts;date;installation_date;coordinates;mois_annee_comptage",
    );
    expect(csv[1]).toContain(";48.85, 2.34;2020-10");
  });

  it("bound offset + limit only where rows are skipped", async () => {
    expect((await city.get("counts", `${COUNTS}/exports/json?limit=20000`)).status).toBe(200);
    expect((await city.get("counts", `${COUNTS}/exports/json?limit=10000&offset=1`)).status).toBe(400);
    expect(
      JSON.parse((await city.get("counts", `${COUNTS}/exports/json?limit=3&offset=2`)).text),
    ).toHaveLength(3);
  });

  it("refuse another format", async () => {
    expect((await city.get("counts", `${COUNTS}/exports/xlsx`)).status).toBe(400);
  });
});

describe("recordings", () => {
  it("read one more monthly file, and their period covers all files", async () => {
    expect(await recordedPeriod(made.root, "paris-bikes")).toEqual({
      fromMs: FIRST,
      toMs: FIRST + 264 * HOUR,
    });
    expect((await records("where=id_compteur='300-9'")).total_count).toBe(24);
  });

  it("show yesterday's hours at two in the morning, as the publisher does", async () => {
    const newest = async (iso: string) => {
      city.at(iso);
      return (await records("select=max(date) as d&timezone=Europe/Paris")).results[0]!["d"];
    };
    expect(await newest("2020-10-28T00:59:59Z")).toBe("2020-10-26T23:00:00+01:00");
    expect(await newest("2020-10-28T01:00:00Z")).toBe("2020-10-27T23:00:00+01:00");
    city.at("2020-12-01T00:00:00Z");
  });

  it("show each hour after a delay of its own when told so", async () => {
    const other = await startMovable("2020-10-22T10:00:00Z", {
      recordings: made.root,
      city: "paris-bikes",
      publicationDelayMs: 600_000,
    });
    const newest = async () => {
      const page = await other.json(
        "counts",
        `${COUNTS}/records?select=${encodeURIComponent("max(date) as d")}`,
      );
      return (page as unknown as Records).results[0]!["d"];
    };
    expect(await newest()).toBe("2020-10-22T08:00:00+00:00");
    other.at("2020-10-22T10:10:00Z");
    expect(await newest()).toBe("2020-10-22T09:00:00+00:00");
    await other.close();
  });

  it("show a counter from its installation on", async () => {
    const places = `${DATASETS}/comptage-velo-compteurs`;
    city.at("2020-10-23T00:00:00Z");
    expect((await records("", places)).total_count).toBe(2);
    city.at("2020-12-01T00:00:00Z");
    expect((await records("", places)).results[2]).toMatchObject({
      id_compteur: "200-1",
      coordinates: { lat: 48.86, lon: 2.35 },
    });
  });

  it("make periods of school holidays by day, ending when classes resume", async () => {
    const { results } = await records(
      "where=location='Paris' and zones='Zone C'&timezone=Europe/Paris",
      `${DATASETS}/fr-en-calendrier-scolaire`,
    );
    expect(results).toEqual([
      {
        description: "Vacances de la Toussaint",
        population: "-",
        start_date: "2020-10-17T00:00:00+02:00",
        end_date: "2020-10-19T00:00:00+02:00",
        location: "Paris",
        zones: "Zone C",
        annee_scolaire: "2020-2021",
      },
    ]);
  });

  it("interpolate three-hourly weather once both observations are in, and keep the rain's total", async () => {
    const archive = async () => {
      const path =
        "/v1/archive?latitude=48.85&longitude=2.35&hourly=temperature_2m,precipitation,wind_speed_10m,pressure_msl&start_date=2020-10-21&end_date=2020-10-21";
      return (await city.json("weather", path))["hourly"] as Record<string, (number | null)[]>;
    };
    city.at("2020-10-21T08:59:00Z");
    const morning = (await archive())["temperature_2m"]!;
    expect([morning[6], morning[7], morning[8]]).toEqual([13, null, null]);
    city.at("2020-10-21T09:00:00Z");
    const later = await archive();
    expect(later["temperature_2m"]!.slice(6, 10)).toEqual([13, 13.1, 13.2, 13.3]);
    expect(later["precipitation"]!.slice(7, 10)).toEqual([1.5, 1.5, 1]);
    expect([later["wind_speed_10m"]![6], later["pressure_msl"]![6]]).toEqual([7.2, 1013]);
    const path = "/v1/forecast?latitude=48.85&longitude=2.35&hourly=temperature_2m&forecast_days=3";
    const forecast = (await city.json("weather", path))["hourly"] as Record<string, number[]>;
    expect(forecast["temperature_2m"]![9]).toBe(13.3);
    expect(forecast["temperature_2m"]![60]).not.toBe(16);
    city.at("2020-12-01T00:00:00Z");
  });

  it("say which are missing", async () => {
    const start = (name: string) =>
      startSimulator({ clock: { kind: "real" }, city: { recordings: made.root, city: name } });
    await expect(start("melbourne-pedestrians")).rejects.toThrow(/no folder/);
    await expect(start("atlantis")).rejects.toThrow(/atlantis/);
    await expect(recordedPeriod(made.root, "atlantis")).rejects.toThrow(/atlantis/);
  });
});

const real = dataFolder();
describe.skipIf(real === null)(
  `the real recordings of Paris${real === null ? " (skipped: no data)" : ""}`,
  () => {
    let paris: Movable;
    beforeAll(async () => {
      paris = await startMovable("2022-01-01T00:00:00Z", { recordings: real!, city: "paris-bikes" });
    });
    afterAll(() => paris?.close());

    it("come whole through an export", async () => {
      const { text } = await paris.get("counts", `${COUNTS}/exports/csv?select=sum_counts&with_bom=false`);
      expect(text.split("\r\n").length - 2).toBe(455_163);
    });

    it("agree between records and an export over a week", async () => {
      const where = encodeURIComponent("date >= date'2021-03-25' and date < date'2021-04-01'");
      const exported = JSON.parse(
        (await paris.get("counts", `${COUNTS}/exports/json?where=${where}`)).text,
      ) as unknown[];
      const paged: unknown[] = [];
      for (;;) {
        const path = `${COUNTS}/records?where=${where}&order_by=date,id_compteur&limit=100&offset=${paged.length}`;
        const { results, total_count } = (await paris.json("counts", path)) as unknown as Records;
        expect(total_count).toBe(exported.length);
        paged.push(...results);
        if (results.length < 100) break;
      }
      expect(paged.length).toBeGreaterThan(8000);
      expect(paged).toEqual(exported);
    });

    it("have the periods the files have", async () => {
      expect(await recordedPeriod(real!, "paris-bikes")).toEqual({
        fromMs: Date.parse("2020-09-01T01:00Z"),
        toMs: Date.parse("2021-08-10T00:00Z"),
      });
    });

    it("serve Melbourne's weather with its units converted", async () => {
      const melbourne = await startMovable("2015-06-01T00:00:00Z", {
        recordings: real!,
        city: "melbourne-pedestrians",
      });
      expect(Object.keys(melbourne.sources)).toEqual(["weather"]);
      const path =
        "/v1/archive?latitude=-37.8&longitude=145&hourly=relative_humidity_2m,pressure_msl,cloud_cover,shortwave_radiation,precipitation&start_date=2012-12-25&end_date=2012-12-25";
      const hourly = (await melbourne.json("weather", path))["hourly"] as Record<string, (number | null)[]>;
      expect(hourly["relative_humidity_2m"]![0]).toBe(53);
      expect(hourly["pressure_msl"]![0]).toBe(1019.7);
      expect(hourly["cloud_cover"]![0]).toBe(96);
      expect(hourly["shortwave_radiation"]![1]).toBe(660.6);
      expect(hourly["precipitation"]![0]).toBeNull();
      await melbourne.close();
    });
  },
);
