/** A turn of the event loop whenever work has held it for a while: requests and abort signals come through. */
const WORK_MS = 20;

export class Pauses {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** @throws the signal's reason when aborted */
  readonly pause = async (): Promise<void> => {
    this.#signal?.throwIfAborted();
    if (performance.now() - this.#last < WORK_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#signal?.throwIfAborted();
    this.#last = performance.now();
  };
}
