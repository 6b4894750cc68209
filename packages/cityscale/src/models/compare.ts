import { blendForecasts, findBlend } from "@cityscale/forecast";
import type { MemberKindName, Target } from "../domain/index.ts";
import { isFar } from "../features/index.ts";
import type { Forecast } from "./forecaster.ts";
import type { JudgedRows } from "./judged-rows.ts";

/** Weights of kinds that were found on the rows of a comparison. */
export interface FoundBlend {
  readonly weights: Readonly<Record<string, number>>;
  /** Parts of the period; the weights are those with the smallest loss in the worst of them. */
  readonly windows: number;
  /** Whether it is one for horizons far beyond the newest counts. */
  readonly far: boolean;
}

/** Windows of a comparison: a member that does well in one of them only gets no weight for it. */
const windowCount = 4;

/** A target whose blend has all the kinds, so that each of them is trained once. */
export function comparison(kinds: readonly MemberKindName[], target: Target): Target {
  const blend = Object.fromEntries(kinds.map((kind) => [kind, 1]));
  return { ...target, training: { ...target.training, blend, far: { blend } } };
}

/** The blend of the models that is best on the rows themselves, by the errors that count for the target. */
export function bestBlend(
  { set, forecasts }: JudgedRows,
  names: readonly string[],
  target: Target,
): { blend: FoundBlend; forecast: Forecast } {
  const scale = { name: "geometric", offset: target.offset } as const;
  const scored = (i: number) => !Number.isNaN(set.target[i]!) && set.dead[i] === 0;
  const rows = Array.from({ length: set.rows }, (_, i) => i).filter(scored);
  // In the order of time, whatever the order of the rows.
  rows.sort((a, b) => set.step[a]! - set.step[b]!);
  const windows = Array.from({ length: windowCount }, (_, w) => {
    const part = rows.slice((w * rows.length) / windowCount, ((w + 1) * rows.length) / windowCount);
    return {
      target: Float64Array.from(part, (i) => set.target[i]!),
      members: forecasts.map(({ point }) => Float64Array.from(part, (i) => point[i]!)),
    };
  });
  const { weights } = findBlend(windows, { scale, loss: target.errors === "relative" ? "rmsle" : "wape" });
  const point = blendForecasts(
    { scale, weights },
    forecasts.map((forecast) => forecast.point),
  );
  const { quantiles } = forecasts[0]!;
  return {
    blend: {
      weights: Object.fromEntries(names.map((name, m) => [name, Number(weights[m]!.toFixed(3))])),
      windows: windowCount,
      far: isFar(set.view),
    },
    forecast: {
      point,
      quantiles: [
        quantiles[0]!.map((low, i) => Math.min(low, point[i]!)),
        point,
        quantiles[2]!.map((high, i) => Math.max(high, point[i]!)),
      ],
    },
  };
}
