import { CityScaleError } from "../core/index.ts";
import type { City, Target } from "../domain/index.ts";
import type { FeatureView, OnlineVectors } from "../features/index.ts";
import type { Lake } from "../lake/index.ts";
import { type ColdStart, coldStartDays, coldStarts } from "../models/index.ts";
import type { Champion } from "./champions.ts";
import { forecastBy } from "./rows.ts";
import type { ForecastRows } from "./store.ts";

/** Notes name the first of those that are new. */
const named = 5;

/** The entities of a city that are too new for its models, and what is forecast of them instead. */
export class ColdStarts {
  readonly #city: City;
  readonly #lake: Lake;
  readonly #lagMs: (target: Target) => number;
  /** Of each target's newest vectors, by the champion that made them. */
  readonly #newest = new Map<
    string,
    { readonly originAt: number; readonly version: number; readonly starts: readonly ColdStart[] }
  >();

  constructor({ city, lake, lagMs }: { city: City; lake: Lake; lagMs: (target: Target) => number }) {
    this.#city = city;
    this.#lake = lake;
    this.#lagMs = lagMs;
  }

  /** Made anew from what a model issued at one origin. */
  from(
    target: Target,
    view: FeatureView,
    originAt: number,
    issued: ForecastRows,
  ): Promise<readonly ColdStart[]> {
    const at = { city: this.#city, view, originAt, lagMs: this.#lagMs(target) };
    return this.#lake.read((connection) => coldStarts(connection, at, issued));
  }

  /** Those of the newest vectors. */
  keep(target: Target, originAt: number, { version }: Champion, starts: readonly ColdStart[]): void {
    this.#newest.set(target.name, { originAt, version: version.version, starts });
  }

  /** Of the newest vectors; computed anew only after a start, or by another champion. */
  async of(
    target: Target,
    view: FeatureView,
    { originAt, set }: OnlineVectors,
    champion: Champion,
  ): Promise<readonly ColdStart[]> {
    const kept = this.#newest.get(target.name);
    if (kept?.originAt === originAt && kept.version === champion.version.version) return kept.starts;
    const starts = await this.from(target, view, originAt, forecastBy(set, champion).rows);
    this.keep(target, originAt, champion, starts);
    return starts;
  }

  /** Tells the reader of a batch or a prediction. */
  async notes(starts: readonly ColdStart[]): Promise<string[]> {
    if (starts.length === 0) return [];
    const rows = await this.#lake.read((connection) =>
      connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities"),
    );
    const names = new Map(rows.map(({ e, entity }) => [e, entity]));
    const told = starts.slice(0, named).map(({ entity, days }) => `${names.get(entity)} (day ${days})`);
    const more = starts.length > named ? ` and ${starts.length - named} more` : "";
    return [`cold start: forecast from others, being new: ${told.join(", ")}${more}`];
  }
}

/** NOT_READY: what is asked of an entity cannot be said of one so new. */
export function tooNew(entity: string, what: string): CityScaleError {
  return new CityScaleError(
    "NOT_READY",
    `${entity} has been counted for less than ${coldStartDays} days: ${what}`,
  );
}
