import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { classical } from "@cityscale/forecast";

/** Model kinds that take a series and not rows of features. */
export const seriesKinds = ["prophet", "ets", "mstl"] as const;

/** One series to be fitted by every kind; plain data. */
export interface SeriesTask {
  readonly series: classical.Series;
  /** Steps ahead. */
  readonly horizon: number;
  /** Steps of each season, shortest first. */
  readonly periods: readonly number[];
  readonly seed: number;
}

/** Point forecasts, and the central 80 % interval. */
export type SeriesForecasts = classical.SeriesForecast;

export interface SeriesAnswer {
  /** In the order of `seriesKinds`; null where the kind cannot be fitted to the series. */
  readonly forecasts: readonly (SeriesForecasts | null)[];
  /** Unknown values that were interpolated for the kinds that know no gaps. */
  readonly filled: number;
}

/** Threads that fit series; they end when it is disposed of. */
export class SeriesWorkers implements AsyncDisposable {
  readonly #workers: readonly Worker[];

  constructor(threads: number) {
    this.#workers = Array.from(
      { length: threads },
      () => new Worker(new URL("./series-worker.ts", import.meta.url), { execArgv: [] }),
    );
  }

  /** Answers in the order of the tasks. Throws the signal's reason, or what a worker threw; it is of no use then. */
  async forecast(
    tasks: readonly SeriesTask[],
    options: { signal?: AbortSignal; onDone?: () => void } = {},
  ): Promise<SeriesAnswer[]> {
    const { signal, onDone } = options;
    const answers = new Array<SeriesAnswer>(tasks.length);
    let next = 0;
    const work = async (worker: Worker) => {
      while (next < tasks.length) {
        const i = next++;
        const answered = once(worker, "message", signal ? { signal } : {});
        worker.postMessage(tasks[i]);
        answers[i] = (await answered)[0] as SeriesAnswer;
        onDone?.();
      }
    };
    try {
      await Promise.all(this.#workers.map(work));
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
    return answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
