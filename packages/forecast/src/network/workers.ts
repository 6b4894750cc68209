import { Worker } from "node:worker_threads";
import { control } from "@cityscale/trees/wasm";
import { ForecastError } from "../errors.ts";
import type { NetworkProgress } from "./options.ts";
import type { TrainingPlan } from "./training-plan.ts";

export interface WorkerTask {
  readonly plan: TrainingPlan;
  readonly index: number;
  readonly size: number;
}

/** A worker that was about to sleep at a barrier misses a single wake, and would sleep on for a second. */
const WAKE_EVERY_MS = 20;

/**
 * Runs a training on `size` worker threads and waits until every one of them has ended.
 *
 * @throws the signal's reason when aborted; what a worker or `onProgress` threw
 */
export async function runWorkers(
  plan: TrainingPlan,
  size: number,
  signal: AbortSignal | undefined,
  onProgress: ((progress: NetworkProgress) => void) | undefined,
): Promise<void> {
  const failures: unknown[] = [];
  let waking: NodeJS.Timeout | undefined;
  const stop = (): void => {
    Atomics.store(plan.control, control.abort, 1);
    waking ??= setInterval(() => Atomics.notify(plan.control, control.generation), WAKE_EVERY_MS);
  };
  const fail = (error: unknown): void => {
    failures.push(error);
    stop();
  };
  signal?.addEventListener("abort", stop);
  try {
    await Promise.all(
      Array.from({ length: size }, (_, index) => {
        const workerData: WorkerTask = { plan, index, size };
        const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData, execArgv: [] });
        worker.on("error", fail);
        worker.on("message", (progress: NetworkProgress) => {
          if (failures.length > 0) return;
          try {
            onProgress?.(progress);
          } catch (error) {
            fail(error);
          }
        });
        return new Promise<void>((resolve) => {
          worker.on("exit", (code) => {
            if (code !== 0) fail(new ForecastError("data", `a training worker ended with code ${code}`));
            resolve();
          });
        });
      }),
    );
  } finally {
    signal?.removeEventListener("abort", stop);
    clearInterval(waking);
  }
  signal?.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}
