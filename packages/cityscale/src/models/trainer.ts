import type { Calibration } from "@cityscale/forecast";
import { CityScaleError, type ErrorCode, errorCodes, inScratch, messageOf, runChild } from "../core/index.ts";
import type { CityDeclaration } from "../domain/index.ts";
import type { Candidate, ServingModel } from "./candidate.ts";
import type { StockOutCandidate } from "./stock-outs/index.ts";

/** What a training ends with: a model of a quantity, or of a binary target. */
export type AnyCandidate = Candidate | StockOutCandidate;

/** What a process that works on a dataset version is told; plain data, as all orders are. */
interface Order {
  readonly dataset: string;
  readonly declaration: CityDeclaration;
  readonly threads: number;
  readonly memoryMb: number;
  readonly temporary: string;
}

export interface TrainOrder extends Order {
  readonly target: string;
  readonly lagMs: number;
  readonly champion?: ServingModel;
}

export interface RecalibrateOrder extends Order {
  /** Stored models by binary target, with the instant (ms UTC) before which they have learned. */
  readonly models: Readonly<Record<string, { readonly bytes: Uint8Array; readonly learnedUntil: number }>>;
}

export interface Trained {
  readonly candidate: AnyCandidate;
  readonly model: Uint8Array;
  readonly peakRssMb: number;
}

/** By target; those whose newest outcomes tell too little have none. */
export type Recalibrated = Readonly<Record<string, Calibration>>;

/** What such a process says: how far it is, and at the end what it made or why not. */
export type WorkMessage<Made = Trained | Recalibrated> =
  | { readonly type: "progress"; readonly message: string; readonly share: number }
  | { readonly type: "done"; readonly made: Made }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

interface WorkOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (message: string, share: number) => void;
}

/**
 * Trains in a process of its own, at a lower priority, from a dataset version: the server keeps answering, its
 * memory does not grow, and a training that dies takes nothing with it.
 * Throws what the training threw, ABORTED, or TRAINING_FAILED when the process died.
 */
export const trainInProcess = (order: TrainOrder, options: WorkOptions): Promise<Trained> =>
  inProcess("training", order, options);

/** Calibrates models of binary targets on the newest outcomes of a dataset version, in the same manner. */
export const recalibrateInProcess = (order: RecalibrateOrder, options: WorkOptions): Promise<Recalibrated> =>
  inProcess("calibration", order, options);

async function inProcess<Made>(
  name: string,
  order: TrainOrder | RecalibrateOrder,
  { signal, onProgress }: WorkOptions,
): Promise<Made> {
  let last: Exclude<WorkMessage<Made>, { type: "progress" }> | undefined;
  let died: unknown;
  await inScratch(order.temporary, name, async (scratch) => {
    try {
      await runChild(
        new URL("./train-process.ts", import.meta.url),
        { ...order, temporary: scratch },
        {
          signal,
          execArgv: ["--expose-gc"],
          onMessage: (told) => {
            const message = told as WorkMessage<Made>;
            if (message.type === "progress") onProgress(message.message, message.share);
            else last = message;
          },
        },
      );
    } catch (error) {
      died = error;
    }
  });
  if (last?.type === "done") return last.made;
  if (signal.aborted) throw new CityScaleError("ABORTED", `${name} was cancelled`, { cause: signal.reason });
  if (last) {
    const code = last.code in errorCodes ? (last.code as ErrorCode) : "TRAINING_FAILED";
    throw new CityScaleError(code, last.message);
  }
  const how = died === undefined ? "ended without a result" : messageOf(died);
  throw new CityScaleError("TRAINING_FAILED", `the ${name} process ${how}`, { cause: died });
}
