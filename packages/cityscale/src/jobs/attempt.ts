import { CityScaleError, type Log } from "../core/index.ts";
import type { Job, JobHandler, JobOptions } from "./types.ts";

/** A kind of job with everything that defaults fill in. */
export interface Definition {
  readonly handler: JobHandler<unknown>;
  readonly lane: JobOptions["lane"];
  readonly retries: number;
  readonly backoff: { readonly firstMs: number; readonly maxMs: number };
  readonly timeoutMs: number;
}

/** One attempt at a job that is being made now. */
export interface Attempt {
  job: Job;
  readonly controller: AbortController;
  /** Why the engine aborted it; decides what becomes of it. */
  ending: "cancel" | "stop" | "timeout" | null;
  /** Resolves when the attempt has ended and that is stored. */
  done: Promise<void>;
  /** The last heartbeat that was written, and when (real time). */
  written: Promise<void>;
  writtenAt: number;
}

/** How long an aborted handler may take to end before its lane goes on without it. */
const abandonMs = 10_000;

/** Runs the handler; gives up on one that ignores its signal, so that it cannot block its lane. */
export async function runHandler(
  { job, controller: { signal } }: Attempt,
  handler: JobHandler<unknown>,
  heartbeat: (progress: number, message?: string) => void,
  log: Log,
): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  let watch = () => {};
  const abandoned = new Promise<never>((_, reject) => {
    watch = () => {
      timer = setTimeout(() => {
        log.error({}, "an aborted job does not end; its lane goes on without it");
        reject(signal.reason);
      }, abandonMs);
    };
    signal.addEventListener("abort", watch, { once: true });
  });
  try {
    return await Promise.race([handler({ job, payload: job.payload, signal, heartbeat, log }), abandoned]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", watch);
  }
}

/** What the caller did wrong (4xx) is as wrong the next time; a refusal for being too fast is not. */
export function isWorthRetrying(error: unknown): boolean {
  return !(error instanceof CityScaleError) || error.status >= 500 || error.code === "RATE_LIMITED";
}

/**
 * Wait after the n-th attempt (from 1): doubles up to the most. Half of it is random, so that what failed
 * together does not come back together.
 */
export function backoffMs({ backoff }: Definition, attempt: number, random: () => number): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** (attempt - 1));
  return Math.ceil(full * (0.5 + 0.5 * random()));
}
