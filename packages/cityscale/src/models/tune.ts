import { scores, type Trial, tune } from "@cityscale/forecast";
import type { Connection } from "../lake/index.ts";
import { fitForecaster, predict } from "./forecaster.ts";
import { fullEffort } from "./kinds.ts";
import { calibrationStart } from "./origins.ts";
import { type PeriodOptions, preparePeriod, scoredSetOf, trainingSetOf } from "./period.ts";

/** What is searched: all that a target's `training` says of its trees. */
const space = {
  trees: { kind: "int", low: 60, high: 600, log: true },
  leaves: { kind: "int", low: 15, high: 127, log: true },
  learningRate: { kind: "float", low: 0.03, high: 0.15, log: true },
} as const;

/** Rows of a trial: its order among the others is that of more rows. */
const rowsOfTrial = 200_000;

export interface TuneOptions extends PeriodOptions {
  readonly trials: number;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onTrial?: (trial: TreeTrial) => void;
}
export type TreeTrial = Trial<typeof space>;

export interface TuneResult {
  /** What `value` is: WAPE where absolute errors count, RMSLE where relative ones do. */
  readonly loss: "wape" | "rmsle";
  readonly best: TreeTrial;
  readonly trials: readonly TreeTrial[];
  /** The loss of what the target declares now, on the same rows. */
  readonly declared: number | null;
  readonly trainingRows: number;
  readonly rows: number;
}

/**
 * Searches for the trees with the smallest loss on a period, trained on what was known before it.
 * Throws DATA_MISSING, ENTITY_UNKNOWN, REQUEST_INVALID as a backtest does.
 */
export async function tuneTrees(connection: Connection, options: TuneOptions): Promise<TuneResult> {
  const { target, threads } = options;
  const period = await preparePeriod(connection, options);
  const cut = period.origins.at[0]!;
  const effort = { ...fullEffort, maxRows: rowsOfTrial };
  const { set, origins } = await trainingSetOf(connection, period, options, cut, effort);
  const scored = await scoredSetOf(connection, period, options, period.origins);
  const rows = scored.target.map((y, i) => (scored.dead[i] === 1 ? Number.NaN : y));
  const loss = target.errors === "relative" ? "rmsle" : "wape";
  const lossOf = async (params: Pick<TreeTrial["params"], "trees" | "leaves" | "learningRate">) => {
    const model = await fitForecaster(set, {
      target,
      kind: "trees",
      effort: { ...effort, ...params },
      originAt: origins.at,
      calibrateFrom: calibrationStart(origins, cut, 0),
      intervals: false,
      threads,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return scores[loss](rows, predict(model, scored).point);
  };
  const declared = await lossOf(target.training);
  const { best, trials } = await tune(async (params) => (await lossOf(params)) ?? Number.NaN, space, {
    trials: options.trials,
    seed: target.training.seed,
    pruner: null,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onTrial ? { onTrial: options.onTrial } : {}),
  });
  const known = rows.reduce((sum, y) => sum + (Number.isNaN(y) ? 0 : 1), 0);
  return { loss, best, trials, declared, trainingRows: set.rows, rows: known };
}
