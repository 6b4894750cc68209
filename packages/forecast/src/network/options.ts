import { ForecastError } from "../errors.ts";

/**
 * What a network is trained to make small, of d = prediction - label:
 * - `smoothL1`: |d|, but d^2 / (2 delta) with the same slope at its ends where |d| <= delta
 * - `squared`: d^2 / 2
 * - `quantile`: one output for each level, `smoothL1` times the level below the label and times 1 - level above it
 *
 * `delta` is in units of the label.
 */
export type Loss =
  | { readonly kind: "smoothL1"; readonly delta: number }
  | { readonly kind: "squared" }
  | { readonly kind: "quantile"; readonly levels: readonly number[]; readonly delta: number };

/** Steps taken, and the mean loss per row of the epoch so far, in units of the label (squared: in their square). */
export interface NetworkProgress {
  readonly done: number;
  readonly of: number;
  readonly loss: number;
}

export interface NetworkOptions {
  /** units of each hidden layer, at most 4 layers of at most 1024; none: a linear model */
  readonly hidden?: readonly number[];
  readonly epochs?: number;
  /** the highest rate of Adam; it falls along a cosine to 0, after a rise over the first steps */
  readonly learningRate?: number;
  /** rows of a step, at most 16384; all rows where there are fewer */
  readonly batch?: number;
  /** share of each hidden layer's units that a row does without, [0, 1) */
  readonly dropout?: number;
  /** a step takes this times its rate from every weight, whatever its gradient (decoupled decay) */
  readonly weightDecay?: number;
  readonly loss?: Loss;
  readonly seed: number;
  /** worker threads; the result does not depend on it */
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: NetworkProgress) => void;
}

export const DEFAULT_NETWORK = {
  hidden: [128, 64],
  epochs: 10,
  learningRate: 2e-3,
  batch: 1024,
  dropout: 0.2,
  weightDecay: 0.01,
  loss: { kind: "smoothL1", delta: 0.1 },
} as const satisfies Partial<NetworkOptions>;

/** The options that decide what is learned, complete. */
export interface Settings {
  readonly hidden: readonly number[];
  readonly epochs: number;
  readonly learningRate: number;
  readonly batch: number;
  readonly dropout: number;
  readonly weightDecay: number;
  readonly loss: Loss;
  readonly seed: number;
}

/** @throws ForecastError `option` on a value outside its range */
export function settingsOf(options: NetworkOptions): Settings {
  const settings: Settings = {
    hidden: options.hidden ?? DEFAULT_NETWORK.hidden,
    epochs: options.epochs ?? DEFAULT_NETWORK.epochs,
    learningRate: options.learningRate ?? DEFAULT_NETWORK.learningRate,
    batch: options.batch ?? DEFAULT_NETWORK.batch,
    dropout: options.dropout ?? DEFAULT_NETWORK.dropout,
    weightDecay: options.weightDecay ?? DEFAULT_NETWORK.weightDecay,
    loss: options.loss ?? DEFAULT_NETWORK.loss,
    seed: options.seed,
  };
  const { loss } = settings;
  checkHidden(settings.hidden, "option");
  whole("epochs", settings.epochs, 1, 10_000);
  whole("batch", settings.batch, 1, 16_384);
  whole("seed", settings.seed, -(2 ** 31), 2 ** 32 - 1);
  whole("threads", options.threads, 1, 64);
  within("learningRate", settings.learningRate, 1e-9, 1);
  within("dropout", settings.dropout, 0, 0.95);
  within("weightDecay", settings.weightDecay, 0, 1);
  if (loss.kind !== "squared") within("delta", loss.delta, 1e-9, 1e9);
  if (loss.kind === "quantile") {
    if (loss.levels.length < 1 || loss.levels.length > 64) {
      throw new ForecastError("option", `${loss.levels.length} quantile levels, expected 1 to 64`);
    }
    for (const level of loss.levels) {
      if (!(level > 0 && level < 1)) throw new ForecastError("option", `level ${level} is not inside (0, 1)`);
    }
  }
  return settings;
}

/** How many values a network with this loss predicts for a row. */
export function outputsOf(loss: Loss): number {
  return loss.kind === "quantile" ? loss.levels.length : 1;
}

/** @throws ForecastError with the code, unless these are layers a network may have */
export function checkHidden(hidden: readonly number[], code: "option" | "bytes"): void {
  if (hidden.length > 4 || !hidden.every((units) => Number.isInteger(units) && units >= 1 && units <= 1024)) {
    throw new ForecastError(code, `hidden layers [${hidden}], expected at most 4 of 1 to 1024 units`);
  }
}

function whole(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ForecastError("option", `${name} is ${value}, expected a whole number from ${low} to ${high}`);
  }
}

function within(name: string, value: number, low: number, high: number): void {
  if (!(value >= low && value <= high)) {
    throw new ForecastError("option", `${name} is ${value}, expected ${low} to ${high}`);
  }
}
