import { createHash } from "node:crypto";
import { BinaryForecaster, type Calibration } from "@cityscale/forecast";
import { CityScaleError, type Clock, type Log, messageOf } from "../core/index.ts";
import {
  binaryTargets,
  type City,
  formatDuration,
  formatLocal,
  type LevelName,
  parseDuration,
  type Target,
} from "../domain/index.ts";
import {
  comingInstant,
  featureMemoryMs,
  hasWeather,
  KeptProfiles,
  type LevelHistory,
  type LevelTarget,
  LevelWindow,
  levelHistory,
  type ProfileOptions,
  profileInstant,
  profileMemoryMs,
} from "../features/index.ts";
import { nextTime } from "../jobs/index.ts";
import { type Lake, retainedFrom } from "../lake/index.ts";
import {
  expectedShortfall,
  forecastPersistence,
  forecastStockOuts,
  levelTargetOf,
  outlooksOf,
  persistenceRisk,
  type StationOutlook,
  type StockOutForecasts,
  stockOutView,
} from "../models/index.ts";
import type { Registry } from "../registry/index.ts";
import { type Champion, loadChampions } from "./champions.ts";
import { type RiskRows, riskTables, storeRisks } from "./risk-store.ts";
import type { Batch } from "./store.ts";

/** A batch that comes more than so long after its origin is late, and says so. */
export const lateAfterMs = 10 * 60_000;

/** What a city's stations are about to run out of, as forecast from one origin. */
export interface RiskOutlook {
  readonly originAt: number;
  readonly issuedAt: number;
  /** Horizons of each level's probabilities, minutes, soonest first. */
  readonly leads: Readonly<Record<LevelName, readonly number[]>>;
  /** A count under it is a stock-out. */
  readonly below: number;
  /** Model versions by target; 0 is persistence. */
  readonly versions: Readonly<Record<string, number>>;
  readonly stations: readonly StationOutlook[];
  readonly names: ReadonlyMap<string, string | null>;
  readonly notes: readonly string[];
}

interface Asked {
  readonly target: Target;
  readonly level: LevelTarget;
}

/**
 * Issues batches of all binary targets of one city: every station and target from one origin. The newest snapshots
 * and the profiles in force stay in memory.
 */
export class RiskServer {
  readonly #city: City;
  readonly #lake: Lake;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #registry: Registry;
  readonly #champions: ReturnType<typeof loadChampions<BinaryForecaster>>;
  readonly #asked: readonly Asked[];
  readonly #window = new LevelWindow(featureMemoryMs);
  readonly #profiles: KeptProfiles;
  #outlook: RiskOutlook | null = null;
  /** One batch at a time: they share what is held in memory. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @param parts.profiles folder that keeps profiles for the next process */
  constructor(parts: {
    city: City;
    lake: Lake;
    registry: Registry;
    clock: Clock;
    log: Log;
    profiles: string;
    temporary: string;
  }) {
    const { city, registry, log } = parts;
    this.#city = city;
    this.#lake = parts.lake;
    this.#clock = parts.clock;
    this.#log = log;
    this.#profiles = new KeptProfiles({ folder: parts.profiles, temporary: parts.temporary, log });
    this.#registry = registry;
    this.#champions = loadChampions({ registry, city: city.id, log }, (bytes) =>
      BinaryForecaster.fromBytes(bytes),
    );
    this.#asked = binaryTargets(city)
      .map((target) => ({ target, level: levelTargetOf(target) }))
      .sort((a, b) => a.level.horizonMs - b.level.horizonMs);
  }

  async open(): Promise<void> {
    await this.#lake.define(riskTables);
  }

  /** Waits for the batch that is being made, and for what is read for the next. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  /**
   * Forecasts every station and binary target from one origin and stores a batch for each target, all in one
   * transaction. Past origins (a backfill) see what was known then. Throws NOT_READY without a champion, DATA_MISSING
   * without snapshots.
   */
  issue(originAt: number, options: { current: boolean; signal?: AbortSignal }): Promise<Batch[]> {
    const issued = this.#alone(() => this.#issue(originAt, { ...options, store: true }));
    if (options.current) {
      this.#alone(() => this.#readAhead(originAt)).catch((error: unknown) =>
        this.#log.warn({ error: messageOf(error) }, "profiles to come cannot be read ahead"),
      );
    }
    return issued;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /**
   * The newest outlook; after a start it is made anew from the last origin's snapshots. Throws NOT_READY before the
   * first batch.
   */
  async outlook(): Promise<RiskOutlook> {
    if (this.#outlook) return this.#outlook;
    const newest = await this.#lake.read((connection) =>
      connection.first<{ at: number | null }>("SELECT max(origin_at) AS at FROM risk_forecasts"),
    );
    if (newest?.at == null)
      throw new CityScaleError(
        "NOT_READY",
        `${this.#city.id} has no forecasts of stock-outs yet; the first batch makes them`,
      );
    const { at } = newest;
    await this.#alone(async () => {
      if (!this.#outlook) await this.#issue(at, { current: true, store: false });
    });
    return this.#outlook!;
  }

  /** The champion, with the calibration in force where there is one newer than the model. */
  async #championOf({ target, level }: Asked): Promise<Champion<BinaryForecaster>> {
    const { id } = stockOutView(level, hasWeather(this.#city));
    const champion = await this.#champions.get(target.name, id);
    const { model, version } = champion;
    if (!model) return champion;
    const newer = await this.#registry.calibrations.inForce(this.#city.id, target.name, version.version);
    return newer ? { ...champion, model: model.with(newer.calibration as Calibration) } : champion;
  }

  async #issue(
    originAt: number,
    options: { current: boolean; store: boolean; signal?: AbortSignal },
  ): Promise<Batch[]> {
    const began = performance.now();
    const champions = await Promise.all(this.#asked.map((asked) => this.#championOf(asked)));
    const history = await this.#history(originAt, options);
    options.signal?.throwIfAborted();
    const origins = Float64Array.of(originAt);
    const row = history.newestAt(origins)[0]!;
    if (row < 0)
      throw new CityScaleError(
        "DATA_MISSING",
        `no snapshot of ${this.#city.id} was known in the two weeks before ${new Date(originAt).toISOString()}`,
      );
    const countsAgeMs = Math.max(0, originAt - history.levels.at[row]!);
    const forecasts: StockOutForecasts[] = [];
    for (const [i, { level }] of this.#asked.entries()) {
      const champion = champions[i]!;
      forecasts.push(
        champion.model
          ? await forecastStockOuts(history, level, champion.model, origins)
          : forecastPersistence(history, level, ratesOf(champion), origins),
      );
    }
    const outlooks = this.#outlooksOf(history, forecasts);
    const issuedAt = this.#clock.now();
    const isLate = options.current && options.store && issuedAt - originAt > lateAfterMs;
    const weatherIssuedAt = history.weather?.issuedAt(originAt) ?? null;
    const weather = weatherIssuedAt === null ? "none" : "issued";
    const heartbeat = {
      ...{ originAt, issuedAt, countsAgeMs, tookMs: Math.round(performance.now() - began) },
      ...({ weather, weatherIssuedAt } as const),
      notes: [
        ...(isLate ? [`late: issued ${formatDuration(issuedAt - originAt)} after its origin`] : []),
        ...this.#staleness(countsAgeMs, originAt),
      ],
    };
    const rows = this.#asked.map(({ target, level }, i): RiskRows => {
      const champion = champions[i]!;
      const { count, probability } = forecasts[i]!;
      const rates = ratesOf(champion);
      return {
        forecasts: forecasts[i]!,
        naive: Float32Array.from(count, (now) =>
          now < 0 ? Number.NaN : persistenceRisk(rates, now, level.below),
        ),
        shortfall: Float32Array.from(outlooks, (outlook, s) =>
          count[s]! < 0 ? Number.NaN : shortfallOf(outlook, level, probability[s]!),
        ),
        batch: batchOf(this.#city, target, champion, heartbeat, stationsOf(history, forecasts[i]!, row)),
      };
    });
    options.signal?.throwIfAborted();
    const stored = options.store ? await storeRisks(this.#lake, rows) : 0;
    const batches = rows.map(({ batch }) => batch);
    if (options.current) await this.#keep(originAt, issuedAt, batches, outlooks);
    this.#log.info(
      {
        ...{ origin: new Date(originAt).toISOString(), targets: rows.length, stored },
        rows: batches.reduce((sum, batch) => sum + batch.rows, 0),
        ms: Math.round(performance.now() - began),
      },
      "risks issued",
    );
    return batches;
  }

  /** Whether profiles that are to come into force can be made, and no file is known to hold them. Cheap. */
  async profilesDue(): Promise<boolean> {
    const coming = this.#comingProfiles();
    return (
      coming !== null && (await this.#lake.read((connection) => this.#profiles.isDue(connection, coming)))
    );
  }

  /**
   * Makes the profiles that come into force next, beside the batches, and keeps them in a file for the first that wants
   * them. Returns their instant; null where there are none to make.
   */
  async keepProfiles(signal: AbortSignal): Promise<number | null> {
    const coming = this.#comingProfiles();
    if (!coming) return null;
    await this.#lake.read((connection) => this.#profiles.keep(connection, coming, signal));
    return coming.asOf;
  }

  /** Between two batches, where the second is the first with other profiles: it would be late by the time to read them. */
  async #readAhead(originAt: number): Promise<void> {
    const { timeZone } = this.#city;
    const coming = comingInstant(timeZone, originAt);
    if (coming === null) return;
    const next = nextTime(binaryTargets(this.#city)[0]!.schedule.forecast, timeZone, originAt);
    if (profileInstant(timeZone, next) !== coming) return;
    await this.#lake.read((connection) => this.#profiles.readAhead(connection, this.#profilesAt(coming)));
  }

  #comingProfiles(): ProfileOptions | null {
    const asOf = comingInstant(this.#city.timeZone, this.#clock.now());
    return asOf === null ? null : this.#profilesAt(asOf);
  }

  #profilesAt(asOf: number): ProfileOptions {
    return { timeZone: this.#city.timeZone, targets: this.#asked.map(({ level }) => level), asOf };
  }

  /** Snapshots as known at an origin, with the profiles in force. */
  async #history(
    originAt: number,
    { current, signal }: { current: boolean; signal?: AbortSignal },
  ): Promise<LevelHistory> {
    const { timeZone } = this.#city;
    return await this.#lake.read(async (connection) => {
      const from = await retainedFrom(connection, "snapshots");
      if (from !== null && originAt - profileMemoryMs < from)
        throw new CityScaleError(
          "DATA_MISSING",
          `snapshots before ${formatLocal(timeZone, from)} are not kept; what was known at ${formatLocal(timeZone, originAt)} cannot be told any more`,
        );
      await this.#window.extend(connection, originAt);
      const { levels } = this.#window;
      const asked = this.#profilesAt(profileInstant(timeZone, originAt));
      const reader = { stations: levels.stations, current, signal };
      const profiles = await this.#profiles.get(connection, asked, reader);
      return await levelHistory(
        connection,
        this.#city,
        levels,
        { from: originAt, until: originAt, weather: "issued" },
        (target) => profiles[asked.targets.indexOf(target)]!,
      );
    });
  }

  /** What moves are suggested from; a side without a target is as the plain rule has it. */
  #outlooksOf(history: LevelHistory, forecasts: readonly StockOutForecasts[]): StationOutlook[] {
    const { target, origins } = forecasts.at(-1)!;
    const of = (measure: LevelName) => {
      const own = forecasts.filter((forecast) => forecast.target.measure === measure);
      return own.length > 0 ? own : [forecastPersistence(history, { ...target, measure }, null, origins)];
    };
    return outlooksOf(history, { bikes: of("bikes"), docks: of("docks") }, 0);
  }

  #staleness(countsAgeMs: number, originAt: number): string[] {
    const { measure } = this.#asked[0]!.target;
    const { freshness } = this.#city.measures[measure]!.contract;
    return countsAgeMs <= parseDuration(freshness)
      ? []
      : [
          `made from old counts: the newest snapshot is of ${formatLocal(this.#city.timeZone, originAt - countsAgeMs)}`,
        ];
  }

  async #keep(
    originAt: number,
    issuedAt: number,
    batches: readonly Batch[],
    stations: readonly StationOutlook[],
  ) {
    const names = await this.#lake.read((connection) =>
      connection.rows<{ entity: string; name: string | null }>("SELECT entity, name FROM entities"),
    );
    const leads = (measure: LevelName) =>
      this.#asked
        .filter(({ level }) => level.measure === measure)
        .map(({ level }) => level.horizonMs / 60_000);
    this.#outlook = {
      ...{ originAt, issuedAt, stations },
      leads: { bikes: leads("bikes"), docks: leads("docks") },
      below: this.#asked[0]!.level.below,
      versions: Object.fromEntries(batches.map(({ target, version }) => [target, version])),
      names: new Map(names.map(({ entity, name }) => [entity, name])),
      notes: [...new Set(batches.flatMap(({ notes }) => notes))],
    };
  }
}

/** Persistence as a probability, as it was fitted with the champion; without any it is the plain rule. */
function ratesOf({ version, zero }: Champion<BinaryForecaster>): readonly number[] | null {
  const rates = version.scores["persistence"] ?? zero.scores["rates"];
  return Array.isArray(rates) ? (rates as number[]) : null;
}

/** A target's batch: its own heartbeat, with what all of an origin share. */
function batchOf(
  city: City,
  target: Target,
  { version, fallback }: Champion<BinaryForecaster>,
  common: Omit<Batch, "batch" | "target" | "version" | "rows" | "entities" | "fellBack">,
  { rows, notes }: { readonly rows: number; readonly notes: readonly string[] },
): Batch {
  const key = [city.id, target.name, common.originAt, version.version, version.viewId].join("|");
  return {
    ...common,
    batch: createHash("sha256").update(key).digest("hex").slice(0, 16),
    target: target.name,
    version: version.version,
    ...{ rows, entities: rows },
    fellBack: fallback !== null,
    notes: [
      ...(fallback === null ? [] : [`the champion could not be used: ${fallback}`]),
      ...common.notes,
      ...notes,
    ],
  };
}

/** How many stations have a probability, and why others have none. */
function stationsOf(history: LevelHistory, { count, target }: StockOutForecasts, row: number) {
  const { levels } = history;
  const width = levels.stations.length;
  let [rows, closed, absent] = [0, 0, 0];
  for (let s = 0, cell = row * width; s < width; s++, cell++) {
    if (count[s]! >= 0) rows++;
    else if (levels[target.measure][cell]! >= 0) closed++;
    else absent++;
  }
  const notes = [
    ...(closed > 0 ? [`${closed} stations have no probability: out of service`] : []),
    ...(absent > 0 ? [`${absent} stations have no probability: not in the newest snapshot`] : []),
  ];
  return { rows, notes };
}

/** Of one lead: its own probability, along the station's usual falls. */
function shortfallOf(outlook: StationOutlook, level: LevelTarget, probability: number): number {
  return expectedShortfall({ ...outlook[level.measure], risks: [probability] }, level.below);
}
