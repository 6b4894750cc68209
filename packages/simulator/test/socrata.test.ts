import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { recordedPeriod } from "../src/index.ts";
import { makeNewYork, type NewYork } from "./new-york.ts";
import { dataFolder, type Movable, startMovable } from "./support.ts";

const ROWS = "/resource/erm2-nwe9.json";
type Row = Record<string, string>;

let made: NewYork;
let city: Movable;
const end = "2026-01-01T00:00:00Z";
beforeAll(async () => {
  made = await makeNewYork();
  city = await startMovable(end, { recordings: made.root, city: "nyc-311" });
});
afterEach(async () => {
  city.at(end);
  await city.faults([]);
});
afterAll(async () => {
  await city.close();
  await made.remove();
});

const rows = async (query: Record<string, string>, from = city) =>
  (await from.json("counts", `${ROWS}?${new URLSearchParams(query)}`)) as unknown as Row[];
const byDay = (type: string) => ({
  $select: "date_trunc_ymd(created_date) as day, count(*) as n",
  $group: "day",
  $order: "day",
  ...(type === "All" ? {} : { $where: `complaint_type = '${type}'` }),
});

describe("SODA rows", () => {
  it("are a bare array of objects whose scalars are text and whose nulls are left out", async () => {
    const [first, ...rest] = await rows({
      $where: "complaint_type = 'elevator'",
      $order: "unique_key",
      $limit: "3",
    });
    expect(rest).toHaveLength(2);
    expect(first).toEqual({
      unique_key: "70000000",
      created_date: "2025-10-10T06:15:00.000",
      closed_date: "2025-10-11T12:00:00.000",
      complaint_type: "elevator",
      status: "Closed",
      borough: "BRONX",
    });
    const [system] = await rows({ $select: ":*", $limit: "1" });
    expect(Object.keys(system!)).toEqual([":id", ":created_at", ":updated_at"]);
    expect(system![":updated_at"]).toMatch(/^2025-.*Z$/);
  });

  it("page through everything once in the order of their last change", async () => {
    const seen: string[] = [];
    const times: string[] = [];
    for (let offset = 0; ; offset += 37) {
      const page = await rows({
        $select: "unique_key, :updated_at",
        $where: "complaint_type in ('elevator', 'Air Quality')",
        $order: ":updated_at, :id",
        $limit: "37",
        $offset: String(offset),
      });
      if (page.length === 0) break;
      seen.push(...page.map((row) => row["unique_key"]!));
      times.push(...page.map((row) => row[":updated_at"]!));
    }
    const recorded = [...made.counts].filter(([key]) => /^(elevator|Air)/.test(key));
    expect(new Set(seen).size).toBe(recorded.reduce((sum, [, count]) => sum + count, 0));
    expect(seen.length).toBe(new Set(seen).size);
    expect(times).toEqual([...times].sort());
  });

  it.each(["All", "HEAT/HOT WATER", "Illegal Parking", "Air Quality"])(
    "add up to what was recorded of %s, day by day",
    async (type) => {
      const found = await rows(byDay(type));
      expect(found.map((row) => [`${type} ${row["day"]!.slice(0, 10)}`, Number(row["n"])])).toEqual(
        [...made.counts].filter(([key]) => key.startsWith(type)),
      );
    },
  );

  it("count the same by group and one by one, also within a day", async () => {
    for (const where of [
      "created_date between '2025-10-12T00:00:00' and '2025-10-13T12:00:00' and complaint_type != 'Other'",
      "created_date >= '2025-10-31' and created_date < '2025-11-03' and not complaint_type like 'Illegal%'",
      "borough is null and created_date > '2025-11-10T08:00:00' or borough = 'BRONX'",
    ]) {
      const [counted] = await rows({ $select: "count(*) as n", $where: where });
      const listed = await rows({ $where: where, $limit: "50000" });
      expect(listed.length).toBeGreaterThan(40);
      expect(Number(counted!["n"])).toBe(listed.length);
    }
  });

  it("come with their fields, types and last change, and not again while nothing changes", async () => {
    const first = await city.get("counts", `${ROWS}?${new URLSearchParams(byDay("All"))}`);
    expect(JSON.parse(first.headers.get("x-soda2-fields")!)).toEqual(["day", "n"]);
    expect(JSON.parse(first.headers.get("x-soda2-types")!)).toEqual(["floating_timestamp", "number"]);
    expect(Date.parse(first.headers.get("x-soda2-truth-last-modified")!)).toBe(
      Date.parse("2025-11-19T07:30:00Z"),
    );
    const etag = first.headers.get("etag")!;
    const again = await fetch(`${city.sources["counts"]}${ROWS}?${new URLSearchParams(byDay("All"))}`, {
      headers: { "if-none-match": etag },
    });
    expect(again.status).toBe(304);
    const empty = await city.get("counts", `${ROWS}?$where=${encodeURIComponent("borough='MARS'")}`);
    expect([empty.text, empty.headers.get("x-soda2-fields")?.includes("unique_key")]).toEqual(["[]", true]);
  });

  it.each([
    [{ $select: "foo" }, 400, "query.soql.no-such-column"],
    [{ $where: "foo = 1" }, 400, "query.soql.no-such-column"],
    [{ $order: "foo" }, 400, "query.soql.no-such-column"],
    [{ foo: "1" }, 400, "query.soql.no-such-column"],
    [{ $where: "created_date > 'soon'" }, 400, "query.soql.type-mismatch"],
    [{ $where: "created_date >" }, 400, "query.compiler.malformed"],
    [{ $limit: "many" }, 400, "query.compiler.malformed"],
    [{ $page: "2" }, 400, "query.compiler.malformed"],
    [{ $select: "borough, count(*)" }, 400, "query.soql.column-not-in-group-bys"],
    [{ $$app_token: "short" }, 403, "permission_denied"],
  ])("refuse %j", async (query, status, code) => {
    const answer = await city.get(
      "counts",
      `${ROWS}?${new URLSearchParams(query as Record<string, string>)}`,
    );
    const body = JSON.parse(answer.text) as { errorCode?: string; code?: string; message: string };
    expect([answer.status, body.errorCode ?? body.code]).toEqual([status, code]);
    expect(body.message).not.toBe("");
  });

  it("of a dataset that is not there are a 404; metadata tell its columns and last load", async () => {
    expect((await city.get("counts", "/resource/aaaa-bbbb.json")).status).toBe(404);
    const info = await city.json("counts", "/api/views/erm2-nwe9.json");
    expect(info["rowsUpdatedAt"]).toBe(Date.parse("2025-11-19T07:30:00Z") / 1000);
    expect(info["columns"]).toContainEqual({
      fieldName: "created_date",
      name: "created_date",
      dataTypeName: "calendar_date",
    });
  });
});

describe("on the virtual clock", () => {
  it("a day is loaded in the night after it, a few of its records a night later", async () => {
    const day = {
      ...byDay("Illegal Parking"),
      $where: "complaint_type = 'Illegal Parking' and created_date >= '2025-10-16'",
    };
    city.at("2025-10-17T06:29:00Z");
    expect(await rows(day)).toEqual([]);
    city.at("2025-10-17T06:30:00Z");
    const first = Number((await rows(day))[0]!["n"]);
    city.at("2025-10-18T06:30:00Z");
    const late = Number((await rows(day))[0]!["n"]);
    expect(late).toBe(made.counts.get("Illegal Parking 2025-10-16"));
    expect(first).toBeLessThan(late);
    expect(first).toBeGreaterThan(0.95 * late);
    // Summer time ends on 2 November: from then on the night's load is an hour later in UTC.
    city.at("2025-11-03T06:30:00Z");
    const [newest] = await rows({ $select: "max(created_date) as newest" });
    expect(newest!["newest"]!.slice(0, 10)).toBe("2025-11-01");
  });

  it("a record is touched again when it is closed, and some get their borough only then", async () => {
    const query = {
      $select: "unique_key, status, borough, :updated_at",
      $where: "complaint_type = 'elevator' and created_date < '2025-10-25'",
      $order: "unique_key",
    };
    city.at("2025-10-26T00:00:00Z");
    const before = await rows(query);
    city.at(end);
    const after = await rows(query);
    expect(after.map((row) => row["unique_key"])).toEqual(before.map((row) => row["unique_key"]));
    expect(before.some((row) => row["status"] === "Open")).toBe(true);
    expect(after.every((row) => row["status"] === "Closed")).toBe(true);
    const moved = after.filter((row, i) => row["borough"] !== before[i]!["borough"]);
    expect(moved.length).toBeGreaterThan(0);
    for (const row of moved) expect(row[":updated_at"]! > "2025-10-26").toBe(true);
  });

  it("a half-loaded day has its part until the rest comes", async () => {
    const half = await startMovable("2025-10-20T00:00:00Z", {
      recordings: made.root,
      city: "nyc-311",
      halfLoaded: [{ date: "2025-10-18", share: 0.4, wholeAtMs: Date.parse("2025-10-23T12:00:00Z") }],
    });
    const of = async (type: string) =>
      Number(
        (await rows({ ...byDay(type), $where: `complaint_type = '${type}'` }, half)).find((row) =>
          row["day"]!.startsWith("2025-10-18"),
        )?.["n"],
      );
    const whole = made.counts.get("Illegal Parking 2025-10-18")!;
    expect(await of("Illegal Parking")).toBe(Math.round(0.4 * whole));
    half.at("2025-10-23T12:00:00Z");
    expect(await of("Illegal Parking")).toBe(whole);
    await half.close();
  });

  it("ends with the recordings: no later load says that a day had nothing", async () => {
    expect(await recordedPeriod(made.root, "nyc-311")).toEqual({
      fromMs: Date.parse("2025-10-10T04:00:00Z"),
      toMs: Date.parse("2025-11-19T05:00:00Z"),
    });
    const [newest] = await rows({ $select: "max(:updated_at) as newest" });
    expect(newest).toEqual({ newest: "2025-11-19T07:30:00.000Z" });
  });
});

describe("faults", () => {
  it("are told in SODA's way", async () => {
    await city.faults([{ kind: "status", status: 429, retryAfterSeconds: 3 }]);
    const throttled = await city.get("counts", ROWS);
    expect([throttled.status, throttled.headers.get("retry-after")]).toEqual([429, "3"]);
    await city.faults([{ kind: "status", status: 202 }]);
    expect((await city.get("counts", ROWS)).status).toBe(202);
    await city.faults([{ kind: "envelope", message: "Timed out" }]);
    expect(await city.json("counts", ROWS)).toEqual({
      code: "internal_error",
      error: true,
      message: "Timed out",
    });
    await city.faults([{ kind: "malformed", malformation: "nanText", every: 2 }]);
    expect((await rows(byDay("All"))).slice(0, 3).map((row) => row["n"] === "NaN")).toEqual([
      true,
      false,
      true,
    ]);
    await city.faults([{ kind: "malformed", malformation: "unknownEntity" }]);
    expect((await rows({ $limit: "1" }))[0]!["complaint_type"]).toBe("ZZ999-nobody");
  });
});

describe("New York's weather", () => {
  const ask = async (more: string) =>
    (
      await city.json(
        "weather",
        `/v1/forecast?latitude=40.7&longitude=-74&hourly=temperature_2m,precipitation&timeformat=unixtime&${more}`,
      )
    )["hourly"] as Record<string, (number | null)[]>;

  it("is observed in metric units", async () => {
    const hourly = (
      await city.json(
        "weather",
        "/v1/archive?latitude=40.7&longitude=-74&hourly=temperature_2m,precipitation,wind_speed_10m&start_date=2025-10-20&end_date=2025-10-20",
      )
    )["hourly"] as Record<string, number[]>;
    expect([hourly["temperature_2m"]![0], hourly["precipitation"]![0], hourly["wind_speed_10m"]![0]]).toEqual(
      [10, 2.5, 16.1],
    );
  });

  it("is forecast as it was issued and committed: now, and by archived runs", async () => {
    // The third day's forecast was issued at ten and committed at half past.
    city.at("2025-10-12T10:10:00Z");
    const at = (hourly: Record<string, (number | null)[]>, iso: string) =>
      hourly["temperature_2m"]![hourly["time"]!.indexOf(Date.parse(iso) / 1000)];
    expect(at(await ask("forecast_days=2"), "2025-10-12T12:00:00Z")).toBe(0);
    city.at("2025-10-12T11:00:00Z");
    expect(at(await ask("forecast_days=2"), "2025-10-12T12:00:00Z")).toBe(2);
    city.at(end);
    const run = await ask("run=2025-10-14T06:00&forecast_days=4");
    expect(at(run, "2025-10-14T09:00:00Z")).toBeNull();
    expect(at(run, "2025-10-14T10:00:00Z")).toBe(4);
    expect(at(run, "2025-10-17T09:00:00Z")).toBe(4);
    expect(run["precipitation"]![run["temperature_2m"]!.indexOf(4)]).toBe(2.5);
    // Committed two days late: nobody could have used it. And one of tomorrow.
    for (const asked of ["2025-10-11T06:00", "2027-01-01T06:00", "soon"]) {
      const { status, text } = await city.get(
        "weather",
        `/v1/forecast?latitude=40.7&longitude=-74&hourly=temperature_2m&run=${asked}`,
      );
      expect([status, JSON.parse(text)]).toMatchObject([400, { error: true }]);
    }
  });
});

const real = dataFolder();
describe.skipIf(real === null)(
  `the real recordings of New York${real === null ? " (skipped: no data)" : ""}`,
  () => {
    let york: Movable;
    beforeAll(async () => {
      york = await startMovable("2026-06-01T00:00:00Z", { recordings: real!, city: "nyc-311" });
    });
    afterAll(() => york?.close());

    it("are the publisher's numbers: totals, half-loaded days, types, elevators by borough", async () => {
      const all = new Map(
        (await rows({ ...byDay("All"), $limit: "5000" }, york)).map((row) => [
          row["day"]!.slice(0, 10),
          row["n"],
        ]),
      );
      expect([all.size, all.get("2023-11-27"), all.get("2025-01-25"), all.get("2026-03-18")]).toEqual([
        2270,
        "483",
        "3018",
        expect.any(String),
      ]);
      const [heat] = await rows(
        { $select: "count(*) as n", $where: "complaint_type='HEAT/HOT WATER'" },
        york,
      );
      expect(heat).toEqual({ n: "858177" });
      expect(
        await rows(
          {
            $select: "borough,count(*) as n",
            $where: "complaint_type='elevator'",
            $group: "borough",
            $order: "n desc",
          },
          york,
        ),
      ).toHaveLength(5);
      const { status } = await york.get("counts", "/resource/76ig-c548.json?$limit=1");
      expect(status).toBe(200);
      expect(await recordedPeriod(real!, "nyc-311")).toMatchObject({
        toMs: Date.parse("2026-03-20T04:00:00Z"),
      });
    });
  },
);
