import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Fault, nycBikeShare, startSimulator } from "@cityscale/simulator";
import { describe, expect, it } from "vitest";
import { createManualClock, messageOf, silentLog } from "../../../src/core/index.ts";
import { defineCity } from "../../../src/domain/index.ts";
import { Lake } from "../../../src/lake/index.ts";
import { createSource, gbfs, publicationLagMs } from "../../../src/sources/index.ts";
import { contextAt, impatientHttp, readAll, requestOf } from "../support.ts";

const minute = 60_000;
const hour = 60 * minute;

const city = defineCity({
  id: "nyc-bikeshare",
  name: "New York",
  timeZone: "America/New_York",
  location: { lat: 40.7, lon: -74 },
  step: "10m",
  entity: "station",
  sources: {
    stations: gbfs({
      url: "https://gbfs.example.org/gbfs/2.3/gbfs.json",
      archive: { url: "https://archive.example.org/archive/status_{month}.parquet", from: "2020-01" },
    }),
  },
  measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
  targets: { "bikes-out-30": { kind: "binary", measure: "bikes" } },
});

/** A generated bike share with a lake that it is read into, on one clock that the test moves. */
async function open(startIso: string, more: object = {}) {
  const start = Date.parse(startIso);
  const buffer = new SharedArrayBuffer(8);
  const cell = new Float64Array(buffer);
  cell[0] = start;
  const simulator = await startSimulator({
    clock: { kind: "shared", buffer },
    city: {
      ...nycBikeShare,
      stations: 40,
      days: 12,
      outagesPerYear: 40,
      absencesPerYear: 40,
      capacityChanges: 0.3,
      idChanges: 0.1,
      standstillsPerYear: 200,
      ...more,
    },
    seed: 3,
  });
  const clock = createManualClock(start);
  const lake = await Lake.open({
    city,
    path: ":memory:",
    clock,
    log: silentLog,
    memoryMb: 300,
    threads: 2,
    lagMs: new Map([["stations", publicationLagMs(city.sources["stations"]!)]]),
  });
  const context = {
    ...contextAt(start, { measureOf: ["bikes", "docks"], http: impatientHttp({ attempts: 3 }).http }),
    grid: city.grid,
    timeZone: city.timeZone,
    baseAddress: simulator.sources["stations"],
    clock,
  };
  const source = createSource("stations", city.sources["stations"]!, context);
  /** One read as the loop does it: what was yielded before an error is kept. */
  const poll = async (): Promise<string | null> => {
    const number = await lake.beginPoll("stations");
    const { cursor } = await lake.sourceState("stations");
    let error: string | null = null;
    try {
      for await (const page of source.read(
        requestOf({ cursor, from: start - 40 * 24 * hour, to: clock.now() }),
      ))
        await lake.append("stations", number, page);
    } catch (caught) {
      error = messageOf(caught);
    }
    await lake.endPoll("stations", error);
    return error;
  };
  const at = (ms: number) => {
    cell[0] = ms;
    clock.set(ms);
  };
  const rows = (sql: string) => lake.read((connection) => connection.rows<Record<string, number>>(sql));
  /** What the simulator's archive says, straight from its files. */
  const truth = async () => {
    const whole = createSource("stations", city.sources["stations"]!, context);
    const pages = await readAll(
      whole,
      requestOf({ mode: "range", from: start - 40 * 24 * hour, to: clock.now() }),
    );
    return pages.flatMap(({ parts }) =>
      parts.flatMap((part) =>
        part.stream === "levels"
          ? part.entity.map((id, i) => `${part.at[i]} ${id} ${part.bikes[i]} ${part.docks[i]}`)
          : [],
      ),
    );
  };
  const stored = async (where: string) =>
    (
      await rows(
        `SELECT s."at", n.entity, s.bikes, s.docks FROM snapshots s JOIN entities n USING (e) WHERE ${where} ORDER BY s."at", n.entity`,
      )
    ).map((row) => `${row["at"]} ${row["entity"]} ${row["bikes"]} ${row["docks"]}`);
  return {
    simulator,
    lake,
    poll,
    at,
    rows,
    truth,
    stored,
    start,
    clock,
    close: async () => {
      await lake.close();
      await simulator.close();
    },
  };
}

describe("a bike share polled over days", () => {
  it("has every snapshot once, with faults, standstills, stations that come and go, and a clock change", async () => {
    // Clocks go forward on 2024-03-10 in the middle of it.
    const share = await open("2024-03-09T18:00:00Z");
    expect(await share.poll()).toBeNull();
    const history = await share.rows('SELECT count(*) AS n, max(known_at - "at") AS late FROM snapshots');
    expect(history[0]!["n"]).toBeGreaterThan(12 * 130 * 35);
    const kinds: Fault[] = [
      { kind: "html", path: "station_status" },
      { kind: "status", status: 429, retryAfterSeconds: 1 },
      { kind: "envelope", path: "station_status" },
      { kind: "cut" },
      { kind: "truncated", path: "station_" },
      { kind: "unreachable" },
      { kind: "status", status: 503 },
    ];
    await share.simulator.faults(kinds.map((fault) => ({ ...fault, probability: 0.06 })));
    let failed = 0;
    for (let at = share.start; at <= share.start + 20 * hour; at += 5 * minute) {
      share.at(at);
      if ((await share.poll()) !== null) failed++;
    }
    await share.simulator.faults([]);
    // The next midnight's archive has what failures and standstills kept back.
    share.at(Date.parse("2024-03-12T00:10:00Z"));
    expect(await share.poll()).toBeNull();
    const truth = await share.truth();
    expect(await share.stored(`s."at" < ${Date.parse("2024-03-12T00:00:00Z")}`)).toEqual(
      [...truth].sort(byTimeAndName),
    );
    expect(failed).toBeGreaterThan(0);
    const [twice] = await share.rows(
      'SELECT count(*) AS n FROM (SELECT e FROM snapshots GROUP BY e, "at" HAVING count(*) > 1)',
    );
    expect(twice!["n"]).toBe(0);
    expect(await share.rows("FROM quarantine")).toEqual([]);
    // What was polled was known when it came, what the archive filled in when that came.
    const [live] = await share.rows(
      `SELECT count(*) FILTER (known_at < "at") AS before, count(*) FILTER (known_at > "at" AND known_at <= "at" + 600000) AS polled,
         count(*) FILTER (known_at = ${share.clock.now()}) AS filled FROM snapshots WHERE "at" > ${share.start}`,
    );
    expect(live!["before"]).toBe(0);
    expect(live!["polled"]).toBeGreaterThan(80 * 25);
    expect(live!["filled"]).toBeGreaterThan(0);
    await share.close();
  }, 120_000);

  it("notes changes of capacity with the instant at which they were seen, and new ids as new stations", async () => {
    const share = await open("2024-03-20T12:00:00Z", {
      startMs: Date.parse("2024-03-18T00:00:00Z"),
      capacityChanges: 1,
      idChanges: 0.5,
    });
    await share.poll();
    const [before] = await share.rows("SELECT count(*) AS n FROM entities");
    share.at(Date.parse("2024-03-29T12:00:00Z"));
    await share.poll();
    const [after] = await share.rows("SELECT count(*) AS n FROM entities");
    expect(after!["n"]).toBeGreaterThan(before!["n"]!);
    const changes = await share.rows("SELECT field, changed_at, old_value, new_value FROM entity_changes");
    expect(changes.length).toBeGreaterThan(10);
    for (const change of changes) {
      expect([change["field"], change["changed_at"]]).toEqual(["attributes", share.clock.now()]);
      const [old, next] = [change["old_value"], change["new_value"]].map(
        (text) => JSON.parse(String(text)).capacity,
      );
      expect(old).not.toBe(next);
    }
    await share.close();
  }, 60_000);

  it("puts malformed stations aside and keeps the others", async () => {
    const share = await open("2024-03-20T12:00:00Z", { days: 1, absencesPerYear: 0 });
    await share.poll();
    const kinds = [
      "wrongType",
      "negative",
      "huge",
      "nullEntity",
      "missingField",
      "nanText",
      "duplicatedRow",
      "extraColumn",
      "renamedColumn",
      "wrongDate",
    ] as const;
    for (const [i, malformation] of kinds.entries()) {
      share.at(share.start + (i + 1) * 6 * hour);
      await share.simulator.faults([{ kind: "malformed", malformation, every: 4, path: "station_status" }]);
      expect(await share.poll()).toBeNull();
    }
    const reasons = await share.rows(
      "SELECT reason, count(*) AS n FROM quarantine WHERE stream = 'levels' GROUP BY reason ORDER BY reason",
    );
    expect(reasons.map(({ reason }) => reason)).toEqual([
      "above-maximum",
      "bad-date",
      "bad-number",
      "below-minimum",
      // A count that was missing then is in the archive: those who looked then did not have it.
      "duplicate-conflict",
      "missing-field",
    ]);
    for (const { n } of reasons) expect(n).toBeGreaterThanOrEqual(10);
    const [bad] = await share.rows("SELECT count(*) AS n FROM snapshots WHERE bikes < 0 OR bikes > 100");
    expect(bad!["n"]).toBe(0);
    await share.close();
  }, 60_000);
});

const byTimeAndName = (a: string, b: string) => {
  const [x, y] = [a.split(" "), b.split(" ")];
  return Number(x[0]) - Number(y[0]) || (x[1]! < y[1]! ? -1 : 1);
};

describe("an archive", () => {
  it("is read on from every cursor, and each month that is not whole again", async () => {
    const share = await open("2024-03-03T12:00:00Z", { days: 8 });
    const source = createSource("stations", city.sources["stations"]!, {
      ...contextAt(share.start, { measureOf: ["bikes"] }),
      baseAddress: share.simulator.sources["stations"],
    });
    const whole = await readAll(source, requestOf({ from: share.start - 40 * 24 * hour, to: share.start }));
    const ids = (pages: typeof whole) =>
      pages.flatMap(({ parts }) =>
        parts.flatMap((part) =>
          part.stream === "levels" && part.archived ? part.entity.map((id, i) => `${part.at[i]} ${id}`) : [],
        ),
      );
    const all = new Set(ids(whole));
    expect(all.size).toBeGreaterThan(7 * 130 * 30);
    for (let cut = 1; cut < whole.length; cut++) {
      const { cursor } = whole[cut - 1]!;
      // An archive that was asked a moment ago waits its time; then it goes on.
      const later = createSource("stations", city.sources["stations"]!, {
        ...contextAt(share.start + 7 * hour, { measureOf: ["bikes"] }),
        baseAddress: share.simulator.sources["stations"],
      });
      const rest = await readAll(
        later,
        requestOf({ cursor, from: share.start - 40 * 24 * hour, to: share.start + 7 * hour }),
      );
      expect(new Set([...ids(whole.slice(0, cut)), ...ids(rest)])).toEqual(all);
    }
    // Nothing new: the months are asked for, and none is sent.
    const before = (await share.simulator.requests()).total;
    const again = createSource("stations", city.sources["stations"]!, {
      ...contextAt(share.start + 7 * hour, { measureOf: ["bikes"] }),
      baseAddress: share.simulator.sources["stations"],
    });
    const end = await readAll(
      again,
      requestOf({
        cursor: whole.at(-1)!.cursor,
        from: share.start - 40 * 24 * hour,
        to: share.start + 7 * hour,
      }),
    );
    expect(ids(end)).toEqual([]);
    const { latest, total } = await share.simulator.requests();
    const asked = latest.slice(-(total - before)).filter(({ url }) => url.startsWith("/archive/"));
    expect(asked.map(({ status }) => status).sort()).toEqual(expect.arrayContaining([304]));
    await share.close();
  }, 60_000);

  it("that is no Parquet, or has not the columns, says so; one that fails does not hold up the present", async () => {
    const share = await open("2024-03-03T12:00:00Z", { days: 2 });
    await share.simulator.faults([{ kind: "html", path: "archive" }]);
    expect(await share.poll()).toMatch(
      /\/archive\/status_2024-01\.parquet: expected a Parquet file of snapshots: .*magic bytes/,
    );
    expect(await share.poll()).toBeNull();
    const [live] = await share.rows('SELECT count(*) AS n, count(DISTINCT "at") AS times FROM snapshots');
    expect([live!["n"]! > 20, live!["times"]]).toEqual([true, 1]);
    await share.close();
  }, 60_000);
});

describe("a publisher that is not there", () => {
  it("leaves an error that names it", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((listening) => server.once("listening", listening));
    const { port } = server.address() as AddressInfo;
    await new Promise((closed) => server.close(closed));
    const source = createSource(
      "stations",
      gbfs({ url: `http://127.0.0.1:${port}/gbfs.json` }),
      contextAt(0, { measureOf: ["bikes"] }),
    );
    await expect(readAll(source, requestOf({ to: 0 }))).rejects.toMatchObject({
      code: "SOURCE_UNREACHABLE",
      message: expect.stringContaining(String(port)),
    });
  });
});
