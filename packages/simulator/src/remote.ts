import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { RequestLog, Simulator, SimulatorOptions } from "./options.ts";

export type RemoteAsk = { id: number } & (
  | { ask: "faults"; list: unknown }
  | { ask: "requests" }
  | { ask: "close" }
);
export type RemoteAnswer =
  | { ready: Record<string, string> }
  | { failed: string }
  | { id: number; value?: unknown; error?: string };

/** What a thread and a process have in common, seen from the caller. */
interface Port {
  post(message: unknown): void;
  onMessage(listen: (answer: RemoteAnswer) => void): void;
  onEnd(listen: (error: Error) => void): void;
  /** Whether it keeps the caller's process alive. */
  hold(alive: boolean): void;
  end(): Promise<void>;
}

const entry = new URL("./worker.ts", import.meta.url);

/**
 * Starts a simulator in a thread of its own: making a city and writing pages does not hold up the caller's events.
 * The thread ends with `close`, and does not keep the process alive.
 */
export function startSimulatorWorker(options: SimulatorOptions): Promise<Simulator> {
  const worker = new Worker(entry, { workerData: options, execArgv: [] });
  return connect({
    post: (message) => worker.postMessage(message),
    onMessage: (listen) => worker.on("message", listen),
    onEnd: (listen) => {
      worker.on("error", (error) => listen(error instanceof Error ? error : new Error(String(error))));
      worker.on("exit", (code) => listen(new Error(`the simulator's thread ended with code ${code}`)));
    },
    hold: (alive) => (alive ? worker.ref() : worker.unref()),
    end: async () => {
      await worker.terminate();
    },
  });
}

/**
 * Starts a simulator in a process of its own, which ends with `close` or with the caller's process, however that
 * ends. A clock of kind `shared` cannot be followed from there: RangeError.
 */
export async function startSimulatorProcess(options: SimulatorOptions): Promise<Simulator> {
  if (options.clock.kind === "shared")
    throw new RangeError("a shared clock is shared among threads, not processes");
  const child = fork(fileURLToPath(entry), { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] });
  child.send(options);
  return connect({
    post: (message) => child.send(message as object),
    onMessage: (listen) => child.on("message", listen),
    onEnd: (listen) => {
      child.on("error", listen);
      child.on("exit", (code, signal) =>
        listen(new Error(`the simulator's process ended with ${signal ?? `code ${code}`}`)),
      );
    },
    hold: (alive) => {
      if (alive) child.ref();
      else child.unref();
      if (alive) child.channel?.ref();
      else child.channel?.unref();
    },
    end: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      // Waited for: without this the caller's process could end, or hang as if it had nothing left to do.
      child.ref();
      child.kill("SIGKILL");
      await ended;
    },
  });
}

async function connect(port: Port): Promise<Simulator> {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  let ended: Error | null = null;
  const sources = await new Promise<Record<string, string>>((resolve, reject) => {
    port.onMessage((answer) => {
      if ("ready" in answer) resolve(answer.ready);
      else if ("failed" in answer) reject(new Error(answer.failed));
      else {
        const asked = waiting.get(answer.id);
        waiting.delete(answer.id);
        if (waiting.size === 0) port.hold(false);
        if (answer.error !== undefined) asked?.reject(new Error(answer.error));
        else asked?.resolve(answer.value);
      }
    });
    port.onEnd((error) => {
      reject(error);
      ended ??= error;
      for (const asked of waiting.values()) asked.reject(ended);
      waiting.clear();
    });
  });
  port.hold(false);
  const ask = (question: { ask: "faults"; list: unknown } | { ask: "requests" } | { ask: "close" }) =>
    new Promise<unknown>((resolve, reject) => {
      if (ended !== null) {
        reject(ended);
        return;
      }
      const id = ++last;
      // Someone waits for the answer: the process must not end before it.
      port.hold(true);
      waiting.set(id, { resolve, reject });
      port.post({ id, ...question });
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
      await port.end();
    },
  };
}
