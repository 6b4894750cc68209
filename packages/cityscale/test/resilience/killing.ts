import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Simulator, startSimulatorWorker } from "@cityscale/simulator";
import type { AppOrder, Stage } from "./app-process.ts";
import type { KilledCity } from "./killed-cities.ts";
import { hourMs } from "./small-city.ts";

/** Real milliseconds by which the clock of a killed process is ahead of the simulator's. */
const aheadRealMs = 20;

/** What a kill was aimed at; `trainer` is the training process alone, `anywhere` any moment of the process's life. */
export type Aim = Stage | "trainer" | "anywhere";

export interface Kill {
  readonly aim: Aim;
  /** Stages that had begun and not ended, outermost first; empty = between stages. */
  readonly struck: readonly string[];
  /** Milliseconds after the stage (or the process) began at which the kill was to come. */
  readonly plannedMs: number;
  /** What the process said of jobs that failed by themselves, with the training process for one. */
  readonly said: readonly string[];
}

/** Typical durations until the first one is seen, ms. */
const guesses: Record<Stage, number> = {
  open: 200,
  append: 20,
  merge: 100,
  export: 80,
  training: 1200,
  artifact: 20,
  version: 3,
  promotion: 3,
  batch: 300,
  profiles: 800,
  outcomes: 30,
  retention: 60,
};

const entry = fileURLToPath(new URL("./app-process.ts", import.meta.url));

/**
 * A generated city served from this process, and real processes of the platform that are killed one after the
 * other on one data folder. Time runs on while they are dead.
 */
export class Killing {
  readonly home: string;
  readonly simulator: Simulator;
  readonly #city: KilledCity;
  readonly #clock: Float64Array;
  readonly #ticker: NodeJS.Timeout;
  readonly #folder: string;
  readonly #random: () => number;
  /** Marks our processes, and theirs, among all those of the machine. */
  readonly #mark: string;
  readonly #typical = new Map<Stage, number>();

  private constructor(
    folder: string,
    city: KilledCity,
    simulator: Simulator,
    clock: Float64Array,
    random: () => number,
  ) {
    this.#city = city;
    this.#folder = folder;
    this.home = join(folder, "home");
    this.simulator = simulator;
    this.#clock = clock;
    this.#random = random;
    this.#mark = `resilience-${process.pid}-${Date.now()}`;
    let before = performance.now();
    this.#ticker = setInterval(() => {
      const now = performance.now();
      clock[0]! += (now - before) * city.speed;
      before = now;
    }, 5);
  }

  /** @param folder an empty folder; @param seed decides the city and every moment */
  static async open(folder: string, city: KilledCity, seed: number): Promise<Killing> {
    const buffer = new SharedArrayBuffer(8);
    const clock = new Float64Array(buffer);
    clock[0] = city.start;
    const simulator = await startSimulatorWorker({
      clock: { kind: "shared", buffer },
      city: city.generated,
      seed,
    });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "city.json"), JSON.stringify(city.declaration));
    return new Killing(folder, city, simulator, clock, mulberry(seed));
  }

  /** Virtual instant now, ms UTC. */
  get now(): number {
    return this.#clock[0]!;
  }

  get address(): string {
    return Object.values(this.simulator.sources)[0]!;
  }

  /** Starts a process, kills it (or its training) as aimed, and waits until it is gone. */
  async kill(aim: Aim): Promise<Kill> {
    const staged = this.#city.stages.find((stage) => stage === aim);
    // Written once a week otherwise.
    if (aim === "profiles") rmSync(join(this.home, "profiles"), { recursive: true, force: true });
    const typical = staged ? (this.#typical.get(staged) ?? guesses[staged]) : 0;
    const nth = staged === "append" ? 1 + Math.floor(this.#random() * 6) : 1;
    const plannedMs = this.#random() * (aim === "anywhere" ? 7000 : aim === "trainer" ? 800 : typical);
    const { speed } = this.#city;
    const started = this.#start({
      speed,
      loops: 0,
      kill: staged ? { stage: staged, nth, delayMs: plannedMs } : null,
    });
    if (aim === "anywhere") setTimeout(() => started.child.kill("SIGKILL"), plannedMs);
    if (aim === "trainer") {
      await started.until((line) => line.endsWith("> training"));
      await wait(plannedMs);
      for (const pid of this.#processes(started.child.pid!)) process.kill(pid, "SIGKILL");
      await started.until((line) => /(?:again|failed) model: TRAINING_FAILED|< training/.test(line));
      started.child.kill("SIGKILL");
    }
    const lines = await started.gone;
    return { aim, plannedMs, ...this.#read(lines) };
  }

  /** A loop of a process that may write no file longer than this, as on a full disk; what it said. */
  async starve(kilobytes: number): Promise<readonly string[]> {
    const started = this.#start({ speed: this.#city.speed, loops: 1, kill: null }, kilobytes);
    const timer = setTimeout(() => started.child.kill("SIGKILL"), 20_000);
    const lines = await started.gone;
    clearTimeout(timer);
    return lines;
  }

  /** Lets a process come to the end of a whole loop, at an instant that stands still; throws what it failed of. */
  async finish(): Promise<readonly string[]> {
    clearInterval(this.#ticker);
    // Whatever waits for its next attempt is due.
    this.#clock[0]! += hourMs;
    const started = this.#start({ speed: 0, loops: 1, kill: null });
    const lines = await started.gone;
    if (
      !lines.some((line) => line.endsWith("loop whole")) ||
      !lines.some((line) => line.endsWith("stopped"))
    ) {
      throw new Error(`the last process did not come to its end:\n${lines.join("\n")}\n${started.errors()}`);
    }
    return lines;
  }

  /** Processes that outlived the one that started them, after giving them a moment to notice. */
  async orphans(): Promise<number[]> {
    for (let i = 0; i < 100 && this.#processes().length > 0; i++) await wait(50);
    return this.#processes();
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker);
    for (const pid of this.#processes()) process.kill(pid, "SIGKILL");
    await this.simulator.close();
  }

  #start(order: Pick<AppOrder, "speed" | "loops" | "kill">, kilobytes: number | null = null) {
    const full: AppOrder = {
      ...order,
      home: this.home,
      city: join(this.#folder, "city.json"),
      sources: Object.fromEntries(this.#city.sources.map((name) => [name, this.address])),
      // The publisher's clock ticks; a process whose own were behind it would be told of the future.
      now: this.now + aheadRealMs * order.speed,
      at: Date.now(),
    };
    const limited = kilobytes === null ? [] : ["bash", "-c", 'ulimit -f "$0"; exec "$@"', String(kilobytes)];
    const command = [...limited, process.execPath, entry, JSON.stringify(full)];
    const child: ChildProcess = spawn(command[0]!, command.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      // A process is started again and again: its sources need not be compiled each time.
      env: {
        ...process.env,
        RESILIENCE_MARK: this.#mark,
        NODE_COMPILE_CACHE: join(this.#folder, "compiled"),
      },
    });
    const lines: string[] = [];
    const listeners = new Set<() => void>();
    createInterface(child.stdout!).on("line", (line) => {
      lines.push(line);
      for (const listener of listeners) listener();
    });
    let errors = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-8000);
    });
    let over = false;
    const gone = new Promise<string[]>((resolve) => {
      child.once("close", () => {
        over = true;
        for (const listener of listeners) listener();
        resolve(lines);
      });
    });
    const until = (wanted: (line: string) => boolean) =>
      new Promise<void>((resolve, reject) => {
        const look = () => {
          if (lines.some(wanted)) resolve();
          else if (over) reject(new Error(`a process ended too early:\n${lines.join("\n")}\n${errors}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      });
    return { child, gone, until, errors: () => errors };
  }

  /** Our living processes, without the given one. */
  #processes(except?: number): number[] {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => {
        if (!Number.isInteger(pid) || pid === except) return false;
        try {
          return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`RESILIENCE_MARK=${this.#mark}`);
        } catch {
          return false; // Gone, or somebody else's.
        }
      });
  }

  /** Which stages were under way when the lines end, and how long stages take. */
  #read(lines: readonly string[]): Pick<Kill, "struck" | "said"> {
    const open = new Map<string, number>();
    const said: string[] = [];
    for (const line of lines) {
      const match = /^([\d.]+) (?:([<>]) (\w+)|(.*))$/.exec(line);
      if (!match) continue;
      const at = Number(match[1]);
      const stage = match[3];
      if (match[2] === ">") open.set(stage!, at);
      else if (match[2] === "<") {
        const began = open.get(stage!);
        if (began !== undefined) this.#typical.set(stage as Stage, at - began);
        open.delete(stage!);
      } else said.push(match[4]!);
    }
    return { struck: [...open.keys()], said };
  }
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Numbers in [0, 1), the same for the same seed. */
function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
