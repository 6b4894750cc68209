import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type App, enqueueAsset, enqueueRetention, retentionPlan } from "../../src/app/index.ts";
import { type CityDeclaration, defineCity, type RetentionKind } from "../../src/domain/index.ts";
import { LevelHistory, profileMemoryMs, publicHolidays, readLevels } from "../../src/features/index.ts";
import { exportVersion, removeAged, retainedFrom } from "../../src/lake/index.ts";
import { levelTargetOf } from "../../src/models/index.ts";
import { retain } from "../../src/pipeline/index.ts";
import { inProcess } from "../cli/support.ts";
import { counts, pageOf } from "../lake/support.ts";
import {
  addForecasts,
  addRisks,
  addSnapshots,
  bikes,
  counters,
  dayMs,
  daysAgo,
  type Kept,
  now,
  openKept,
} from "./kept-cities.ts";

async function finished(app: App, job: { readonly id: string }) {
  const done = await app.jobs.finished(job.id);
  expect(done.error).toBeNull();
  return done;
}

/** The job, from the queue to its end. */
async function apply({ app }: Kept, city: string) {
  const { result } = await finished(app, await enqueueRetention(app, city, "alice"));
  return result as Awaited<ReturnType<typeof retentionPlan>>;
}

const ofKind = (report: Awaited<ReturnType<typeof retentionPlan>>, kind: RetentionKind) =>
  report.kinds.find((item) => item.kind === kind)!;

async function rowsOf({ app }: Kept, city: string, table: string): Promise<number> {
  const { lake } = app.city(city);
  const row = await lake.read((connection) =>
    connection.first<{ n: number }>(`SELECT count(*) AS n FROM ${table}`),
  );
  return row!.n;
}

const oldest = async ({ app }: Kept, city: string, table: string, column: string) =>
  (await app
    .city(city)
    .lake.read((connection) =>
      connection.first<{ value: number }>(`SELECT min(${column}) AS value FROM ${table}`),
    ))!.value;

describe("what a city may say of retention", () => {
  const problem = (city: CityDeclaration, retention: CityDeclaration["retention"]) => {
    try {
      defineCity({ ...city, retention });
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  };

  test("nothing that training, monitoring or an outcome needs may be declared away", () => {
    expect(defineCity(bikes).retention).toEqual({
      ...{ raw: "90d", quarantine: "365d", snapshots: "400d", forecasts: "400d", risks: "30d" },
      ...{ batches: "400d", datasets: "30d" },
    });
    expect(problem(bikes, { snapshots: null, risks: null, batches: null })).toBeNull();
    expect(problem(bikes, { snapshots: "205d" })).toContain("retention.snapshots: 205d is too short");
    expect(problem(bikes, { snapshots: "206d" })).toBeNull();
    expect(problem(counters, { snapshots: "10d" })).toBeNull();
    expect(problem(counters, { forecasts: "200d" })).toContain("retention.forecasts");
    expect(problem(bikes, { risks: "12h" })).toContain("retention.risks: 12h is too short");
    expect(problem(bikes, { risks: "40d", batches: "35d" })).toContain(
      "retention.batches: 35d is shorter than retention.risks",
    );
    // Of what is declared least, all that features of the oldest training row look at is still there.
    expect(206 * dayMs).toBeGreaterThanOrEqual(profileMemoryMs + (60 + 28) * dayMs);
  });
});

describe("retention of forecasts", () => {
  test("goes by whole settled days, keeps scores, heartbeats and the newest, and says so beforehand", async () => {
    await using kept = await openKept();
    await addRisks(kept, 60);
    const plan = await retentionPlan(kept.app, "bikes");
    expect(ofKind(plan, "risks")).toEqual({
      ...{ kind: "risks", target: null, keep: "30d", before: daysAgo(30), holds: null },
      // 60 days ago to 31 days ago, two targets, two stations.
      rows: 30 * 4,
    });
    expect(await rowsOf(kept, "bikes", "risk_forecasts")).toBe(240);
    const report = await apply(kept, "bikes");
    expect(report.kinds).toEqual(plan.kinds);
    expect(await rowsOf(kept, "bikes", "risk_forecasts")).toBe(120);
    expect(await oldest(kept, "bikes", "risk_forecasts", "origin_at")).toBeGreaterThan(daysAgo(30));
    expect(await rowsOf(kept, "bikes", "risk_scores")).toBe(120);
    expect(await rowsOf(kept, "bikes", "batches")).toBe(120);
    const again = await apply(kept, "bikes");
    expect(again.kinds.map(({ rows }) => rows)).toEqual(again.kinds.map(() => 0));
    const entries = (await kept.app.audit.list()).filter(({ action }) => action === "retention.apply");
    expect(entries).toMatchObject([
      { actor: "alice", subject: "bikes", details: { removes: [{ kind: "risks", rows: 120 }] } },
    ]);
    expect(await kept.app.metrics.text()).toContain(
      'cityscale_retention_removed_total{city="bikes",kind="risks"} 120',
    );
  });

  test("a day that is not settled keeps itself and all after it", async () => {
    await using kept = await openKept();
    await addRisks(kept, 60);
    await kept.app.partitions.touch("bikes", "outcomes", daysAgo(50), daysAgo(50) + 1);
    const report = await apply(kept, "bikes");
    expect(ofKind(report, "risks")).toMatchObject({
      before: daysAgo(50),
      rows: 10 * 4,
      holds: "2026-05-13 is not scored and settled yet",
    });
    expect(await oldest(kept, "bikes", "risk_forecasts", "origin_at")).toBeGreaterThan(daysAgo(50));
  });

  test("scores of days whose forecasts are gone stay when their outcomes are asked for again", async () => {
    await using kept = await openKept();
    await addSnapshots(kept.app.city("bikes").lake, 60);
    await addRisks(kept, 60);
    await apply(kept, "bikes");
    const scores = await rowsOf(kept, "bikes", "risk_scores WHERE period = 'day'");
    const range = { from: daysAgo(45), to: daysAgo(40) };
    await finished(
      kept.app,
      await enqueueAsset(kept.app, "outcomes", { city: "bikes", actor: "test", ...range }),
    );
    expect(await rowsOf(kept, "bikes", "risk_scores WHERE period = 'day'")).toBe(scores);
  });

  test("a city that has been dark for a year keeps its last day", async () => {
    await using kept = await openKept();
    await addRisks(kept, 5);
    kept.clock.advance(500 * dayMs);
    await kept.app.partitions.mark("bikes", "outcomes[bikes-out-30]", daysAgo(1), daysAgo(0), "fresh");
    await apply(kept, "bikes");
    expect(await rowsOf(kept, "bikes", "risk_forecasts")).toBe(4);
    expect(await rowsOf(kept, "bikes", "batches")).toBe(2);
  });

  test("a clock that is years ahead takes nothing that is young", async () => {
    await using kept = await openKept();
    const { lake, parts } = kept.app.city("bikes");
    await addSnapshots(lake, 430);
    await addRisks(kept, 60);
    const version = await exportVersion(lake, parts.datasets, now);
    kept.clock.advance(3650 * dayMs);
    const report = await apply(kept, "bikes");
    for (const kind of ["raw", "quarantine", "snapshots", "batches", "datasets"] as const)
      expect(ofKind(report, kind).holds).toMatch(
        /^the newest data are of 2026-.*: ages are counted to a week after that$/,
      );
    expect(await oldest(kept, "bikes", "snapshots", '"at"')).toBeLessThan(daysAgo(392));
    expect(await rowsOf(kept, "bikes", "risk_forecasts")).toBe(4 * 23);
    expect(readdirSync(parts.datasets)).toContain(version.id);
  });

  test("of quantities goes by the day they are of; live scores made from them stay", async () => {
    await using kept = await openKept();
    await addForecasts(kept, 420);
    const outcomes = async (range: object = {}) =>
      finished(
        kept.app,
        await enqueueAsset(kept.app, "outcomes", { city: "counters", actor: "test", ...range }),
      );
    await outcomes();
    const scored = await rowsOf(kept, "counters", "live_scores");
    expect(scored).toBe(420);
    const report = await apply(kept, "counters");
    // The day of 420 days ago was forecast once for each counter, the next twice, the others three times.
    expect(ofKind(report, "forecasts")).toMatchObject({
      ...{ target: "walkers", before: daysAgo(400), rows: 2 * (1 + 2 + 18 * 3), holds: null },
    });
    // A heartbeat stays as long as a forecast of its own does.
    expect(ofKind(report, "batches").rows).toBe(18);
    expect(await rowsOf(kept, "counters", "batches WHERE batch NOT IN (SELECT batch FROM forecasts)")).toBe(
      0,
    );
    await outcomes({ from: daysAgo(415), to: daysAgo(405) });
    expect(await rowsOf(kept, "counters", "live_scores")).toBe(scored);
  });
});

describe("retention of snapshots", () => {
  test("what was known at an origin stays right as long as it can be told, and is refused then", async () => {
    await using kept = await openKept();
    const { lake, city, parts } = kept.app.city("bikes");
    await addSnapshots(lake, 500);
    const origin = now - 400 * dayMs + profileMemoryMs + dayMs;
    const target = levelTargetOf(city.targets["bikes-out-30"]!);
    const features = () =>
      lake.read(async (connection) => {
        const range = { from: origin - profileMemoryMs, knownBy: origin };
        const levels = await readLevels(connection, range);
        const history = new LevelHistory(levels, city.timeZone, await publicHolidays(connection));
        return history.features(target, Float64Array.of(origin));
      });
    const before = await features();
    expect(before.rows).toBe(2);
    await apply(kept, "bikes");
    expect(await features()).toEqual(before);
    expect(await oldest(kept, "bikes", "snapshots", '"at"')).toBeGreaterThanOrEqual(now - 400 * dayMs);
    expect(await rowsOf(kept, "bikes", "snapshots")).toBe(2 * 4 * 400);
    expect((await parts.risk!.issue(origin, { current: false })).length).toBe(2);
    await expect(parts.risk!.issue(origin - 2 * dayMs, { current: false })).rejects.toThrow(
      /^snapshots before 2025-05-28.* are not kept/,
    );
  });

  test("an outcome that is not settled keeps the snapshots that it is told from", async () => {
    await using kept = await openKept();
    await addSnapshots(kept.app.city("bikes").lake, 500);
    await addRisks(kept, 450);
    await kept.app.partitions.touch("bikes", "outcomes", daysAgo(440), daysAgo(440) + 1);
    const { before, holds } = ofKind(await apply(kept, "bikes"), "snapshots");
    expect([before, holds]).toEqual([daysAgo(440) - dayMs, "2025-04-18 is not scored and settled yet"]);
  });
});

describe("retention of raw rows", () => {
  test("clean values, corrections and repeats are what they would be with all rows; those not merged stay", async () => {
    await using kept = await openKept(undefined, now - 200 * dayMs);
    const { lake } = kept.app.city("counters");
    const day = daysAgo(230);
    const read = async (value: number, merge = true) => {
      const poll = await lake.beginPoll("counts");
      const rows = [
        ["a", day, value],
        ["a", day, -5],
      ] as const;
      await lake.append("counts", poll, pageOf([counts([...rows].reverse())]));
      await lake.endPoll("counts", null);
      return merge ? await lake.merge() : null;
    };
    await read(10);
    const seen = () =>
      lake.read((connection) =>
        connection.rows(
          "SELECT value, known_from AS since FROM revisions UNION ALL SELECT value, known_at FROM observations ORDER BY since",
        ),
      );
    kept.clock.set(now - 100 * dayMs);
    await read(20);
    const was = await seen();
    expect(was).toMatchObject([{ value: 10 }, { value: 20 }]);
    await read(30, false);
    kept.clock.set(now);
    // The city's data go on.
    await lake.write((connection) =>
      connection.run('INSERT INTO snapshots ("at", known_at, e) VALUES (?, ?, 1)', [
        BigInt(daysAgo(1)),
        BigInt(daysAgo(1)),
      ]),
    );
    const raw = await rowsOf(kept, "counters", "raw_observations");
    const report = await apply(kept, "counters");
    expect(ofKind(report, "raw").rows).toBe(raw - 2);
    expect(await rowsOf(kept, "counters", "raw_observations")).toBe(2);
    expect(await seen()).toEqual(was);
    await lake.merge();
    // The same once more says nothing new, though the raw row of it is gone.
    expect(await read(30)).toMatchObject({ inserted: 0, corrected: 0 });
    expect(await seen()).toMatchObject([...was, { value: 30 }]);
    expect(await rowsOf(kept, "counters", "quarantine")).toBe(1);
  });
});

describe("retention of dataset versions", () => {
  test("keeps those of champion, previous, challenger and running training, and new ones", async () => {
    await using kept = await openKept(undefined, now - 60 * dayMs);
    const { lake, parts } = kept.app.city("counters");
    mkdirSync(parts.datasets, { recursive: true });
    const { registry } = kept.app;
    const of = { city: "counters", target: "walkers" };
    const ids: Record<string, string> = {};
    const cut = async (name: string) => {
      await lake.write((connection) =>
        connection.run(`INSERT INTO entities (e, entity) SELECT count(*), '${name}' FROM entities`),
      );
      ids[name] = (await exportVersion(lake, parts.datasets, kept.clock.now())).id;
    };
    const train = async (name: string, artifactId: string) => {
      await cut(name);
      const run = await registry.runs.create({
        ...{ ...of, kind: "train", params: {}, codeVersion: "1", actor: "test", datasetVersion: ids[name]! },
      });
      const version = await registry.versions.register({
        ...{ ...of, kind: "trees", viewId: "v", columns: [], types: [], categories: {} },
        ...{ datasetVersion: ids[name]!, runId: run.id, artifactId, scores: {} },
      });
      await registry.runs.finish(run.id, { scores: {} });
      return version.version;
    };
    const promote = (version: number, alias: "champion" | "challenger") =>
      registry.promotions.promote({ ...of, version, alias, actor: "test", reason: "x" });
    await promote(await train("long ago", "1"), "champion");
    await promote(await train("previous", "2"), "champion");
    await promote(await train("champion", "3"), "champion");
    await promote(await train("challenger", "4"), "challenger");
    await train("rejected", "5");
    await cut("never trained on");
    await cut("running");
    await registry.runs.create({
      ...{
        ...of,
        kind: "train",
        params: {},
        codeVersion: "1",
        actor: "test",
        datasetVersion: ids["running"]!,
      },
    });
    kept.clock.advance(45 * dayMs);
    await train("new", "6");
    kept.clock.set(now);
    const there = () => {
      const names = readdirSync(parts.datasets);
      return Object.keys(ids).filter((name) => names.includes(ids[name]!));
    };
    const stays = ["previous", "champion", "challenger", "running", "new"];
    // While a backup is copied nothing of it goes.
    const staging = join(kept.home, "backups", ".nightly.12ab");
    mkdirSync(staging, { recursive: true });
    expect(ofKind(await apply(kept, "counters"), "datasets")).toMatchObject({
      ...{ rows: 0, holds: "a backup is being made" },
    });
    expect(there().length).toBe(8);
    rmSync(staging, { recursive: true });
    expect(ofKind(await apply(kept, "counters"), "datasets")).toMatchObject({ rows: 3, holds: null });
    expect(there()).toEqual(stays);
    expect(readdirSync(parts.datasets).length).toBe(stays.length);
  });

  test("what a killed run had begun to remove goes at the next start, and so does a killed backup", async () => {
    const root = await mkdtemp(join(tmpdir(), "cityscale-kept-"));
    try {
      const home = join(root, "home");
      for (const folder of ["datasets/counters/.removing-ab12", "backups/.nightly.34ff", "profiles/bikes"])
        mkdirSync(join(home, folder), { recursive: true });
      writeFileSync(join(home, "datasets/counters/.removing-ab12/steps.parquet"), "half");
      writeFileSync(join(home, "profiles/bikes/.168.bin.77.tmp"), "half");
      writeFileSync(join(home, "profiles/bikes.bin"), "of an earlier version");
      writeFileSync(join(home, "profiles/bikes/168.bin"), "kept");
      await using _ = await openKept(root);
      expect(existsSync(join(home, "datasets/counters/.removing-ab12"))).toBe(false);
      expect(readdirSync(join(home, "backups"))).toEqual([]);
      expect(readdirSync(join(home, "profiles"))).toEqual(["bikes"]);
      expect(readdirSync(join(home, "profiles/bikes"))).toEqual(["168.bin"]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

describe("the job", () => {
  test("stopped anywhere leaves whole slices and a true note, and the next run comes to the same end", async () => {
    const left: unknown[] = [];
    for (const stopAfter of [Number.POSITIVE_INFINITY, 0, 7]) {
      await using kept = await openKept();
      const { lake } = kept.app.city("bikes");
      await addSnapshots(lake, 430);
      await addRisks(kept, 60);
      const stop = new AbortController();
      let slices = 0;
      const rows = { table: "snapshots", column: '"at"', where: "true", slice: dayMs };
      const before = now - 400 * dayMs;
      const run = removeAged(lake, rows, before, {
        ...{ kind: "snapshots", target: "", instantOf: (value: number) => value, signal: stop.signal },
        onSlice: () => {
          if (++slices > stopAfter) stop.abort(new Error("killed"));
        },
      });
      if (stopAfter === Number.POSITIVE_INFINITY) await run;
      else {
        await expect(run).rejects.toThrow("killed");
        const from = await lake.read((connection) => retainedFrom(connection, "snapshots"));
        const first = await oldest(kept, "bikes", "snapshots", '"at"');
        expect(first).toBeGreaterThanOrEqual(from!);
        expect(first).toBeLessThan(before);
        expect(await rowsOf(kept, "bikes", `snapshots WHERE "at" >= ${from}`)).toBe(
          2 * Math.ceil((now - first) / 21_600_000),
        );
      }
      await apply(kept, "bikes");
      left.push(
        await lake.read((connection) =>
          connection.rows(
            `SELECT 'snapshots' AS kind, count(*) AS n, min("at") AS since FROM snapshots
             UNION ALL SELECT 'risks', count(*), min(origin_at) FROM risk_forecasts
             UNION ALL SELECT 'noted ' || kind, "rows", from_at FROM retained ORDER BY kind`,
          ),
        ),
      );
    }
    for (const other of left) expect(other).toEqual(left[0]);
  });

  test("runs in the night by the city's clock, removes finished jobs, and is stopped when asked", async () => {
    await using kept = await openKept();
    await addRisks(kept, 60);
    const { app, clock } = kept;
    clock.set(now - 31 * dayMs);
    await finished(app, await enqueueAsset(app, "outcomes", { city: "bikes", actor: "test" }));
    clock.set(now);
    await app.scheduleAll();
    await app.schedules.stop();
    clock.set(Date.parse("2026-07-03T05:39:00Z"));
    await app.schedules.fireDue();
    expect((await app.jobs.list({ kind: "retention" })).length).toBe(0);
    clock.set(Date.parse("2026-07-03T05:41:00Z"));
    await app.schedules.fireDue();
    const jobs = await app.jobs.list({ kind: "retention" });
    expect(jobs.map(({ schedule }) => schedule).sort()).toEqual(["bikes/retention", "counters/retention"]);
    for (const job of jobs) await finished(app, job);
    expect(
      (await app.jobs.list({ kind: "outcomes" })).filter(({ finishedAt }) => finishedAt! < now - dayMs),
    ).toEqual([]);
    expect(await rowsOf(kept, "bikes", "risk_forecasts")).toBe(29 * 4);
    const { parts } = app.city("bikes");
    const progress = { signal: AbortSignal.abort(new Error("stopped")), heartbeat: () => undefined };
    await addSnapshots(parts.lake, 430);
    await expect(retain(parts, progress, "test", null)).rejects.toThrow("stopped");
    expect(await rowsOf(kept, "bikes", "snapshots")).toBe(2 * 4 * 430 + 2 * 2);
  });
});

describe("cityscale retention", () => {
  test("tells what would go, and removes it with --apply", async () => {
    const root = await mkdtemp(join(tmpdir(), "cityscale-kept-"));
    try {
      {
        await using kept = await openKept(root);
        await addRisks(kept, 60);
      }
      const at = [
        "--home",
        join(root, "home"),
        "--city",
        join(root, "bikes.json"),
        "--clock",
        new Date(now).toISOString(),
      ];
      const plan = await inProcess("retention", ...at);
      expect([plan.code, plan.err]).toEqual([0, ""]);
      expect(plan.out).toMatch(/^risks +30d +2026-06-02T04:00 +120$/m);
      expect(plan.out).toContain("Nothing was removed: --apply does.");
      const json = JSON.parse((await inProcess("retention", ...at, "--json")).out) as { kinds: object[] };
      expect(json.kinds).toContainEqual({
        ...{
          kind: "risks",
          target: null,
          keep: "30d",
          before: "2026-06-02T04:00:00.000Z",
          rows: 120,
          holds: null,
        },
      });
      const applied = await inProcess("retention", ...at, "--apply", "--json");
      expect(applied.code).toBe(0);
      const went = JSON.parse(applied.out) as typeof json;
      expect(went.kinds).toContainEqual(json.kinds.find((item) => "rows" in item && item.rows === 120));
      expect((await inProcess("retention", ...at)).out).toMatch(/^risks +30d +2026-06-02T04:00 +0$/m);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
