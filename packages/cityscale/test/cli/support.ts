import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Io, main } from "../../src/cli/index.ts";

const cli = fileURLToPath(new URL("../../bin/cityscale.ts", import.meta.url));
const simulator = fileURLToPath(new URL("../../../simulator/bin/cityscale-simulator.ts", import.meta.url));

/** A folder that is gone when the test file ends; call `remove`. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "cityscale-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function environment(): Record<string, string> {
  const env = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("CITYSCALE_") && !name.startsWith("VITEST"),
  );
  return { ...(Object.fromEntries(env) as Record<string, string>), NODE_ENV: "production" };
}

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command within this process. */
export async function inProcess(...args: string[]): Promise<Result> {
  let out = "";
  let err = "";
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    live: false,
    columns: 100,
    env: {},
  };
  const code = await main(args, io);
  return { code, out, err };
}

/** A `cityscale` process. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Result>;
  #out = "";
  #err = "";
  #waiting: { test: (line: string) => boolean; resolve: (line: string) => void }[] = [];
  readonly #lines: string[] = [];

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [cli, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: environment(),
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#err += text;
    });
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      this.#out += `${line}\n`;
      this.#lines.push(line);
      this.#waiting = this.#waiting.filter(({ test, resolve }) => !test(line) || resolve(line));
    });
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code) => resolve({ code: code ?? -1, out: this.#out, err: this.#err }));
    });
  }

  /** The first line of standard output that passes; rejects when the process ends without it. */
  line(test: (line: string) => boolean): Promise<string> {
    const there = this.#lines.find(test);
    if (there !== undefined) return Promise.resolve(there);
    return Promise.race([
      new Promise<string>((resolve) => this.#waiting.push({ test, resolve })),
      this.ended.then((result) => {
        throw new Error(`it ended with ${result.code} before that line:\n${result.out}\n${result.err}`);
      }),
    ]);
  }

  /** The next event of `up --json` of a name. */
  async event<Fields>(name: string): Promise<Fields> {
    return JSON.parse(await this.line((line) => line.startsWith(`{"event":"${name}"`))) as Fields;
  }

  signal(name: NodeJS.Signals): Promise<Result> {
    this.child.kill(name);
    return this.ended;
  }
}

export const start = (...args: string[]): Running => new Running(args);
export const run = (...args: string[]): Promise<Result> => new Running(args).ended;

/** A simulator process with a city small enough to train in a moment; its sources' addresses. */
export async function startSimulator(
  parametersFile: string,
  clock: string,
): Promise<{ sources: Record<string, string>; stop(): Promise<void> }> {
  const child = spawn(process.execPath, [simulator, "--parameters", parametersFile, "--clock", clock], {
    stdio: ["ignore", "pipe", "inherit"],
    env: environment(),
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const first = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    ended.then(() => reject(new Error("the simulator did not start")));
  });
  const told = JSON.parse(first) as Record<string, unknown>;
  return {
    sources: (told["sources"] ?? told) as Record<string, string>,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Hourly counts with days, weeks and noise; the same for the same counters and hours. */
export function* madeCounts(
  counters: number,
  fromMs: number,
  hours: number,
): Generator<{ counter: number; at: number; count: number }> {
  let state = 12345;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let counter = 1; counter <= counters; counter++) {
    for (let i = 0; i < hours; i++) {
      const at = fromMs + i * 3_600_000;
      const date = new Date(at);
      const weekend = date.getUTCDay() % 6 === 0 ? 0.6 : 1;
      const day = 1 + Math.sin(((date.getUTCHours() - 6) / 24) * 2 * Math.PI);
      yield { counter, at, count: Math.round(100 * counter * weekend * day * (0.8 + 0.4 * noise())) };
    }
  }
}
