/** Training in Node's worker threads. Loaded only in Node, so that browsers never see it. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { BoostPlan } from "./booster.ts";
import { TreesError } from "./errors.ts";
import type { TrainingMemory } from "./memory.ts";
import { abortTeam } from "./team.ts";
import type { Tree } from "./tree.ts";

export interface WorkerTask {
  readonly plan: BoostPlan;
  readonly memory: TrainingMemory;
  readonly index: number;
  readonly size: number;
}

export type FromWorker =
  | { readonly kind: "progress"; readonly iteration: number; readonly metric: number | undefined }
  | { readonly kind: "done"; readonly trees: Tree[]; readonly bestIteration: number };

export interface Trained {
  readonly trees: Tree[];
  readonly bestIteration: number;
}

/** Threads to use when the caller does not say. */
export function defaultThreads(): number {
  return Math.min(8, availableParallelism());
}

/**
 * Runs a training on `size` workers and waits until every one of them has ended.
 * @throws the signal's reason when aborted; what a worker threw
 */
export async function runWorkers(
  plan: BoostPlan,
  memory: TrainingMemory,
  size: number,
  signal: AbortSignal | undefined,
  onProgress: (iteration: number, metric: number | undefined) => void,
): Promise<Trained> {
  const stop = (): void => abortTeam(memory.control);
  const failures: unknown[] = [];
  const fail = (error: unknown): void => {
    failures.push(error);
    stop();
  };
  let trained: Trained | undefined;
  signal?.addEventListener("abort", stop);
  try {
    await Promise.all(
      Array.from({ length: size }, (_, index) => {
        const task: WorkerTask = { plan, memory, index, size };
        const worker = new Worker(new URL("./worker.ts", import.meta.url), {
          workerData: task,
          execArgv: [],
        });
        worker.on("error", fail);
        worker.on("message", (message: FromWorker) => {
          if (message.kind === "done") {
            trained = message;
            return;
          }
          try {
            onProgress(message.iteration, message.metric);
          } catch (error) {
            fail(error);
          }
        });
        return new Promise<void>((resolve) => {
          worker.on("exit", (code) => {
            if (code !== 0) fail(new TreesError(`a training worker ended with code ${code}`));
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
  if (!trained) throw new TreesError("the training ended without a model");
  return trained;
}
