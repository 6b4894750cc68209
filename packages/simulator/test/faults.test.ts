import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Fault, Malformation } from "../src/index.ts";
import { type Movable, makeRecordings, startMovable } from "./support.ts";

const LAYER = "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Automatic_Hourly_Pedestrian_Count/FeatureServer/0";
const COUNTS = `${LAYER}/query?f=json&where=1%3D1&outFields=*&resultRecordCount=4`;
const WEATHER = "/v1/forecast?latitude=-33&longitude=151&hourly=temperature_2m&forecast_days=1";
const BIKES = "/api/explore/v2.1/catalog/datasets/comptage-velo-donnees-compteurs";

let city: Movable;
let paris: Movable;
let made: { root: string; remove: () => Promise<void> };
beforeAll(async () => {
  made = await makeRecordings();
  city = await startMovable("2026-03-01T00:00:00Z", { id: "small", entities: 3, years: 0.1 });
  paris = await startMovable("2020-12-01T00:00:00Z", { recordings: made.root, city: "paris-bikes" });
});
afterEach(async () => {
  await city.faults([]);
  await paris.faults([]);
});
afterAll(async () => {
  await city.close();
  await paris.close();
  await made.remove();
});

async function rows(): Promise<Record<string, unknown>[]> {
  const page = await city.json("counts", COUNTS);
  return (page["features"] as { attributes: Record<string, unknown> }[]).map((feature) => feature.attributes);
}

describe("a fault", () => {
  it("with status 429 says when to come back, in seconds or as a date, in the API's own body", async () => {
    await city.faults([{ kind: "status", status: 429, retryAfterSeconds: 7, count: 1 }]);
    const seconds = await city.get("weather", WEATHER);
    expect([seconds.status, seconds.headers.get("retry-after")]).toEqual([429, "7"]);
    expect(JSON.parse(seconds.text)).toMatchObject({
      error: true,
      reason: expect.stringContaining("limit exceeded"),
    });
    expect((await city.get("weather", WEATHER)).status).toBe(200);

    await city.faults([{ kind: "status", status: 429, retryAfterSeconds: 60, retryAfterDate: true }]);
    const dated = Date.parse((await city.get("counts", COUNTS)).headers.get("retry-after")!);
    expect(Math.abs(dated - Date.now() - 60_000)).toBeLessThan(5000);

    await paris.faults([{ kind: "status", status: 429 }]);
    const quota = await paris.get("counts", `${BIKES}/records`);
    expect(quota.headers.get("x-ratelimit-remaining")).toBe("0");
    expect(JSON.parse(quota.text)).toHaveProperty("errorcode");
  });

  it.each([500, 503] as const)("with status %i answers so", async (status) => {
    await city.faults([{ kind: "status", status, source: "counts" }]);
    expect((await city.get("counts", COUNTS)).status).toBe(status);
    expect((await city.get("weather", WEATHER)).status).toBe(200);
    expect((await city.get("events", "/events.csv")).status).toBe(200);
  });

  it("can be an HTML page under 200", async () => {
    await city.faults([{ kind: "html" }]);
    const { status, text, headers } = await city.get("counts", COUNTS);
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(text).toContain("<html>");
  });

  it("can be an error envelope under 200, in each API's way", async () => {
    await city.faults([{ kind: "envelope", code: 504, message: "Timed out" }]);
    await paris.faults([{ kind: "envelope" }]);
    expect(await city.json("counts", COUNTS)).toEqual({
      error: { code: 504, message: "Timed out", details: [] },
    });
    expect(await city.json("weather", WEATHER)).toEqual({ error: true, reason: "Timed out" });
    expect(await paris.json("counts", `${BIKES}/records`)).toHaveProperty("error_code");
    const { text } = await paris.get("counts", `${BIKES}/exports/jsonl`);
    expect(text).toMatch(/Streaming interrupted due to the following error: .* \(error_code: \w+\)$/);
    expect(text).toMatch(/^{"id_compteur"/);
  });

  it("can cut the connection in the middle of the body", async () => {
    await city.faults([{ kind: "cut" }]);
    const response = await fetch(city.sources["counts"] + COUNTS);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  it("can truncate the JSON of a complete response", async () => {
    const whole = (await city.get("counts", COUNTS)).text;
    await city.faults([{ kind: "truncated" }]);
    const { text } = await city.get("counts", COUNTS);
    expect(whole.startsWith(text)).toBe(true);
    expect(() => JSON.parse(text)).toThrow(SyntaxError);
  });

  it("can make the service unreachable", async () => {
    await city.faults([{ kind: "unreachable", path: "^/v1/" }]);
    await expect(city.get("weather", WEATHER)).rejects.toThrow();
    expect((await city.get("counts", COUNTS)).status).toBe(200);
  });

  it.each([false, true])("can be slow, within the body: %s", async (within) => {
    await city.faults([{ kind: "slow", delayMs: 60, within }]);
    const started = performance.now();
    const response = await fetch(city.sources["counts"] + COUNTS);
    const headers = performance.now() - started;
    const body = await response.text();
    expect(performance.now() - started).toBeGreaterThan(55);
    if (!within) expect(headers).toBeGreaterThan(55);
    expect(JSON.parse(body)).toHaveProperty("features");
  });

  it("that is slow does not hold up closing", async () => {
    const other = await startMovable("2026-03-01T00:00:00Z", { id: "tiny", entities: 1, years: 0.02 });
    await other.faults([{ kind: "slow", delayMs: 600_000, within: true }]);
    // The headers are here, so the server waits in the middle of the body.
    const response = await fetch(other.sources["counts"] + COUNTS);
    const body = response.text();
    const [closed] = await Promise.allSettled([other.close(), body]);
    expect(closed.status).toBe("fulfilled");
    // A request is logged when its answer ends: the wait of ten minutes is over, not left behind.
    await new Promise((resolve) => setImmediate(resolve));
    expect((await other.requests()).total).toBe(1);
    await expect(body).rejects.toThrow();
  });

  it("strikes after, for a count, within a period and with a chance", async () => {
    const statuses = async (fault: Partial<Fault>, n: number) => {
      await city.faults([{ kind: "status", status: 500, ...fault } as Fault]);
      const seen: number[] = [];
      for (let i = 0; i < n; i++) seen.push((await city.get("events", "/events.csv")).status);
      return seen;
    };
    expect(await statuses({ after: 1, count: 2 }, 5)).toEqual([200, 500, 500, 200, 200]);
    const now = Date.parse("2026-03-01T00:00:00Z");
    expect(await statuses({ fromMs: now + 1 }, 1)).toEqual([200]);
    expect(await statuses({ fromMs: now, toMs: now + 1 }, 1)).toEqual([500]);
    const first = await statuses({ probability: 0.3 }, 60);
    expect(await statuses({ probability: 0.3 }, 60)).toEqual(first);
    const struck = first.filter((status) => status === 500).length;
    expect(struck).toBeGreaterThan(6);
    expect(struck).toBeLessThan(32);
  });

  it("of an unknown kind is refused and leaves the others in force", async () => {
    await city.faults([{ kind: "html" }]);
    const post = (body: string) =>
      fetch(`${city.sources["counts"]}/_simulator/faults`, { method: "POST", body });
    for (const wrong of [
      '[{"kind":"earthquake"}]',
      '[{"kind":"malformed","malformation":"odd"}]',
      "{}",
      "not json",
    ]) {
      expect((await post(wrong)).status).toBe(400);
    }
    expect((await city.get("counts", COUNTS)).text).toContain("<html>");
    expect((await post("[]")).status).toBe(200);
    expect((await rows()).length).toBe(4);
  });

  it("is counted and logged with its request", async () => {
    const before = await city.requests();
    await city.faults([{ kind: "html", source: "weather" }]);
    await city.get("weather", WEATHER);
    await city.get("counts", COUNTS);
    const after = await city.requests();
    expect(after.total - before.total).toBe(2);
    expect(after.bySource["weather"]!.faults - (before.bySource["weather"]?.faults ?? 0)).toBe(1);
    expect(after.latest.slice(-2).map(({ source, fault, status }) => ({ source, fault, status }))).toEqual([
      { source: "weather", fault: "html", status: 200 },
      { source: "counts", fault: null, status: 200 },
    ]);
  });
});

describe("a malformed row", () => {
  const malformed = (malformation: Malformation, every = 2): Fault[] => [
    { kind: "malformed", malformation, every },
  ];

  it.each<[Malformation, (row: Record<string, unknown>) => void]>([
    ["missingField", (row) => expect(row).not.toHaveProperty("TotalCount")],
    ["wrongType", (row) => expect(row["TotalCount"]).toBe("many")],
    ["nanText", (row) => expect(row["TotalCount"]).toBe("NaN")],
    ["negative", (row) => expect(row["TotalCount"]).toBeLessThan(0)],
    ["huge", (row) => expect(row["TotalCount"]).toBeGreaterThan(1e15)],
    ["wrongDate", (row) => expect(new Date(row["Date"] as number).getTime()).toBeNaN()],
    ["unknownEntity", (row) => expect(row["Location_code"]).toBe("ZZ999-nobody")],
    ["nullEntity", (row) => expect(row["Location_code"]).toBeNull()],
    ["extraColumn", (row) => expect(row).toHaveProperty("unexpected_column")],
    ["renamedColumn", (row) => expect(row).toHaveProperty("TotalCount_v2")],
  ])("%s is so in every second row of a page, the others untouched", async (malformation, check) => {
    const good = await rows();
    await city.faults(malformed(malformation));
    const bad = await rows();
    check(bad[0]!);
    check(bad[2]!);
    expect([bad[1], bad[3]]).toEqual([good[1], good[3]]);
  });

  it("duplicatedRow comes twice", async () => {
    const good = await rows();
    await city.faults(malformed("duplicatedRow", 4));
    expect(await rows()).toEqual([good[0], ...good]);
  });

  it("comes in weather, in CSV and in every form of the Explore API", async () => {
    await city.faults(malformed("nanText"));
    const hourly = (await city.json("weather", WEATHER))["hourly"] as Record<string, unknown[]>;
    expect(hourly["temperature_2m"]!.slice(0, 2)).toEqual(["NaN", expect.any(Number)]);
    const lines = (await city.get("events", "/events.csv")).text.split("\r\n");
    expect(lines[0]).toMatch(/^id,name,/);
    expect(lines[1]).toContain(",NaN,");
    expect(lines[2]).not.toContain(",NaN,");

    await paris.faults(malformed("wrongType"));
    const page = await paris.json("counts", `${BIKES}/records`);
    const exported = JSON.parse((await paris.get("counts", `${BIKES}/exports/json?limit=2`)).text);
    const line = (await paris.get("counts", `${BIKES}/exports/jsonl?limit=2`)).text.split("\n")[0]!;
    const csv = (await paris.get("counts", `${BIKES}/exports/csv?limit=2`)).text.split("\r\n");
    expect((page["results"] as Record<string, unknown>[])[0]!["sum_counts"]).toBe("many");
    expect(exported.map((row: Record<string, unknown>) => row["sum_counts"])).toEqual(["many", 0 + 1000]);
    expect(JSON.parse(line)).toMatchObject({ sum_counts: "many" });
    expect(csv[1]).toContain(";many;");
  });
});
