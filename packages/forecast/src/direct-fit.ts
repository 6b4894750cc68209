import type { Model, Params } from "@cityscale/trees";
import { leadOffsets } from "./conformal.ts";
import type { CrossedTerm } from "./crossed-design.ts";
import { type CrossedRidge, fitCrossedRidge } from "./crossed-ridge.ts";
import { checkLevels, DirectForecaster } from "./direct-forecaster.ts";
import { ForecastError, requireLength } from "./errors.ts";
import {
  type Calibrate,
  type FitOptions,
  Fitter,
  type Sample,
  sampleOf,
  splitByCalibration,
  subsample,
  type TreeParams,
} from "./fitting.ts";
import { checkMatrix, type Matrix, rowsWhere, take, takeRows } from "./matrix.ts";
import {
  groupsOf,
  type LeadWeight,
  levelOf,
  type Member,
  type MemberColumns,
  selectColumns,
  sharesOf,
  weightAt,
} from "./member.ts";
import { fitNetwork } from "./network/fit.ts";
import { DEFAULT_NETWORK, type NetworkOptions } from "./network/options.ts";
import { fitRidge, type RidgeBends } from "./ridge.ts";
import { type Transform, type TransformSpec, transformOf } from "./transform.ts";

/** Training rows of a quantity: one per (entity, origin, lead). */
export interface QuantityRows {
  readonly matrix: Matrix;
  /** The seasonal expectation of each row's slot, in counts; NaN where there is none: the row is skipped. */
  readonly expectation: Float64Array;
  /** Steps from the origin, 1-based. */
  readonly lead: Int32Array;
  /** The count; NaN where unknown: the row is skipped. */
  readonly target: Float64Array;
  /** Days from each row's target to the newest; read where a member forgets. */
  readonly ageDays?: Float64Array;
  /**
   * 1 for rows that some inputs were taken from so that trees learn to do without; a ridge regression, for which
   * missing is the mean, would learn from them that those inputs matter less than they do, and skips them, as
   * effects do.
   */
  readonly partial?: Uint8Array;
  /** Factor of each row's weight, above 0; 1 each when left out. */
  readonly emphasis?: Float64Array;
  /** 1 for rows of the later calibration window (see `splits.calibrationMask`), else 0. */
  readonly calibration: Uint8Array;
}

/** A member to fit. */
export type MemberSpec = {
  readonly weight: LeadWeight;
  readonly seed?: number;
  /** A row this much older than another weighs half as much. */
  readonly halfLifeDays?: number;
  /** Effects of crossed columns that are fitted first; the member learns what they leave. */
  readonly effects?: readonly CrossedTerm[];
} & (
  | {
      /** Boosted trees, each of which learns what those before it leave, or a forest: the mean of deep ones. */
      readonly kind: "trees" | "forest";
      /**
       * A column on the transformed scale that tells how things stand now: the trees learn the departure from it, by
       * absolute errors.
       */
      readonly departFrom?: string;
    }
  /** A few small trees behind the effects. */
  | { readonly kind: "effects" }
  /** A column on the transformed scale, as it is: nothing is fitted. */
  | { readonly kind: "level"; readonly column: string }
  | {
      readonly kind: "network";
      /** All columns of the matrix when left out. */
      readonly columns?: MemberColumns;
      readonly network?: Pick<
        NetworkOptions,
        "hidden" | "epochs" | "learningRate" | "batch" | "dropout" | "weightDecay"
      >;
    }
  | {
      /** One regression for each lead and each code of the column `by`. */
      readonly kind: "ridge";
      readonly by: string;
      readonly alpha: number;
      /** Errors beyond this, on the transformed scale, count by their size (see `RidgeOptions`). */
      readonly huber?: number;
      /** Columns whose effect may bend (see `RidgeOptions`). */
      readonly bends?: RidgeBends;
      /** Rows older than so many days teach it nothing; all do when left out. */
      readonly newestDays?: number;
      readonly columns?: MemberColumns;
    }
);

export interface DirectOptions extends FitOptions {
  readonly transform: TransformSpec;
  readonly objective: "l1" | "l2";
  /** Quantile levels to forecast, ascending, each inside (0, 1). Level 0.5 is the point forecast itself. */
  readonly levels: readonly number[];
  readonly calibrate: Calibrate;
  /** Models that the point forecast is the weighted mean of, on the transformed scale; trees alone when left out. */
  readonly members?: readonly MemberSpec[];
  /** Trees of the point model, over `DEFAULT_TREES`. */
  readonly trees?: TreeParams;
  /** Trees of the quantile models, over `DEFAULT_TREES` with 300 iterations and `trees` without its count. */
  readonly quantileTrees?: TreeParams;
  /** At most so many rows, drawn evenly, for each quantile model: they need fewer than the point does. */
  readonly quantileRows?: number;
}

/** What served hourly pedestrians best; a smaller data set wants fewer leaves and rows per leaf. */
export const DEFAULT_TREES: TreeParams = {
  numIterations: 500,
  learningRate: 0.05,
  numLeaves: 63,
  minDataInLeaf: 100,
  featureFraction: 0.7,
  baggingFraction: 0.8,
  baggingFreq: 1,
};

/** Leads beyond this are taken for a mistake (a timestamp in place of a lead). */
const MAX_LEAD = 10_000;

/** Deep trees, each of other rows and columns (Breiman 2001): what their mean gains, it gains from their number. */
const FOREST: TreeParams = {
  boosting: "rf",
  numIterations: 100,
  numLeaves: 500,
  minDataInLeaf: 10,
  featureFraction: 0.4,
  baggingFraction: 0.632,
  baggingFreq: 1,
};

/** Effects have said most of it. */
const TREES_AFTER_EFFECTS = { numIterations: 150, numLeaves: 31, learningRate: 0.06 };

/** Trees that take about as long as a network, for the progress told. */
const TREES_PER_NETWORK = 100;

/** A network's labels are clipped here, and its weights at so many times their mean: a few rows must not rule it. */
const LABEL_CLIP = 2.5;
const WEIGHT_CLIP = 6;

/**
 * Fits a direct multi-horizon forecaster: global models of the transformed target for the point forecast and one
 * per outer quantile level, all on columns binned once, with per-lead conformal offsets.
 *
 * @throws ForecastError `shape`, `option`, `data` (a negative or infinite target or expectation, a lead below
 *   1) or `noRows`; the signal's reason when aborted
 */
export async function fitDirect(rows: QuantityRows, options: DirectOptions): Promise<DirectForecaster> {
  const transform = transformOf(options.transform);
  checkLevels(options.levels);
  checkRows(rows);
  const specs = options.members ?? [{ kind: "trees", weight: 1 }];
  checkWeights(specs);
  const { matrix, expectation, target } = rows;
  const usable = rowsWhere(matrix.rows, (i) => !Number.isNaN(transform.forward(target[i]!, expectation[i]!)));
  if (usable.length === 0) {
    throw new ForecastError("noRows", `none of ${matrix.rows} rows has a known target and expectation`);
  }
  const outer = options.levels.filter((level) => level !== 0.5);
  const calibrate = outer.length === 0 ? "none" : options.calibrate;
  // Before anything is fitted: a fit of minutes must not end in an error that could be seen at once.
  const split = calibrate === "none" ? null : splitByCalibration(usable, rows.calibration);

  const pointTrees = { ...DEFAULT_TREES, ...options.trees };
  const quantileTrees = { ...pointTrees, numIterations: 300, ...options.quantileTrees };
  const quantileFits = outer.length * (calibrate === "refit" ? 2 : 1);
  const costs = {
    trees: pointTrees.numIterations ?? 0,
    forest: FOREST.numIterations ?? 0,
    effects: TREES_AFTER_EFFECTS.numIterations,
    network: TREES_PER_NETWORK,
    ridge: 0,
    level: 0,
  };
  const fitter = new Fitter(
    options,
    specs.reduce((sum, { kind }) => sum + costs[kind], 0) + quantileFits * (quantileTrees.numIterations ?? 0),
  );

  const all = sampleRows(rows, usable, transform, options);
  const members: Member[] = [];
  const fitted = new Map<string, Effects>();
  for (const spec of specs) {
    const first = effectsOf(rows, usable, all, spec, fitted);
    const sample = first?.left ?? aged(rows, usable, all, spec.halfLifeDays);
    const member = await ownMember(rows, usable, sample, spec, pointTrees, options, fitter);
    members.push(first ? { ...member, effects: first.model } : member);
  }
  const late = split && lateRows(rows, usable, split.late, all);
  const early = split && subsample(all, few(split.early, options.quantileRows));
  const whole = calibrate === "holdout" ? null : fewOf(all, usable.length, options.quantileRows);
  const quantiles: Model[] = [];
  const offsets: Float64Array[] = [];
  for (const level of outer) {
    const params: Params = { ...quantileTrees, objective: "quantile", alpha: level };
    let model: Model | null = null;
    if (early && late) {
      model = await fitter.fit(`quantile ${level}, before calibration`, early, params);
      const residuals = model.predict(late.columns);
      for (let k = 0; k < residuals.length; k++) residuals[k] = late.label[k]! - residuals[k]!;
      offsets.push(leadOffsets(residuals, late.lead, level));
    } else {
      offsets.push(new Float64Array(0));
    }
    if (whole) model = await fitter.fit(`quantile ${level}`, whole, params);
    quantiles.push(model!);
  }
  return new DirectForecaster({
    transform: options.transform,
    featureNames: matrix.names,
    levels: options.levels,
    members,
    quantiles,
    offsets,
  });
}

/** @throws ForecastError `option` unless weights are at least 0, one of them above 0 at each lead. */
function checkWeights(specs: readonly MemberSpec[]): void {
  const each = specs.map(({ weight }) => sharesOf(weight));
  const leads = Math.max(1, ...each.map(({ length }) => length));
  const isFit = each.every((weights) => weights.length > 0 && weights.every((share) => share >= 0));
  for (let lead = 1; lead <= leads; lead++) {
    if (isFit && each.some((weights) => weightAt(weights, lead) > 0)) continue;
    throw new ForecastError("option", "members want weights of at least 0, at each lead one of them above");
  }
}

interface Effects {
  readonly model: CrossedRidge;
  /** The sample with what the effects leave as its label. */
  readonly left: Sample;
}

/** The effects that a member starts from; members with the same terms and half-life share them. */
function effectsOf(
  rows: QuantityRows,
  usable: Int32Array,
  all: Sample,
  { effects, halfLifeDays }: MemberSpec,
  fitted: Map<string, Effects>,
): Effects | undefined {
  if (!effects) return undefined;
  const key = JSON.stringify([halfLifeDays, effects]);
  const known = fitted.get(key);
  if (known) return known;
  const sample = aged(rows, usable, all, halfLifeDays);
  const target = new Float64Array(rows.matrix.rows).fill(Number.NaN);
  const weight = new Float64Array(rows.matrix.rows);
  for (let k = 0; k < usable.length; k++) {
    target[usable[k]!] = sample.label[k]!;
    weight[usable[k]!] = rows.partial?.[usable[k]!] === 1 ? 0 : sample.weight[k]!;
  }
  // What is a number to trees may be a category to effects.
  const categorical = [...new Set(effects.flatMap(({ cross }) => cross))];
  const model = fitCrossedRidge(
    { matrix: { ...rows.matrix, categorical }, target, weight },
    { terms: effects },
  );
  const told = model.predict(rows.matrix);
  const label = sample.label.map((value, k) => value - told[usable[k]!]!);
  const made = { model, left: { ...sample, label } };
  fitted.set(key, made);
  return made;
}

/** The sample with the weights of a half-life; as it is without one. */
function aged(
  { ageDays, matrix }: QuantityRows,
  usable: Int32Array,
  all: Sample,
  halfLifeDays: number | undefined,
): Sample {
  if (halfLifeDays === undefined) return all;
  if (!(halfLifeDays > 0)) throw new ForecastError("option", `a half-life of ${halfLifeDays} days`);
  if (!ageDays) throw new ForecastError("option", "a member with a half-life wants the rows' ages");
  requireLength("ageDays", ageDays.length, matrix.rows);
  const weight = all.weight.map((value, k) => value * 0.5 ** (ageDays[usable[k]!]! / halfLifeDays));
  // Never more than it was: a half-life makes old rows light, it does not make new ones heavy.
  return { ...all, weight };
}

async function ownMember(
  rows: QuantityRows,
  usable: Int32Array,
  sample: Sample,
  spec: MemberSpec,
  pointTrees: TreeParams,
  options: DirectOptions,
  fitter: Fitter,
): Promise<Member> {
  if (spec.kind === "network") return await networkMember(rows, usable, sample, spec, options, fitter);
  if (spec.kind === "ridge") return ridgeMember(rows, usable, sample, spec);
  if (spec.kind === "level") {
    // A column that is not there is told now, not by the first forecast.
    levelOf(rows.matrix, spec.column);
    return { kind: spec.kind, weight: spec.weight, column: spec.column };
  }
  const departFrom = spec.kind === "effects" ? undefined : spec.departFrom;
  const level = departFrom === undefined ? undefined : levelOf(rows.matrix, departFrom);
  const own = { trees: {}, forest: FOREST, effects: TREES_AFTER_EFFECTS } satisfies Record<
    string,
    TreeParams
  >;
  const model = await fitter.fit("point", level ? departing(usable, sample, level) : sample, {
    ...pointTrees,
    ...own[spec.kind],
    objective: level ? "l1" : options.objective,
    ...(spec.seed !== undefined && { seed: spec.seed }),
  });
  const { kind, weight } = spec;
  if (kind === "effects" || departFrom === undefined) return { kind, weight, model };
  return { kind, weight, model, departFrom };
}

/** The sample with what lies beyond the level as its label. */
function departing(usable: Int32Array, sample: Sample, level: Float64Array): Sample {
  return { ...sample, label: sample.label.map((value, k) => value - level[usable[k]!]!) };
}

async function networkMember(
  { matrix }: QuantityRows,
  usable: Int32Array,
  all: Sample,
  spec: MemberSpec & { kind: "network" },
  options: DirectOptions,
  fitter: Fitter,
): Promise<Member> {
  const columns = spec.columns ?? matrix;
  // Rows that cannot be used weigh nothing: no column is copied for their sake.
  const label = new Float64Array(matrix.rows);
  const weight = new Float64Array(matrix.rows);
  for (let k = 0; k < usable.length; k++) {
    label[usable[k]!] = Math.max(-LABEL_CLIP, Math.min(LABEL_CLIP, all.label[k]!));
    weight[usable[k]!] = Math.min(all.weight[k]!, WEIGHT_CLIP);
  }
  // Counts and their differences have no scale that these bounds would fit.
  const bounded = options.transform.name !== "identity";
  if (!bounded) for (let k = 0; k < usable.length; k++) label[usable[k]!] = all.label[k]!;
  const model = await fitter.advance("network", TREES_PER_NETWORK, (onShare) =>
    fitNetwork(
      { matrix: selectColumns(matrix, columns), label, weight },
      {
        ...spec.network,
        loss:
          options.objective === "l2"
            ? bounded
              ? { kind: "smoothL1", delta: 1 }
              : { kind: "squared" }
            : DEFAULT_NETWORK.loss,
        seed: spec.seed ?? options.seed,
        threads: options.threads,
        ...(options.signal && { signal: options.signal }),
        onProgress: ({ done, of }) => onShare(done / of),
      },
    ),
  );
  const { names, categorical } = columns;
  return { kind: "network", weight: spec.weight, model, columns: { names, categorical } };
}

/** Its rows weigh the same but for their age: squares of a log-ratio are errors of the ratio, whatever its size. */
function ridgeMember(
  rows: QuantityRows,
  usable: Int32Array,
  all: Sample,
  spec: MemberSpec & { kind: "ridge" },
): Member {
  const { matrix, lead, partial, ageDays } = rows;
  const { huber, bends, newestDays = Number.POSITIVE_INFINITY } = spec;
  if (newestDays < Number.POSITIVE_INFINITY && !ageDays)
    throw new ForecastError("option", "a ridge of the newest days wants the rows' ages");
  const { names, categorical } = spec.columns ?? matrix;
  const by = matrix.columns[matrix.names.indexOf(spec.by)];
  if (!by) throw new ForecastError("option", `there is no column "${spec.by}" to part a ridge by`);
  const codes = [...new Set(by)].filter((code) => !Number.isNaN(code)).sort((a, b) => a - b);
  const groups = { by: spec.by, codes, leads: lead.reduce((most, h) => Math.max(most, h), 1) };
  const target = new Float64Array(matrix.rows).fill(Number.NaN);
  const weight = new Float64Array(matrix.rows);
  const even = aged(
    rows,
    usable,
    { ...all, weight: new Float64Array(usable.length).fill(1) },
    spec.halfLifeDays,
  );
  for (let k = 0; k < usable.length; k++) {
    target[usable[k]!] = all.label[k]!;
    const isLeft = partial?.[usable[k]!] === 1 || (ageDays?.[usable[k]!] ?? 0) > newestDays;
    weight[usable[k]!] = isLeft ? 0 : even.weight[k]!;
  }
  const columns = { names, categorical };
  const model = fitRidge(
    { matrix: selectColumns(matrix, columns), target, weight, group: groupsOf(matrix, lead, groups) },
    { alpha: spec.alpha, clipTarget: 0.005, ...(huber !== undefined && { huber }), ...(bends && { bends }) },
  );
  return { kind: "ridge", weight: spec.weight, model, columns, groups };
}

/** At most `most` of the positions, evenly. */
function few(positions: Int32Array, most = positions.length): Int32Array {
  if (positions.length <= most) return positions;
  const share = positions.length / most;
  return Int32Array.from({ length: most }, (_, k) => positions[Math.floor(k * share)]!);
}

function fewOf(all: Sample, rows: number, most: number | undefined): Sample {
  if (most === undefined || rows <= most) return all;
  return subsample(
    all,
    few(
      Int32Array.from({ length: rows }, (_, k) => k),
      most,
    ),
  );
}

function sampleRows(
  rows: QuantityRows,
  usable: Int32Array,
  transform: Transform,
  options: DirectOptions,
): Sample {
  const label = new Float64Array(usable.length);
  const weight = new Float64Array(usable.length);
  for (let k = 0; k < usable.length; k++) {
    const expectation = rows.expectation[usable[k]!]!;
    label[k] = transform.forward(rows.target[usable[k]!]!, expectation);
    // Squares of a log-ratio are errors of the ratio, whatever its size.
    weight[k] =
      (options.objective === "l2" ? 1 : transform.weight(expectation)) * (rows.emphasis?.[usable[k]!] ?? 1);
  }
  return sampleOf(rows.matrix, usable, label, weight, options);
}
/** Features, transformed targets and leads of the calibration rows, given as positions in `usable`. */
function lateRows(rows: QuantityRows, usable: Int32Array, late: Int32Array, all: Sample) {
  const index = late.map((k) => usable[k]!);
  return {
    columns: takeRows(rows.matrix, index),
    label: take(all.label, late),
    lead: index.map((i) => rows.lead[i]!),
  };
}

function checkRows(rows: QuantityRows): void {
  const { matrix, expectation, lead, target, partial, emphasis, calibration } = rows;
  checkMatrix(matrix);
  requireLength("expectation", expectation.length, matrix.rows);
  requireLength("lead", lead.length, matrix.rows);
  requireLength("target", target.length, matrix.rows);
  requireLength("calibration", calibration.length, matrix.rows);
  if (partial) requireLength("partial", partial.length, matrix.rows);
  if (emphasis) {
    requireLength("emphasis", emphasis.length, matrix.rows);
    const bad = emphasis.findIndex((factor) => !(factor > 0 && factor < Number.POSITIVE_INFINITY));
    if (bad >= 0)
      throw new ForecastError("data", `row ${bad} has emphasis ${emphasis[bad]}, expected above 0`);
  }
  for (let i = 0; i < matrix.rows; i++) {
    if (target[i]! < 0 || target[i] === Number.POSITIVE_INFINITY) {
      throw new ForecastError("data", `row ${i} has target ${target[i]}, expected at least 0, or NaN`);
    }
    if (expectation[i]! < 0 || expectation[i] === Number.POSITIVE_INFINITY) {
      throw new ForecastError(
        "data",
        `row ${i} has expectation ${expectation[i]}, expected at least 0, or NaN`,
      );
    }
    if (lead[i]! < 1 || lead[i]! > MAX_LEAD) {
      throw new ForecastError("data", `row ${i} has lead ${lead[i]}, expected 1 .. ${MAX_LEAD}`);
    }
  }
}
