import { type BinaryForecaster, fitBinary, type HeldOut, type TreeParams } from "@cityscale/forecast";
import { CityScaleError } from "../../core/index.ts";
import type { LevelHistory, LevelTarget } from "../../features/index.ts";
import { type OnsetRows, type SampledRows, sampleRows } from "./sample.ts";

export interface StockOutTraining {
  /** Learns from origins in [from, until), ms UTC; nothing known after `until` is looked at. */
  readonly from: number;
  readonly until: number;
  /** Calibration map and alarm thresholds are chosen on origins from here on. */
  readonly calibrateFrom: number;
  readonly seed: number;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
}

/** Share of the eligible rows that a dispatcher is alarmed about. */
export const alarmRate = 0.01;

/** Newest part of the training rows that the map and the thresholds of a fit are chosen on, at most. */
export const calibrationMs = 28 * 86_400_000;

/** More bins gain nothing measurable. */
const maxBin = 127;

/** Few leaves with many rows in each: the events are rare. */
export const stockOutTrees = {
  numIterations: 400,
  learningRate: 0.03,
  numLeaves: 15,
  minDataInLeaf: 300,
  lambdaL2: 5,
  featureFraction: 0.6,
  baggingFraction: 0.8,
  baggingFreq: 1,
} as const satisfies TreeParams;

/** Columns that, all else equal, can only lower the risk as they grow. */
const falling: ReadonlySet<string> = new Set(["count", "spare"]);

const fewestRows = 500;

/**
 * Fits the probability of a stock-out. Fitted once without the newest rows, on which the calibration (none, Platt,
 * isotonic) and the thresholds are chosen, and once more on all. `heldOut` has those rows as the first fit, which did not
 * see them, forecasts them.
 * Throws DATA_MISSING when there is too little history.
 */
export async function fitStockOuts(
  history: LevelHistory,
  target: LevelTarget,
  options: StockOutTraining,
): Promise<{ model: BinaryForecaster; rows: number; onsets: number; heldOut: OnsetRows }> {
  const { from, until, calibrateFrom, seed, threads, signal, onProgress } = options;
  const sample = sampleRows(history, target, {
    ...{ from, until, seed },
    onProgress: (share) => onProgress?.("features of training rows", 0.3 * share),
  });
  signal?.throwIfAborted();
  const onsets = sample.label.reduce((sum, y, i) => sum + (sample.eligible[i] === 1 ? y : 0), 0);
  const calibration = Uint8Array.from(sample.originAt, (at) => (at >= calibrateFrom ? 1 : 0));
  const late = calibration.reduce((sum, flag) => sum + flag, 0);
  if (sample.set.rows < fewestRows || onsets === 0 || late === 0 || late === sample.set.rows) {
    throw new CityScaleError(
      "DATA_MISSING",
      `${sample.set.rows} rows with ${onsets} onsets from ${new Date(from).toISOString()} to ${new Date(until).toISOString()} (${late} to calibrate on) are too few to learn from; ${fewestRows} rows with some onsets are the least`,
    );
  }
  let heldOut: HeldOut | undefined;
  const model = await fitBinary(
    {
      matrix: matrixOf(sample.set),
      target: sample.label,
      weight: sample.weight,
      calibration,
      eligible: sample.eligible,
    },
    {
      calibrate: "refit",
      trees: {
        ...stockOutTrees,
        minDataInLeaf: leafRows(sample),
        monotoneConstraints: sample.set.names.map((name) => (falling.has(name) ? -1 : 0)),
      },
      ...{ maxBin, alarmRate, seed, threads },
      ...(signal ? { signal } : {}),
      onProgress: ({ done, of }) => onProgress?.("trees", 0.3 + (0.7 * done) / of),
      onHeldOut: (rows) => {
        heldOut = rows;
      },
    },
  );
  return { model, rows: sample.set.rows, onsets, heldOut: onsetsOf(sample, heldOut!) };
}

/** The rows of a sample that are not short. */
function onsetsOf({ originAt, eligible }: SampledRows, { index, y, p, weight }: HeldOut): OnsetRows {
  const keep = (values: ArrayLike<number>) =>
    Float64Array.from(values).filter((_, k) => eligible[index[k]!] === 1);
  const at = Float64Array.from(index, (i) => originAt[i]!);
  return { at: keep(at), y: keep(y), p: keep(p), weight: keep(weight) };
}

const leafRows = ({ set }: SampledRows) =>
  Math.max(10, Math.min(stockOutTrees.minDataInLeaf, Math.floor(set.rows / 300)));

/** Features as `packages/forecast` takes them. */
export const matrixOf = (set: SampledRows["set"]) => ({
  rows: set.rows,
  names: set.names,
  columns: set.columns,
  categorical: [],
});
