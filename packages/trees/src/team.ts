/** Thrown inside a training whose abort word was set. */
export class Aborted extends Error {
  override readonly name = "Aborted";
}

/** Words of the control block that workers share. */
export const control = { arrived: 0, generation: 1, abort: 2, size: 4 } as const;

/** Ends a team's work: every member's next barrier, and the one it waits at, throws `Aborted`. */
export function abortTeam(words: Int32Array): void {
  Atomics.store(words, control.abort, 1);
  // A worker on its way to sleep finds another generation than it wants to wait on.
  Atomics.add(words, control.generation, 1);
  Atomics.notify(words, control.generation);
}

/**
 * The workers of one training. All run the same program on their own share of the rows and columns and meet at
 * barriers; there is no coordinator. A team of one never waits.
 */
export class Team {
  readonly index: number;
  readonly size: number;
  readonly #control: Int32Array;

  constructor(index: number, size: number, words: Int32Array) {
    this.index = index;
    this.size = size;
    this.#control = words;
  }

  /**
   * Waits for all others. Spins first, because most waits are shorter than a sleep and a wake.
   * @throws Aborted when the abort word is set, also while waiting for a worker that died
   */
  barrier(): void {
    const words = this.#control;
    if (this.size > 1) {
      const generation = Atomics.load(words, control.generation);
      if (Atomics.add(words, control.arrived, 1) === this.size - 1) {
        Atomics.store(words, control.arrived, 0);
        Atomics.add(words, control.generation, 1);
        Atomics.notify(words, control.generation);
      } else {
        for (let spins = 0; Atomics.load(words, control.generation) === generation; spins++) {
          if (spins < 10_000) continue;
          Atomics.wait(words, control.generation, generation, 1000);
          if (Atomics.load(words, control.abort) !== 0) break;
        }
      }
    }
    if (Atomics.load(words, control.abort) !== 0) throw new Aborted("training was aborted");
  }
}
