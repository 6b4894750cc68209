/** Where the program's time comes from; everything that asks for "now" or waits gets one as an argument. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves when `now() >= at`; rejects with the signal's reason when it aborts first. */
  until(at: number, signal?: AbortSignal): Promise<void>;
  /** How the time runs, as plain data that another process or thread can follow. */
  readonly spec: ClockSpec;
}

export type ClockSpec =
  | { readonly kind: "real" }
  | {
      readonly kind: "linear";
      readonly startMs: number;
      readonly realStartMs: number;
      readonly speed: number;
    }
  | { readonly kind: "shared"; readonly buffer: SharedArrayBuffer };

/** A clock that runs with the machine's, or `speed` times as fast from `startMs` on. */
export function createClock(options: { startMs?: number; speed?: number } = {}): Clock {
  const speed = options.speed ?? 1;
  const realStartMs = Date.now();
  const startMs = options.startMs;
  const now = startMs === undefined ? () => Date.now() : () => startMs + (Date.now() - realStartMs) * speed;
  const spec: ClockSpec =
    startMs === undefined ? { kind: "real" } : { kind: "linear", startMs, realStartMs, speed };
  const rate = startMs === undefined ? 1 : speed;
  return {
    now,
    spec,
    until: (at, signal) =>
      new Promise<void>((resolve, reject) => {
        let timer: NodeJS.Timeout | undefined;
        const abort = () => {
          clearTimeout(timer);
          reject(signal?.reason);
        };
        if (signal?.aborted) return reject(signal.reason);
        signal?.addEventListener("abort", abort, { once: true });
        const wait = () => {
          const left = (at - now()) / rate;
          if (left <= 0) {
            signal?.removeEventListener("abort", abort);
            resolve();
          } else {
            // setTimeout counts in 32 bits, and a suspended machine wakes late: look again every minute.
            timer = setTimeout(wait, Math.min(Math.ceil(left), 60_000));
          }
        };
        wait();
      }),
  };
}

/** A clock that moves only when told to; `buffer` can be shared with the simulator's thread. */
export interface ManualClock extends Clock {
  set(at: number): void;
  advance(ms: number): void;
}

export function createManualClock(startMs: number): ManualClock {
  const buffer = new SharedArrayBuffer(8);
  const cell = new Float64Array(buffer);
  cell[0] = startMs;
  const waiting = new Set<{ at: number; resolve: () => void }>();
  const wake = () => {
    for (const waiter of [...waiting]) {
      if (waiter.at <= cell[0]!) {
        waiting.delete(waiter);
        waiter.resolve();
      }
    }
  };
  return {
    now: () => cell[0]!,
    spec: { kind: "shared", buffer },
    set: (at) => {
      cell[0] = at;
      wake();
    },
    advance: (ms) => {
      cell[0]! += ms;
      wake();
    },
    until: (at, signal) =>
      new Promise<void>((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        if (at <= cell[0]!) return resolve();
        const waiter = { at, resolve };
        waiting.add(waiter);
        signal?.addEventListener("abort", () => {
          if (waiting.delete(waiter)) reject(signal.reason);
        });
      }),
  };
}
