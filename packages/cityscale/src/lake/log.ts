import type { City, CompletePage, LogPage } from "../domain/index.ts";
import { type Arrival, type EntityNumbers, entityColumn } from "./append.ts";
import { type Connection, literal } from "./duckdb.ts";
import { extendSteps } from "./steps.ts";

const mine = (arrival: Arrival, measure: string) =>
  `source = ${literal(arrival.source)} AND measure = ${literal(measure)}`;

/**
 * Stores the records of a page: as received in `raw_log` where they say something new, and the newest of each key in
 * `log_records`. The entities and steps that win or lose a record are counted once their step is complete.
 */
export async function appendLog(
  connection: Connection,
  city: City,
  numbers: EntityNumbers,
  page: LogPage,
  arrival: Arrival,
  firstSeq: number,
): Promise<number> {
  const rows = page.at.length;
  if (rows === 0) return 0;
  const past = page.at.filter((at) => at <= arrival.arrivedAt);
  if (past.length > 0) {
    const [low, high] = past.reduce(
      ([low, high], at) => [Math.min(low, at), Math.max(high, at)],
      [past[0]!, past[0]!],
    );
    await extendSteps(connection, city.grid, low, high);
  }
  const e = await entityColumn(connection, numbers, page.entity, arrival);
  const seq = Float64Array.from({ length: rows }, (_, i) => firstSeq + i);
  await connection.run("CREATE OR REPLACE TEMP TABLE log_numbers (seq DOUBLE, e DOUBLE, happened_at DOUBLE)");
  await connection.append("log_numbers", [seq, e, page.at]);
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE log_page AS
     WITH keys AS (
       SELECT unnest(keys) AS key, generate_subscripts(keys, 1) - 1 + ${firstSeq} AS seq
       FROM (SELECT string_split($1, chr(10)) AS keys)
     ), numbered AS (
       SELECT CAST(p.seq AS BIGINT) AS seq, k.key, CASE WHEN NOT isnan(p.e) THEN CAST(p.e AS INTEGER) END AS e,
         CASE WHEN isfinite(p.happened_at) THEN CAST(p.happened_at AS BIGINT) END AS happened_at
       FROM log_numbers p JOIN keys k USING (seq)
     )
     SELECT n.*, CASE WHEN n.happened_at < s.end_at THEN s.t END AS t,
       CASE
         WHEN n.key = '' THEN 'missing-field' WHEN n.e IS NULL THEN 'missing-entity' WHEN n.happened_at IS NULL THEN 'bad-date'
         WHEN n.happened_at > ${Math.round(arrival.arrivedAt)} THEN 'in-the-future'
       END AS reason
     FROM numbered n ASOF LEFT JOIN steps s ON n.happened_at >= s.start_at`,
    [page.key.join("\n")],
  );
  await connection.run(
    `INSERT INTO quarantine
     SELECT ${literal(arrival.source)}, 'log', ${literal(page.measure)}, n.entity, p.happened_at, NULL, p.reason, NULL, p.key,
       ${Math.round(arrival.arrivedAt)}, ${Math.round(arrival.ingestedAt)}
     FROM log_page p LEFT JOIN entities n USING (e)
     WHERE p.reason IS NOT NULL AND NOT EXISTS (
       FROM quarantine q WHERE q.source = ${literal(arrival.source)} AND q.stream = 'log' AND q.reason = p.reason AND q.received = p.key)`,
  );
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE log_new AS
     SELECT p.*, l.e AS old_e, l.t AS old_t, l.key IS NULL AS fresh
     FROM (FROM log_page WHERE reason IS NULL QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1) p
     LEFT JOIN (FROM log_records WHERE ${mine(arrival, page.measure)}) l USING (key)`,
  );
  const changed = "FROM log_new WHERE (fresh OR e <> old_e OR t <> old_t)";
  await connection.run(
    `INSERT INTO log_uncounted SELECT ${literal(arrival.source)}, ${literal(page.measure)}, e, t
     FROM (SELECT e, t ${changed} UNION SELECT old_e, old_t ${changed} AND NOT fresh)`,
  );
  await connection.run(
    `INSERT INTO raw_log SELECT seq, ${arrival.poll}, ${literal(arrival.source)}, ${literal(page.measure)}, key, e, happened_at,
       ${Math.round(arrival.arrivedAt)}, ${Math.round(arrival.ingestedAt)}
     FROM (SELECT * ${changed}) ORDER BY seq`,
  );
  await connection.run(
    `DELETE FROM log_records WHERE ${mine(arrival, page.measure)} AND key IN (SELECT key FROM log_new)`,
  );
  await connection.run(
    `INSERT INTO log_records SELECT ${literal(arrival.source)}, ${literal(page.measure)}, key, e, happened_at, t, ${Math.round(arrival.arrivedAt)}
     FROM log_new ORDER BY t, e`,
  );
  await connection.run("DROP TABLE log_numbers; DROP TABLE log_page; DROP TABLE log_new");
  return rows;
}

/**
 * Counts the records of the steps that a source calls complete, and of earlier ones that won or lost some. Where
 * absence means zero, entities that have begun and not retired get one wherever nothing was delivered. The counts
 * become raw observations, which are merged as any others. Returns how many there are.
 * @param pageSeq number before the first row of the page that the statement came in
 */
export async function appendComplete(
  connection: Connection,
  city: City,
  page: CompletePage,
  arrival: Arrival,
  pageSeq: number,
  seq: number,
): Promise<number> {
  const fromT = city.grid.stepAt(page.from);
  const untilT = city.grid.stepAt(page.to);
  if (untilT <= fromT) return 0;
  await extendSteps(connection, city.grid, page.from, page.to);
  const own = mine(arrival, page.measure);
  const within = `t >= ${fromT} AND t < ${untilT}`;
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE spoken AS
     SELECT e, retired_at FROM entities WHERE entity IN (SELECT unnest(string_split($1, chr(10))))`,
    [page.entities.join("\n")],
  );
  if (page.wholeSince !== null) {
    const gone = `FROM log_records WHERE ${own} AND ${within} AND arrived_at < ${Math.floor(page.wholeSince)} AND e IN (SELECT e FROM spoken)`;
    await connection.run(`INSERT INTO log_uncounted SELECT source, measure, e, t ${gone}`);
    await connection.run(`DELETE ${gone}`);
  }
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE counted AS
     SELECT c.e, c.t, count(l.key) AS value
     FROM (
       SELECT e, t FROM log_uncounted WHERE ${own} AND t < ${untilT}
       UNION SELECT e, t FROM log_records WHERE ${own} AND ${within}
     ) c LEFT JOIN (FROM log_records WHERE ${own}) l USING (e, t) GROUP BY c.e, c.t`,
  );
  await connection.run(`DELETE FROM log_uncounted WHERE ${own} AND t < ${untilT}`);
  const zeros =
    city.measures[page.measure]?.absence !== "zeroWhenComplete"
      ? ""
      : `UNION ALL
         SELECT a.e, s.t, 0 FROM alive a JOIN spoken n USING (e)
           JOIN steps s ON s.t >= greatest(a.first_t, ${fromT}) AND s.t < ${untilT} AND s.start_at < COALESCE(n.retired_at, s.end_at)
           ANTI JOIN counted c ON c.e = a.e AND c.t = s.t`;
  const added = await connection.run(
    `INSERT INTO raw_observations
     WITH alive AS (
       SELECT e, min(t) AS first_t FROM (
         SELECT e, t FROM clean_observations WHERE measure = ${literal(page.measure)}
         UNION ALL SELECT e, t FROM counted
         UNION ALL SELECT r.e, s.t FROM raw_observations r JOIN steps s ON s.start_at = r.valid_at WHERE ${own} AND r.e IS NOT NULL
       ) GROUP BY e
     )
     SELECT ${seq} + row_number() OVER (ORDER BY v.t, v.e), ${arrival.poll}, ${literal(arrival.source)}, ${literal(page.measure)}, v.e, s.start_at,
       v.value, NULL, ${Math.round(arrival.arrivedAt)}, ${Math.round(arrival.ingestedAt)}
     FROM (SELECT e, t, value FROM counted ${zeros}) v JOIN steps s USING (t)
       -- What the publisher counted stands, also where an older log of the same entity is there.
       ANTI JOIN (FROM raw_observations r WHERE ${own} AND r.seq > ${pageSeq}) d ON d.e = v.e AND d.valid_at = s.start_at`,
  );
  await connection.run("DROP TABLE counted; DROP TABLE spoken");
  return added;
}
