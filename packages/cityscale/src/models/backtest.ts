import type { DirectForecaster } from "@cityscale/forecast";
import { type MemberKindName, type ModelKindName, parseDuration } from "../domain/index.ts";
import type { Connection } from "../lake/index.ts";
import { type ClassicalTable, judgeClassical } from "./classical.ts";
import { bestBlend, comparison, type FoundBlend } from "./compare.ts";
import { fitForecaster } from "./forecaster.ts";
import { judge, type ScoreTable } from "./judge.ts";
import { forecastRows, type JudgedRows, joinJudged } from "./judged-rows.ts";
import { declaredModel, fullEffort } from "./kinds.ts";
import { calibrationStart, type Origins } from "./origins.ts";
import { type Period, type PeriodOptions, preparePeriod, scoredSetOf, trainingSetOf } from "./period.ts";

export interface BacktestOptions extends PeriodOptions {
  /** Time after which the model is fitted anew inside the window; never when left out. */
  readonly refit?: string;
  /** What is trained, a blend's kinds beside it; what the target declares, or else a blend, when left out. */
  readonly kind?: ModelKindName;
  /** Every one of these, and the blend of them that is best on these very rows, in place of `kind`. */
  readonly compare?: readonly MemberKindName[];
  /** Models of single series too, on every 14th origin. */
  readonly classical?: boolean;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string, share: number) => void;
  /** Told every forecast before it is scored; the first of the models is the one judged. */
  readonly onForecasts?: (rows: JudgedRows) => void;
}

export interface BacktestResult extends Omit<ScoreTable, "bestNaive" | "gain"> {
  readonly city: string;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  readonly every: string;
  readonly horizon: string;
  readonly trainSeconds: number;
  /** Of a comparison: the weights of the blend that was found. */
  readonly blend?: FoundBlend;
  readonly classical?: ClassicalTable;
}

/**
 * Forecasts from every origin in [from, to] with models trained on what was known before `from` (and, with
 * `refit`, before each refit), and scores what has come true by the end of `to`.
 * Throws DATA_MISSING when there is too little history, ENTITY_UNKNOWN, REQUEST_INVALID.
 */
export async function backtest(connection: Connection, options: BacktestOptions): Promise<BacktestResult> {
  const { city, target } = options;
  const progress = options.onProgress ?? (() => undefined);
  const compared = options.compare ? comparison(options.compare, target) : undefined;
  const period = await preparePeriod(connection, options);
  const { origins, view } = period;
  const kind = compared ? "blend" : (options.kind ?? declaredModel(options.target, view).kind ?? "blend");
  let trainSeconds = 0;
  const parts: JudgedRows[] = [];
  let names: string[] = [];
  const segments = segmentsOf(origins, options.refit);
  for (const [n, segment] of segments.entries()) {
    const cut = segment.at[0]!;
    const began = performance.now();
    const at = (share: number) => (n + share) / segments.length;
    progress(`training on what was known by ${new Date(cut).toISOString()}`, at(0));
    const order = { ...options, kind, target: compared ?? target };
    const model = await train(connection, period, order, cut, (share) =>
      progress("training", at(0.1 + 0.7 * share)),
    );
    trainSeconds += (performance.now() - began) / 1000;
    progress("forecasting", at(0.85));
    const set = await scoredSetOf(connection, period, options, segment);
    const kinds = compared || model.kinds.length > 1 ? model.kinds : [];
    const alone = kinds.map((member) => model.only(member));
    names = compared ? [...kinds] : [kind, ...kinds];
    parts.push(forecastRows(set, compared ? alone : [model, ...alone]));
  }
  const merged = joinJudged(parts);
  options.onForecasts?.(merged);
  progress("scoring", 0.89);
  const found = compared && bestBlend(merged, names, target);
  const table = await judge(connection, merged.set, {
    before: origins.at[0]!,
    forecasts: [
      ...merged.forecasts.map((forecast, i) => ({ name: names[i]!, forecast })),
      ...(found ? [{ name: "blend", kind: "blend" as const, forecast: found.forecast }] : []),
    ],
  });
  const { bestNaive: _bestNaive, gain: _gain, ...scores } = table;
  const classical = options.classical
    ? await judgeClassical(connection, merged, {
        ...options,
        view,
        origins,
        names,
        onProgress: (message, share) => progress(message, 0.9 + 0.1 * share),
      })
    : undefined;
  return {
    city: city.id,
    target: target.name,
    from: options.from,
    to: options.to,
    every: options.every,
    horizon: options.horizon,
    trainSeconds: Number(trainSeconds.toFixed(2)),
    ...(found ? { blend: found.blend } : {}),
    ...scores,
    ...(classical ? { classical } : {}),
  };
}

async function train(
  connection: Connection,
  period: Period,
  options: BacktestOptions & { readonly kind: ModelKindName },
  cut: number,
  onProgress: (share: number) => void,
): Promise<DirectForecaster> {
  const { set, origins } = await trainingSetOf(connection, period, options, cut, fullEffort);
  return await fitForecaster(set, {
    target: options.target,
    kind: options.kind,
    effort: fullEffort,
    originAt: origins.at,
    calibrateFrom: calibrationStart(origins, cut, parseDuration(fullEffort.calibrationWindow)),
    threads: options.threads,
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: (p) => onProgress(p.done / p.of),
  });
}

function segmentsOf(origins: Origins, refit: string | undefined): Origins[] {
  if (refit === undefined) return [origins];
  const every = parseDuration(refit);
  const segments: Origins[] = [];
  for (let first = 0; first < origins.at.length; ) {
    let last = first;
    while (last < origins.at.length && origins.at[last]! < origins.at[first]! + every) last++;
    segments.push({ at: origins.at.slice(first, last), leads: origins.leads.slice(first, last) });
    first = last;
  }
  return segments;
}
