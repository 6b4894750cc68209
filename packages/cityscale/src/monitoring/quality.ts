import {
  type City,
  dateOfDay,
  localDay,
  parseDuration,
  quantityTargets,
  stuckSteps,
  type Target,
} from "../domain/index.ts";
import { type Annotation, type Connection, type Lake, literal } from "../lake/index.ts";
import { openAnomalies } from "./anomalies.ts";

export interface SourceHealth {
  readonly source: string;
  readonly state: "ok" | "failing" | "never-read";
  /** Since the last read that ended well, ms; null when there was none. */
  readonly ageMs: number | null;
  readonly lastError: string | null;
  readonly failingSinceMs: number | null;
}

export interface MeasureHealth {
  readonly measure: string;
  readonly rows: number;
  readonly firstAt: number | null;
  readonly newestAt: number | null;
  /** Age of the newest row beyond the publication lag, ms. */
  readonly staleMs: number | null;
  readonly fresh: boolean;
  /** Share of the rows expected in the newest seven days that are there. */
  readonly completeness: number | null;
  readonly complete: boolean;
  readonly corrected: number;
  readonly late: number;
}

export interface DeadCounter {
  readonly entity: string;
  readonly name: string | null;
  readonly measure: string;
  readonly fromAt: number;
  readonly toAt: number;
  readonly steps: number;
  /** True when the run of zeros reaches the newest data. */
  readonly ongoing: boolean;
}

export interface QuarantineCount {
  readonly source: string;
  readonly stream: string;
  readonly reason: string;
  readonly rows: number;
  readonly example: string | null;
  readonly newestAt: number;
}

/** What the contract and the sources have to say of a city's data. Instants in ms UTC. */
export interface QualityReport {
  readonly city: string;
  readonly at: number;
  /** False when something needs a person. */
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly sources: readonly SourceHealth[];
  readonly measures: readonly MeasureHealth[];
  readonly deadCounters: readonly DeadCounter[];
  /** Entities without a row for a week or more. */
  readonly silent: readonly {
    readonly entity: string;
    readonly name: string | null;
    readonly newestAt: number | null;
  }[];
  readonly quarantine: readonly QuarantineCount[];
  readonly schemaChanges: readonly {
    readonly source: string;
    readonly at: number;
    readonly change: string;
  }[];
  readonly entityChanges: readonly {
    readonly entity: string;
    readonly at: number;
    readonly field: string;
    readonly from: string | null;
    readonly to: string | null;
  }[];
}

const day = 86_400_000;

/** Measures the contract of every measure and the health of every source. */
export async function qualityReport(
  lake: Lake,
  city: City,
  lagMs: ReadonlyMap<string, number>,
  now: number,
): Promise<QualityReport> {
  const states = await lake.sourceStates();
  const problems: string[] = [];
  const sources = Object.keys(city.sources).map((source): SourceHealth => {
    const state = states.find((candidate) => candidate.source === source);
    const ageMs = state?.lastSuccessAt == null ? null : now - state.lastSuccessAt;
    if (!state) problems.push(`source ${source} has not been read yet`);
    else if (state.lastError !== null) problems.push(`source ${source} fails: ${state.lastError}`);
    return {
      source,
      state: !state ? "never-read" : state.lastError !== null ? "failing" : "ok",
      ageMs,
      lastError: state?.lastError ?? null,
      failingSinceMs:
        state?.lastErrorAt == null ? null : now - (state.lastSuccessAt ?? state.firstReadAt ?? now),
    };
  });
  using connection = await lake.connect();
  const measures: MeasureHealth[] = [];
  const deadCounters: DeadCounter[] = [];
  for (const [name, measure] of Object.entries(city.measures)) {
    if (measure.kind === "level") continue;
    const health = await measureHealth(connection, city, name, lagMs.get(measure.from) ?? 0, now);
    measures.push(health);
    if (health.rows > 0 && !health.fresh)
      problems.push(
        `${name}: the newest row is ${Math.round(health.staleMs! / 3_600_000)} h older than it should be`,
      );
    if (!health.complete)
      problems.push(
        `${name}: only ${Math.round((health.completeness ?? 0) * 100)} % of the rows of the last seven days are there`,
      );
    deadCounters.push(...(await deadRuns(connection, city, name)));
  }
  const ongoing = deadCounters.filter((run) => run.ongoing);
  if (ongoing.length > 0)
    problems.push(
      `${ongoing.length} ${city.entity}(s) report nothing but zeros: ${ongoing
        .slice(0, 5)
        .map((run) => run.name ?? run.entity)
        .join(", ")}`,
    );
  for (const target of quantityTargets(city))
    problems.push(...(await anomalyProblems(connection, city, target, now)));
  const quarantine = await quarantineCounts(connection);
  const schemaChanges = await connection.rows<{ source: string; at: number; change: string }>(
    "SELECT source, seen_at AS at, change FROM schema_changes ORDER BY seen_at DESC LIMIT 50",
  );
  if (schemaChanges.some((change) => change.at > now - 7 * day)) {
    problems.push(
      `upstream fields changed: ${schemaChanges
        .slice(0, 5)
        .map((change) => `${change.source} ${change.change}`)
        .join(", ")}`,
    );
  }
  const silent = await connection.rows<{ entity: string; name: string | null; newestAt: number | null }>(`
    SELECT n.entity, n.name, max(s.start_at) AS "newestAt"
    FROM entities n LEFT JOIN observations o USING (e) LEFT JOIN steps s USING (t)
    WHERE n.retired_at IS NULL GROUP BY n.entity, n.name
    HAVING max(s.start_at) < (SELECT max(start_at) FROM observations JOIN steps USING (t)) - ${7 * day} ORDER BY n.entity`);
  const entityChanges = await connection.rows<{
    entity: string;
    at: number;
    field: string;
    from: string | null;
    to: string | null;
  }>(`
    SELECT n.entity, c.changed_at AS at, c.field, c.old_value AS "from", c.new_value AS "to"
    FROM entity_changes c JOIN entities n USING (e) ORDER BY c.changed_at DESC LIMIT 50`);
  return {
    city: city.id,
    at: now,
    ok: problems.length === 0,
    problems,
    sources,
    measures,
    deadCounters,
    silent,
    quarantine,
    schemaChanges,
    entityChanges,
  };
}

async function measureHealth(
  connection: Connection,
  city: City,
  name: string,
  lag: number,
  now: number,
): Promise<MeasureHealth> {
  const { contract } = city.measures[name]!;
  const row = await connection.first<{
    rows: number;
    first: number | null;
    newest: number | null;
    newest_end: number | null;
    late: number;
    corrected: number;
    recent: number;
    expected: number;
  }>(`
    WITH mine AS (SELECT o.*, s.start_at, s.end_at FROM observations o JOIN steps s USING (t) WHERE o.measure = ${literal(name)}),
      week AS (SELECT max(t) - ${7 * city.grid.slotsPerDay} AS from_t FROM mine)
    SELECT count(*) AS rows, min(start_at) AS first, max(start_at) AS newest, max(end_at) AS newest_end,
      count(*) FILTER (known_at > end_at + ${lag} + 3600000) AS late,
      (SELECT count(*) FROM revisions WHERE measure = ${literal(name)}) AS corrected,
      count(*) FILTER (t > (SELECT from_t FROM week)) AS recent,
      (SELECT count(DISTINCT e) FROM mine WHERE t > (SELECT from_t FROM week) - ${21 * city.grid.slotsPerDay}) * ${7 * city.grid.slotsPerDay} AS expected
    FROM mine`);
  const staleMs = row?.newest_end == null ? null : Math.max(0, now - row.newest_end - lag);
  const completeness = row && row.expected > 0 ? Math.min(1, row.recent / row.expected) : null;
  return {
    measure: name,
    rows: row?.rows ?? 0,
    firstAt: row?.first ?? null,
    newestAt: row?.newest ?? null,
    staleMs,
    fresh: staleMs !== null && staleMs <= parseDuration(contract.freshness),
    completeness,
    complete: completeness === null || completeness >= contract.completeness,
    corrected: row?.corrected ?? 0,
    late: row?.late ?? 0,
  };
}

/** Days held back and lasting shifts; single odd days are for `anomalies`: some come by chance. */
async function anomalyProblems(
  connection: Connection,
  city: City,
  target: Target,
  now: number,
): Promise<string[]> {
  const open = await openAnomalies(connection, target, now);
  const of = (kind: Annotation["kind"]) => open.filter((found) => found.kind === kind);
  const named = (found: readonly Annotation[]) =>
    found
      .slice(0, 5)
      .map(({ entity, fromAt }) => `${entity} ${dateOfDay(localDay(city.timeZone, fromAt))}`)
      .join(", ");
  const recent = of("half-loaded").filter(({ fromAt }) => fromAt >= now - 14 * day);
  const shifts = of("level-shift");
  return [
    ...(recent.length === 0
      ? []
      : [
          `${target.name}: ${recent.length} day(s) of the last two weeks look half loaded and are held back: ${named(recent)}`,
        ]),
    ...(shifts.length === 0 ? [] : [`${target.name}: the level has shifted: ${named(shifts)}`]),
  ];
}

/** Runs of zeros that are long enough to be a dead counter's, longest first. */
async function deadRuns(connection: Connection, city: City, name: string): Promise<DeadCounter[]> {
  const stuck = stuckSteps(city, name);
  const rows = await connection.rows<{
    entity: string;
    name: string | null;
    from: number;
    to: number;
    steps: number;
    ongoing: boolean;
  }>(`
    WITH mine AS (
      SELECT e, t, value, sum(CASE WHEN value > 0 THEN 1 ELSE 0 END) OVER (PARTITION BY e ORDER BY t ROWS UNBOUNDED PRECEDING) AS island
      FROM observations WHERE measure = ${literal(name)}
    ), runs AS (
      SELECT e, island, min(t) AS from_t, max(t) AS to_t FROM mine WHERE value = 0 GROUP BY e, island
    )
    SELECT n.entity, n.name, a.start_at AS "from", b.end_at AS "to", r.to_t - r.from_t + 1 AS steps,
      r.to_t = (SELECT max(t) FROM mine m WHERE m.e = r.e) AS ongoing
    FROM runs r JOIN entities n USING (e) JOIN steps a ON a.t = r.from_t JOIN steps b ON b.t = r.to_t
    WHERE r.to_t - r.from_t + 1 >= ${stuck} ORDER BY steps DESC, n.entity`);
  return rows.map((row) => ({
    entity: row.entity,
    name: row.name,
    measure: name,
    fromAt: row.from,
    toAt: row.to,
    steps: row.steps,
    ongoing: row.ongoing,
  }));
}

async function quarantineCounts(connection: Connection): Promise<QuarantineCount[]> {
  return connection.rows<QuarantineCount & Record<string, never>>(`
    SELECT source, stream, reason, count(*) AS rows, max(arrived_at) AS "newestAt",
      arg_max(COALESCE(detail, received, concat_ws(' ', entity, CAST(make_timestamp(valid_at * 1000) AS VARCHAR), value)), arrived_at) AS example
    FROM quarantine GROUP BY source, stream, reason ORDER BY rows DESC`);
}
