/** Where the weather at a target time may come from. */
export type WeatherMode =
  /** Only forecasts issued before the origin: what live forecasts use. */
  | "issued"
  /** Issued where there is one, otherwise what was later observed: for training on history. */
  | "issued-or-observed"
  /** What was later observed, as if the forecast had been perfect. */
  | "observed"
  | "none";

/** Rows wanted: every entity x origin x lead. Instants in ms UTC. */
export interface FeatureRequest {
  readonly origins: Float64Array;
  /** Leads 1..n for each origin. */
  readonly leads: Int32Array;
  /** Publication lag of the counts: a step is used from its end + lag on. */
  readonly lagMs: number;
  readonly weather: WeatherMode;
  /** Numbers of the entities wanted; all when left out. */
  readonly entities?: readonly number[];
  /** Compute nothing but these entities' own history: quick, but columns of other entities (`ofOthers`) are then theirs alone. */
  readonly alone?: boolean;
  /**
   * `fast` computes windows once over the current values and repairs the origins that saw other ones;
   * `exact` (one origin) computes them over the values as known at that origin. They give equal features.
   */
  readonly path: "fast" | "exact";
  /** Drop rows whose target is not there (training); otherwise their target is NaN (forecasting). */
  readonly onlyWithTarget: boolean;
  /** Only targets known by this instant, ms UTC; all that are there when left out. */
  readonly targetsKnownBy?: number;
  /** Share of the rows wanted (0..1), drawn evenly and the same each time; all when left out. */
  readonly share?: number;
  /** Inputs that a what-if replaces. */
  readonly whatIf?: WhatIf;
}

/** Inputs replaced by a what-if; they are read by the same SQL as the real ones. */
export interface WhatIf {
  /** Values for every hour from the origin on. */
  readonly weather?: Readonly<Partial<Record<string, number>>>;
  /** Local dates (YYYY-MM-DD) that are, or are not, public holidays. */
  readonly holidays?: Readonly<Record<string, boolean>>;
  readonly event?: {
    readonly startAt: number;
    readonly endAt: number;
    readonly lat: number;
    readonly lon: number;
    readonly attendance: number;
  };
}
