import { writeSync } from "node:fs";
import files from "node:fs/promises";
import { flushCompileCache, syncBuiltinESMExports } from "node:module";
import { Worker } from "node:worker_threads";
import { App, enqueueAsset, enqueueRetention } from "../../src/app/index.ts";
import { createClock, createLog, createManualClock, messageOf, readConfig } from "../../src/core/index.ts";
import type { Job } from "../../src/jobs/index.ts";

/** Steps of the loop that a kill can be aimed at. */
export type Stage =
  | "open"
  | "append"
  | "merge"
  | "export"
  | "training"
  | "artifact"
  | "version"
  | "promotion"
  | "batch"
  | "profiles"
  | "outcomes"
  | "retention";

/** What the process is told in its first argument, as JSON. */
export interface AppOrder {
  readonly home: string;
  readonly city: string;
  /** Addresses by source. */
  readonly sources: Readonly<Record<string, string>>;
  /** Virtual instant at a wall-clock one, `at`; `speed` 0 stops the clock there. */
  readonly now: number;
  readonly at: number;
  readonly speed: number;
  /** Loops to run; 0 = until killed. */
  readonly loops: number;
  /** Ends itself by SIGKILL so long after a stage began for the n-th time. */
  readonly kill: { readonly stage: Stage; readonly nth: number; readonly delayMs: number } | null;
}

/** A thread of its own kills, since the main one may be within a long call: a moment is hit to the fraction of a ms. */
function killThread(delayMs: number): () => void {
  const flag = new SharedArrayBuffer(4);
  const thread = new Worker(
    `const { workerData: { flag, delayMs } } = require("node:worker_threads");
     Atomics.wait(new Int32Array(flag), 0, 0);
     if (delayMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
     process.kill(process.pid, "SIGKILL");`,
    { eval: true, workerData: { flag, delayMs } },
  );
  thread.unref();
  return () => {
    const cell = new Int32Array(flag);
    Atomics.store(cell, 0, 1);
    Atomics.notify(cell, 0);
  };
}

/** Opens the App on a data folder and loops, telling on standard output which stage begins (>) and ends (<). */
async function main(order: AppOrder): Promise<void> {
  const tell = (text: string) => writeSync(1, `${performance.now().toFixed(1)} ${text}\n`);
  const strike = order.kill ? killThread(order.kill.delayMs) : null;
  let entries = 0;
  const begin = (stage: string) => {
    tell(`> ${stage}`);
    if (stage === order.kill?.stage && ++entries === order.kill.nth) strike?.();
  };
  const clock =
    order.speed === 0
      ? createManualClock(order.now)
      : createClock({ startMs: order.now + (Date.now() - order.at) * order.speed, speed: order.speed });
  const config = readConfig({
    env: {},
    overrides: {
      home: order.home,
      cities: [order.city],
      sources: order.sources,
      threads: 2,
      logLevel: "error",
    },
  });
  // The dead write no cache at their end.
  flushCompileCache();
  begin("open");
  const app = await App.open({ config, clock, log: createLog("error") });
  tell("< open");
  const [runtime] = app.cities.values();
  const { city, parts } = runtime!;

  // Marks around steps that are too short to be seen in the jobs' own progress.
  const mark = <Key extends string>(
    holder: Record<Key, (...values: never[]) => Promise<unknown>>,
    method: Key,
    stage: Stage,
  ) => {
    const original = holder[method].bind(holder) as (...values: unknown[]) => Promise<unknown>;
    Object.assign(holder, {
      [method]: async (...values: unknown[]) => {
        begin(stage);
        const value = await original(...values);
        tell(`< ${stage}`);
        return value;
      },
    });
  };
  mark(parts.lake, "append", "append");
  mark(parts.lake, "merge", "merge");
  mark(app.registry.artifacts, "put", "artifact");
  mark(app.registry.versions, "register", "version");
  mark(app.registry.promotions, "promote", "promotion");
  mark(parts.server, "issue", "batch");
  if (parts.risk) {
    mark(parts.risk, "issue", "batch");
    markProfiles(begin, tell);
  }
  app.jobs.on("started", ({ kind }) => {
    if (kind === "outcomes" || kind === "retention") begin(kind);
  });
  let stage: "export" | "training" | null = null;
  app.jobs.on("progress", ({ kind, message }) => {
    if (kind !== "model" || message === null) return;
    const now = /^cutting/.test(message)
      ? "export"
      : /^registering|^version/.test(message)
        ? null
        : "training";
    if (now === stage) return;
    if (stage !== null) tell(`< ${stage}`);
    stage = now;
    if (now !== null) begin(now);
  });
  app.jobs.on("finished", (job) => {
    if (job.kind === "outcomes" || job.kind === "retention") tell(`< ${job.kind}`);
    if (job.error) tell(`failed ${job.kind}: ${job.error.code} ${job.error.message.replaceAll("\n", " ")}`);
  });
  app.jobs.on("retrying", (job) => {
    if (job.kind === "model") stage = null;
    tell(`again ${job.kind}: ${job.error?.code} ${job.error?.message.replaceAll("\n", " ")}`);
  });

  await app.start();
  for (let loop = 0; order.loops === 0 || loop < order.loops; loop++) {
    const failures = parts.risk ? await loopOfLevels(app, city.id) : await loopOfCounts(app, city.id);
    tell(
      failures.length === 0
        ? "loop whole"
        : `loop without ${failures.map((job) => `${job.kind} (${job.error?.message})`).join(", ")}`,
    );
  }
  await app.stop();
  tell("stopped");
}

/** Trains, judges and forecasts. */
async function loopOfCounts(app: App, city: string): Promise<readonly Job[]> {
  const { failures } = await app.runFirstLoop({ train: true, patient: false });
  const { target } = app.target(city);
  // What the gates turned down is promoted by hand, so that promotions are never rare.
  const [newest] = await app.registry.versions.list({ city, target: target.name, limit: 1 });
  const { champion } = await app.registry.promotions.aliases(city, target.name);
  if (newest && champion !== newest.version) {
    await app.registry.promotions.promote({
      ...{ city, target: target.name, version: newest.version, alias: "champion" },
      ...{ actor: "test", reason: "wanted" },
    });
  }
  return failures;
}

/** Reads, forecasts by persistence, scores what came true and removes what is old: nothing takes long. */
async function loopOfLevels(app: App, city: string): Promise<readonly Job[]> {
  for (const target of Object.keys(app.city(city).city.targets)) {
    await app.registry.versions.registerNaive({ city, target, kind: "persistence" });
    await app.registry.promotions.promote({
      ...{ city, target, version: 0, alias: "champion", actor: "test", reason: "the first" },
    });
  }
  const done: Job[] = [];
  const wait = async (job: Job) => done.push(await app.jobs.finished(job.id));
  for (const asset of ["observations", "forecasts", "outcomes"])
    await wait(await enqueueAsset(app, asset, { city, actor: "test" }));
  await wait(await enqueueRetention(app, city, "test"));
  return done.filter(({ state }) => state !== "succeeded");
}

/** Profiles are made in a process of their own; what is seen of it here is the folder that it reads from. */
function markProfiles(begin: (stage: string) => void, tell: (text: string) => void): void {
  const { mkdtemp, rm } = files;
  files.mkdtemp = (async (prefix: string) => {
    if (prefix.endsWith("profiles-")) begin("profiles");
    return await mkdtemp(prefix);
  }) as typeof mkdtemp;
  files.rm = async (path, options) => {
    await rm(path, options);
    if (/profiles-\w+$/.test(String(path))) tell("< profiles");
  };
  syncBuiltinESMExports();
}

// Imported for its types and names too.
if (process.argv[2]?.startsWith("{")) {
  main(JSON.parse(process.argv[2]) as AppOrder).catch((error: unknown) => {
    writeSync(1, `0 failed to run: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
