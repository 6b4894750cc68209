import type { Model } from "@cityscale/trees";
import { pack, unpack } from "./container.ts";
import { ForecastError, requireLength } from "./errors.ts";
import {
  type Calibrate,
  type FitOptions,
  Fitter,
  sampleOf,
  splitByCalibration,
  subsample,
  type TreeParams,
} from "./fitting.ts";
import { checkColumns, checkMatrix, type Matrix, rowsWhere, take, takeRows } from "./matrix.ts";
import {
  applyMap,
  chooseMap,
  fitIsotonic,
  type Labelled,
  type ProbabilityMap,
  readMap,
} from "./probability-map.ts";
import { gainShares, readModel } from "./stored-model.ts";

/** Training rows of a binary target. */
export interface BinaryRows {
  readonly matrix: Matrix;
  /** 0 or 1; NaN where unknown: the row is skipped. */
  readonly target: Float64Array;
  /** Above 0, for example 1 / (the probability of having been sampled); all 1 where not given. */
  readonly weight?: Float64Array;
  /** 1 for rows of the later calibration window, else 0. */
  readonly calibration: Uint8Array;
  /** 1 for rows that alarms are about, which thresholds are chosen on; all where not given. */
  readonly eligible?: Uint8Array;
}

/** Probabilities from which to alarm, chosen on eligible calibration rows. */
export interface AlarmThresholds {
  /** Where as large a share of the rows as the alarm rate lies at or above it. */
  readonly budget: number;
  /** Where F1 is highest. */
  readonly f1: number;
}

export interface BinaryOptions extends FitOptions {
  /** The probability map (none, Platt or isotonic) is chosen by its log loss on the calibration rows. */
  readonly calibrate: Calibrate;
  /** Over `DEFAULT_BINARY_TREES`. */
  readonly trees?: TreeParams;
  /** Share of the eligible rows to alarm on; 0.01 where not given. */
  readonly alarmRate?: number;
  /** Told the calibration rows with what the fit without them makes of them, which no map has corrected yet. */
  readonly onHeldOut?: (rows: HeldOut) => void;
}

/** Calibration rows; `index` has their places in the matrix. */
export interface HeldOut extends Labelled {
  readonly index: Int32Array;
}

/** What served stock-outs best: rare events want few leaves, many rows in each, and L2. */
export const DEFAULT_BINARY_TREES: TreeParams = {
  numIterations: 250,
  learningRate: 0.05,
  numLeaves: 15,
  minDataInLeaf: 300,
  lambdaL2: 5,
};

/** What a model's probabilities mean: fitted with it, or on newer rows. Plain JSON. */
export interface Calibration {
  readonly map: ProbabilityMap;
  /** Null without calibration rows, or where nothing positive is in them. */
  readonly thresholds: AlarmThresholds | null;
}

/** What a fit leaves behind. */
export interface BinaryParts extends Calibration {
  readonly featureNames: readonly string[];
  readonly model: Model;
}

const KIND = "binary-forecaster/3";

const usualAlarmRate = 0.01;

/**
 * Fits the probability of a binary target.
 *
 * @throws ForecastError `shape`, `data` (a target that is neither 0, 1 nor NaN, a weight not above 0) or
 *   `noRows`; the signal's reason when aborted
 */
export async function fitBinary(rows: BinaryRows, options: BinaryOptions): Promise<BinaryForecaster> {
  checkRows(rows);
  const { matrix, target } = rows;
  const usable = rowsWhere(matrix.rows, (i) => !Number.isNaN(target[i]!));
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target`);
  }
  const split = options.calibrate === "none" ? null : splitByCalibration(usable, rows.calibration);
  const weight = rows.weight ? take(rows.weight, usable) : new Float64Array(usable.length).fill(1);
  const all = sampleOf(matrix, usable, take(target, usable), weight, options);
  const params = { ...DEFAULT_BINARY_TREES, ...options.trees, objective: "binary" as const };
  const fits = options.calibrate === "refit" ? 2 : 1;
  const fitter = new Fitter(options, fits * (params.numIterations ?? 0));

  let model: Model | null = null;
  let map: ProbabilityMap = { kind: "identity" };
  let thresholds: AlarmThresholds | null = null;
  if (split) {
    model = await fitter.fit("before calibration", subsample(all, split.early), params);
    const index = split.late.map((k) => usable[k]!);
    const late = {
      y: take(all.label, split.late),
      p: model.predict(takeRows(matrix, index)),
      weight: take(all.weight, split.late),
    };
    options.onHeldOut?.({ ...late, p: late.p.slice(), index });
    map = chooseMap(late);
    const { eligible } = rows;
    const alarmed = { ...late, p: applyMap(map, late.p) };
    thresholds = alarmThresholds(
      eligible ? labelledWhere(alarmed, (k) => eligible[index[k]!] === 1) : alarmed,
      options.alarmRate ?? usualAlarmRate,
    );
  }
  if (model === null || options.calibrate === "refit") model = await fitter.fit("probability", all, params);
  return new BinaryForecaster({ featureNames: matrix.names, model, map, thresholds });
}

/** A fitted forecaster of a probability; made by `fitBinary` or `fromBytes`. Immutable. */
export class BinaryForecaster {
  readonly #parts: BinaryParts;

  constructor(parts: BinaryParts) {
    this.#parts = parts;
  }

  /** Columns that `predict` expects, in order. */
  get featureNames(): readonly string[] {
    return this.#parts.featureNames;
  }

  /** The chosen correction of the model's probability; for inspection. */
  get map(): ProbabilityMap {
    return this.#parts.map;
  }

  get calibration(): Calibration {
    const { map, thresholds } = this.#parts;
    return { map, thresholds };
  }

  /** Where to alarm; null where no calibration rows were there to choose on. */
  get thresholds(): AlarmThresholds | null {
    return this.#parts.thresholds;
  }

  /**
   * Probabilities, one per row.
   *
   * @throws ForecastError `shape` on other columns than those fitted on
   */
  predict(matrix: Matrix): Float64Array {
    checkColumns(matrix, this.#parts.featureNames);
    if (matrix.rows === 0) return new Float64Array(0);
    return applyMap(this.#parts.map, this.#parts.model.predict(matrix.columns));
  }

  /** What it forecast, corrected by its map; changes `p`. */
  calibrate(p: Float64Array): Float64Array {
    return applyMap(this.#parts.map, p);
  }

  /** The same model with another calibration of its forecasts, one that was stored for example. */
  with({ map, thresholds }: Calibration): BinaryForecaster {
    return new BinaryForecaster({ ...this.#parts, map, thresholds });
  }

  /** The same model without a map, whose forecasts `recalibrated` learns from. */
  uncalibrated(): BinaryForecaster {
    return this.with({ map: { kind: "identity" }, thresholds: this.thresholds });
  }

  /**
   * The same model with the isotonic map and the thresholds of other rows, newer ones for example: what comes of the
   * same features drifts, and a map is soon fitted.
   *
   * @param rows with probabilities of `uncalibrated`; those that alarms are about
   */
  recalibrated(rows: Labelled, alarmRate = usualAlarmRate): BinaryForecaster {
    const map = fitIsotonic(rows);
    const chosen = alarmThresholds({ ...rows, p: applyMap(map, rows.p.slice()) }, alarmRate);
    return this.with({ map, thresholds: chosen ?? this.thresholds });
  }

  /** Share of the model's total gain by feature, in the order of `featureNames`; sums to 1 (or is all 0). */
  importance(): Float64Array {
    return gainShares(this.#parts.model);
  }

  /** The same forecaster gives the same bytes. */
  toBytes(): Uint8Array {
    const { featureNames, model, map, thresholds } = this.#parts;
    const alarms = thresholds ? [thresholds.budget, thresholds.f1] : [];
    return pack(KIND, { featureNames, map, alarms }, [model.toBytes()]);
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written. */
  static fromBytes(bytes: Uint8Array): BinaryForecaster {
    const { fields, sections } = unpack(bytes, KIND);
    if (sections.length !== 1) throw new ForecastError("bytes", `${sections.length} models, expected 1`);
    const featureNames = fields.strings("featureNames");
    return new BinaryForecaster({
      featureNames,
      model: readModel(sections[0]!, featureNames),
      map: readMap(fields.object("map")),
      thresholds: readThresholds(fields.numbers("alarms")),
    });
  }
}

function readThresholds(alarms: readonly number[]): AlarmThresholds | null {
  const [budget, f1] = alarms;
  if (alarms.length === 0) return null;
  if (alarms.length !== 2 || !alarms.every((p) => p >= 0 && p <= 1)) {
    throw new ForecastError("bytes", "the thresholds of alarms are not two probabilities");
  }
  return { budget: budget!, f1: f1! };
}

/** Thresholds on weighted rows; null without a positive one. */
function alarmThresholds({ y, p, weight }: Labelled, rate: number): AlarmThresholds | null {
  const order = new Int32Array(y.length).map((_, i) => i).sort((a, b) => p[b]! - p[a]!);
  let [all, positives] = [0, 0];
  for (let i = 0; i < y.length; i++) {
    all += weight[i]!;
    if (y[i]! > 0.5) positives += weight[i]!;
  }
  if (positives === 0) return null;
  let [alarms, hits, best] = [0, 0, -1];
  let budget = p[order[0]!]!;
  let f1 = budget;
  for (let k = 0; k < order.length; ) {
    const at = p[order[k]!]!;
    for (; k < order.length && p[order[k]!] === at; k++) {
      alarms += weight[order[k]!]!;
      if (y[order[k]!]! > 0.5) hits += weight[order[k]!]!;
    }
    if (alarms <= rate * all) budget = at;
    const score = (2 * hits) / (alarms + positives);
    if (score > best) [best, f1] = [score, at];
  }
  return { budget, f1 };
}

function labelledWhere({ y, p, weight }: Labelled, keep: (k: number) => boolean): Labelled {
  const index = rowsWhere(y.length, keep);
  return { y: take(y, index), p: take(p, index), weight: take(weight, index) };
}

function checkRows({ matrix, target, weight, calibration, eligible }: BinaryRows): void {
  checkMatrix(matrix);
  requireLength("target", target.length, matrix.rows);
  requireLength("calibration", calibration.length, matrix.rows);
  if (weight) requireLength("weight", weight.length, matrix.rows);
  if (eligible) requireLength("eligible", eligible.length, matrix.rows);
  for (let i = 0; i < matrix.rows; i++) {
    const y = target[i]!;
    if (y !== 0 && y !== 1 && !Number.isNaN(y)) {
      throw new ForecastError("data", `row ${i} has target ${y}, expected 0, 1 or NaN`);
    }
    if (weight && !(weight[i]! > 0 && weight[i]! < Number.POSITIVE_INFINITY)) {
      throw new ForecastError("data", `row ${i} has weight ${weight[i]}, expected above 0`);
    }
  }
}
