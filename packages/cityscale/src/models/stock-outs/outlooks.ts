import type { LevelName } from "../../domain/index.ts";
import { capacityAt, type LevelHistory } from "../../features/index.ts";
import type { StockOutForecasts } from "./forecasts.ts";
import type { SideOutlook, StationOutlook } from "./moves.ts";

/**
 * What `suggestMoves` wants to know of every station at one origin (its place in the forecasts' origins, the same for
 * all): counts, probabilities by lead, and the falls that are usual within the longest lead.
 *
 * @param forecasts of each side, soonest lead first
 */
export function outlooksOf(
  history: LevelHistory,
  forecasts: Readonly<Record<LevelName, readonly StockOutForecasts[]>>,
  origin: number,
): StationOutlook[] {
  const { stations } = history.levels;
  const at = forecasts.bikes[0]!.origins[origin]!;
  const sideOf = (measure: LevelName): ((s: number) => SideOutlook) => {
    const leads = forecasts[measure];
    const last = leads.at(-1)!;
    const falls = history.falls(last.target, at);
    const depths = falls.length / stations.length;
    return (s) => {
      const cell = origin * stations.length + s;
      const count = last.count[cell]!;
      return {
        count: count < 0 ? Number.NaN : count,
        risks: leads.map(({ probability }) => (count < 0 ? 0 : probability[cell]!)),
        falls: falls.subarray(s * depths, (s + 1) * depths),
      };
    };
  };
  const [bikes, docks] = [sideOf("bikes"), sideOf("docks")];
  return stations.map((station, s) => ({
    ...{ station: station.entity, lat: station.lat, lon: station.lon },
    capacity: capacityAt(station, at),
    bikes: bikes(s),
    docks: docks(s),
  }));
}
