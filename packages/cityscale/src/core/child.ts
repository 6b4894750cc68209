import { fork } from "node:child_process";
import { constants, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { messageOf } from "./errors.ts";

export interface ChildOptions {
  readonly signal?: AbortSignal | undefined;
  readonly execArgv?: readonly string[];
  /** Whether somebody waits; otherwise everything else that the machine has to do comes first. */
  readonly urgent?: boolean;
  readonly onMessage?: (message: unknown) => void;
}

/**
 * Runs a module in a process of its own and waits for its end: the event loop stays free, memory that the work takes
 * is gone with it, and work that dies takes nothing with it. The module calls `serveOrder`. The order and what the child
 * sends (`process.send`) are plain data. Rejects when the process cannot start, is aborted, or ends otherwise than well.
 */
export async function runChild(
  module: URL,
  order: object,
  { signal, execArgv = [], urgent = false, onMessage }: ChildOptions = {},
): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const child = fork(fileURLToPath(module), {
      serialization: "advanced",
      execArgv: [...execArgv],
      // As in bin/cityscale.ts: two heaps for all threads.
      env: { ...process.env, MALLOC_ARENA_MAX: "2" },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    if (!urgent) yieldToOthers(child.pid);
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-4000);
    });
    const kill = () => void child.kill("SIGKILL");
    signal?.addEventListener("abort", kill, { once: true });
    if (onMessage) child.on("message", onMessage);
    // Of one that has started the end is told by "close"; the order may meet one that has just died.
    child.on("error", (cause) => {
      if (child.pid === undefined) reject(new Error("cannot start", { cause }));
    });
    child.once("close", (code, killedBy) => {
      signal?.removeEventListener("abort", kill);
      if (signal?.aborted) reject(signal.reason);
      else if (code === 0) resolve();
      else reject(new Error(`ended with ${killedBy ?? `code ${code}`}${stderr ? `: ${stderr.trim()}` : ""}`));
    });
    child.send(order);
  });
}

/** Threads begin with the priority that their process has then: it is set before there are any. */
function yieldToOthers(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // Where priorities cannot be set, the work merely competes.
  }
}

/**
 * In a module that `runChild` runs: does the work that is ordered, and ends with it, or with the process that ordered
 * it.
 */
export function serveOrder<Order>(work: (order: Order) => Promise<void>): void {
  process.on("disconnect", () => process.exit(1));
  process.once("message", (order: Order) => {
    work(order).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(messageOf(error));
        process.exit(1);
      },
    );
  });
}
