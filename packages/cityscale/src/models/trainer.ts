import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CityScaleError, type ErrorCode, errorCodes } from "../core/index.ts";
import type { CityDeclaration } from "../domain/index.ts";
import type { Candidate, ServingModel } from "./candidate.ts";
import type { StockOutCandidate } from "./stock-outs/index.ts";

/** What a training ends with: a model of a quantity, or of a binary target. */
export type AnyCandidate = Candidate | StockOutCandidate;

/** What a training process is told; plain data. */
export interface TrainOrder {
  readonly dataset: string;
  readonly declaration: CityDeclaration;
  readonly target: string;
  readonly lagMs: number;
  readonly threads: number;
  readonly memoryMb: number;
  readonly temporary: string;
  readonly champion?: ServingModel;
}

export type TrainerMessage =
  | { readonly type: "progress"; readonly message: string; readonly share: number }
  | {
      readonly type: "done";
      readonly candidate: AnyCandidate;
      readonly model: Uint8Array;
      readonly peakRssMb: number;
    }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

export interface Trained {
  readonly candidate: AnyCandidate;
  readonly model: Uint8Array;
  readonly peakRssMb: number;
}

/**
 * Trains in a process of its own, at a lower priority, from a dataset version: the server keeps answering, its
 * memory does not grow, and a training that dies takes nothing with it.
 * Throws what the training threw, ABORTED, or TRAINING_FAILED when the process died.
 */
export function trainInProcess(
  order: TrainOrder,
  options: { signal: AbortSignal; onProgress: (message: string, share: number) => void },
): Promise<Trained> {
  return new Promise((resolve, reject) => {
    let child: ChildProcess;
    let scratch: string | undefined;
    // Whatever way the process ends, killed included, nothing of it stays.
    const sweep = () => {
      if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
    };
    try {
      options.signal.throwIfAborted();
      mkdirSync(order.temporary, { recursive: true });
      scratch = mkdtempSync(join(order.temporary, "training-"));
      child = fork(fileURLToPath(new URL("./train-process.ts", import.meta.url)), {
        serialization: "advanced",
        execArgv: ["--expose-gc"],
        // As in bin/cityscale.ts: two heaps for all threads.
        env: { ...process.env, MALLOC_ARENA_MAX: "2" },
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      });
    } catch (error) {
      sweep();
      reject(error);
      return;
    }
    let stderr = "";
    let settled = false;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-4000);
    });
    const settle = (finish: () => void) => {
      if (settled) return;
      settled = true;
      options.signal.removeEventListener("abort", abort);
      finish();
    };
    const abort = () => {
      child.kill("SIGKILL");
      settle(() =>
        reject(new CityScaleError("ABORTED", "training was cancelled", { cause: options.signal.reason })),
      );
    };
    options.signal.addEventListener("abort", abort, { once: true });
    child.on("message", (message: TrainerMessage) => {
      if (message.type === "progress") options.onProgress(message.message, message.share);
      else if (message.type === "done") settle(() => resolve(message));
      else {
        const code = message.code in errorCodes ? (message.code as ErrorCode) : "TRAINING_FAILED";
        settle(() => reject(new CityScaleError(code, message.message)));
      }
    });
    child.once("exit", sweep);
    child.on("error", (error) => {
      if (child.pid === undefined) sweep();
      settle(() =>
        reject(new CityScaleError("TRAINING_FAILED", "the training process cannot start", { cause: error })),
      );
    });
    child.on("exit", (code, signal) =>
      settle(() =>
        reject(
          new CityScaleError(
            "TRAINING_FAILED",
            `the training process ended with ${signal ?? `code ${code}`}${stderr ? `: ${stderr.trim()}` : ""}`,
          ),
        ),
      ),
    );
    child.send({ ...order, temporary: scratch });
  });
}
