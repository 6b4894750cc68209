import { etsFromBytes } from "./ets.ts";
import { prophetFromBytes } from "./prophet.ts";
import type { FittedSeries } from "./series.ts";

export { type EtsOptions, fitEts, fitMstl, type MstlOptions } from "./ets.ts";
export { fitProphet, type ProphetOptions } from "./prophet.ts";
export type { FittedSeries, Series, SeriesForecast } from "./series.ts";

/**
 * A saved model of a series; `kind` is the fitted model's.
 *
 * @throws ForecastError `bytes` on anything its `toBytes` cannot have written
 */
export function seriesFromBytes(kind: FittedSeries["kind"], bytes: Uint8Array): FittedSeries {
  return kind === "prophet" ? prophetFromBytes(bytes) : etsFromBytes(bytes);
}
