import { CityScaleError, type Log, messageOf } from "../core/index.ts";
import { type NaiveName, naiveNames } from "../domain/index.ts";
import { type DirectForecaster, loadForecaster } from "../models/index.ts";
import type { ModelVersion, Registry } from "../registry/index.ts";

/** File of the fitted model inside a version's artifact. */
export const modelFile = "model.bin";

/** A version ready to forecast: a fitted model, or the name of a naive forecast. */
export interface Champion<Model = DirectForecaster> {
  readonly version: ModelVersion;
  readonly model: Model | null;
  /** Version 0, which stands beside the model and in for it. */
  readonly zero: ModelVersion;
  /** The naive forecast of a quantity that version 0 is. */
  readonly naive: NaiveName;
  /** Why a naive forecast stands in for the champion; null when the champion itself forecasts. */
  readonly fallback: string | null;
}

const naiveOf = (kind: string): NaiveName => naiveNames.find((name) => name === kind) ?? "median-8-weeks";

/** Loads champions of quantities, and keeps each loaded model until another one takes its place. */
export const createChampions = (parts: { registry: Registry; city: string; log: Log }) =>
  loadChampions(parts, loadForecaster);

/** Champions of any kind of model. */
export function loadChampions<Model>(
  parts: { registry: Registry; city: string; log: Log },
  load: (bytes: Uint8Array) => Model,
) {
  const { registry, city, log } = parts;
  const cache = new Map<string, Champion<Model>>();
  return {
    /** The champion; version 0 stands in, with the reason, where a model cannot be used with this view. */
    async get(target: string, viewId: string): Promise<Champion<Model>> {
      const { champion } = await registry.promotions.aliases(city, target);
      if (champion === null) throw new CityScaleError("NOT_READY", `${city}/${target} has no champion yet`);
      const key = `${target}/${champion}/${viewId}`;
      const cached = cache.get(key);
      if (cached) return cached;
      const zero = await registry.versions.get(city, target, 0);
      const version = champion === 0 ? zero : await registry.versions.get(city, target, champion);
      let loaded: Champion<Model> = { version, model: null, zero, naive: naiveOf(zero.kind), fallback: null };
      if (version.artifactId !== null) {
        try {
          if (version.viewId !== viewId) {
            throw new CityScaleError(
              "CONFLICT",
              `version ${champion} wants features ${version.viewId}, the city file now defines ${viewId}: train anew`,
            );
          }
          loaded = {
            ...loaded,
            model: load(await registry.artifacts.get(version.artifactId, modelFile)),
          };
        } catch (error) {
          log.error(
            { target, version: champion, error: messageOf(error) },
            "the champion cannot be used; the naive forecast stands in",
          );
          loaded = { ...loaded, version: zero, fallback: messageOf(error) };
        }
      }
      for (const old of cache.keys()) if (old.startsWith(`${target}/`)) cache.delete(old);
      // What could not be read today may be there tomorrow: only a good one is kept.
      if (loaded.fallback === null) cache.set(key, loaded);
      return loaded;
    },
  };
}
export type Champions = ReturnType<typeof createChampions>;
