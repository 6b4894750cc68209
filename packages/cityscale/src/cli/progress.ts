import type { Io } from "./io.ts";
import { clip, seconds } from "./table.ts";

const lineEveryMs = 2000;
const redrawEveryMs = 100;

interface Stage {
  readonly label: string;
  readonly startedAt: number;
  printedAt: number;
  text: string;
}

/**
 * Progress of stages for whoever watches: on a terminal one line each, rewritten in place; elsewhere (a log, CI)
 * a plain line at most every two seconds, and one when the stage is over with its seconds.
 */
export class Progress {
  readonly #io: Io;
  readonly #now: () => number;
  readonly #stages = new Map<string, Stage>();
  #drawn = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(io: Io, now: () => number = () => performance.now()) {
    this.#io = io;
    this.#now = now;
  }

  /** Begins the stage when it is new. `share` is 0 to 1; null where nobody knows. */
  update(key: string, label: string, share: number | null, message: string | null): void {
    const now = this.#now();
    let stage = this.#stages.get(key);
    const isNew = stage === undefined;
    if (!stage) {
      stage = { label, startedAt: now, printedAt: now, text: "" };
      this.#stages.set(key, stage);
    }
    stage.text =
      `${label.padEnd(34)} ${(share === null ? "" : `${Math.floor(100 * share)} %`).padStart(5)}  ${message ?? ""}`.trimEnd();
    if (this.#io.live) {
      if (isNew || now - this.#drawnAt >= redrawEveryMs) this.#draw();
    } else if (now - stage.printedAt >= lineEveryMs) {
      stage.printedAt = now;
      this.#io.err(`  ${stage.text}\n`);
    }
  }

  /** Ends the stage with a lasting line; returns its milliseconds (0 for one that never began). */
  finish(key: string, label: string, outcome: string): number {
    const stage = this.#stages.get(key);
    const took = stage ? this.#now() - stage.startedAt : 0;
    this.#stages.delete(key);
    this.print(`  ${label.padEnd(34)} ${seconds(took).padStart(7)}  ${outcome}`.trimEnd());
    return took;
  }

  /** A lasting line above those that are rewritten. */
  print(text: string): void {
    this.#erase();
    this.#io.err(`${text}\n`);
    if (this.#io.live) this.#draw();
  }

  /** Forgets what is under way; nothing is rewritten any more. */
  close(): void {
    this.#erase();
    this.#stages.clear();
  }

  #erase(): void {
    if (this.#drawn > 0) this.#io.err(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  #draw(): void {
    this.#erase();
    for (const stage of this.#stages.values()) this.#io.err(`  ${clip(stage.text, this.#io.columns - 3)}\n`);
    this.#drawn = this.#stages.size;
    this.#drawnAt = this.#now();
  }
}
