import { Booster } from "./booster.ts";
import { Dataset } from "./dataset.ts";
import { check } from "./errors.ts";
import { Model } from "./model.ts";
import type { FeatureInfo } from "./model-data.ts";
import { type Prepared, prepare, type TrainInput, type TrainOptions } from "./prepare.ts";
import { Team } from "./team.ts";
import type { Tree } from "./tree.ts";
import type { Params } from "./types.ts";

/**
 * Trains on the calling thread.
 * @throws TreesError on wrong shapes, labels or parameters
 */
export function trainSync(input: TrainInput, params: Params, options: TrainOptions = {}): Model {
  const prepared = prepare(input, params, options, 1, false);
  const booster = new Booster(prepared.plan, prepared.memory, new Team(0, 1, prepared.memory.control));
  let more = prepared.plan.params.numIterations > 0;
  while (more) {
    options.signal?.throwIfAborted();
    more = booster.step();
    report(booster, prepared, options);
  }
  return finish(booster, prepared);
}

/** Below this many (rows x columns x rounds) a training is over before workers have started. */
const smallWork = 2e7;

/**
 * Trains without blocking the caller for long: in Node on `numThreads` worker threads, elsewhere (and where the
 * objective or metric is a function, or the work is small) on the calling thread with pauses. The model is the
 * same either way.
 * @throws TreesError on wrong shapes, labels or parameters; the signal's reason when aborted
 */
export async function train(input: TrainInput, params: Params, options: TrainOptions = {}): Promise<Model> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { dataset } = input;
  check(dataset instanceof Dataset, "dataset must be a Dataset");
  const work = dataset.rows * dataset.columns * (params.numIterations ?? 100);
  const inNode = (globalThis as { readonly process?: { versions?: { node?: string } } }).process?.versions
    ?.node;
  const own = typeof params.objective === "function" || typeof options.metric === "object";
  if (inNode && !own && work >= smallWork) {
    const { defaultThreads, runWorkers } = await import("./workers.ts");
    const size = checkThreads(params.numThreads) ?? defaultThreads();
    const prepared = prepare(input, params, options, size, true);
    const of = prepared.plan.params.numIterations;
    const trained = await runWorkers(prepared.plan, prepared.memory, size, signal, (iteration, metric) => {
      options.onProgress?.({ iteration, of, ...(metric === undefined ? {} : { metric }) });
    });
    return finish(trained, prepared);
  }
  const prepared = prepare(input, params, options, 1, false);
  const booster = new Booster(prepared.plan, prepared.memory, new Team(0, 1, prepared.memory.control));
  let more = prepared.plan.params.numIterations > 0;
  let last = performance.now();
  while (more) {
    signal?.throwIfAborted();
    more = booster.step();
    report(booster, prepared, options);
    if (performance.now() - last < 20) continue;
    // A turn of the event loop: timers, requests and abort signals come through.
    await new Promise((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  }
  return finish(booster, prepared);
}

function checkThreads(threads: number | undefined): number | undefined {
  check(
    threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= 64),
    `numThreads must be a whole number from 1 to 64, got ${threads}`,
  );
  return threads;
}

function report(booster: Booster, prepared: Prepared, options: TrainOptions): void {
  options.onProgress?.({
    iteration: booster.iteration,
    of: prepared.plan.params.numIterations,
    ...(booster.lastMetric === undefined ? {} : { metric: booster.lastMetric }),
  });
}

function finish(
  trained: { readonly trees: readonly Tree[]; readonly bestIteration: number },
  { plan, initTrees, dataset }: Prepared,
): Model {
  const { params } = plan;
  const stopped =
    plan.earlyStoppingRounds > 0
      ? trained.trees.slice(0, trained.bestIteration * params.numClass)
      : trained.trees;
  return new Model({
    featureNames: dataset.names,
    features: dataset.mappers.map(
      (m): FeatureInfo =>
        m.categorical
          ? { kind: "category", categories: [...m.categories] }
          : m.bins > 1 || m.hasMissing
            ? { kind: "number", min: m.min, max: m.max }
            : { kind: "unused" },
    ),
    objective: params.objective,
    objectiveParams:
      params.objective === "quantile" || params.objective === "huber"
        ? { alpha: params.alpha }
        : params.objective === "tweedie"
          ? { tweedieVariancePower: params.tweedieVariancePower }
          : {},
    outputs: params.numClass,
    base: plan.base,
    trees: [...initTrees, ...stopped],
    average: params.randomForest,
    float32: false,
  });
}
