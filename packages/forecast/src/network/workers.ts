import { Worker } from "node:worker_threads";
import { abortTeam } from "@cityscale/trees/wasm";
import { ForecastError } from "../errors.ts";
import type { NetworkProgress } from "./options.ts";
import type { TrainingPlan } from "./training-plan.ts";

export interface WorkerTask {
  readonly plan: TrainingPlan;
  readonly index: number;
  readonly size: number;
}

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
  const stop = (): void => abortTeam(plan.control);
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
  }
  signal?.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}
