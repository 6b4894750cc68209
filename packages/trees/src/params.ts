import { check } from "./errors.ts";
import type { CustomObjective, ObjectiveName, Params } from "./types.ts";

/** Parameters with every default filled in: plain data, sent to workers. */
export interface ResolvedParams {
  readonly objective: ObjectiveName | "custom";
  readonly alpha: number;
  readonly tweedieVariancePower: number;
  readonly poissonMaxDeltaStep: number;
  readonly numClass: number;
  readonly randomForest: boolean;
  readonly numIterations: number;
  readonly learningRate: number;
  readonly numLeaves: number;
  readonly maxDepth: number;
  readonly minDataInLeaf: number;
  readonly minSumHessianInLeaf: number;
  readonly lambdaL1: number;
  readonly lambdaL2: number;
  readonly minGainToSplit: number;
  readonly featureFraction: number;
  readonly featureFractionByNode: number;
  readonly baggingFraction: number;
  readonly baggingFreq: number;
  readonly catSmooth: number;
  readonly catL2: number;
  readonly minDataPerGroup: number;
  readonly maxCatThreshold: number;
  readonly maxCatToOnehot: number;
  readonly monotoneConstraints: readonly number[] | undefined;
  readonly extraTrees: boolean;
  readonly boostFromAverage: boolean;
  readonly seed: number;
}

const objectives: ReadonlySet<string> = new Set([
  "l2",
  "l1",
  "huber",
  "quantile",
  "poisson",
  "gamma",
  "tweedie",
  "binary",
  "multiclass",
]);

/** Fills in LightGBM's defaults and checks every range. */
export function resolveParams(params: Params, columns: number): ResolvedParams {
  const number = (name: keyof Params, fallback: number, min: number, max: number, whole = false): number => {
    const value = params[name] ?? fallback;
    check(
      typeof value === "number" && value >= min && value <= max && (!whole || Number.isInteger(value)),
      `${name} must be ${whole ? "a whole number" : "a number"} from ${min} to ${max}, got ${String(value)}`,
    );
    return value;
  };
  const objective = params.objective ?? "l2";
  check(
    typeof objective === "function" || objectives.has(objective),
    `objective must be one of ${[...objectives].join(", ")} or a function, got ${String(objective)}`,
  );
  const known = new Set<string>(knownParams);
  for (const name of Object.keys(params)) check(known.has(name), `there is no parameter "${name}"`);
  const multiclass = objective === "multiclass";
  const quantile = objective === "quantile";
  const randomForest = params.boosting === "rf";
  check(
    params.boosting === undefined || params.boosting === "gbdt" || randomForest,
    `boosting must be "gbdt" or "rf", got ${String(params.boosting)}`,
  );
  const monotone = params.monotoneConstraints;
  check(
    monotone === undefined ||
      (monotone.length === columns && monotone.every((m) => m === 0 || m === 1 || m === -1)),
    `monotoneConstraints must have one of -1, 0, 1 for each of the ${columns} columns`,
  );
  const baggingFraction = number("baggingFraction", 1, 1e-6, 1);
  const baggingFreq = number("baggingFreq", 0, 0, 1e9, true);
  check(
    !randomForest || (baggingFraction < 1 && baggingFreq > 0),
    'boosting "rf" needs baggingFraction below 1 and baggingFreq above 0',
  );
  return {
    objective: typeof objective === "function" ? "custom" : objective,
    alpha: number("alpha", 0.9, quantile ? 1e-9 : 0, quantile ? 1 - 1e-9 : 1e308),
    tweedieVariancePower: number("tweedieVariancePower", 1.5, 1, 2 - 1e-9),
    poissonMaxDeltaStep: number("poissonMaxDeltaStep", 0.7, 0, 100),
    numClass: multiclass ? number("numClass", 0, 2, 1000, true) : number("numClass", 1, 1, 1, true),
    randomForest,
    numIterations: number("numIterations", 100, 0, 1e6, true),
    learningRate: randomForest ? 1 : number("learningRate", 0.1, 1e-12, 1e6),
    numLeaves: number("numLeaves", 31, 2, 32768, true),
    maxDepth: Math.max(0, number("maxDepth", -1, -1, 1e6, true)),
    minDataInLeaf: number("minDataInLeaf", 20, 0, 1e12),
    minSumHessianInLeaf: number("minSumHessianInLeaf", 1e-3, 0, 1e300),
    lambdaL1: number("lambdaL1", 0, 0, 1e300),
    lambdaL2: number("lambdaL2", 0, 0, 1e300),
    minGainToSplit: number("minGainToSplit", 0, 0, 1e300),
    featureFraction: number("featureFraction", 1, 1e-6, 1),
    featureFractionByNode: number("featureFractionByNode", 1, 1e-6, 1),
    baggingFraction,
    baggingFreq,
    catSmooth: number("catSmooth", 10, 0, 1e300),
    catL2: number("catL2", 10, 0, 1e300),
    minDataPerGroup: number("minDataPerGroup", 100, 1, 1e12),
    maxCatThreshold: number("maxCatThreshold", 32, 1, 256, true),
    maxCatToOnehot: number("maxCatToOnehot", 4, 1, 256, true),
    monotoneConstraints: monotone?.some((m) => m !== 0) ? monotone : undefined,
    extraTrees: params.extraTrees ?? false,
    boostFromAverage: params.boostFromAverage ?? true,
    seed: number("seed", 0, -2147483648, 4294967295, true),
  };
}

/** The caller's own loss, where the objective is a function. */
export function customObjective(params: Params): CustomObjective | undefined {
  return typeof params.objective === "function" ? params.objective : undefined;
}

const knownParams: readonly (keyof Params)[] = [
  "objective",
  "alpha",
  "tweedieVariancePower",
  "poissonMaxDeltaStep",
  "numClass",
  "boosting",
  "numIterations",
  "learningRate",
  "numLeaves",
  "maxDepth",
  "minDataInLeaf",
  "minSumHessianInLeaf",
  "lambdaL1",
  "lambdaL2",
  "minGainToSplit",
  "featureFraction",
  "featureFractionByNode",
  "baggingFraction",
  "baggingFreq",
  "catSmooth",
  "catL2",
  "minDataPerGroup",
  "maxCatThreshold",
  "maxCatToOnehot",
  "monotoneConstraints",
  "extraTrees",
  "boostFromAverage",
  "seed",
  "numThreads",
];
