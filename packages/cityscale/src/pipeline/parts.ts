import type { AuditLog, Clock, Log, Metrics } from "../core/index.ts";
import type { City, Source, Target } from "../domain/index.ts";
import type { Lake } from "../lake/index.ts";
import type { Registry } from "../registry/index.ts";
import type { ForecastServer, RiskServer } from "../serving/index.ts";
import type { Partitions } from "./partitions.ts";

/** Everything that the assets of one city are made from. */
export interface CityParts {
  readonly city: City;
  readonly lake: Lake;
  readonly sources: ReadonlyMap<string, Source>;
  /** Publication lag of each source, ms. */
  readonly lagMs: ReadonlyMap<string, number>;
  readonly server: ForecastServer;
  /** Null where no target is binary. */
  readonly risk: RiskServer | null;
  readonly registry: Registry;
  readonly partitions: Partitions;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  /** Folder of the city's dataset versions, and one for what is temporary. */
  readonly datasets: string;
  readonly temporary: string;
  readonly threads: number;
  readonly memoryMb: number;
  readonly codeVersion: string;
}

/** How an asset tells how far it is and learns that it should stop; a job's context is one. */
export interface Progress {
  readonly signal: AbortSignal;
  heartbeat(share: number, message?: string): void;
}

export const lagOf = (parts: Pick<CityParts, "city" | "lagMs">, target: Target): number =>
  parts.lagMs.get(parts.city.measures[target.measure]!.from) ?? 0;
