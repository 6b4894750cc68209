import type { City } from "../domain/index.ts";
import {
  buildFeatures,
  type FeatureSet,
  type FeatureView,
  isFar,
  type WeatherMode,
} from "../features/index.ts";
import type { Connection } from "../lake/index.ts";
import type { Effort } from "./kinds.ts";
import { firstDay, type Origins, thinOrigins } from "./origins.ts";

export interface Learning {
  readonly city: City;
  readonly view: FeatureView;
  readonly request: { readonly lagMs: number; readonly weather: WeatherMode; readonly path: "fast" };
  /** Origins whose targets may be learned from. */
  readonly trainable: Origins;
  /** Targets known later than this instant, ms UTC, are left out. */
  readonly cut: number;
  readonly effort: Effort;
}

/** Features and targets of as many rows as the effort allows, with the origins that they refer to. */
export async function learningSet(
  connection: Connection,
  { city, view, request, trainable, cut, effort }: Learning,
): Promise<{ set: FeatureSet; origins: Origins }> {
  const thinned = thinOrigins(trainable, effort.maxOrigins);
  const origins = isFar(view) ? firstDay(thinned, view.slotsPerDay) : thinned;
  const counted = await connection.first<{ n: number }>("SELECT count(*) AS n FROM entities");
  const possible = counted!.n * origins.leads.reduce((sum, leads) => sum + leads, 0);
  const set = await buildFeatures(connection, city, view, {
    ...request,
    origins: origins.at,
    leads: origins.leads,
    onlyWithTarget: true,
    targetsKnownBy: cut,
    share: Math.min(1, effort.maxRows / possible),
  });
  await connection.trim();
  return { set, origins };
}
