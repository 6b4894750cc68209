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
];
