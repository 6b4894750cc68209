import type { City, LevelPage } from "../domain/index.ts";
import { type Arrival, type EntityNumbers, earliest, entityColumn } from "./append.ts";
import { type Connection, literal } from "./duckdb.ts";

/** Numbers of a snapshot with the measure whose contract holds for them; the others go with the bikes'. */
const counts = {
  bikes: "bikes",
  ebikes: "bikes",
  docks: "docks",
  bikes_disabled: "bikes",
  docks_disabled: "docks",
} as const;
const names = Object.keys(counts) as (keyof typeof counts)[];

/**
 * Stores the snapshots of a page that keep their contract, once for each station and instant: a snapshot that comes
 * again is the same one, and one that then says otherwise is told in quarantine, since the first was what origins saw.
 * Snapshots of an archive were known when they were taken as far as the source's first complete read brought them, or
 * where they lie before all that was there; others were known when they came. Returns what was stored and what not.
 */
export async function appendLevels(
  connection: Connection,
  city: City,
  numbers: EntityNumbers,
  page: LevelPage,
  arrival: Arrival,
): Promise<{ rows: number; quarantined: number }> {
  const length = page.at.length;
  if (length === 0) return { rows: 0, quarantined: 0 };
  const e = await entityColumn(connection, numbers, page.entity, arrival);
  const n = Float64Array.from({ length }, (_, i) => i);
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE level_columns (n DOUBLE, e DOUBLE, "at" DOUBLE, ${names.map((name) => `${name} DOUBLE`).join(", ")},
       renting DOUBLE, "returning" DOUBLE, reported_at DOUBLE)`,
  );
  await connection.append("level_columns", [
    n,
    e,
    page.at,
    page.bikes,
    page.ebikes,
    page.docks,
    page.bikesDisabled,
    page.docksDisabled,
    Float64Array.from(page.renting),
    Float64Array.from(page.returning),
    page.reportedAt,
  ]);
  const arrived = Math.round(arrival.arrivedAt);
  const contractOf = (name: keyof typeof counts) =>
    city.measures[counts[name]]?.contract ?? Object.values(city.measures)[0]!.contract;
  const anyOf = (test: (name: keyof typeof counts) => string) => names.map(test).join(" OR ");
  // What is not given is NULL from here on: NaN is greater than every number to the engine.
  const given = names.map((name) => `CASE WHEN NOT isnan(${name}) THEN ${name} END AS ${name}`).join(", ");
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE level_page AS
     SELECT *, CASE
         WHEN e IS NULL THEN 'missing-entity'
         WHEN "at" IS NULL THEN 'bad-date'
         WHEN "at" < ${earliest} THEN 'out-of-range'
         WHEN "at" > ${arrived} THEN 'in-the-future'
         WHEN bikes IS NULL AND docks IS NULL THEN 'null-value'
         WHEN ${anyOf((name) => `${name} < ${contractOf(name).min}`)} THEN 'below-minimum'
         WHEN ${anyOf((name) => `${name} > ${contractOf(name).max}`)} THEN 'above-maximum'
         WHEN ${anyOf((name) => `${name} <> floor(${name})`)} THEN 'not-whole'
       END AS reason
     FROM (
       SELECT n, CASE WHEN NOT isnan(e) THEN CAST(e AS INTEGER) END AS e,
         CASE WHEN isfinite("at") AND abs("at") < 8.64e15 THEN CAST("at" AS BIGINT) END AS "at", ${given},
         renting = 1 AS renting, "returning" = 1 AS "returning",
         CASE WHEN isfinite(reported_at) AND abs(reported_at) < 8.64e15 THEN CAST(reported_at AS BIGINT) END AS reported_at
       FROM level_columns
     )`,
  );
  const span = await connection.first<{
    low: number | null;
    high: number | null;
    good: number;
    keys: number;
    stored: number | null;
  }>(
    `SELECT min("at") AS low, max("at") AS high, count(*) AS good, count(DISTINCT (CAST(e AS BIGINT) << 42) | "at") AS keys,
       (SELECT min("at") FROM snapshots) AS stored FROM level_page WHERE reason IS NULL`,
  );
  const { low, high, good, keys, stored } = span!;
  const old = `(FROM snapshots WHERE "at" BETWEEN ${low ?? 0} AND ${high ?? 0})`;
  const met =
    low === null
      ? 0
      : (await connection.first<{ count: number }>(
          `SELECT count(*) AS count FROM level_page p SEMI JOIN ${old} USING (e, "at") WHERE p.reason IS NULL`,
        ))!.count;
  if (good > keys || met > 0) {
    const differs = (a: string, b: string) =>
      [...names, "renting", '"returning"']
        .map((name) => `${a}.${name} IS DISTINCT FROM ${b}.${name}`)
        .join(" OR ");
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE level_page AS
       WITH ranked AS (
         SELECT *, CASE WHEN reason IS NULL THEN row_number() OVER (PARTITION BY e, "at", reason ORDER BY n DESC) END AS rank FROM level_page
       )
       SELECT p.* EXCLUDE (rank) REPLACE (CASE
           WHEN p.reason IS NOT NULL THEN p.reason
           WHEN s."at" IS NOT NULL AND (${differs("p", "s")}) THEN 'duplicate-conflict'
           WHEN s."at" IS NOT NULL THEN 'same'
           WHEN p.rank > 1 AND (${differs("p", "k")}) THEN 'duplicate-conflict'
           WHEN p.rank > 1 THEN 'same'
         END AS reason)
       FROM ranked p LEFT JOIN ${old} s ON s.e = p.e AND s."at" = p."at"
         LEFT JOIN ranked k ON k.e = p.e AND k."at" = p."at" AND k.rank = 1`,
    );
  }
  const quarantined = await connection.run(
    `INSERT INTO quarantine
     SELECT DISTINCT ON (p.e, p."at", p.reason, p.received) ${literal(arrival.source)}, 'levels', NULL, n.entity, p."at", p.bikes, p.reason,
       NULL, p.received, ${arrived}, ${Math.round(arrival.ingestedAt)}
     FROM (
       SELECT *, CAST(struct_pack(${names.map((name) => `${name} := ${name}`).join(", ")}, renting := renting, "returning" := "returning",
         reported_at := reported_at) AS VARCHAR) AS received
       FROM level_page WHERE reason <> 'same'
     ) p LEFT JOIN entities n USING (e)
     WHERE NOT EXISTS (
       FROM quarantine q WHERE q.source = ${literal(arrival.source)} AND q.stream = 'levels' AND q.reason = p.reason
         AND q.entity IS NOT DISTINCT FROM n.entity AND q.valid_at IS NOT DISTINCT FROM p."at" AND q.received = p.received)`,
  );
  const published = `"at" + ${Math.round(arrival.lagMs)}`;
  const history =
    page.archived && (arrival.firstRead || stored !== null)
      ? `${published} <= ${Math.round(arrival.firstReadAt)} AND (${arrival.firstRead} OR "at" < ${stored})`
      : "false";
  const rows = await connection.run(
    `INSERT INTO snapshots
     SELECT "at", e, ${names.join(", ")}, renting, "returning", reported_at,
       CASE WHEN ${history} THEN ${published} ELSE ${arrived} END, ${Math.round(arrival.ingestedAt)}, ${literal(arrival.source)}
     FROM level_page WHERE reason IS NULL ORDER BY "at", e`,
  );
  await connection.run("DROP TABLE level_columns; DROP TABLE level_page");
  return { rows, quarantined };
}
