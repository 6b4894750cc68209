/**
 * The words of CityScale as types. Every room uses these names and no synonyms; read this file first.
 * Instants are milliseconds since the epoch (UTC) unless a name says otherwise.
 */

/** `flow`: a count per step; `log`: single records, which are counted; `level`: what is there at an instant. */
export const measureKinds = ["flow", "log", "level"] as const;
export type MeasureKind = (typeof measureKinds)[number];

/**
 * What is forecast: a `quantity` per step, or a `binary`: that a level is below a bound at any moment within the
 * horizon.
 */
export const targetKinds = ["quantity", "binary"] as const;
export type TargetKind = (typeof targetKinds)[number];

/** Levels that every snapshot of a station has; a measure of kind `level` is called as one of them. */
export const levelNames = ["bikes", "docks"] as const;
export type LevelName = (typeof levelNames)[number];

/**
 * What an absent row means: nothing is known (`missing`), or that there was nothing to count, once the source has
 * said that the step is complete (`zeroWhenComplete`).
 */
export type Absence = "missing" | "zeroWhenComplete";

/**
 * How a row's `knownAt` came about: `observed` = the row was new when we polled, `published` = the
 * publisher's own stamp, `assumed` = end of the step + the source's declared publication lag.
 */
export type KnownBasis = "observed" | "published" | "assumed";

/** Where the weather at a forecast's target time came from. */
export type WeatherBasis = "issued" | "observed" | "none";

/** What a source can deliver. One source may deliver several streams. */
export type Stream =
  | "observations"
  | "log"
  | "complete"
  | "levels"
  | "entities"
  | "weather"
  | "holidays"
  | "events";

/** The thing forecast: a counter, sensor or station. */
export interface Entity {
  readonly entity: string;
  readonly name: string | null;
  readonly lat: number | null;
  readonly lon: number | null;
  /** First and last instants of its life, where known. */
  readonly openedAt: number | null;
  readonly retiredAt: number | null;
  readonly attributes: Readonly<Record<string, string | number | boolean | null>>;
}

/** A city happening with a place and a time; each version has its own `knownAt`. */
export interface CityEvent {
  readonly id: string;
  readonly name: string;
  readonly startAt: number;
  readonly endAt: number;
  readonly lat: number | null;
  readonly lon: number | null;
  readonly venue: string | null;
  readonly category: string | null;
  readonly attendance: number | null;
  readonly cancelled: boolean;
  readonly publishedAt: number | null;
}

/** A public or school holiday on one local date (`YYYY-MM-DD`). */
export interface Holiday {
  readonly date: string;
  readonly name: string;
  readonly kind: "public" | "school";
}

/** Weather variables in these units only; sources convert. */
export const weatherVariables = {
  temperature: "degrees Celsius",
  dewPoint: "degrees Celsius",
  humidity: "percent",
  rain: "millimetres in the hour",
  wind: "metres per second",
  cloud: "percent",
  pressure: "hectopascal",
  radiation: "watts per square metre",
} as const;
export type WeatherVariable = keyof typeof weatherVariables;

/** Least and largest values that weather has had on Earth, with room to spare; others are a publisher's mistake. */
export const weatherRanges: Readonly<Record<WeatherVariable, readonly [min: number, max: number]>> = {
  temperature: [-95, 65],
  dewPoint: [-110, 45],
  humidity: [0, 101],
  rain: [0, 450],
  wind: [0, 120],
  cloud: [0, 101],
  pressure: [850, 1100],
  radiation: [-20, 1500],
};

/** Models that forecast from rows of features; a blend is the weighted mean of several. */
export const memberKinds = ["trees", "forest", "network", "ridge", "effects"] as const;
export type MemberKindName = (typeof memberKinds)[number];
export const modelKinds = [...memberKinds, "blend"] as const;
export type ModelKindName = (typeof modelKinds)[number];

/** What tells an anomaly: an alarm raised by comparison with one of these. */
export const detectorNames = ["residual", "weekday-mad", "z-score", "interval"] as const;
export type DetectorName = (typeof detectorNames)[number];

/**
 * Seasonal expectations of a step, from the same slot of the weeks before, public holidays left out: the median of
 * eight values, the mean of the logarithms of eight, the mean of four.
 */
export const expectationNames = ["median-8", "geometric-mean-8", "mean-4"] as const;
export type ExpectationName = (typeof expectationNames)[number];

/** Names of the naive forecasts that stand in every table. */
export const naiveNames = ["last-week", "mean-4-weeks", "median-8-weeks"] as const;
export type NaiveName = (typeof naiveNames)[number];

export type Role = "viewer" | "operator" | "admin";
