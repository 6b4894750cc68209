import type { Role } from "../domain/index.ts";

/**
 * The metadata database as types. Instants are INTEGER milliseconds, JSON is stored as TEXT: both mean the
 * same to SQLite and PostgreSQL. A room that needs a table declares it here and creates it in `migrations.ts`.
 */
export interface Tables {
  settings: SettingsTable;
  audit_log: AuditTable;
  api_keys: ApiKeysTable;
  jobs: JobsTable;
  schedules: SchedulesTable;
  runs: RunsTable;
  model_versions: ModelVersionsTable;
  aliases: AliasesTable;
  promotions: PromotionsTable;
  calibrations: CalibrationsTable;
  asset_partitions: AssetPartitionsTable;
}

/** Values that outlive a process and are no configuration: ids, switches set in the console. */
export interface SettingsTable {
  name: string;
  /** JSON. */
  value: string;
  updated_at: number;
}

/** Append-only, held by a trigger. */
export interface AuditTable {
  seq: number;
  at: number;
  actor: string;
  action: string;
  subject: string;
  /** JSON object. */
  details: string;
}

export interface ApiKeysTable {
  id: string;
  name: string;
  role: Role;
  /** `hmac-sha256$<salt>$<digest>`: the secret itself is stored nowhere. */
  hash: string;
  created_at: number;
  revoked_at: number | null;
  last_used_at: number | null;
}

export interface JobsTable {
  id: string;
  /** Order of arrival; breaks ties when a virtual clock stands still. */
  seq: number;
  kind: string;
  lane: string;
  /** Unique among queued and running jobs. */
  key: string | null;
  /** Name of the schedule that fired it. */
  schedule: string | null;
  payload: string;
  priority: number;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  attempt: number;
  max_attempts: number;
  actor: string;
  /** The engine that runs it; another id than the living engine's means that its process died. */
  owner: string | null;
  progress: number;
  message: string | null;
  result: string | null;
  /** JSON {code, message, details}. */
  error: string | null;
  run_at: number;
  created_at: number;
  started_at: number | null;
  heartbeat_at: number | null;
  finished_at: number | null;
}

export interface SchedulesTable {
  name: string;
  cron: string;
  time_zone: string;
  /** Instants up to this one are done with: fired, or passed before the schedule was declared. */
  settled_to: number;
  last_fired_at: number | null;
}

export interface RunsTable {
  id: string;
  seq: number;
  city: string;
  target: string;
  kind: "train" | "tune" | "backtest";
  state: "running" | "succeeded" | "failed";
  params: string;
  scores: string | null;
  dataset_version: string | null;
  code_version: string;
  actor: string;
  started_at: number;
  finished_at: number | null;
  /** JSON {code, message}. */
  error: string | null;
}

/** Immutable, held by a trigger. */
export interface ModelVersionsTable {
  city: string;
  target: string;
  version: number;
  kind: string;
  view_id: string | null;
  columns: string;
  types: string;
  categories: string;
  dataset_version: string | null;
  run_id: string | null;
  artifact_id: string | null;
  scores: string;
  created_at: number;
}

export interface AliasesTable {
  city: string;
  target: string;
  alias: "champion" | "challenger" | "previous";
  version: number;
  updated_at: number;
}

/** Append-only, held by a trigger. */
export interface PromotionsTable {
  seq: number;
  at: number;
  city: string;
  target: string;
  alias: "champion" | "challenger";
  action: "promote" | "rollback" | "withdraw";
  /** What the alias names afterwards; null after a withdrawal. */
  version: number | null;
  from_version: number | null;
  actor: string;
  reason: string;
  verdict: string | null;
}

/** Append-only, held by a trigger. */
export interface CalibrationsTable {
  city: string;
  target: string;
  version: number;
  /** From when on it holds. */
  at: number;
  dataset_version: string;
  /** JSON. */
  calibration: string;
}

export interface AssetPartitionsTable {
  city: string;
  asset: string;
  partition_start: number;
  partition_end: number;
  state: "fresh" | "stale" | "failed";
  materialised_at: number | null;
  details: string;
}
