import type { NetworkProgress } from "./options.ts";

/** The first step is reported, then a few times a second, and the end. */
const EVERY_MS = 200;

/** Tells how far a training has come, as often as somebody may want to know. */
export class Reporter {
  readonly #tell: (progress: NetworkProgress) => void;
  #last = Number.NEGATIVE_INFINITY;

  constructor(tell: (progress: NetworkProgress) => void) {
    this.#tell = tell;
  }

  see({ done, of, loss }: NetworkProgress): void {
    const now = performance.now();
    if (done < of && now - this.#last < EVERY_MS) return;
    this.#last = now;
    this.#tell({ done, of, loss });
  }
}
