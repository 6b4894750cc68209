import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { App, codeVersion, type LoopReport } from "../app/index.ts";
import { CityScaleError, type Config, createLog, isAbort } from "../core/index.ts";
import { createHttp, ensureFirstKey, listen } from "../http/index.ts";
import type { Job } from "../jobs/index.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { listenForStop } from "./signals.ts";
import { instant } from "./table.ts";
import { loopSummary, type StageTime, summaryText } from "./up-summary.ts";

export interface UpOptions {
  readonly config: Config;
  readonly recordings?: string;
  readonly seed?: number;
  /** Stop after the first whole loop, which then always trains. */
  readonly once: boolean;
  readonly json: boolean;
  /** True when the user chose the port: then no other will do. */
  readonly portAsked: boolean;
}

/** Names of stages for people. */
const stageNames: Readonly<Record<string, string>> = {
  observations: "ingest",
  model: "train and judge",
  recalibration: "calibrate on newer outcomes",
  forecasts: "forecast",
  outcomes: "score what came true",
};

/**
 * Owns the data folder, serves, runs the first loop with visible progress and then the schedules, until it is
 * told to stop. Resolves with the exit code. Throws what opening the folder or the port throws.
 */
export async function up(options: UpOptions, io: Io): Promise<ExitCode> {
  const { once, json } = options;
  if (options.recordings !== undefined && !existsSync(options.recordings)) {
    throw new UsageError(`--recordings ${options.recordings}: there is no such folder`);
  }
  const say = json ? () => undefined : io.out;
  const tell = (event: string, fields: object) => json && io.out(`${JSON.stringify({ event, ...fields })}\n`);
  const progress = new Progress(io);
  using stop = listenForStop(() => progress.print("Stopping; once more to force it."));
  const { config, portTaken } = await withFreePort(options);
  say(`CityScale ${codeVersion}, data in ${config.home}\n`);
  const { recordings, seed } = options;
  const app = await App.open({
    config,
    log: createLog(config.logLevel),
    ...(recordings === undefined ? {} : { recordings }),
    ...(seed === undefined ? {} : { seed }),
  });
  const http = await createHttp(app);
  try {
    const address = await listen(http, app);
    const key = await ensureFirstKey(app);
    tell("listening", { address, ...(key === null ? {} : { key }) });
    say(`listening at ${address}${portTaken === null ? "" : ` (port ${portTaken} is in use)`}\n`);
    if (key !== null) say(`admin key, shown only now: ${key}\n`);
    const stages = showJobs(app, progress, (stage) => tell("stage", stage));
    await app.start();
    const code = await firstLoop(app, { once, signal: stop.signal }, async (report, totalMs) => {
      progress.close();
      const summary = await loopSummary(app, report, totalMs);
      tell("summary", { ...summary, stages, address });
      say(summaryText(summary, stages));
      say(once ? "\n" : `\nserving at ${address}\n`);
      for (const job of report.failures) io.err(`${failureText(job)}\n`);
    });
    if (once || stop.signal.aborted) return code;
    await app.scheduleAll();
    await aborted(stop.signal);
    return exitCodes.done;
  } catch (error) {
    if (!stop.signal.aborted || !isAbort(error)) throw error;
    return once ? exitCodes.interrupted : exitCodes.done;
  } finally {
    progress.close();
    await http.close();
    await app.stop();
  }
}

/**
 * The first whole loop. A city whose counts could not be read and that nothing can serve yet gets its loop as
 * soon as they can; meanwhile the schedules go on trying.
 */
async function firstLoop(
  app: App,
  options: { once: boolean; signal: AbortSignal },
  onDone: (report: LoopReport, totalMs: number) => Promise<void>,
): Promise<ExitCode> {
  const { once, signal } = options;
  let scheduled = false;
  for (;;) {
    const began = performance.now();
    const report = await app.runFirstLoop({ train: once, patient: once, signal });
    await onDone(report, performance.now() - began);
    if (once) return report.failures.length === 0 ? exitCodes.done : exitCodes.failed;
    if ((await unserved(app)).size === 0) return exitCodes.done;
    if (!scheduled) await app.scheduleAll();
    scheduled = true;
    await ingestedAgain(app, signal);
  }
}

/** Cities that have a target without any champion. */
async function unserved(app: App): Promise<Set<string>> {
  const cities = new Set<string>();
  for (const { city } of app.cities.values()) {
    for (const { name } of Object.values(city.targets)) {
      if ((await app.registry.promotions.aliases(city.id, name)).champion === null) cities.add(city.id);
    }
  }
  return cities;
}

function ingestedAgain(app: App, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      off();
      reject(signal.reason);
    };
    const off = app.jobs.on("finished", (job) => {
      if (job.kind !== "observations" || job.state !== "succeeded") return;
      off();
      signal.removeEventListener("abort", abort);
      resolve();
    });
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

/** Shows every job of the engine as a stage; the list it returns grows as they end. */
function showJobs(app: App, progress: Progress, onStage: (stage: StageTime) => void): StageTime[] {
  const stages: StageTime[] = [];
  const cityOf = (job: Job) => (job.payload as { city: string }).city;
  const label = (job: Job) => {
    const { target } = job.payload as { target?: string };
    const many = target !== undefined && Object.keys(app.city(cityOf(job)).city.targets).length > 1;
    const stage = stageNames[job.kind] ?? job.kind;
    return `${app.cities.size > 1 ? `${cityOf(job)}: ` : ""}${stage}${many ? ` ${target}` : ""}`;
  };
  app.jobs.on("started", (job) => progress.update(job.id, label(job), 0, null));
  app.jobs.on("progress", (job) => progress.update(job.id, label(job), job.progress, job.message));
  app.jobs.on("retrying", (job) => {
    progress.finish(
      job.id,
      label(job),
      `will be tried again at ${instant(job.runAt)}: ${job.error?.message ?? job.message ?? ""}`,
    );
  });
  app.jobs.on("finished", (job) => {
    const outcome =
      job.state === "succeeded"
        ? (job.message ?? "")
        : `${job.state}: ${job.error?.message ?? job.message ?? ""}`;
    const took = progress.finish(job.id, label(job), outcome);
    const stage = {
      stage: label(job),
      city: cityOf(job),
      seconds: Number((took / 1000).toFixed(2)),
      outcome,
    };
    stages.push(stage);
    onStage(stage);
  });
  return stages;
}

function failureText(job: Job): string {
  const name = stageNames[job.kind] ?? job.kind;
  const { city, target } = job.payload as { city: string; target?: string };
  const of = target === undefined ? city : `${city}/${target}`;
  const error = job.error ? `${job.error.message} (${job.error.code})` : (job.message ?? job.state);
  if (job.state === "queued")
    return `${name} of ${of} is tried again at ${instant(job.runAt)}; until then what is there is served: ${error}`;
  return `error: ${name} of ${of} failed: ${error}`;
}

/** The configuration with a free port where the default one is taken and the user did not insist on it. */
async function withFreePort(options: UpOptions): Promise<{ config: Config; portTaken: number | null }> {
  const { config } = options;
  if (config.port === 0 || (await isFree(config.port, config.host))) return { config, portTaken: null };
  if (options.portAsked) {
    throw new UsageError(
      `port ${config.port} of ${config.host} is in use`,
      "Choose another with --port; 0 takes a free one.",
    );
  }
  return { config: { ...config, port: 0 }, portTaken: config.port };
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(new CityScaleError("CONFIG_INVALID", `cannot listen on ${host}:${port}`, { cause: error }));
    });
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
