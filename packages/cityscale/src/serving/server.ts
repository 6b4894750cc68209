import { createHash } from "node:crypto";
import { CityScaleError, type Clock, type Log } from "../core/index.ts";
import { type City, formatLocal, parseDuration, type Target } from "../domain/index.ts";
import {
  buildFeatures,
  createView,
  type FeatureSet,
  type FeatureView,
  type OnlineStore,
  type OnlineVectors,
  type WhatIf,
} from "../features/index.ts";
import type { Lake } from "../lake/index.ts";
import { leadsOf } from "../models/index.ts";
import type { Champions } from "./champions.ts";
import { ColdStarts, tooNew } from "./cold-starts.ts";
import { explainRows, type ForecastExplanation } from "./explanation.ts";
import { type InputState, inputState } from "./inputs.ts";
import { forecastBy, pickRows, rowsOfEntity, withColdStarts } from "./rows.ts";
import { type Batch, forecastTables, listBatches, storeBatch } from "./store.ts";
import { weatherNotes, weatherOf } from "./weather.ts";

export interface PredictRequest {
  readonly target: string;
  readonly entity: string;
  /** Leads wanted; all of the horizon when neither leads nor times are given. */
  readonly leads?: readonly number[];
  /** Instants wanted (any within a step), ms UTC. */
  readonly times?: readonly number[];
  readonly whatIf?: WhatIf;
}

/** One forecast; counts per step. */
export interface ForecastValue {
  readonly lead: number;
  readonly validAt: number;
  readonly point: number;
  readonly p10: number | null;
  readonly p50: number;
  readonly p90: number | null;
  readonly naive: number | null;
}

/** Forecasts with how they were made. Instants in ms UTC. */
export interface Prediction {
  readonly city: string;
  readonly target: string;
  readonly entity: string;
  readonly originAt: number;
  readonly modelVersion: number;
  readonly modelKind: string;
  readonly datasetVersion: string | null;
  readonly viewId: string;
  /** Age of the feature vectors at the city's clock, ms. */
  readonly inputsAgeMs: number;
  /** Age of the newest count behind them at the city's clock, ms: it grows while counts cannot be read. */
  readonly countsAgeMs: number;
  readonly weather: "issued" | "none";
  readonly weatherIssuedAt: number | null;
  readonly fellBack: boolean;
  /** True for an entity too new for the model: its forecasts are pooled from others'. */
  readonly coldStart: boolean;
  readonly whatIf: boolean;
  readonly notes: readonly string[];
  readonly forecasts: readonly ForecastValue[];
}

/** Issues batches and answers single and what-if predictions of one city. */
export class ForecastServer {
  readonly #city: City;
  readonly #lake: Lake;
  readonly #online: OnlineStore;
  readonly #champions: Champions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lagMs: (target: Target) => number;
  readonly #views = new Map<string, FeatureView>();
  readonly #entities = new Map<string, number>();
  /** Of each target's newest vectors. */
  readonly #inputs = new Map<string, InputState>();
  readonly #coldStarts: ColdStarts;

  constructor(parts: {
    city: City;
    lake: Lake;
    online: OnlineStore;
    champions: Champions;
    clock: Clock;
    log: Log;
    lagMs: (target: Target) => number;
  }) {
    this.#city = parts.city;
    this.#lake = parts.lake;
    this.#online = parts.online;
    this.#champions = parts.champions;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#lagMs = parts.lagMs;
    this.#coldStarts = new ColdStarts(parts);
  }

  async open(): Promise<void> {
    await this.#lake.define(forecastTables);
  }

  target(name: string): Target {
    // A name such as "constructor" comes from a request and is found on every object.
    const target = Object.hasOwn(this.#city.targets, name) ? this.#city.targets[name] : undefined;
    if (!target) {
      throw new CityScaleError(
        "TARGET_UNKNOWN",
        `${this.#city.id} has no target "${name}"; it has ${Object.keys(this.#city.targets).join(", ")}`,
      );
    }
    return target;
  }

  /** Throws REQUEST_INVALID for a binary target. */
  view(target: Target): FeatureView {
    if (target.kind === "binary") {
      throw new CityScaleError(
        "REQUEST_INVALID",
        `${target.name} is a binary target; its probabilities are at /v1/cities/${this.#city.id}/risk`,
      );
    }
    let view = this.#views.get(target.name);
    if (!view) {
      view = createView(this.#city, target, this.#lagMs(target));
      this.#views.set(target.name, view);
    }
    return view;
  }

  batches(target: string, limit = 1): Promise<Batch[]> {
    return this.#lake.read((connection) => listBatches(connection, this.target(target).name, limit));
  }

  /**
   * Forecasts every entity and lead from one origin and stores the batch with its heartbeat.
   * Past origins (a backfill) see what was known then. Throws NOT_READY without a champion, DATA_MISSING
   * without observations.
   */
  async issue(
    targetName: string,
    originAt: number,
    options: { current: boolean; signal?: AbortSignal },
  ): Promise<Batch> {
    const began = performance.now();
    const target = this.target(targetName);
    const view = this.view(target);
    const champion = await this.#champions.get(target.name, view.id);
    await this.#lake.extendSteps(originAt, originAt + parseDuration(target.horizon) + 2 * 86_400_000);
    const set = await this.#lake.read((connection) =>
      buildFeatures(connection, this.#city, view, {
        origins: Float64Array.of(originAt),
        leads: Int32Array.of(leadsOf(this.#city, originAt, target.horizon)),
        lagMs: this.#lagMs(target),
        weather: "issued",
        path: "exact",
        onlyWithTarget: false,
      }),
    );
    options.signal?.throwIfAborted();
    if (set.rows === 0)
      throw new CityScaleError(
        "DATA_MISSING",
        `no entity of ${this.#city.id} has been heard of in the 60 days before ${new Date(originAt).toISOString()}`,
      );
    const { rows: made, fellBack, notes } = forecastBy(set, champion);
    const starts = await this.#coldStarts.from(target, view, originAt, made);
    const rows = withColdStarts(made, starts);
    const inputs = await this.#inputState(target, originAt, options.current);
    const weather = weatherOf(set);
    const batch: Batch = {
      batch: createHash("sha256")
        .update(`${this.#city.id}|${target.name}|${originAt}|${champion.version.version}|${view.id}`)
        .digest("hex")
        .slice(0, 16),
      target: target.name,
      originAt,
      issuedAt: this.#clock.now(),
      version: champion.version.version,
      rows: set.rows,
      entities: new Set(set.entity).size,
      weather: weather.basis,
      weatherIssuedAt: weather.issuedAt,
      countsAgeMs: Math.max(0, originAt - inputs.countsAt),
      fellBack,
      notes: [
        ...notes,
        ...(await this.#coldStarts.notes(starts)),
        ...inputs.notes,
        ...weatherNotes(weather, originAt, this.#city.timeZone),
      ],
      tookMs: Math.round(performance.now() - began),
    };
    const fresh = await storeBatch(this.#lake, batch, rows);
    // After the batch: what cannot be stored must not be served either, and the vectors before it still are.
    if (options.current) {
      this.#online.swap(target.name, originAt, set);
      this.#inputs.set(target.name, inputs);
      this.#coldStarts.keep(target, originAt, champion, starts);
    }
    this.#log.info(
      {
        target: target.name,
        origin: new Date(originAt).toISOString(),
        version: batch.version,
        rows: batch.rows,
        ms: batch.tookMs,
        repeated: !fresh,
      },
      "forecasts issued",
    );
    return batch;
  }

  /** The rows that a request is about, and the champion that answers it. Throws as `predict`. */
  async #asked(request: PredictRequest) {
    const target = this.target(request.target);
    const view = this.view(target);
    const vectors = this.#online.newest(target.name, view);
    if (!vectors)
      throw new CityScaleError(
        "NOT_READY",
        `${this.#city.id}/${target.name} has no feature vectors yet; the first batch makes them`,
      );
    const e = await this.#numberOf(request.entity);
    const champion = await this.#champions.get(target.name, view.id);
    const stored = rowsOfEntity(vectors, e);
    if (!stored)
      throw new CityScaleError(
        "DATA_MISSING",
        `${request.entity} has not been heard of for 60 days and is not forecast`,
      );
    const set = request.whatIf
      ? await this.#whatIf(target, view, vectors, stored, e, request.whatIf)
      : stored;
    const asked = pickRows(set, this.#wantedRows(set, request, vectors.originAt));
    return { target, view, vectors, stored, asked, champion };
  }

  /**
   * Forecasts of one entity from the newest origin. Throws ENTITY_UNKNOWN, TARGET_UNKNOWN, NOT_READY, and
   * REQUEST_INVALID for leads or times outside the horizon; DATA_MISSING for an entity that cannot be forecast, and
   * NOT_READY for a what-if of one that is too new for the model.
   */
  async predict(request: PredictRequest): Promise<Prediction> {
    const { target, view, vectors, stored, asked, champion } = await this.#asked(request);
    const { rows: made, fellBack, notes } = forecastBy(asked, champion);
    const starts = await this.#coldStarts.of(target, view, vectors, champion);
    const start = starts.find(({ entity }) => entity === asked.entity[0]);
    if (start && request.whatIf) throw tooNew(request.entity, "it cannot be asked what if");
    const rows = withColdStarts(made, start ? [start] : []);
    if (!rows.point.every(Number.isFinite)) {
      throw new CityScaleError(
        "DATA_MISSING",
        `${request.entity} has too little history to be forecast, and there are too few others to forecast it from`,
      );
    }
    const weather = weatherOf(stored);
    const inputs = await this.#inputsOf(target, vectors.originAt);
    const number = (value: number) => (Number.isFinite(value) ? value : null);
    return {
      city: this.#city.id,
      target: target.name,
      entity: request.entity,
      originAt: vectors.originAt,
      modelVersion: champion.version.version,
      modelKind: fellBack || champion.model === null ? champion.naive : champion.version.kind,
      datasetVersion: champion.version.datasetVersion,
      viewId: view.id,
      inputsAgeMs: Math.max(0, this.#clock.now() - vectors.originAt),
      countsAgeMs: Math.max(0, this.#clock.now() - inputs.countsAt),
      weather: weather.basis,
      weatherIssuedAt: weather.issuedAt,
      fellBack,
      coldStart: start !== undefined,
      whatIf: request.whatIf !== undefined,
      notes: [
        ...notes,
        ...(await this.#coldStarts.notes(start ? [start] : [])),
        ...inputs.notes,
        ...weatherNotes(weather, vectors.originAt, this.#city.timeZone),
      ],
      forecasts: Array.from(rows.lead, (lead, i) => ({
        lead,
        validAt: this.#city.grid.startOf(rows.step[i]!),
        point: rows.point[i]!,
        p10: number(rows.low[i]!),
        p50: rows.median[i]!,
        p90: number(rows.high[i]!),
        naive: number(rows.naive[i]!),
      })),
    };
  }

  /**
   * Why one entity's forecasts from the newest origin are what they are. Throws as `predict`, and NOT_READY where the
   * champion is a naive forecast or the entity too new for the model.
   */
  async explain(request: PredictRequest): Promise<ForecastExplanation> {
    const { target, view, vectors, asked, champion } = await this.#asked(request);
    if (!champion.model) {
      throw new CityScaleError(
        "NOT_READY",
        `the champion of ${this.#city.id}/${target.name} is the naive forecast ${champion.naive}: what it says is a past value and needs no explanation`,
      );
    }
    const starts = await this.#coldStarts.of(target, view, vectors, champion);
    if (starts.some(({ entity }) => entity === asked.entity[0]))
      throw tooNew(request.entity, "its forecast is that of others like it, moved by its first counts");
    return {
      city: this.#city.id,
      target: target.name,
      entity: request.entity,
      originAt: vectors.originAt,
      modelVersion: champion.version.version,
      modelKind: champion.version.kind,
      forecasts: explainRows(champion.model, asked, this.#city.grid),
    };
  }

  #inputState(target: Target, originAt: number, current: boolean): Promise<InputState> {
    return inputState(this.#lake, {
      city: this.#city,
      target,
      lagMs: this.#lagMs(target),
      originAt,
      current,
    });
  }

  /** Of the newest vectors; looked up anew only after a start. */
  async #inputsOf(target: Target, originAt: number): Promise<InputState> {
    let inputs = this.#inputs.get(target.name);
    if (inputs?.originAt !== originAt) {
      inputs = await this.#inputState(target, originAt, true);
      this.#inputs.set(target.name, inputs);
    }
    return inputs;
  }

  async #numberOf(entity: string): Promise<number> {
    const known = this.#entities.get(entity);
    if (known !== undefined) return known;
    const row = await this.#lake.read((connection) =>
      connection.first<{ e: number }>("SELECT e FROM entities WHERE entity = ?", [entity]),
    );
    if (!row)
      throw new CityScaleError(
        "ENTITY_UNKNOWN",
        `${this.#city.id} has no ${this.#city.entity} "${entity.slice(0, 80)}"`,
      );
    this.#entities.set(entity, row.e);
    return row.e;
  }

  /** The same SQL with replaced inputs, for one entity; what the whole city did so far stays as it was. */
  async #whatIf(
    target: Target,
    view: FeatureView,
    vectors: OnlineVectors,
    stored: FeatureSet,
    e: number,
    whatIf: WhatIf,
  ): Promise<FeatureSet> {
    const set = await this.#lake.read((connection) =>
      buildFeatures(connection, this.#city, view, {
        origins: Float64Array.of(vectors.originAt),
        leads: Int32Array.of(leadsOf(this.#city, vectors.originAt, target.horizon)),
        lagMs: this.#lagMs(target),
        weather: "issued",
        path: "exact",
        onlyWithTarget: false,
        entities: [e],
        alone: true,
        whatIf,
      }),
    );
    if (set.rows !== stored.rows)
      throw new CityScaleError("CONFLICT", "the data changed while the what-if was computed; ask again");
    const columns = set.columns.map((column, i) =>
      view.ofOthers.includes(view.columns[i]!) ? stored.columns[i]! : column,
    );
    return { ...set, columns };
  }

  #wantedRows(set: FeatureSet, request: PredictRequest, originAt: number): Int32Array {
    const rowOfLead = new Map(Array.from(set.lead, (lead, i) => [lead, i]));
    const most = set.lead.at(-1) ?? 0;
    const rowOf = (lead: number, asked: string) => {
      const row = rowOfLead.get(lead);
      if (row === undefined) {
        throw new CityScaleError(
          "REQUEST_INVALID",
          `${asked} lies outside the forecast from ${formatLocal(this.#city.timeZone, originAt)}: leads 1 to ${most}`,
          { details: { originAt, leads: most } },
        );
      }
      return row;
    };
    if (request.leads) return Int32Array.from(request.leads, (lead) => rowOf(lead, `lead ${lead}`));
    if (request.times) {
      const first = this.#city.grid.stepAt(originAt);
      return Int32Array.from(request.times, (at) =>
        rowOf(this.#city.grid.stepAt(at) - first + 1, new Date(at).toISOString()),
      );
    }
    return Int32Array.from(set.lead, (_, i) => i);
  }
}
