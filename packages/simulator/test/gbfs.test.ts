import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nycBikeShare } from "../src/index.ts";
import { textRows, withDuck } from "../src/recorded/duck.ts";
import { DAY, dataFolder, HOUR, type Movable, startMovable } from "./support.ts";

type Row = Record<string, unknown>;
const small = {
  ...nycBikeShare,
  stations: 60,
  days: 20,
  outagesPerYear: 30,
  absencesPerYear: 30,
  capacityChanges: 0.2,
  idChanges: 0.1,
};
const now = "2024-03-20T12:00:00Z";

async function feed(simulator: Movable, name: string): Promise<{ body: Row; rows: Row[] }> {
  const discovery = await simulator.json("stations", "/gbfs/2.3/gbfs.json");
  const data = discovery["data"] as Row;
  const list = (data["feeds"] ?? (data["en"] as Row)["feeds"]) as { name: string; url: string }[];
  const response = await fetch(list.find((each) => each.name === name)!.url);
  const body = (await response.json()) as Row;
  const inner = body["data"] as Row;
  return { body, rows: (inner["stations"] ?? inner["alerts"] ?? inner["vehicle_types"]) as Row[] };
}

async function archived(
  simulator: Movable,
  month: string,
  sql: string,
): Promise<Record<string, string | null>[]> {
  const response = await fetch(`${simulator.sources["stations"]}/archive/status_${month}.parquet`);
  expect(response.status).toBe(200);
  const path = join(import.meta.dirname, `.archive-${process.pid}-${month}.parquet`);
  await writeFile(path, new Uint8Array(await response.arrayBuffer()));
  try {
    return await withDuck((connection) =>
      textRows(connection, sql.replace("FILE", `read_parquet('${path}')`)),
    );
  } finally {
    await rm(path);
  }
}

describe("a generated New York", () => {
  it("speaks GBFS 3.0, keeps its docks, and is the same for the same seed", async () => {
    const one = await startMovable(now, small, { seed: 5 });
    const { body, rows } = await feed(one, "station_status");
    expect(body).toMatchObject({
      version: "3.0",
      ttl: 60,
      last_updated: expect.stringMatching(/^2024-03-20T0[78]:.*-04:00$/),
    });
    const { rows: places } = await feed(one, "station_information");
    expect(places).toHaveLength(60);
    const capacity = new Map(places.map((place) => [place["station_id"], place["capacity"] as number]));
    for (const row of rows) {
      const [bikes, docks, broken, dead] = [
        "num_vehicles_available",
        "num_docks_available",
        "num_vehicles_disabled",
        "num_docks_disabled",
      ].map((name) => row[name] as number);
      expect(bikes! + docks! + broken! + dead!).toBe(capacity.get(row["station_id"]));
      const types = row["vehicle_types_available"] as { count: number }[];
      expect(types.reduce((sum, type) => sum + type.count, 0)).toBe(bikes);
    }
    const other = await startMovable(now, small, { seed: 5 });
    expect((await feed(other, "station_status")).rows).toEqual(rows);
    const third = await startMovable(now, small, { seed: 6 });
    expect((await feed(third, "station_status")).rows).not.toEqual(rows);
    for (const simulator of [one, other, third]) await simulator.close();
  });

  it("has mornings to work and evenings home, stations that run out, close, vanish, grow and are renamed", async () => {
    const simulator = await startMovable(now, small);
    const rows = await archived(
      simulator,
      "2024-03",
      `SELECT count(*)::VARCHAR AS n, count(DISTINCT ts)::VARCHAR AS times, count(DISTINCT station_id)::VARCHAR AS ids,
         (count(*) FILTER (bikes <= 2))::VARCHAR AS short, (count(*) FILTER (is_renting = 0))::VARCHAR AS closed,
         max(gap)::VARCHAR AS gap, epoch_ms(max(ts))::VARCHAR AS newest
       FROM (SELECT *, epoch(ts) - lag(epoch(ts)) OVER (PARTITION BY station_id ORDER BY ts) AS gap FROM FILE)`,
    );
    const [found] = rows;
    const [n, times, ids, short, closed, gap] = ["n", "times", "ids", "short", "closed", "gap"].map((name) =>
      Number(found![name]),
    );
    expect(times).toBeGreaterThan(19 * 130);
    expect(n).toBeLessThan(times! * 60);
    expect(ids).toBeGreaterThan(60);
    expect(short! / n!).toBeGreaterThan(0.03);
    expect(short! / n!).toBeLessThan(0.4);
    expect(closed).toBeGreaterThan(0);
    expect(gap).toBeGreaterThan(1200);
    const [tides] = await archived(
      simulator,
      "2024-03",
      `SELECT stddev(moved) FILTER (NOT weekend)::VARCHAR AS work, stddev(moved) FILTER (weekend)::VARCHAR AS rest FROM (
         SELECT station_id, dayofweek(day) IN (0, 6) AS weekend, avg(tide) AS moved FROM (
           SELECT station_id, CAST(ts AS DATE) AS day, avg(bikes) FILTER (hour(ts) = 14) - avg(bikes) FILTER (hour(ts) = 11) AS tide
           FROM FILE GROUP BY ALL) GROUP BY ALL)`,
    );
    expect(Number(tides!["work"])).toBeGreaterThan(1.3 * Number(tides!["rest"]));
    // Up to the last midnight only.
    expect(Number(found!["newest"])).toBeLessThan(Date.parse("2024-03-20T00:10:00Z"));
    await simulator.close();
  });

  it("has the same snapshots now and in the archive, however it was asked before", async () => {
    const simulator = await startMovable("2024-03-18T08:00:00Z", {
      ...small,
      startMs: Date.parse("2024-03-01T00:00:00Z"),
    });
    const live = await feed(simulator, "station_status");
    simulator.at("2024-03-20T01:00:00Z");
    const taken = Date.parse(live.body["last_updated"] as string) / 1000;
    const rows = await archived(
      simulator,
      "2024-03",
      `SELECT station_id, bikes::VARCHAR AS bikes FROM FILE WHERE epoch(ts) = ${taken} ORDER BY station_id`,
    );
    const wanted = live.rows
      .map((row) => ({
        station_id: row["station_id"] as string,
        bikes: String(row["num_vehicles_available"]),
      }))
      .sort((a, b) => (a.station_id < b.station_id ? -1 : 1));
    expect(rows).toEqual(wanted);
    await simulator.close();
  });

  it("answers 304 to the version it has, and 404 for months that are not there", async () => {
    const simulator = await startMovable(now, small);
    const path = "/gbfs/3.0/nyc/station_status.json";
    const first = await fetch(simulator.sources["stations"] + path);
    await first.text();
    const ask = async () =>
      (
        await fetch(simulator.sources["stations"] + path, {
          headers: { "if-none-match": first.headers.get("etag")! },
        })
      ).status;
    expect(await ask()).toBe(304);
    simulator.at(Date.parse(now) + 6 * HOUR);
    expect(await ask()).toBe(200);
    for (const month of ["2024-04", "2023-12"])
      expect((await simulator.get("stations", `/archive/status_${month}.parquet`)).status).toBe(404);
    await simulator.close();
  });
});

const root = dataFolder();
describe.skipIf(root === null)("recordings (skipped without them)", () => {
  it("Bay Wheels are served as Lyft does, with the numbers that were captured at that second", async () => {
    const simulator = await startMovable("2022-12-31T22:05:00Z", { recordings: root!, city: "bay-wheels" });
    const captured = JSON.parse(
      await readFile(join(root!, "api-samples/gbfs-baywheels/station_status_1672524202.json"), "utf8"),
    ) as { data: { stations: Row[] }; last_updated: number };
    const { body, rows } = await feed(simulator, "station_status");
    expect(Object.keys(body)).toEqual(["data", "last_updated", "ttl"]);
    expect(Math.abs((body["last_updated"] as number) - captured.last_updated)).toBeLessThan(900);
    expect(Object.keys(rows[0]!)).toEqual(Object.keys(captured.data.stations[0]!));
    if (body["last_updated"] === captured.last_updated) {
      const of = (list: Row[]) => new Map(list.map((row) => [row["station_id"], row["num_bikes_available"]]));
      expect(of(rows)).toEqual(of(captured.data.stations));
    }
    const information = (await feed(simulator, "station_information")).rows;
    expect(information.length).toBeGreaterThan(480);
    const { status } = await simulator.get("stations", "/archive/status_2023-01.parquet");
    expect(status).toBe(404);
    simulator.at(Date.parse("2023-01-03T10:00:00Z"));
    const [row] = await archived(
      simulator,
      "2023-01",
      "SELECT epoch_ms(max(ts))::VARCHAR AS last, count(*)::VARCHAR AS n FROM FILE",
    );
    expect(Number(row!["last"])).toBeLessThan(Date.parse("2023-01-03T00:00:00Z"));
    expect(Number(row!["n"])).toBeGreaterThan(DAY / 600_000);
    await simulator.close();
  });

  it("Vélib' is served as it was captured, character by character", async () => {
    const simulator = await startMovable("2026-03-04T14:30:00Z", { recordings: root!, city: "paris-velib" });
    const { text } = await simulator.get("stations", "/opendata/Velib_Metropole/station_status.json");
    expect(text).toBe(
      await readFile(join(root!, "api-samples/gbfs-velib/velib_station_status.sample.json"), "utf8"),
    );
    await simulator.close();
  });
});
