/** Lets requests to one host through: so many at a time, so many per second, none while the host asked for a pause. */
export interface HostGate {
  /** Resolves when a request may start, with the function that ends it. Rejects when the signal aborts. */
  enter(signal?: AbortSignal): Promise<() => void>;
  /** No request starts before this instant. */
  pauseUntil(at: number): void;
}

export function createHostGate(options: {
  concurrency: number;
  perSecond: number;
  now: () => number;
  sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}): HostGate {
  const { concurrency, perSecond, now, sleep } = options;
  const burst = perSecond * 2;
  let tokens = burst;
  let filledAt = now();
  let notBefore = 0;
  let running = 0;
  const queue: (() => void)[] = [];

  const leave = () => {
    running -= 1;
    queue.shift()?.();
  };

  async function takeSlot(signal?: AbortSignal): Promise<void> {
    while (running >= concurrency) {
      await new Promise<void>((resolve, reject) => {
        const wake = () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        };
        const stop = () => {
          const at = queue.indexOf(wake);
          if (at >= 0) queue.splice(at, 1);
          reject(signal?.reason);
        };
        if (signal?.aborted) return reject(signal.reason);
        signal?.addEventListener("abort", stop, { once: true });
        queue.push(wake);
      });
    }
    running += 1;
  }

  return {
    pauseUntil: (at) => {
      notBefore = Math.max(notBefore, at);
    },
    enter: async (signal) => {
      await takeSlot(signal);
      try {
        if (notBefore > now()) await sleep(notBefore - now(), signal);
        if (perSecond === Number.POSITIVE_INFINITY) return leave;
        tokens = Math.min(burst, tokens + ((now() - filledAt) / 1000) * perSecond);
        filledAt = now();
        tokens -= 1;
        if (tokens < 0) await sleep((-tokens / perSecond) * 1000, signal);
      } catch (error) {
        leave();
        throw error;
      }
      return leave;
    },
  };
}
