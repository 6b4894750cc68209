import type { City } from "../domain/index.ts";
import { earliest } from "./append.ts";
import { type Connection, literal } from "./duckdb.ts";
import { extendSteps } from "./steps.ts";

/** What one merge did; `touched` are ranges of steps whose clean values changed. */
export interface MergeReport {
  readonly rows: number;
  readonly inserted: number;
  readonly corrected: number;
  readonly repeated: number;
  readonly quarantined: number;
  readonly touched: { readonly measure: string; readonly fromT: number; readonly toT: number }[];
}

const nothing: MergeReport = { rows: 0, inserted: 0, corrected: 0, repeated: 0, quarantined: 0, touched: [] };

export function addReports(a: MergeReport, b: MergeReport): MergeReport {
  return {
    rows: a.rows + b.rows,
    inserted: a.inserted + b.inserted,
    corrected: a.corrected + b.corrected,
    repeated: a.repeated + b.repeated,
    quarantined: a.quarantined + b.quarantined,
    touched: [...a.touched, ...b.touched],
  };
}

/**
 * Brings raw observations that came since the last merge into the clean tables, poll by poll, each in one
 * transaction: contract, quarantine, duplicates, corrections to `clean_revisions`, and the watermark.
 * @param lagMs publication lag by source name
 */
export async function mergeObservations(
  connection: Connection,
  city: City,
  lagMs: ReadonlyMap<string, number>,
): Promise<MergeReport> {
  // Two reads of a source may take turns (a backfill beside the hourly one): each unbroken run of one poll is a
  // group, so that the watermark never passes rows that were not merged.
  const pending = await connection.rows<{ poll: number; source: string; measure: string; last: number }>(
    `SELECT poll, source, measure, max(seq) AS last FROM (
       SELECT r.poll, source, measure, r.seq, row_number() OVER (PARTITION BY source, measure ORDER BY r.seq)
         - row_number() OVER (PARTITION BY source, measure, r.poll ORDER BY r.seq) AS run
       FROM raw_observations r LEFT JOIN merged m USING (source, measure) WHERE r.seq > COALESCE(m.seq, 0)
     ) GROUP BY source, measure, poll, run ORDER BY last`,
  );
  let report = nothing;
  for (const group of pending) {
    report = addReports(
      report,
      await connection.transaction(() => mergePoll(connection, city, group, lagMs.get(group.source) ?? 0)),
    );
  }
  return report;
}

async function mergePoll(
  connection: Connection,
  city: City,
  group: { poll: number; source: string; measure: string; last: number },
  lag: number,
): Promise<MergeReport> {
  const { measure, last } = group;
  const contract = city.measures[measure]?.contract;
  const done = await connection.first<{ seq: number }>(
    "SELECT seq FROM merged WHERE source = ? AND measure = ?",
    [group.source, measure],
  );
  const where = `r.poll = ${group.poll} AND r.source = ${literal(group.source)} AND r.measure = ${literal(measure)} AND r.seq > ${done?.seq ?? 0} AND r.seq <= ${last}`;
  const span = await connection.first<{ low: number | null; high: number | null }>(
    `SELECT min(valid_at) AS low, max(valid_at) AS high FROM raw_observations r
     WHERE ${where} AND valid_at BETWEEN ${earliest} AND arrived_at`,
  );
  if (span?.low != null && span.high != null) {
    await extendSteps(connection, city.grid, span.low, span.high + 40 * 86_400_000);
  }
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE staged AS
    SELECT r.seq, r.source, r.e, s.t, s.end_at, r.valid_at, r.value, r.published_at, r.arrived_at, r.ingested_at,
      CASE
        ${contract ? "" : "WHEN true THEN 'unknown-measure'"}
        WHEN r.e IS NULL THEN 'missing-entity'
        WHEN r.valid_at IS NULL THEN 'bad-date'
        WHEN r.valid_at < ${earliest} THEN 'out-of-range'
        WHEN r.valid_at >= r.arrived_at THEN 'in-the-future'
        WHEN s.t IS NULL THEN 'off-grid'
        WHEN s.end_at > r.arrived_at THEN 'step-not-over'
        WHEN r.value IS NULL THEN 'null-value'
        WHEN r.value < ${contract?.min ?? 0} THEN 'below-minimum'
        WHEN r.value > ${contract?.max ?? 0} THEN 'above-maximum'
        ${contract?.integer ? "WHEN r.value <> floor(r.value) THEN 'not-whole'" : ""}
      END AS reason
    FROM raw_observations r LEFT JOIN steps s ON s.start_at = r.valid_at
    WHERE ${where}`);
  // The last row of a key counts; earlier ones of the same poll that say otherwise are told in quarantine.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE ranked AS
    SELECT *, row_number() OVER (PARTITION BY e, t ORDER BY seq DESC) AS rank,
           first_value(value) OVER (PARTITION BY e, t ORDER BY seq DESC) AS kept
    FROM staged WHERE reason IS NULL`);
  // What is read again to catch late rows is told once.
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE bad AS
    SELECT DISTINCT ON (s.e, s.valid_at, s.value, s.reason) s.*, n.entity
    FROM (SELECT seq, source, e, valid_at, value, reason, arrived_at, ingested_at FROM staged WHERE reason IS NOT NULL
          UNION ALL
          SELECT seq, source, e, valid_at, value, 'duplicate-conflict', arrived_at, ingested_at FROM ranked
          WHERE rank > 1 AND value <> kept) s
    LEFT JOIN entities n USING (e)
    WHERE NOT EXISTS (
      FROM quarantine q WHERE q.source = s.source AND q.measure = ${literal(measure)} AND q.reason = s.reason
        AND q.entity IS NOT DISTINCT FROM n.entity
        AND q.valid_at IS NOT DISTINCT FROM s.valid_at AND q.value IS NOT DISTINCT FROM s.value)
    ORDER BY s.seq`);
  const quarantined = await connection.run(`
    INSERT INTO quarantine
    SELECT source, 'observations', ${literal(measure)}, entity, valid_at, value, reason, NULL, NULL, arrived_at, ingested_at
    FROM bad ORDER BY seq`);
  // History is taken as known when published, as far as the source's first complete read brought it, or where it
  // lies before all that was there. Other old rows are late: nobody saw them before they came.
  const history = `o.t IS NULL AND r.end_at + ${lag} <= COALESCE(c.first_read_at, 0) AND (
          c.first_success_at IS NULL OR r.arrived_at <= c.first_success_at
          OR r.t < (SELECT min(t) FROM clean_observations WHERE measure = ${literal(measure)}))`;
  await connection.run(`
    CREATE OR REPLACE TEMP TABLE incoming AS
    SELECT r.seq, r.e, r.t, r.value, r.ingested_at, o.value AS old_value, o.known_at AS old_known_at, o.basis AS old_basis,
      CASE
        WHEN r.published_at IS NOT NULL AND (o.t IS NULL OR r.published_at > o.known_at) THEN least(r.published_at, r.arrived_at)
        WHEN ${history} THEN r.end_at + ${lag}
        -- Not before what it replaces, whatever a clock that was set back says.
        ELSE greatest(r.arrived_at, COALESCE(o.known_at, r.arrived_at))
      END AS known_at,
      CASE
        WHEN r.published_at IS NOT NULL AND (o.t IS NULL OR r.published_at > o.known_at) THEN 'published'
        WHEN ${history} THEN 'assumed'
        ELSE 'observed'
      END AS basis,
      CASE WHEN o.t IS NULL THEN 'new' WHEN o.value = r.value THEN 'same' ELSE 'changed' END AS state
    FROM ranked r
    LEFT JOIN (SELECT * FROM clean_observations WHERE measure = ${literal(measure)}) o USING (e, t)
    LEFT JOIN cursors c ON c.source = r.source
    WHERE r.rank = 1`);
  const counts = await connection.first<{
    fresh: number;
    changed: number;
    low: number | null;
    high: number | null;
    all_rows: number;
  }>(`
    SELECT count(*) FILTER (state = 'new') AS fresh, count(*) FILTER (state = 'changed') AS changed,
           min(t) FILTER (state <> 'same') AS low, max(t) FILTER (state <> 'same') AS high,
           (SELECT count(*) FROM staged) AS all_rows
    FROM incoming`);
  if (counts!.changed > 0) {
    await connection.run(`
      INSERT INTO clean_revisions
      SELECT ${literal(measure)}, e, t, old_value, old_known_at, known_at, old_basis FROM incoming WHERE state = 'changed'`);
    await connection.run(`
      UPDATE clean_observations o SET value = i.value, known_at = i.known_at, basis = i.basis, ingested_at = i.ingested_at
      FROM incoming i
      WHERE i.state = 'changed' AND o.measure = ${literal(measure)} AND o.e = i.e AND o.t = i.t`);
  }
  await connection.run(`
    INSERT INTO clean_observations
    SELECT ${literal(measure)}, e, t, value, known_at, basis, ingested_at FROM incoming WHERE state = 'new' ORDER BY e, t`);
  // Rows that were read again to catch late ones, and say the same, need not be kept twice.
  const repeated = await connection.run(`
    DELETE FROM raw_observations r WHERE ${where} AND r.seq NOT IN (
      SELECT seq FROM incoming WHERE state <> 'same'
      UNION ALL SELECT seq FROM bad)`);
  await connection.run("INSERT OR REPLACE INTO merged VALUES (?, ?, ?)", [group.source, measure, last]);
  // A first read stages a million rows: kept, they would hold their memory for as long as the lake is open.
  await connection.run("DROP TABLE staged; DROP TABLE ranked; DROP TABLE incoming");
  return {
    rows: counts!.all_rows,
    inserted: counts!.fresh,
    corrected: counts!.changed,
    repeated,
    quarantined,
    touched: counts!.low == null ? [] : [{ measure, fromT: counts!.low, toT: counts!.high! }],
  };
}
