import { weatherVariables } from "../domain/index.ts";

/** Instants are BIGINT milliseconds UTC; `e` numbers entities, `t` numbers the steps of the city's grid. */
export const weatherColumns = Object.keys(weatherVariables) as (keyof typeof weatherVariables)[];

/** Numbered, forward only: a lake of an older format is brought up to date when it is opened. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE cursors (
    source VARCHAR PRIMARY KEY, cursor VARCHAR, fields VARCHAR,
    first_read_at BIGINT, last_read_at BIGINT, last_success_at BIGINT, last_error VARCHAR, last_error_at BIGINT
  );
  CREATE TABLE entities (
    e INTEGER PRIMARY KEY, entity VARCHAR UNIQUE, name VARCHAR, lat DOUBLE, lon DOUBLE,
    opened_at BIGINT, retired_at BIGINT, attributes VARCHAR, first_seen_at BIGINT
  );
  CREATE TABLE entity_changes (e INTEGER, changed_at BIGINT, field VARCHAR, old_value VARCHAR, new_value VARCHAR);
  CREATE TABLE steps (
    t INTEGER, start_at BIGINT, end_at BIGINT, key INTEGER, day INTEGER, slot INTEGER, fold UTINYINT
  );
  CREATE TABLE raw_observations (
    seq BIGINT, poll INTEGER, source VARCHAR, measure VARCHAR, e INTEGER, valid_at BIGINT, value DOUBLE,
    published_at BIGINT, arrived_at BIGINT, ingested_at BIGINT
  );
  CREATE TABLE merged (source VARCHAR, measure VARCHAR, seq BIGINT, PRIMARY KEY (source, measure));
  CREATE TABLE observations (
    measure VARCHAR, e INTEGER, t INTEGER, value DOUBLE, known_at BIGINT, basis VARCHAR, ingested_at BIGINT
  );
  CREATE TABLE revisions (
    measure VARCHAR, e INTEGER, t INTEGER, value DOUBLE, known_from BIGINT, known_to BIGINT, basis VARCHAR
  );
  CREATE TABLE quarantine (
    source VARCHAR, stream VARCHAR, measure VARCHAR, entity VARCHAR, valid_at BIGINT, value DOUBLE,
    reason VARCHAR, detail VARCHAR, received VARCHAR, arrived_at BIGINT, ingested_at BIGINT
  );
  CREATE TABLE weather (
    valid_at BIGINT, issued_at BIGINT, known_at BIGINT, basis VARCHAR,
    ${weatherColumns.map((name) => `"${name}" FLOAT`).join(", ")}
  );
  CREATE TABLE holidays (day INTEGER, name VARCHAR, kind VARCHAR, known_at BIGINT);
  CREATE TABLE events (
    id VARCHAR, known_at BIGINT, basis VARCHAR, name VARCHAR, start_at BIGINT, end_at BIGINT, lat DOUBLE, lon DOUBLE,
    venue VARCHAR, category VARCHAR, attendance DOUBLE, cancelled BOOLEAN
  );
  CREATE TABLE schema_changes (source VARCHAR, seen_at BIGINT, change VARCHAR);

  CREATE VIEW v_observations AS
    SELECT o.measure, n.entity, make_timestamptz(s.start_at * 1000) AS valid_at, o.value,
           make_timestamptz(o.known_at * 1000) AS known_at, o.basis AS known_basis,
           make_timestamptz(o.ingested_at * 1000) AS ingested_at
    FROM observations o JOIN entities n USING (e) JOIN steps s USING (t);
  `,
  // Tells history from late rows. An older lake has no such instant; its last success is the nearest to it.
  `
  ALTER TABLE cursors ADD COLUMN first_success_at BIGINT;
  UPDATE cursors SET first_success_at = last_success_at;
  `,
  // Logs of single records, and statements about data. What is masked stays in the clean tables; who reads
  // `observations` and `revisions` finds it missing from the instant on at which the mask was known.
  `
  CREATE TABLE raw_log (
    seq BIGINT, poll INTEGER, source VARCHAR, measure VARCHAR, key VARCHAR, e INTEGER, happened_at BIGINT,
    arrived_at BIGINT, ingested_at BIGINT
  );
  CREATE TABLE log_records (
    source VARCHAR, measure VARCHAR, key VARCHAR, e INTEGER, happened_at BIGINT, t INTEGER, arrived_at BIGINT
  );
  CREATE TABLE log_uncounted (source VARCHAR, measure VARCHAR, e INTEGER, t INTEGER);
  CREATE TABLE annotations (
    kind VARCHAR, measure VARCHAR, entity VARCHAR, from_at BIGINT, until_at BIGINT, known_at BIGINT,
    reason VARCHAR, author VARCHAR
  );
  ALTER TABLE observations RENAME TO clean_observations;
  ALTER TABLE revisions RENAME TO clean_revisions;
  CREATE VIEW masked AS
    SELECT a.measure, n.e, s.t, min(a.known_at) AS masked_at
    FROM annotations a JOIN entities n ON a.entity IS NULL OR a.entity = n.entity
      JOIN steps s ON s.start_at >= a.from_at AND s.start_at < a.until_at
    WHERE a.kind = 'mask' GROUP BY ALL;
  CREATE VIEW observations AS
    SELECT o.measure, o.e, o.t, CASE WHEN m.t IS NULL THEN o.value END AS value,
      CASE WHEN m.t IS NULL THEN o.known_at ELSE greatest(o.known_at, m.masked_at) END AS known_at, o.basis, o.ingested_at
    FROM clean_observations o LEFT JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t;
  CREATE VIEW revisions AS
    SELECT r.measure, r.e, r.t, r.value, r.known_from, least(r.known_to, COALESCE(m.masked_at, r.known_to)) AS known_to, r.basis
    FROM clean_revisions r LEFT JOIN masked m ON m.measure = r.measure AND m.e = r.e AND m.t = r.t
    WHERE m.t IS NULL OR r.known_from < m.masked_at
    UNION ALL
    SELECT o.measure, o.e, o.t, o.value, o.known_at, m.masked_at, o.basis
    FROM clean_observations o JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t AND m.masked_at > o.known_at;
  `,
  // What monitoring has found. A half-loaded day hides the values that were there when it was found: a later
  // correction is another value and shows. An annotation that has ended hides nothing from then on.
  `
  ALTER TABLE annotations ADD COLUMN target VARCHAR;
  ALTER TABLE annotations ADD COLUMN value DOUBLE;
  ALTER TABLE annotations ADD COLUMN expected DOUBLE;
  ALTER TABLE annotations ADD COLUMN score DOUBLE;
  ALTER TABLE annotations ADD COLUMN known_to BIGINT;
  CREATE VIEW half_loaded AS
    SELECT a.measure, n.e, s.t, a.known_at, max(a.known_to) AS known_to
    FROM annotations a JOIN entities n ON a.entity = n.entity JOIN steps s ON s.start_at >= a.from_at AND s.start_at < a.until_at
    WHERE a.kind = 'half-loaded' GROUP BY ALL;
  CREATE VIEW newest_half_loaded AS
    FROM half_loaded QUALIFY row_number() OVER (PARTITION BY measure, e, t ORDER BY known_at DESC) = 1;
  CREATE VIEW loaded_observations AS
    SELECT o.measure, o.e, o.t, CASE WHEN h.t IS NULL OR h.known_to IS NOT NULL THEN o.value END AS value,
      CASE WHEN h.t IS NULL THEN o.known_at ELSE COALESCE(h.known_to, h.known_at) END AS known_at, o.basis, o.ingested_at
    FROM clean_observations o LEFT JOIN newest_half_loaded h
      ON h.measure = o.measure AND h.e = o.e AND h.t = o.t AND h.known_at >= o.known_at;
  CREATE VIEW loaded_revisions AS
    WITH believed AS (
      SELECT measure, e, t, value, known_from, known_to, basis FROM clean_revisions
      UNION ALL
      SELECT o.measure, o.e, o.t, o.value, o.known_at, NULL, o.basis FROM clean_observations o SEMI JOIN half_loaded USING (measure, e, t)
    ), hidden AS (
      SELECT b.*, h.known_at AS hidden_from, h.known_to AS hidden_to
      FROM believed b ASOF LEFT JOIN half_loaded h
        ON h.measure = b.measure AND h.e = b.e AND h.t = b.t AND h.known_at < COALESCE(b.known_to, 9223372036854775807)
    ), pieces AS (
      SELECT *, hidden_from IS NOT NULL AND hidden_from >= known_from AS is_hidden FROM hidden
    )
    SELECT measure, e, t, value, known_from, CASE WHEN is_hidden THEN hidden_from ELSE known_to END AS known_to, basis
    FROM pieces WHERE is_hidden OR known_to IS NOT NULL
    UNION ALL
    SELECT measure, e, t, NULL, hidden_from, least(hidden_to, known_to), basis
    FROM pieces WHERE is_hidden AND COALESCE(hidden_to, known_to) IS NOT NULL
    UNION ALL
    SELECT measure, e, t, value, hidden_to, known_to, basis FROM pieces WHERE is_hidden AND hidden_to < known_to;
  CREATE OR REPLACE VIEW observations AS
    SELECT o.measure, o.e, o.t, CASE WHEN m.t IS NULL THEN o.value END AS value,
      CASE WHEN m.t IS NULL THEN o.known_at ELSE greatest(o.known_at, m.masked_at) END AS known_at, o.basis, o.ingested_at
    FROM loaded_observations o LEFT JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t;
  CREATE OR REPLACE VIEW revisions AS
    SELECT r.measure, r.e, r.t, r.value, r.known_from, least(r.known_to, COALESCE(m.masked_at, r.known_to)) AS known_to, r.basis
    FROM loaded_revisions r LEFT JOIN masked m ON m.measure = r.measure AND m.e = r.e AND m.t = r.t
    WHERE m.t IS NULL OR r.known_from < m.masked_at
    UNION ALL
    SELECT o.measure, o.e, o.t, o.value, o.known_at, m.masked_at, o.basis
    FROM loaded_observations o JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t AND m.masked_at > o.known_at;
  `,
  // Snapshots of stations, once for each station and instant. NULL = not given.
  `
  CREATE TABLE snapshots (
    "at" BIGINT, e INTEGER, bikes SMALLINT, ebikes SMALLINT, docks SMALLINT, bikes_disabled SMALLINT, docks_disabled SMALLINT,
    renting BOOLEAN, "returning" BOOLEAN, reported_at BIGINT, known_at BIGINT, ingested_at BIGINT, source VARCHAR
  );
  `,
  // What retention has removed: of each kind (and target, where forecasts are meant) everything before an instant.
  `
  CREATE TABLE retained (kind VARCHAR, target VARCHAR, from_at BIGINT, "rows" BIGINT, PRIMARY KEY (kind, target));
  `,
  // What was forecast of a half-loaded day before it began: features read it in place of what is hidden.
  `
  CREATE TABLE stand_ins (target VARCHAR, measure VARCHAR, e INTEGER, t INTEGER, known_at BIGINT, value DOUBLE);
  CREATE OR REPLACE VIEW half_loaded AS
    SELECT a.measure, n.e, s.t, a.known_at, max(a.known_to) AS known_to, arg_min(i.value, a.target) AS stand_in
    FROM annotations a JOIN entities n ON a.entity = n.entity JOIN steps s ON s.start_at >= a.from_at AND s.start_at < a.until_at
      LEFT JOIN stand_ins i ON i.target = a.target AND i.measure = a.measure AND i.e = n.e AND i.t = s.t AND i.known_at = a.known_at
    WHERE a.kind = 'half-loaded' GROUP BY a.measure, n.e, s.t, a.known_at;
  CREATE OR REPLACE VIEW newest_half_loaded AS
    FROM half_loaded QUALIFY row_number() OVER (PARTITION BY measure, e, t ORDER BY known_at DESC) = 1;
  CREATE OR REPLACE VIEW loaded_observations AS
    SELECT o.measure, o.e, o.t, CASE WHEN h.t IS NULL OR h.known_to IS NOT NULL THEN o.value END AS value,
      CASE WHEN h.t IS NULL THEN o.known_at ELSE COALESCE(h.known_to, h.known_at) END AS known_at, o.basis, o.ingested_at,
      CASE WHEN h.known_to IS NULL THEN h.stand_in END AS stand_in
    FROM clean_observations o LEFT JOIN newest_half_loaded h
      ON h.measure = o.measure AND h.e = o.e AND h.t = o.t AND h.known_at >= o.known_at;
  CREATE OR REPLACE VIEW loaded_revisions AS
    WITH believed AS (
      SELECT measure, e, t, value, known_from, known_to, basis FROM clean_revisions
      UNION ALL
      SELECT o.measure, o.e, o.t, o.value, o.known_at, NULL, o.basis FROM clean_observations o SEMI JOIN half_loaded USING (measure, e, t)
    ), hidden AS (
      SELECT b.*, h.known_at AS hidden_from, h.known_to AS hidden_to, h.stand_in
      FROM believed b ASOF LEFT JOIN half_loaded h
        ON h.measure = b.measure AND h.e = b.e AND h.t = b.t AND h.known_at < COALESCE(b.known_to, 9223372036854775807)
    ), pieces AS (
      SELECT *, hidden_from IS NOT NULL AND hidden_from >= known_from AS is_hidden FROM hidden
    )
    SELECT measure, e, t, value, known_from, CASE WHEN is_hidden THEN hidden_from ELSE known_to END AS known_to, basis, NULL AS stand_in
    FROM pieces WHERE is_hidden OR known_to IS NOT NULL
    UNION ALL
    SELECT measure, e, t, NULL, hidden_from, least(hidden_to, known_to), basis, stand_in
    FROM pieces WHERE is_hidden AND COALESCE(hidden_to, known_to) IS NOT NULL
    UNION ALL
    SELECT measure, e, t, value, hidden_to, known_to, basis, NULL FROM pieces WHERE is_hidden AND hidden_to < known_to;
  CREATE OR REPLACE VIEW observations AS
    SELECT o.measure, o.e, o.t, CASE WHEN m.t IS NULL THEN o.value END AS value,
      CASE WHEN m.t IS NULL THEN o.known_at ELSE greatest(o.known_at, m.masked_at) END AS known_at, o.basis, o.ingested_at,
      CASE WHEN m.t IS NULL THEN o.stand_in END AS stand_in
    FROM loaded_observations o LEFT JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t;
  CREATE OR REPLACE VIEW revisions AS
    SELECT r.measure, r.e, r.t, r.value, r.known_from, least(r.known_to, COALESCE(m.masked_at, r.known_to)) AS known_to, r.basis, r.stand_in
    FROM loaded_revisions r LEFT JOIN masked m ON m.measure = r.measure AND m.e = r.e AND m.t = r.t
    WHERE m.t IS NULL OR r.known_from < m.masked_at
    UNION ALL
    SELECT o.measure, o.e, o.t, o.value, o.known_at, m.masked_at, o.basis, o.stand_in
    FROM loaded_observations o JOIN masked m ON m.measure = o.measure AND m.e = o.e AND m.t = o.t AND m.masked_at > o.known_at;
  `,
];
