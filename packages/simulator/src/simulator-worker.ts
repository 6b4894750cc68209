import { Worker } from "node:worker_threads";
import type { RequestLog, Simulator, SimulatorOptions } from "./options.ts";

export type WorkerAsk = { id: number } & (
  | { ask: "faults"; list: unknown }
  | { ask: "requests" }
  | { ask: "close" }
);
export type WorkerAnswer =
  | { ready: Record<string, string> }
  | { failed: string }
  | { id: number; value?: unknown; error?: string };

/**
 * Starts a simulator in a thread of its own: making a city and writing pages does not hold up the caller's events.
 * The thread ends with `close`, and does not keep the process alive.
 */
export async function startSimulatorWorker(options: SimulatorOptions): Promise<Simulator> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: options, execArgv: [] });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  let ended: Error | null = null;
  const end = (error: Error) => {
    ended ??= error;
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  const sources = await new Promise<Record<string, string>>((resolve, reject) => {
    worker.on("message", (answer: WorkerAnswer) => {
      if ("ready" in answer) resolve(answer.ready);
      else if ("failed" in answer) reject(new Error(answer.failed));
      else {
        const asked = waiting.get(answer.id);
        waiting.delete(answer.id);
        if (waiting.size === 0) worker.unref();
        if (answer.error !== undefined) asked?.reject(new Error(answer.error));
        else asked?.resolve(answer.value);
      }
    });
    worker.on("error", (error) => {
      reject(error);
      end(error instanceof Error ? error : new Error(String(error)));
    });
    worker.on("exit", (code) => {
      const error = new Error(`the simulator's thread ended with code ${code}`);
      reject(error);
      end(error);
    });
  });
  worker.unref();
  const ask = (question: { ask: "faults"; list: unknown } | { ask: "requests" } | { ask: "close" }) =>
    new Promise<unknown>((resolve, reject) => {
      if (ended !== null) {
        reject(ended);
        return;
      }
      const id = ++last;
      // Someone waits for the answer: the process must not end before it.
      worker.ref();
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, ...question });
    });
  return {
    sources,
    faults: async (list) => {
      await ask({ ask: "faults", list });
    },
    requests: async () => (await ask({ ask: "requests" })) as RequestLog,
    close: async () => {
      if (ended !== null) return;
      await ask({ ask: "close" });
      await worker.terminate();
    },
  };
}
