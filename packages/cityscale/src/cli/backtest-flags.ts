import type { PeriodFlags } from "./period.ts";

/** What `backtest` and `compare` are asked. */
export interface BacktestFlags extends PeriodFlags {
  /** Never when left out. */
  readonly refit?: string;
  readonly fast?: boolean;
  readonly kind?: string;
  /** Of a comparison: kinds, separated by commas. */
  readonly kinds?: string;
  readonly classical?: boolean;
  /** Of binary targets: how long before the period training begins. */
  readonly train?: string;
  /** Of binary targets: how often the model is calibrated anew. */
  readonly recalibrate?: string;
  /** A file, or `-` for standard output. */
  readonly json?: string;
}
