import type { BoostPlan } from "./booster.ts";
import { Dataset } from "./dataset.ts";
import { check } from "./errors.ts";
import { planMemory, type TrainingMemory } from "./memory.ts";
import { defaultMetric, makeMetric } from "./metrics.ts";
import type { Model } from "./model.ts";
import { makeObjective } from "./objectives.ts";
import { customObjective, type ResolvedParams, resolveParams } from "./params.ts";
import { quantile, weightedQuantile } from "./quantiles.ts";
import { binRoute, routeRow } from "./route.ts";
import type { Tree } from "./tree.ts";
import type { Column, CustomMetric, MetricName, Params, Values } from "./types.ts";
import { wasmApi } from "./wasm-api.ts";

export interface TrainInput {
  readonly dataset: Dataset;
  /** One per row; for classes 0 .. numClass-1. */
  readonly label: Values;
  /** One per row, not negative. */
  readonly weight?: Values;
  /** Raw scores to start from, rows x outputs; not part of the model. */
  readonly initScore?: Values;
}

export interface Validation {
  /** Made with `reference` set to the training dataset; or give `columns`. */
  readonly dataset?: Dataset;
  readonly columns?: readonly Column[];
  readonly label: Values;
  readonly weight?: Values;
  readonly initScore?: Values;
}

export interface TrainOptions {
  readonly validation?: Validation;
  /** Stop when the metric has not improved for this many rounds; the model then ends at its best round. */
  readonly earlyStoppingRounds?: number;
  /** Default: the objective's own. A function makes the training single-threaded. */
  readonly metric?: MetricName | CustomMetric;
  readonly signal?: AbortSignal;
  readonly onProgress?: (p: { iteration: number; of: number; metric?: number }) => void;
  /** A model to add rounds to, trained on a dataset with the same bins. */
  readonly initModel?: Model;
}

/** A checked training, ready to run in one thread or several. */
export interface Prepared {
  readonly plan: BoostPlan;
  readonly memory: TrainingMemory;
  readonly initTrees: readonly Tree[];
  readonly dataset: Dataset;
}

/** Checks what the caller gave and lays out the training's memory. */
export function prepare(
  input: TrainInput,
  given: Params,
  options: TrainOptions,
  workers: number,
  shared: boolean,
): Prepared {
  const { dataset } = input;
  check(dataset instanceof Dataset, "dataset must be a Dataset");
  const params = resolveParams(given, dataset.columns);
  const label = checkValues(input.label, dataset.rows, "label");
  const weight = input.weight && checkWeights(input.weight, dataset.rows, "weight");
  const objective = makeObjective(params);
  checkLabels(params, label);
  const { initModel, validation } = options;
  const metric = options.metric ?? defaultMetric(params.objective);
  if (typeof metric === "string") makeMetric(metric, params);
  const rounds = options.earlyStoppingRounds ?? 0;
  check(Number.isInteger(rounds) && rounds >= 0, `earlyStoppingRounds must be a whole number, got ${rounds}`);
  check(rounds === 0 || validation !== undefined, "early stopping needs a validation set");
  check(dataset.rows <= 2 ** 24, `at most ${2 ** 24} rows can be trained on, got ${dataset.rows}`);
  if (initModel) checkInitModel(initModel, params, dataset);
  const base = initModel
    ? initModel.data.base
    : startScores(params, label, weight, input.initScore !== undefined);
  const valid = validation && prepareValidation(validation, dataset, params);
  const memory = planMemory({
    data: dataset.parts(),
    params,
    label,
    weight,
    validation: valid,
    workers,
    shared,
    constantHessian:
      params.objective !== "custom" && params.numClass === 1 && objective.constantHessian && !weight,
    renewsQuantile: objective.renewQuantile !== undefined,
    plainKernels: wasmApi === undefined,
  });
  const initTrees = initModel?.data.trees ?? [];
  startFrom(memory.scores, dataset, base, initTrees, input.initScore, "initScore");
  if (memory.validation && valid) {
    startFrom(
      memory.validation.scores,
      valid.dataset,
      base,
      initTrees,
      validation?.initScore,
      "validation.initScore",
    );
  }
  const plan: BoostPlan = {
    params,
    base,
    startIteration: initModel?.iterations ?? 0,
    earlyStoppingRounds: rounds,
    metric: typeof metric === "string" ? metric : "l2",
    customObjective: customObjective(given),
    customMetric: typeof metric === "string" ? undefined : metric,
  };
  return { plan, memory, initTrees, dataset };
}

function prepareValidation(validation: Validation, dataset: Dataset, params: ResolvedParams) {
  check(
    (validation.dataset === undefined) !== (validation.columns === undefined),
    "validation must have either a dataset or columns",
  );
  const own = validation.dataset ?? Dataset.fromColumns(validation.columns ?? [], { reference: dataset });
  check(
    own.mappers === dataset.mappers,
    "the validation dataset must be made with the training dataset as its reference",
  );
  const label = checkValues(validation.label, own.rows, "validation.label");
  checkLabels(params, label);
  const weight = validation.weight && checkWeights(validation.weight, own.rows, "validation.weight");
  return { dataset: own, data: own.parts(), label, weight };
}

function checkValues(values: Values, rows: number, what: string): Float64Array {
  check(
    values instanceof Float32Array || values instanceof Float64Array,
    `${what} must be a Float32Array or Float64Array`,
  );
  check(values.length === rows, `${what} has ${values.length} numbers for ${rows} rows`);
  for (let i = 0; i < values.length; i++) {
    check(Number.isFinite(values[i]), `${what} ${i} is ${values[i]}: it must be a finite number`);
  }
  return values instanceof Float64Array ? values : Float64Array.from(values);
}

function checkWeights(values: Values, rows: number, what: string): Float64Array {
  const weights = checkValues(values, rows, what);
  for (let i = 0; i < rows; i++)
    check(weights[i]! >= 0, `${what} ${i} is ${weights[i]}: it must not be negative`);
  return weights;
}

function checkLabels(params: ResolvedParams, label: Float64Array): void {
  if (params.objective === "multiclass") {
    for (let i = 0; i < label.length; i++) {
      const y = label[i]!;
      check(
        Number.isInteger(y) && y >= 0 && y < params.numClass,
        `label ${i} is ${y}: it must be a class from 0 to ${params.numClass - 1}`,
      );
    }
  } else makeObjective(params).checkLabels(label);
}

/** The constants that fit the labels best, in raw scores. */
function startScores(
  params: ResolvedParams,
  label: Float64Array,
  weight: Float64Array | undefined,
  hasInitScore: boolean,
): number[] {
  const zeros = new Array<number>(params.numClass).fill(0);
  if (!params.boostFromAverage || hasInitScore || params.objective === "custom") return zeros;
  let total = 0;
  for (let i = 0; i < label.length; i++) total += weight ? weight[i]! : 1;
  if (!(total > 0)) return zeros;
  const share = (f: (y: number) => number): number => {
    let sum = 0;
    let parts = 0;
    for (let i = 0; i < label.length; i++) {
      const v = f(label[i]!) * (weight ? weight[i]! : 1);
      sum += v;
      parts += v / total;
    }
    // The sum of huge labels may overflow where the mean does not.
    return Number.isFinite(sum) ? sum / total : parts;
  };
  if (params.objective === "multiclass") {
    return zeros.map((_, k) =>
      Math.log(
        Math.max(
          1e-15,
          share((y) => (y === k ? 1 : 0)),
        ),
      ),
    );
  }
  switch (makeObjective(params).start) {
    case "mean":
      return [share((y) => y)];
    case "logMean":
      return [
        Math.log(
          Math.max(
            1e-300,
            share((y) => y),
          ),
        ),
      ];
    case "logit": {
      const p = Math.min(
        1 - 1e-15,
        Math.max(
          1e-15,
          share((y) => y),
        ),
      );
      return [Math.log(p / (1 - p))];
    }
    case "quantile": {
      const alpha = makeObjective(params).renewQuantile ?? 0.5;
      return [
        weight
          ? weightedQuantile(label.slice(), weight.slice(), 0, label.length, alpha)
          : quantile(label.slice(), 0, label.length, alpha),
      ];
    }
  }
}

function checkInitModel(model: Model, params: ResolvedParams, dataset: Dataset): void {
  check(
    model.objective === params.objective && model.outputs === params.numClass,
    `initModel has objective "${model.objective}", not "${params.objective}" with ${params.numClass} outputs`,
  );
  check(
    model.data.average === params.randomForest,
    "initModel and boosting must both be a forest, or neither",
  );
  check(
    model.featureNames.length === dataset.columns,
    `initModel has ${model.featureNames.length} columns, the dataset ${dataset.columns}`,
  );
}

/** Raw scores before the first round: the base, what the caller gave, and the trees of the continued model. */
function startFrom(
  scores: Float64Array,
  dataset: Dataset,
  base: readonly number[],
  trees: readonly Tree[],
  initScore: Values | undefined,
  what: string,
): void {
  const k = base.length;
  for (let i = 0; i < scores.length; i++) scores[i] = base[i % k]!;
  if (initScore) {
    const given = checkValues(initScore, scores.length, what);
    for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! + given[i]!;
  }
  const data = dataset.parts();
  trees.forEach((tree, t) => {
    const route = binRoute(tree, dataset);
    for (let row = 0; row < dataset.rows; row++) {
      const at = row * k + (t % k);
      scores[at] = scores[at]! + tree.leafValue[routeRow(route, data, row)]!;
    }
  });
}
