import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BinaryForecaster, type Calibration } from "@cityscale/forecast";
import { App, enqueueAsset, enqueueRecalibration } from "../packages/cityscale/src/app/index.ts";
import { createLog, createManualClock, readConfig } from "../packages/cityscale/src/core/index.ts";
import { formatLocal } from "../packages/cityscale/src/domain/index.ts";
import { LevelHistory, publicHolidays, readLevels } from "../packages/cityscale/src/features/index.ts";
import type { Job } from "../packages/cityscale/src/jobs/index.ts";
import { forecastStockOuts, levelTargetOf } from "../packages/cityscale/src/models/index.ts";
import { RiskOutcomes } from "../packages/cityscale/src/monitoring/index.ts";
import type { Batch } from "../packages/cityscale/src/serving/index.ts";
import { data, threads } from "./forecast/city.ts";

/**
 * Bay Wheels' recordings through the live loop on a virtual clock: every ten minutes the feeds are polled over real
 * sockets and all binary targets are forecast; outcomes are scored as they come in, and once a day the champions are
 * calibrated on them. Then the forecasts of each target are made again as a backtest makes them, from the lake's whole
 * history, and compared. At the end the program is opened anew, for its first batch. Every batch has a limit, also the
 * one with which new profiles come into force. Ends with 1 where a limit is missed.
 *
 *   npm run -s bench:live-week -- --from 2023-04-05T12:00:00Z --days 7
 */
const limits = { batchMs: 1000, firstBatchMs: 2000, growthMb: 150 };
const { values } = parseArgs({
  options: {
    // An instant.
    from: { type: "string", default: "2023-04-05T12:00:00Z" },
    days: { type: "string", default: "7" },
    // Folder that keeps lake and models: a second run with it does not read and train again.
    home: { type: "string" },
    // Trains nothing: targets without a champion get persistence.
    naive: { type: "boolean", default: false },
  },
});
const minute = 60_000;
/** Local time, as the platform's schedule has it. */
const recalibratesAt = "05:20";
const days = Number(values.days);
const home = values.home ?? (await mkdtemp(join(tmpdir(), "cityscale-week-")));
const start = Date.parse(values.from);
const clock = createManualClock(start);
const config = readConfig({
  env: {},
  overrides: { home, cities: ["bay-wheels"], threads, logLevel: "error" },
});
const open = () => App.open({ config, clock, log: createLog("error"), recordings: data });
let app = await open();
const seconds = (since: number) => (performance.now() - since) / 1000;
const line = (name: string, value: number | string, note = "") =>
  console.log(
    `${name.padEnd(44)} ${(typeof value === "number" ? String(Number(value.toPrecision(4))) : value).padStart(12)}  ${note}`,
  );
let missed = 0;
const limited = (name: string, value: number, limit: number, unit: string) => {
  if (!(value <= limit)) missed++;
  line(name, value, `${unit}, limit ${limit}: ${value <= limit ? "ok" : "MISSED"}`);
};

const broken = Promise.withResolvers<never>();
broken.promise.catch(() => undefined);

async function resultOf({ id, kind }: Job): Promise<unknown> {
  const done = await Promise.race([app.jobs.finished(id), broken.promise]);
  if (done.state !== "succeeded") throw new Error(`${kind}: ${done.error?.message}`);
  return done.result;
}

const make = async (asset: string, more: object = {}) =>
  resultOf(await enqueueAsset(app, asset, { city: "bay-wheels", actor: "bench", ...more }));

/** The origins of a champion's batches by the calibration that was in force when they were made. */
async function calibratedOrigins(
  target: string,
  version: number,
  model: BinaryForecaster,
  batches: readonly Batch[],
): Promise<(readonly [BinaryForecaster, number[]])[]> {
  const groups = new Map<number | undefined, readonly [BinaryForecaster, number[]]>();
  for (const { originAt, issuedAt } of batches) {
    const newer = await app.registry.calibrations.inForce("bay-wheels", target, version, issuedAt);
    const group = groups.get(newer?.at) ?? [newer ? model.with(newer.calibration as Calibration) : model, []];
    group[1].push(originAt);
    groups.set(newer?.at, group);
  }
  return [...groups.values()];
}

try {
  const { city, lake, server, parts } = app.city("bay-wheels");
  const targets = Object.values(city.targets);
  await app.start();
  // The clock stands: what waits for its next attempt would wait for ever.
  app.jobs.on("retrying", ({ kind, error }) => broken.reject(new Error(`${kind}: ${error?.message}`)));
  let began = performance.now();
  if (values.naive) {
    await make("observations");
    for (const target of targets) {
      const at = { city: city.id, target: target.name };
      if ((await app.registry.promotions.aliases(at.city, at.target)).champion !== null) continue;
      await app.registry.versions.registerNaive({ ...at, kind: "persistence" });
      await app.registry.promotions.promote({
        ...{ ...at, version: 0, alias: "champion", actor: "bench" },
        reason: "nothing is trained",
      });
    }
    await make("forecasts");
  } else await app.runFirstLoop({ train: false, patient: true });
  line("first loop: history, six trainings", seconds(began), "s");
  const champions = await Promise.all(
    targets.map(async ({ name }) => (await app.registry.promotions.aliases(city.id, name)).champion),
  );
  line("champions", champions.join(" "));

  const ticks = days * 144;
  const took: number[] = [];
  const memory: number[] = [];
  let heartbeats = 0;
  let recalibrations = 0;
  let late = 0;
  began = performance.now();
  for (let i = 0; i < ticks; i++) {
    clock.advance(10 * minute);
    const scheduledAt = clock.now();
    await make("observations");
    if (!values.naive && formatLocal(city.timeZone, scheduledAt).includes(recalibratesAt)) {
      await resultOf(await enqueueRecalibration(app, city.id));
      recalibrations++;
    }
    const asked = performance.now();
    const batches = (await make("forecasts", { scheduledAt })) as Batch[];
    took.push(performance.now() - asked);
    // They have six hours, and ten minutes to be read; the clock here goes a thousand times as fast.
    for (const { id, state } of await app.jobs.list({ kind: "profiles", limit: 1 }))
      if (state === "queued" || state === "running") await app.jobs.finished(id);
    await parts.risk!.idle();
    heartbeats += batches.length;
    late += batches.filter(({ notes }) => notes.some((note) => note.startsWith("late"))).length;
    if ((i + 1) % 36 === 0) {
      globalThis.gc?.();
      memory.push(process.memoryUsage().rss / 1_048_576);
      console.error(`${(i + 1) / 6} h: ${seconds(began).toFixed(0)} s, ${memory.at(-1)!.toFixed(0)} MB`);
    }
  }
  line("through the loop", seconds(began), `s for ${ticks} origins`);
  for (let i = 0; i < 18; i++) {
    clock.advance(10 * minute);
    await make("observations");
  }
  line("calibrated anew", recalibrations, "times");
  const slowest = [...took.keys()].sort((a, b) => took[b]! - took[a]!).slice(0, 5);
  const originOf = (i: number) => new Date(start + (i + 1) * 10 * minute).toISOString().slice(0, 16);
  line("slowest batches", slowest.map((i) => `${originOf(i)} ${took[i]!.toFixed(0)} ms`).join(", "));
  took.sort((a, b) => a - b);
  limited("heartbeats missing", ticks * targets.length - heartbeats, 0, "");
  limited("batches late", late, 0, "");
  line("batch, median", took[took.length >> 1]!, "ms");
  line("batch, 99th percentile", took[Math.floor(took.length * 0.99) - 1]!, "ms");
  limited("batch, slowest, new profiles on Monday or not", took.at(-1)!, limits.batchMs, "ms");
  limited("memory, end less the first six hours", memory.at(-1)! - memory[0]!, limits.growthMb, "MB");

  await lake.read(async (connection) => {
    const outcomes = await RiskOutcomes.read(connection, city, {
      ...{ from: start, until: clock.now(), now: clock.now() },
    });
    const history = new LevelHistory(
      await readLevels(connection),
      city.timeZone,
      await publicHolidays(connection),
    );
    const width = history.levels.stations.length;
    for (const [i, target] of targets.entries()) {
      const version = await app.registry.versions.get(city.id, target.name, champions[i]!);
      if (version.artifactId === null) continue;
      const model = BinaryForecaster.fromBytes(
        await app.registry.artifacts.get(version.artifactId, "model.bin"),
      );
      const batches = await server.batches(target.name, ticks);
      const backtest = new Map<string, number>();
      for (const [calibrated, at] of await calibratedOrigins(target.name, champions[i]!, model, batches)) {
        const level = levelTargetOf(target);
        const { probability } = await forecastStockOuts(history, level, calibrated, Float64Array.from(at));
        for (const [k, p] of probability.entries())
          backtest.set(`${at[Math.floor(k / width)]} ${history.levels.stations[k % width]!.e}`, p);
      }
      const rows = await connection.numbers(
        `SELECT origin_at, e, probability FROM risk_forecasts WHERE target = '${target.name}' AND origin_at >= ${batches.at(-1)!.originAt}`,
      );
      const live = new Map(
        Array.from(rows["e"]!, (e, k) => [`${rows["origin_at"]![k]} ${e}`, rows["probability"]![k]!]),
      );
      let different = 0;
      for (const [key, p] of backtest) if (!Object.is(live.get(key) ?? Number.NaN, p)) different++;
      limited(`${target.name}: rows unlike the backtest's`, different, 0, `of ${live.size}`);
      const none = async () => () => null;
      for (const judged of await outcomes.judge(target, batches.at(-1)!.originAt, clock.now(), none)) {
        const { forecast, persistence } = judged;
        line(
          `${target.name}: average precision on onsets`,
          forecast.onset.averagePrecision ?? Number.NaN,
          `persistence ${persistence.onset.averagePrecision?.toPrecision(3)}; Brier ${forecast.onset.brier?.toPrecision(4)} against ${persistence.onset.brier?.toPrecision(4)}; calibration error ${forecast.onset.calibrationError?.toPrecision(3)}; ${forecast.onset.rows} rows`,
        );
      }
    }
  });
  await app.stop();
  app = await open();
  await app.start();
  clock.advance(10 * minute);
  await make("observations");
  began = performance.now();
  await make("forecasts", { scheduledAt: clock.now() });
  limited("first batch after a start", 1000 * seconds(began), limits.firstBatchMs, "ms");
  line("memory at the end", process.resourceUsage().maxRSS / 1024, "MB at most");
} finally {
  await app.stop();
  if (values.home === undefined) await rm(home, { recursive: true, force: true });
}
process.exitCode = missed === 0 ? 0 : 1;
