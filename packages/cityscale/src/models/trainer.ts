import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AlarmThresholds } from "@cityscale/forecast";
import { CityScaleError, type ErrorCode, errorCodes, messageOf, runChild } from "../core/index.ts";
import type { CityDeclaration } from "../domain/index.ts";
import type { Candidate, ServingModel } from "./candidate.ts";
import type { Recalibrated, StockOutCandidate } from "./stock-outs/index.ts";

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
      readonly recalibrated: Recalibrated<RecalibratedModel>;
      readonly peakRssMb: number;
    }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** A model of a binary target calibrated anew. */
export interface RecalibratedModel {
  readonly bytes: Uint8Array;
  readonly alarms: AlarmThresholds | null;
}

export interface Trained {
  readonly candidate: AnyCandidate;
  readonly model: Uint8Array;
  readonly recalibrated: Recalibrated<RecalibratedModel>;
  readonly peakRssMb: number;
}

/**
 * Trains in a process of its own, at a lower priority, from a dataset version: the server keeps answering, its
 * memory does not grow, and a training that dies takes nothing with it.
 * Throws what the training threw, ABORTED, or TRAINING_FAILED when the process died.
 */
export async function trainInProcess(
  order: TrainOrder,
  options: { signal: AbortSignal; onProgress: (message: string, share: number) => void },
): Promise<Trained> {
  mkdirSync(order.temporary, { recursive: true });
  const scratch = mkdtempSync(join(order.temporary, "training-"));
  let last: Exclude<TrainerMessage, { type: "progress" }> | undefined;
  let died: unknown;
  try {
    await runChild(
      new URL("./train-process.ts", import.meta.url),
      { ...order, temporary: scratch },
      {
        signal: options.signal,
        execArgv: ["--expose-gc"],
        onMessage: (told) => {
          const message = told as TrainerMessage;
          if (message.type === "progress") options.onProgress(message.message, message.share);
          else last = message;
        },
      },
    );
  } catch (error) {
    died = error;
  } finally {
    // Whatever way the process ended, killed included, nothing of it stays.
    rmSync(scratch, { recursive: true, force: true });
  }
  if (last?.type === "done") return last;
  if (options.signal.aborted)
    throw new CityScaleError("ABORTED", "training was cancelled", { cause: options.signal.reason });
  if (last) {
    const code = last.code in errorCodes ? (last.code as ErrorCode) : "TRAINING_FAILED";
    throw new CityScaleError(code, last.message);
  }
  const how = died === undefined ? "ended without a model" : messageOf(died);
  throw new CityScaleError("TRAINING_FAILED", `the training process ${how}`, { cause: died });
}
