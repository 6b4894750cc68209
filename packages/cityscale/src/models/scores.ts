import { scores } from "@cityscale/forecast";

/** Scores of one model on the rows of a table; fractions, not percent. Null where a score cannot be computed. */
export interface ModelScores {
  readonly name: string;
  readonly kind: "naive" | "classical" | "trained" | "blend";
  readonly champion: boolean;
  readonly wape: number | null;
  readonly mape: number | null;
  readonly mase: number | null;
  readonly rmse: number | null;
  readonly rmsle: number | null;
  readonly r2: number | null;
  readonly pinball: {
    readonly "0.1": number | null;
    readonly "0.5": number | null;
    readonly "0.9": number | null;
  };
  readonly coverage80: number | null;
  readonly width80: number | null;
  readonly byLead: readonly LeadScores[];
  readonly byEntity: readonly EntityScores[];
  /** Where steps are days, else empty: what is easy tomorrow may be hard in two weeks, and not for every entity. */
  readonly byEntityAndLead: readonly (EntityScores & LeadScores)[];
}

interface GroupScores {
  readonly n: number;
  readonly wape: number | null;
  readonly mape: number | null;
  readonly coverage80: number | null;
}
export interface LeadScores extends GroupScores {
  readonly lead: number;
}
export interface EntityScores extends GroupScores {
  readonly entity: string;
}

/** Forecasts of one model, aligned with the rows of the table. */
export interface ModelForecasts {
  readonly name: string;
  readonly kind: ModelScores["kind"];
  readonly point: Float64Array;
  /** 10 % and 90 % quantiles; absent for a model that gives none. */
  readonly low?: Float64Array;
  readonly high?: Float64Array;
}

export interface ScoredRows {
  readonly target: Float64Array;
  readonly lead: Int32Array;
  readonly entity: Int32Array;
  /** Names by entity number. */
  readonly entityNames: ReadonlyMap<number, string>;
  /** Whether entities are scored by lead. */
  readonly eachLead: boolean;
  /** Mean absolute error of "same hour last week" inside the training data, by row (per entity). */
  readonly scale: Float64Array;
}

const round = (value: number | null) =>
  value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(6));

/** Scores of a model on the rows. */
export function scoreModel(rows: ScoredRows, model: ModelForecasts, champion: boolean): ModelScores {
  const { target, lead, entity } = rows;
  const { point, low, high } = model;
  const leads = lead.reduce((most, value) => Math.max(most, value), 0) + 1;
  const entities = entity.reduce((most, value) => Math.max(most, value), 0) + 1;
  const grouped = (group: Int32Array, groups: number) =>
    scores.groupScores(target, point, low ?? null, high ?? null, group, groups);
  const leadTable = grouped(lead, leads);
  const entityTable = grouped(entity, entities);
  const at = (table: typeof leadTable, i: number): GroupScores => ({
    n: table.n[i]!,
    wape: round(table.wape[i]!),
    mape: round(table.mape[i]!),
    coverage80: low && high ? round(table.coverage[i]!) : null,
  });
  const byLead: LeadScores[] = [];
  for (let i = 0; i < leads; i++) if (leadTable.n[i]! > 0) byLead.push({ lead: i, ...at(leadTable, i) });
  const byEntity: EntityScores[] = [];
  for (let i = 0; i < entities; i++) {
    if (entityTable.n[i]! > 0)
      byEntity.push({ entity: rows.entityNames.get(i) ?? String(i), ...at(entityTable, i) });
  }
  const byEntityAndLead: (EntityScores & LeadScores)[] = [];
  if (rows.eachLead) {
    const both = grouped(
      entity.map((e, i) => e * leads + lead[i]!),
      entities * leads,
    );
    for (let i = 0; i < both.n.length; i++) {
      if (both.n[i]! === 0) continue;
      const name = rows.entityNames.get(Math.floor(i / leads)) ?? String(Math.floor(i / leads));
      byEntityAndLead.push({ entity: name, lead: i % leads, ...at(both, i) });
    }
  }
  return {
    name: model.name,
    kind: model.kind,
    champion,
    wape: round(scores.wape(target, point)),
    mape: round(scores.mape(target, point)),
    mase: round(scores.mase(target, point, rows.scale)),
    rmse: round(scores.rmse(target, point)),
    rmsle: round(scores.rmsle(target, point)),
    r2: round(scores.r2(target, point)),
    pinball: {
      "0.1": low ? round(scores.pinball(target, low, 0.1)) : null,
      "0.5": round(scores.pinball(target, point, 0.5)),
      "0.9": high ? round(scores.pinball(target, high, 0.9)) : null,
    },
    coverage80: low && high ? round(scores.coverage(target, low, high)) : null,
    width80: low && high ? round(scores.relativeWidth(target, low, high)) : null,
    byLead,
    byEntity,
    byEntityAndLead,
  };
}
