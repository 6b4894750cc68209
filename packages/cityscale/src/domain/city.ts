import { z } from "zod";
import { parseDuration } from "./duration.ts";
import { createGrid, type Grid } from "./grid.ts";
import { dayOfDate, isTimeZone, startOfLocalDay } from "./local-time.ts";
import {
  type Absence,
  type DetectorName,
  detectorNames,
  type ExpectationName,
  expectationNames,
  levelNames,
  measureKinds,
  memberKinds,
  modelKinds,
  targetKinds,
} from "./vocabulary.ts";

const id = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, "use lower-case letters, digits and dashes, at most 64");
const duration = z.string().refine((text) => {
  try {
    return parseDuration(text) >= 0;
  } catch {
    return false;
  }
}, "write a duration such as 10m, 26h or 7d");
const cron = z
  .string()
  .regex(/^\S+ \S+ \S+ \S+ \S+$/, "write a cron expression of five fields, e.g. 10 4 * * *");
const bounds = z.strictObject({ min: z.number().optional(), max: z.number().optional() });

const sourceSchema = z.looseObject({ kind: z.string().min(1) });

const contractSchema = z.strictObject({
  /** Smallest and largest value taken as real; at most 1,000,000, or 2,000 for a level. */
  min: z.number().default(0),
  max: z.number().optional(),
  /** Counts are whole numbers unless this is false. */
  integer: z.boolean().default(true),
  /**
   * Zeros in a row from which a counter is taken as dead: later zeros are read as missing; 24h, or 7d for daily
   * steps, or 60d for a log.
   */
  stuckZeros: duration.optional(),
  /** Age of the newest row, beyond the publication lag, from which `quality` complains. */
  freshness: duration.default("6h"),
  /** Share of the expected rows of the last week under which `quality` complains. */
  completeness: z.number().min(0).max(1).default(0.8),
});

const measureSchema = z.strictObject({
  kind: z.enum(measureKinds),
  from: z.string(),
  /** What an absent row means; `zeroWhenComplete` for a log, else `missing`, which it always is for a level. */
  absence: z.enum(["missing", "zeroWhenComplete"]).optional(),
  contract: contractSchema.prefault({}),
});

const maskSchema = z.strictObject({
  /** Local days, `2024-02-12`, or periods with both ends, `2023-11-26/2023-11-27`. */
  days: z
    .array(
      z.string().refine((text) => {
        try {
          return periodOfDays(text).first <= periodOfDays(text).last;
        } catch {
          return false;
        }
      }, "write a day such as 2024-02-12 or a period such as 2023-11-26/2023-11-27"),
    )
    .min(1),
  reason: z.string().min(1),
  /** Every measure when left out. */
  measure: z.string().optional(),
  /** Ids; every entity when left out. */
  entities: z.array(z.string().min(1)).min(1).optional(),
  /** First local day whose forecasts know of it; earlier ones saw the values. Never seen when left out. */
  knownFrom: z.iso.date().optional(),
});

const featureSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]*$/, "use lower-case letters, digits and underscores"),
  block: z.enum(["static", "history", "calendar", "lookup"]),
  /** A SELECT that yields the block's keys and the feature's columns; see docs/how-to/add-a-feature.md. */
  sql: z.string().min(1),
});

const modelChoice = {
  /** What is trained: one kind of model, or a blend of several; trees when left out, and in a backtest a blend. */
  kind: z.enum(modelKinds).optional(),
  /** Weights of the kinds in a blend; what did best for such horizons when left out. */
  blend: z
    .partialRecord(z.enum(memberKinds), z.number().min(0))
    .refine(
      (weights) => Object.values(weights).some((weight) => (weight ?? 0) > 0),
      "give one kind a weight above 0",
    )
    .optional(),
};

const targetSchema = z.strictObject({
  kind: z.enum(targetKinds).default("quantity"),
  /** The measure that is forecast; the target's own name when left out. */
  measure: z.string().optional(),
  /** Binary targets: the level is under it at any moment after the origin, up to the horizon; 3 when left out. */
  below: z.int().min(1).optional(),
  horizon: duration.optional(),
  /** Added to counts before logarithms, in counts per step: small counts weigh less the larger it is. */
  offset: z.number().positive().default(5),
  /** Which errors count: `absolute` ones, in counts (WAPE), or `relative` ones, in their logarithms (RMSLE). */
  errors: z.enum(["absolute", "relative"]).default("absolute"),
  /** What is forecast is the departure from it; for days mean-4, for relative errors geometric-mean-8, else median-8. */
  expectation: z.enum(expectationNames).optional(),
  schedule: z
    .strictObject({ ingest: cron.optional(), forecast: cron.optional(), review: cron.optional() })
    .prefault({}),
  gates: z.record(z.string(), bounds).default({ gain: { min: 0.02 } }),
  features: z.array(featureSchema).default([]),
  /** Adds how the other entities within so many kilometres departed from their expectations; none when left out. */
  neighboursWithinKm: z.number().positive().max(200).optional(),
  anomalies: z
    .strictObject({
      /**
       * What a day is held against: `residual` = the forecast made before it, by the scale of such errors;
       * `interval` = that forecast's interval; `weekday-mad` = the same weekday of eight weeks; `z-score` = the mean
       * of ninety days.
       */
      detector: z.enum(detectorNames).default("residual"),
      /** Score beyond which a day is an anomaly, on either side; 3.2, or 3 for z-scores, or 1 for intervals. */
      threshold: z.number().positive().optional(),
      /**
       * Score so low that the day counts as half loaded: its values are held back. 4 for a log, where days are
       * loaded; null, the default elsewhere, for never.
       */
      faultThreshold: z.number().positive().nullable().optional(),
    })
    .prefault({}),
  training: z
    .strictObject({
      ...modelChoice,
      /** The same for horizons so far beyond the newest counts that other models serve them. */
      far: z.strictObject(modelChoice).prefault({}),
      /** Newest days kept from training and used to judge the model. */
      testWindow: duration.default("28d"),
      /** Days before the test window from which intervals are calibrated. */
      calibrationWindow: duration.default("56d"),
      /** Training rows (entity, origin, lead); origins are thinned evenly to fit. */
      maxRows: z.int().min(1000).default(140_000),
      trees: z.int().min(1).default(150),
      leaves: z.int().min(2).default(47),
      learningRate: z.number().positive().default(0.07),
      seed: z.int().default(1),
    })
    .prefault({}),
});

/** How long a kind of data is kept; null = for ever. */
const keep = (usual: string) => duration.nullable().default(usual);

const retentionSchema = z.strictObject({
  /** Rows as they were received, after they have become clean ones. */
  raw: keep("90d"),
  /** Rows refused by the contract. */
  quarantine: keep("365d"),
  /** Snapshots of stations, after their outcomes are settled. */
  snapshots: keep("400d"),
  /** Forecasts of quantities, after their local day has been scored and settled. */
  forecasts: keep("400d"),
  /** Forecasts of binary targets, after the local day of their origins has been scored and settled. */
  risks: keep("30d"),
  /** Heartbeats, after their forecasts are gone. */
  batches: keep("400d"),
  /** Dataset versions that neither a champion, the one before it, a challenger nor a run refers to. */
  datasets: keep("30d"),
});

/** More bikes than any station holds. */
const largestLevel = 2000;

/** Thresholds of the detectors of anomalies where a target declares none. */
const detectorThresholds: Readonly<Record<DetectorName, number>> = {
  residual: 3.2,
  "weekday-mad": 3.2,
  "z-score": 3,
  interval: 1,
};

const citySchema = z.strictObject({
  id,
  name: z.string().min(1),
  timeZone: z.string().refine(isTimeZone, "not an IANA time zone such as Europe/Paris"),
  /** Where the weather is asked for. */
  location: z.strictObject({ lat: z.number().min(-90).max(90), lon: z.number().min(-180).max(180) }),
  step: duration,
  /** What an entity is called here: counter, sensor, station. */
  entity: z.string().min(1),
  /** Earliest data wanted: `730d` before now at the first start, or a date. */
  history: z.union([duration, z.iso.date()]).default("730d"),
  sources: z.record(z.string(), sourceSchema),
  measures: z.record(z.string(), measureSchema),
  targets: z.record(z.string(), targetSchema),
  /** Values known to be wrong, e.g. of half-loaded days: missing for features, training and scores. */
  masks: z.array(maskSchema).default([]),
  retention: retentionSchema.prefault({}),
  /** Shown wherever the data are. */
  attribution: z
    .array(z.strictObject({ publisher: z.string(), licence: z.string(), url: z.url().optional() }))
    .default([]),
});

/** How long each kind of data is kept, as durations; null = for ever. */
export type Retention = z.output<typeof retentionSchema>;
export type RetentionKind = keyof Retention;
export type SourceDeclaration = z.output<typeof sourceSchema>;
export type CityDeclaration = z.input<typeof citySchema>;
export interface Measure extends Omit<z.output<typeof measureSchema>, "contract" | "absence"> {
  readonly contract: Contract;
  readonly absence: Absence;
}
/** A contract with everything that defaults fill in. */
export interface Contract extends z.output<typeof contractSchema> {
  readonly max: number;
  readonly stuckZeros: string;
}
/** Values of one measure that count as missing. Instants in ms UTC. */
export interface Mask {
  readonly measure: string;
  /** Null for every entity. */
  readonly entity: string | null;
  readonly from: number;
  /** Exclusive. */
  readonly until: number;
  /** Origins before it saw the values; 0 when nobody did. */
  readonly knownAt: number;
  readonly reason: string;
}
export type FeatureDeclaration = z.output<typeof featureSchema>;
export type GateBounds = z.output<typeof bounds>;
/** How a target's anomalies are told, with everything that defaults fill in. */
export interface AnomalyRule {
  readonly detector: DetectorName;
  readonly threshold: number;
  readonly faultThreshold: number | null;
}
type ParsedCity = z.output<typeof citySchema>;
type ParsedTarget = z.output<typeof targetSchema>;

/** A target with everything that defaults fill in. */
export interface Target
  extends Omit<ParsedTarget, "measure" | "below" | "horizon" | "schedule" | "anomalies" | "expectation"> {
  readonly name: string;
  readonly measure: string;
  /** Null for quantities. */
  readonly below: number | null;
  readonly horizon: string;
  readonly horizonSteps: number;
  readonly expectation: ExpectationName;
  readonly schedule: { readonly ingest: string; readonly forecast: string; readonly review: string };
  readonly anomalies: AnomalyRule;
}

/** A checked city. */
export interface City extends Omit<ParsedCity, "measures" | "targets"> {
  readonly measures: Readonly<Record<string, Measure>>;
  readonly targets: Readonly<Record<string, Target>>;
  readonly stepMs: number;
  readonly grid: Grid;
  /** As it was written: plain data that another process can define the city from. */
  readonly declaration: CityDeclaration;
}

/** A declaration that cannot be used; the message names every field that is wrong. */
export class CityError extends Error {
  readonly problems: readonly string[];
  constructor(cityId: string, problems: readonly string[]) {
    super(`city "${cityId}" is not valid:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.name = "CityError";
    this.problems = problems;
  }
}

/**
 * Checks a declaration and fills in defaults from the step and the target's kind.
 * Throws CityError that names every wrong field, what was expected and what came.
 */
export function defineCity(declaration: CityDeclaration): City {
  const cityId = String((declaration as { id?: unknown } | null)?.id ?? "?");
  const parsed = citySchema.safeParse(declaration);
  if (!parsed.success) {
    throw new CityError(
      cityId,
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "(city)"}: ${issue.message}`),
    );
  }
  const city = parsed.data;
  const problems: string[] = [];
  const stepMs = parseDuration(city.step);
  let grid: Grid | undefined;
  try {
    grid = createGrid(city.timeZone, stepMs);
  } catch (error) {
    problems.push(`step: ${(error as Error).message}`);
  }
  const measures: Record<string, Measure> = {};
  for (const [name, measure] of Object.entries(city.measures)) {
    // A day of no counts is no dead counter yet where a step is a day.
    const counter = stepMs >= 86_400_000 ? "7d" : "24h";
    const stuckZeros = measure.contract.stuckZeros ?? (measure.kind === "log" ? "60d" : counter);
    const absence = measure.absence ?? (measure.kind === "log" ? "zeroWhenComplete" : "missing");
    const max = measure.contract.max ?? (measure.kind === "level" ? largestLevel : 1_000_000);
    measures[name] = { ...measure, absence, contract: { ...measure.contract, max, stuckZeros } };
    if (measure.kind === "level") {
      if (!levelNames.some((level) => level === name))
        problems.push(`measures.${name}: a level is one of ${levelNames.join(", ")}`);
      if (absence !== "missing")
        problems.push(`measures.${name}.absence: a station without a snapshot is missing, never zero`);
      if (max > 32_767) problems.push(`measures.${name}.contract.max: a level is at most 32767`);
      const { min } = measure.contract;
      if (min < 0) problems.push(`measures.${name}.contract.min: a level is never below 0`);
    }
    if (!(measure.from in city.sources)) {
      problems.push(`measures.${name}.from: there is no source "${measure.from}"`);
    }
  }
  const targets: Record<string, Target> = {};
  for (const [name, target] of Object.entries(city.targets)) {
    const measure = target.measure ?? name;
    if (!(measure in city.measures))
      problems.push(`targets.${name}.measure: there is no measure "${measure}"`);
    const isBinary = target.kind === "binary";
    const isLevel = city.measures[measure]?.kind === "level";
    if (isBinary && measure in city.measures && !isLevel)
      problems.push(`targets.${name}.kind: a binary target is of a level, and ${measure} is none`);
    if (!isBinary && isLevel)
      problems.push(`targets.${name}.kind: ${measure} is a level; declare kind "binary"`);
    if (!isBinary && target.below !== undefined)
      problems.push(`targets.${name}.below: only a binary target has a bound`);
    const horizon = target.horizon ?? (isBinary ? "30m" : stepMs >= 86_400_000 ? "14d" : "24h");
    const horizonSteps = Math.round(parseDuration(horizon) / stepMs);
    if (horizonSteps < 1) problems.push(`targets.${name}.horizon: ${horizon} is shorter than one step`);
    const daily = stepMs >= 86_400_000;
    targets[name] = {
      ...target,
      name,
      measure,
      below: isBinary ? (target.below ?? 3) : null,
      horizon,
      horizonSteps,
      anomalies: anomalyRule(target.anomalies, city.measures[measure]?.kind === "log"),
      expectation:
        target.expectation ??
        (daily ? "mean-4" : target.errors === "relative" ? "geometric-mean-8" : "median-8"),
      schedule: {
        ingest: target.schedule.ingest ?? (isBinary ? "*/5 * * * *" : daily ? "0 3 * * *" : "5 * * * *"),
        forecast:
          target.schedule.forecast ?? (isBinary ? "*/10 * * * *" : daily ? "0 4 * * *" : "10 * * * *"),
        review: target.schedule.review ?? "30 3 * * 0",
      },
    };
  }
  if (Object.keys(targets).length === 0) problems.push("targets: declare at least one");
  for (const [i, { measure }] of city.masks.entries()) {
    if (measure !== undefined && !(measure in city.measures))
      problems.push(`masks.${i}.measure: there is no measure "${measure}"`);
  }
  problems.push(...retentionProblems(city.retention, Object.values(targets)));
  if (problems.length > 0 || !grid) throw new CityError(cityId, problems);
  return { ...city, measures, targets, stepMs, grid, declaration };
}

/** What training on snapshots looks back on before its test window: rows of 60 days, and what their features look at. */
const stockOutMemory = "178d";

/** Days are held against those before them: monitoring looks back on so many days of forecasts. */
const forecastMemory = "240d";

function retentionProblems(
  retention: Retention,
  targets: readonly Pick<Target, "kind" | "training">[],
): string[] {
  const problems: string[] = [];
  const days = (kind: RetentionKind) => {
    const text = retention[kind];
    return text === null ? Number.POSITIVE_INFINITY : parseDuration(text) / 86_400_000;
  };
  const least = (kind: RetentionKind, enough: number, why: string) => {
    if (days(kind) < enough)
      problems.push(`retention.${kind}: ${retention[kind]} is too short; ${why}: at least ${enough}d`);
  };
  for (const kind of Object.keys(retention) as RetentionKind[]) least(kind, 1, "keep everything for a day");
  least("forecasts", parseDuration(forecastMemory) / 86_400_000, "days are judged by the months before them");
  const windows = targets
    .filter(({ kind }) => kind === "binary")
    .map(({ training }) => parseDuration(training.testWindow));
  const learned = (parseDuration(stockOutMemory) + Math.max(0, ...windows)) / 86_400_000;
  if (windows.length > 0) least("snapshots", learned, "models learn from so many days");
  for (const { kind } of targets) {
    const forecasts = kind === "binary" ? "risks" : "forecasts";
    if (days("batches") < days(forecasts))
      problems.push(`retention.batches: ${retention.batches} is shorter than retention.${forecasts}`);
  }
  return [...new Set(problems)];
}

/** Targets that are forecast one by one, with quantiles. */
export function quantityTargets(city: Pick<City, "targets">): Target[] {
  return Object.values(city.targets).filter((target) => target.kind === "quantity");
}

/** Targets whose forecasts are probabilities. A city's are forecast together, from one origin in one batch. */
export function binaryTargets(city: Pick<City, "targets">): Target[] {
  return Object.values(city.targets).filter((target) => target.kind === "binary");
}

/** Targets that get batches of their own: every quantity, and the first binary one, which stands for all of them. */
export function batchTargets(city: Pick<City, "targets">): Target[] {
  return [...quantityTargets(city), ...binaryTargets(city).slice(0, 1)];
}

/** The target in whose batch a target is forecast. */
export function batchTargetOf(city: Pick<City, "targets">, target: Target): Target {
  return target.kind === "binary" ? binaryTargets(city)[0]! : target;
}

/** The rule that a declaration means; `loaded` where days of records are loaded, and may be loaded by half. */
export function anomalyRule(
  {
    detector,
    threshold,
    faultThreshold,
  }: {
    readonly detector: DetectorName;
    readonly threshold?: number | undefined;
    readonly faultThreshold?: number | null | undefined;
  },
  loaded: boolean,
): AnomalyRule {
  return {
    detector,
    threshold: threshold ?? detectorThresholds[detector],
    faultThreshold:
      faultThreshold !== undefined ? faultThreshold : loaded && detector === "residual" ? 4 : null,
  };
}

/** The masks that a city declares, one for each measure, entity and period. */
export function masksOf(city: City): Mask[] {
  const at = (day: number) => startOfLocalDay(city.timeZone, day);
  return city.masks.flatMap((mask) =>
    mask.days.flatMap((days) => {
      const { first, last } = periodOfDays(days);
      const measures = mask.measure === undefined ? Object.keys(city.measures) : [mask.measure];
      return measures.flatMap((measure) =>
        (mask.entities ?? [null]).map((entity) => ({
          measure,
          entity,
          from: at(first),
          until: at(last + 1),
          knownAt: mask.knownFrom === undefined ? 0 : at(dayOfDate(mask.knownFrom)),
          reason: mask.reason,
        })),
      );
    }),
  );
}

/** First and last day numbers of `2024-02-12` or `2023-11-26/2023-11-27`. Throws RangeError on anything else. */
function periodOfDays(text: string): { first: number; last: number } {
  const [first, last = first, ...more] = text.split("/");
  if (more.length > 0) throw new RangeError(`"${text}" has more than two dates`);
  return { first: dayOfDate(first!), last: dayOfDate(last!) };
}

/** Steps of zeros in a row from which a measure's counter is taken as dead; at least one. */
export function stuckSteps(city: Pick<City, "measures" | "stepMs">, measure: string): number {
  return Math.max(1, Math.round(parseDuration(city.measures[measure]!.contract.stuckZeros) / city.stepMs));
}

/** JSON Schema of a city declaration, for editors and forms. */
export function citySchemaJson(): unknown {
  return z.toJSONSchema(citySchema, { io: "input", unrepresentable: "any" });
}
