import type { Grid } from "../domain/index.ts";
import type { FeatureSet, ViewPart } from "../features/index.ts";
import { type DirectForecaster, explain } from "../models/index.ts";

/** Columns named of each forecast. */
const columnsTold = 8;

/** One forecast taken apart, in counts: the expectation and all contributions of the parts sum to the point. */
export interface ExplainedForecast {
  readonly lead: number;
  readonly validAt: number;
  readonly point: number;
  readonly expectation: number;
  readonly parts: readonly { readonly part: ViewPart; readonly contribution: number }[];
  /** The columns that moved the model's trees most, with their values; null where a value is missing. */
  readonly columns: readonly {
    readonly column: string;
    readonly part: ViewPart;
    readonly value: number | null;
    readonly contribution: number;
  }[];
}

export interface ForecastExplanation {
  readonly city: string;
  readonly target: string;
  readonly entity: string;
  readonly originAt: number;
  readonly modelVersion: number;
  readonly modelKind: string;
  readonly forecasts: readonly ExplainedForecast[];
}

/** Rows without an expectation, which the model does not forecast, are left out. */
export function explainRows(model: DirectForecaster, set: FeatureSet, grid: Grid): ExplainedForecast[] {
  const told = explain(model, set);
  return Array.from(set.lead.keys())
    .filter((i) => !Number.isNaN(told.point[i]!))
    .map((i) => ({
      lead: set.lead[i]!,
      validAt: grid.startOf(set.step[i]!),
      point: told.point[i]!,
      expectation: told.start[i]!,
      parts: told.parts.map(({ part, contribution }) => ({
        part: part as ViewPart,
        contribution: contribution[i]!,
      })),
      columns: told.columns
        .map((contribution, j) => {
          const value = set.columns[j]![i]!;
          return {
            column: set.view.columns[j]!,
            part: set.view.parts[j]!,
            value: Number.isNaN(value) ? null : value,
            contribution: contribution[i]!,
          };
        })
        .sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution))
        .slice(0, columnsTold),
    }));
}
