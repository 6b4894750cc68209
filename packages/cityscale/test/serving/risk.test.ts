import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryForecaster, type Calibration } from "@cityscale/forecast";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { App, type CityRuntime, enqueueAsset, enqueueRecalibration } from "../../src/app/index.ts";
import { createManualClock, type ManualClock, readConfig, silentLog } from "../../src/core/index.ts";
import { localDay, startOfLocalDay } from "../../src/domain/index.ts";
import { LevelHistory, publicHolidays, readLevels } from "../../src/features/index.ts";
import { createHttp } from "../../src/http/index.ts";
import {
  type BinaryReport,
  forecastStockOuts,
  judgeModel,
  judgePersistence,
  levelTargetOf,
  newestCalibrations,
} from "../../src/models/index.ts";
import { RiskOutcomes, type RiskScore, riskScores, scoreRisks } from "../../src/monitoring/index.ts";
import type { TrainReport } from "../../src/pipeline/index.ts";
import { thresholdsFrom } from "../../src/pipeline/risk-outcomes.ts";
import type { Batch } from "../../src/serving/index.ts";
import { recordBikeShare } from "../cli/bike-share.ts";
import { temporaryFolder } from "../cli/support.ts";
import { recordedShare } from "./recorded-share.ts";

const folder = temporaryFolder();
const minute = 60_000;
const day = 86_400_000;
const stations = 15;
const ticks = 24;
/** A Friday, 05:00 in San Francisco: before the morning that empties stations. */
const start = Date.parse("2023-02-03T13:00:00Z");

type Schema = Parameters<typeof z.fromJSONSchema>[0];

// Little is learned from a fortnight of nine stations.
const small = { gates: { gain: { min: -10 } }, training: { testWindow: "8d" } };

const declaration = recordedShare(small);

let clock: ManualClock;
let app: App;
let runtime: CityRuntime;
const issued: Batch[][] = [];
const broken = Promise.withResolvers<never>();
broken.promise.catch(() => undefined);

async function make(asset: string, more: object = {}): Promise<unknown> {
  const job = await enqueueAsset(app, asset, { city: "bay-wheels", actor: "test", ...more });
  const done = await Promise.race([app.jobs.finished(job.id), broken.promise]);
  expect(done.error).toBeNull();
  return done.result;
}

/** What the schedules do at the next ten minutes. */
async function tick(lateMs = 0): Promise<void> {
  clock.advance(10 * minute);
  const scheduledAt = clock.now();
  await make("observations");
  clock.advance(lateMs);
  issued.push((await make("forecasts", { scheduledAt })) as Batch[]);
}

beforeAll(async () => {
  await recordBikeShare(folder.path, { stations, days: 26 });
  const city = join(folder.path, "bay-wheels.json");
  writeFileSync(city, JSON.stringify(declaration));
  clock = createManualClock(start);
  const config = readConfig({
    env: {},
    overrides: { home: join(folder.path, "home"), cities: [city], threads: 2, logLevel: "silent" },
  });
  app = await App.open({ config, clock, log: silentLog, recordings: folder.path });
  runtime = app.city("bay-wheels");
  // The clock stands: what waits for its next attempt would wait for ever.
  app.jobs.on("retrying", ({ kind, error }) => broken.reject(new Error(`${kind}: ${error?.message}`)));
  await app.start();
  const { failures } = await Promise.race([app.runFirstLoop({ train: true, patient: true }), broken.promise]);
  expect(failures.map(({ kind, error }) => `${kind} ${error?.message}`)).toEqual([]);
  for (let i = 0; i < ticks; i++) await tick(i === 20 ? 11 * minute : 0);
  clock.advance(2 * 60 * minute);
  await make("observations");
  await make("outcomes");
}, 300_000);
afterAll(async () => {
  await app?.stop();
  folder.remove();
});

async function modelOf(target: string, number: number) {
  const version = await app.registry.versions.get("bay-wheels", target, number);
  const bytes = await app.registry.artifacts.get(version.artifactId!, "model.bin");
  const model = BinaryForecaster.fromBytes(bytes);
  const newer = await app.registry.calibrations.inForce("bay-wheels", target, number);
  return { version, model, served: newer ? model.with(newer.calibration as Calibration) : model };
}

const scoresOf = (target: string): Promise<RiskScore[]> =>
  runtime.lake.read((connection) => riskScores(connection, target, 100));

describe("stock-outs in the loop", () => {
  test("a trained model is judged on onset rows and promoted by its gate; version 0 is persistence", async () => {
    for (const target of Object.keys(runtime.city.targets)) {
      const zero = await app.registry.versions.get("bay-wheels", target, 0);
      expect(zero.kind).toBe("persistence");
      const rates = zero.scores["rates"] as number[];
      // What is short stays short more often than what is not runs out.
      expect(rates[1]!).toBeGreaterThan(rates[8]!);
      const one = await app.registry.versions.get("bay-wheels", target, 1);
      expect(one.scores["gain"]).toBeTypeOf("number");
      expect(one.columns).toContain("fall_probability");
    }
  });

  test("what was promoted serves with probabilities calibrated on what came since it learned", async () => {
    for (const target of Object.keys(runtime.city.targets)) {
      const { champion, previous } = await app.registry.promotions.aliases("bay-wheels", target);
      expect([champion, previous]).toEqual([1, 0]);
      const { version, model, served } = await modelOf(target, 1);
      expect(served.map.kind).toBe("isotonic");
      expect(served.map).not.toEqual(model.map);
      expect(served.thresholds).not.toBeNull();
      expect(served.thresholds).not.toEqual(version.scores["alarms"]);
      expect(served.importance()).toEqual(model.importance());
    }
  });

  test("calibrations look at the days that the model has not learned from, and at no later ones", async () => {
    const target = runtime.city.targets["bikes-out-30"]!;
    const { version, model, served } = await modelOf(target.name, 1);
    const learnedUntil = (version.scores["test"] as { from: number }).from;
    await runtime.lake.read(async (connection) => {
      const calibrationsOf = (knownAt: number, since: number) =>
        newestCalibrations(connection, {
          ...{ city: runtime.city, knownAt },
          models: new Map([[target.name, { model, learnedUntil: since }]]),
        });
      expect(await calibrationsOf(start, learnedUntil)).toEqual({ [target.name]: served.calibration });
      // The days that it has learned from would make another one.
      expect(await calibrationsOf(start, learnedUntil - 4 * day)).not.toEqual({
        [target.name]: served.calibration,
      });
      // Two days tell too little.
      expect(await calibrationsOf(start, start - 2 * day)).toEqual({});
    });
  });

  test("every ten minutes leave a heartbeat for each target at one origin; a late one says so", async () => {
    expect(issued.length).toBe(ticks);
    for (const batches of issued) {
      expect(batches.map(({ target }) => target).sort()).toEqual(["bikes-out-30", "docks-out-60"]);
      expect(new Set(batches.map(({ originAt }) => originAt)).size).toBe(1);
      for (const { rows, notes } of batches) {
        const without = notes.map((note) => /^(\d+) stations have no probability/.exec(note)?.[1] ?? "0");
        expect(rows + without.reduce((sum, n) => sum + Number(n), 0)).toBe(stations);
      }
    }
    const late = issued.filter((batches) =>
      batches.some(({ notes }) => /^late: issued/.test(notes[0] ?? "")),
    );
    expect(late).toEqual([issued[20]]);
    const stored = await runtime.server.batches("docks-out-60", 100);
    expect(stored.length).toBe(ticks + 1);
  });

  test("live probabilities and scores are those of a backtest on the same rows", async () => {
    const today = localDay(runtime.city.timeZone, start);
    const [from, until] = [today, today + 1].map((d) => startOfLocalDay(runtime.city.timeZone, d));
    for (const target of Object.values(runtime.city.targets)) {
      const { served: model } = await modelOf(target.name, 1);
      const batches = (await runtime.server.batches(target.name, 100)).filter(
        ({ originAt, issuedAt }) =>
          originAt >= from! && originAt < until! && issuedAt - originAt <= 10 * minute,
      );
      const origins = Float64Array.from(batches, ({ originAt }) => originAt).sort();
      await runtime.lake.read(async (connection) => {
        const level = levelTargetOf(target);
        const history = new LevelHistory(
          await readLevels(connection),
          runtime.city.timeZone,
          await publicHolidays(connection),
        );
        const { probability, count } = await forecastStockOuts(history, level, model, origins);
        const { lowest } = history.outcomes(level, origins);
        const rows = await connection.rows<{
          origin_at: number;
          e: number;
          count: number;
          probability: number;
          naive: number;
          shortfall: number;
        }>(
          "SELECT origin_at, e, count, probability, naive, shortfall FROM risk_forecasts WHERE target = ? ORDER BY origin_at, e",
          [target.name],
        );
        const { scores } = await app.registry.versions.get("bay-wheels", target.name, 1);
        const rates = scores["persistence"] as number[];
        for (const row of rows) {
          expect(row.naive).toBe(Math.fround(rates[Math.min(row.count, rates.length - 1)]!));
          // At least one is missing whenever it is short, and at most all that count.
          expect(row.shortfall).toBeGreaterThanOrEqual(row.probability * (1 - 1e-6));
          expect(row.shortfall).toBeLessThanOrEqual(level.below);
        }
        expect(rows.some(({ shortfall, probability }) => shortfall > 1.01 * probability)).toBe(true);
        const live = new Map(rows.map((row) => [`${row.origin_at} ${row.e}`, row]));
        const keep: number[] = [];
        for (let i = 0; i < count.length; i++) {
          const at = origins[Math.floor(i / stations)]!;
          const row = live.get(`${at} ${history.levels.stations[i % stations]!.e}`);
          expect(row === undefined).toBe(count[i]! < 0);
          if (row) expect(row.probability).toBe(probability[i]);
          if (row && lowest[i]! >= 0) keep.push(i);
        }
        expect(keep.length).toBeGreaterThan(150);
        const known = {
          label: Uint8Array.from(keep, (i) => (lowest[i]! < level.below ? 1 : 0)),
          onset: Uint8Array.from(keep, (i) => (count[i]! >= level.below ? 1 : 0)),
          count: Float32Array.from(keep, (i) => count[i]!),
        };
        const naive = Float32Array.from(keep, (i) => {
          const at = origins[Math.floor(i / stations)]!;
          return live.get(`${at} ${history.levels.stations[i % stations]!.e}`)!.naive;
        });
        const p = Float32Array.from(keep, (i) => probability[i]!);
        const expected: Record<string, BinaryReport> = {
          forecast: judgeModel(known, p, { name: "trees", thresholdsOf: () => model.thresholds }),
          persistence: judgePersistence(known, naive, level.below),
        };
        const stored = (await scoresOf(target.name)).filter(({ period }) => period === "day");
        expect(stored.length).toBe(4);
        for (const { judged, on, scores } of stored) {
          const { precision: _, bias: __, ...rest } = expected[judged]![on];
          expect(scores).toEqual(rest);
          expect(scores.brier).not.toBeNull();
        }
      });
    }
  });

  test("a heartbeat says how old the newest snapshot was, and an origin's batches are stored once", async () => {
    const known = await runtime.lake.read((connection) =>
      connection.rows<{ origin_at: number; age: number; told: number }>(
        `SELECT origin_at, counts_age_ms AS told, origin_at - (SELECT max("at") FROM snapshots WHERE known_at <= origin_at) AS age
         FROM batches WHERE target = 'docks-out-60'`,
      ),
    );
    expect(known.length).toBe(ticks + 1);
    for (const { age, told } of known) expect(told).toBe(age);
    const stored = () =>
      runtime.lake.read((connection) =>
        connection.rows<{ n: number }>(
          "SELECT count(*) AS n FROM risk_forecasts UNION ALL SELECT count(*) FROM batches",
        ),
      );
    const before = await stored();
    const again = await runtime.parts.risk!.issue(issued[3]![0]!.originAt, { current: false });
    expect(again.map(({ batch }) => batch).sort()).toEqual(issued[3]!.map(({ batch }) => batch).sort());
    expect(await stored()).toEqual(before);
  });

  test("scores of 24 hours stand beside those of the day", async () => {
    const scores = await scoresOf("bikes-out-30");
    expect(new Set(scores.map(({ period }) => period))).toEqual(new Set(["24h", "day"]));
    const quality = await runtime.lake.read((connection) =>
      connection.rows<{ rows: number }>("SELECT \"rows\" FROM v_quality WHERE rows_judged = 'onset'"),
    );
    expect(quality.length).toBe(8);
  });

  test("scores are provisional until six hours after their day; 24 hours are those before now", async () => {
    const { timeZone } = runtime.city;
    const day = localDay(timeZone, start);
    const thresholds = async () => () => null;
    const rowsOf = (scores: readonly RiskScore[], period: string) =>
      scores.filter((score) => score.period === period && score.judged === "forecast" && score.on === "all");
    const settledAt = startOfLocalDay(timeZone, day + 1) + 6 * 60 * minute;
    const first = issued.flat().find(({ target }) => target === "bikes-out-30")!.originAt;
    for (const [now, provisional, newest] of [
      [first + 23 * 60 * minute, true, "all"],
      [settledAt - 1, true, "some"],
      [settledAt, false, "some"],
    ] as const) {
      await scoreRisks(runtime.lake, runtime.city, { days: [day], now, thresholds });
      const scores = await scoresOf("bikes-out-30");
      const [ofDay] = rowsOf(scores, "day");
      const [of24] = rowsOf(scores, "24h");
      expect(ofDay!.provisional).toBe(provisional);
      expect(ofDay!.scores.rows).toBeGreaterThan(150);
      if (newest === "all") expect(of24!.scores.rows).toBe(ofDay!.scores.rows);
      else expect(of24!.scores.rows).toBeLessThan(ofDay!.scores.rows!);
      expect(of24!.scores.rows).toBeGreaterThan(50);
    }
  });

  test("the API names the stations at risk with a move, and every station's trajectory", async () => {
    const http = await createHttp(app);
    try {
      const { key } = await app.keys.create({ name: "test", role: "viewer" });
      const ask = async (path: string) => {
        const answer = await http.inject({ url: path, headers: { authorization: `Bearer ${key}` } });
        return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
      };
      const document = (await ask("/openapi.json")).body as {
        paths: Record<
          string,
          { get: { responses: { 200: { content: { "application/json": { schema: Schema } } } } } }
        >;
      };
      for (const path of ["risk", "risk/stations", "risk/scores"]) {
        const { schema } =
          document.paths[`/v1/cities/{city}/${path}`]!.get.responses[200].content["application/json"];
        const { body } = await ask(`/v1/cities/bay-wheels/${path}`);
        expect(z.fromJSONSchema(schema).safeParse(body).error?.issues).toBeUndefined();
      }
      const { status, body } = await ask("/v1/cities/bay-wheels/risk?top=3");
      expect(status).toBe(200);
      const moves = body["moves"] as { urgency: number; count: number; trajectory: unknown[] }[];
      expect(moves.length).toBe(3);
      expect(moves.map(({ urgency }) => urgency)).toEqual(
        moves.map(({ urgency }) => urgency).sort((a, b) => b - a),
      );
      for (const { count } of moves) expect(count).toBeGreaterThanOrEqual(3);
      const one = await ask("/v1/cities/bay-wheels/risk/stations?station=s3");
      expect(one.body["stations"]).toMatchObject([
        { station: "s3", bikes: { trajectory: [{ minutes: 30 }] }, docks: { trajectory: [{ minutes: 60 }] } },
      ]);
      expect((await ask("/v1/cities/bay-wheels/risk/stations?station=nowhere")).status).toBe(404);
      expect((await ask("/v1/cities/bay-wheels/risk/scores?target=docks-out-60")).status).toBe(200);
    } finally {
      await http.close();
    }
  });

  test("views for others have the stations, both probabilities by horizon", async () => {
    await runtime.lake.read(async (connection) => {
      const places = await connection.rows<{ capacity: number }>("FROM v_station_information");
      expect(places.map(({ capacity }) => capacity)).toEqual(new Array(stations).fill(16));
      const first = await connection.rows<Record<string, number | null>>(
        "FROM v_predictions WHERE station_id = 's0' ORDER BY origin_at DESC, horizon_minutes LIMIT 2",
      );
      expect(first.map((row) => [row["horizon_minutes"], row["p_bikeout"] === null])).toEqual([
        [30, false],
        [60, true],
      ]);
    });
  });

  test("calibrated again, it serves with the new calibration from the next batch on", async () => {
    const target = "bikes-out-30";
    const before = await app.registry.calibrations.inForce("bay-wheels", target, 1);
    const { id } = await enqueueRecalibration(app, "bay-wheels");
    const { error, result } = await app.jobs.finished(id);
    expect(error).toBeNull();
    expect(result).toEqual({ targets: Object.keys(runtime.city.targets) });
    const after = await app.registry.calibrations.inForce("bay-wheels", target, 1);
    expect(after!.at).toBe(clock.now());
    expect(after!.calibration).not.toEqual(before!.calibration);
    expect(await app.registry.calibrations.inForce("bay-wheels", target, 1, clock.now() - 1)).toEqual(before);
    await tick();
    const { served } = await modelOf(target, 1);
    await runtime.lake.read(async (connection) => {
      const history = new LevelHistory(
        await readLevels(connection),
        runtime.city.timeZone,
        await publicHolidays(connection),
      );
      const level = levelTargetOf(runtime.city.targets[target]!);
      const origins = Float64Array.of(issued.at(-1)![0]!.originAt);
      const { probability } = await forecastStockOuts(history, level, served, origins);
      const rows = await connection.rows<{ e: number; probability: number }>(
        "SELECT e, probability FROM risk_forecasts WHERE target = ? AND origin_at = ? ORDER BY e",
        [target, origins[0]!],
      );
      expect(rows.map((row) => row.probability)).toEqual([...probability].filter((p) => !Number.isNaN(p)));
    });
  });

  test("live alarms are of the thresholds that held at each origin", async () => {
    const target = runtime.city.targets["bikes-out-30"]!;
    // Until now below every probability, from now on above most.
    for (const f1 of [0, 0.5]) {
      const inForce = await app.registry.calibrations.inForce("bay-wheels", target.name, 1);
      const { thresholds, ...calibration } = inForce!.calibration as Calibration;
      clock.advance(1);
      await app.registry.calibrations.add({
        ...{ city: "bay-wheels", target: target.name, version: 1, datasetVersion: inForce!.datasetVersion },
        calibration: { ...calibration, thresholds: { ...thresholds!, f1 } },
      });
      for (let i = 0; i < 3; i++) await tick();
    }
    clock.advance(2 * 60 * minute);
    await make("observations");
    await make("outcomes");
    const [turn, until] = [issued.at(-3)![0]!.originAt, clock.now()];
    const rows = await runtime.lake.read(async (connection) => {
      const found = await connection.rows<{ at: number; e: number; p: number }>(
        `SELECT origin_at AS at, e, probability AS p FROM risk_forecasts
         WHERE target = ? AND version = 1 AND origin_at >= ? ORDER BY origin_at, e`,
        [target.name, issued.at(-6)![0]!.originAt],
      );
      const outcomes = new LevelHistory(await readLevels(connection), runtime.city.timeZone, new Set());
      const at = Float64Array.from(new Set(found.map((row) => row.at)));
      const level = levelTargetOf(target);
      const { lowest } = outcomes.outcomes(level, at);
      const { stations: places } = outcomes.levels;
      return found.flatMap((row) => {
        const place = at.indexOf(row.at) * places.length + places.findIndex(({ e }) => e === row.e);
        return lowest[place]! < 0 ? [] : [{ ...row, came: lowest[place]! < level.below }];
      });
    });
    const alarm = (row: (typeof rows)[number]) => row.p >= (row.at < turn ? 0 : 0.5);
    expect(rows.filter((row) => row.at < turn).length).toBeGreaterThan(20);
    expect(rows.filter((row) => row.at >= turn && !alarm(row)).length).toBeGreaterThan(5);
    const [hits, alarms, events] = [
      rows.filter((row) => alarm(row) && row.came),
      rows.filter(alarm),
      rows.filter(({ came }) => came),
    ].map(({ length }) => length);
    expect(hits).toBeGreaterThan(0);
    const judged = await runtime.lake.read(async (connection) => {
      const period = { from: issued.at(-6)![0]!.originAt, until };
      const outcomes = await RiskOutcomes.read(connection, runtime.city, { ...period, now: until });
      return await outcomes.judge(target, period.from, period.until, thresholdsFrom(runtime.parts));
    });
    expect(judged.map(({ version, forecast }) => [version, forecast.all.rows])).toEqual([[1, rows.length]]);
    expect(judged[0]!.forecast.all.f1).toBeCloseTo((2 * hits!) / (alarms! + events!), 5);
  });

  test("a champion is judged with what it was trained with, not with what it was calibrated on since", async () => {
    const target = "bikes-out-30";
    const report = (await make("model", { target })) as TrainReport;
    const [names, losses] = (["name", "onset"] as const).map((key) =>
      report.scores.models.map((model) => (model as unknown as Record<string, unknown>)[key]),
    );
    expect(names).toEqual(["persistence", "trees", "champion (version 1)"]);
    // The same trees with the map that they came with, on nearly the same window.
    const { scores } = (await modelOf(target, 1)).version;
    const before = (scores["models"] as BinaryReport[])[1]!.onset.brier!;
    expect((losses![2] as BinaryReport["onset"]).brier! / before).toBeCloseTo(1, 1);
  });

  test("a model whose file is damaged keeps its calibration, and the others have a new one", async () => {
    const { champion } = await app.registry.promotions.aliases("bay-wheels", "docks-out-60");
    const { version } = await modelOf("docks-out-60", champion!);
    writeFileSync(join(folder.path, "home/artifacts", version.artifactId!, "model.bin"), "no model");
    clock.advance(minute);
    const { id } = await enqueueRecalibration(app, "bay-wheels");
    expect(await app.jobs.finished(id)).toMatchObject({
      error: null,
      result: { targets: ["bikes-out-30"] },
    });
  });
});
