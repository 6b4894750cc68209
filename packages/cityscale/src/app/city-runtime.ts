import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { AuditLog, Clock, Config, Log, Metrics } from "../core/index.ts";
import { binaryTargets, type City, type Source, type Target } from "../domain/index.ts";
import { type OnlineStore, openOnlineStore } from "../features/index.ts";
import { Lake } from "../lake/index.ts";
import { anomalyTables, outcomeTables, riskScoreTables } from "../monitoring/index.ts";
import { type CityParts, lagOf, type Partitions } from "../pipeline/index.ts";
import type { Registry } from "../registry/index.ts";
import { createChampions, ForecastServer, RiskServer } from "../serving/index.ts";
import { createHttpClient, createSource, type HttpClient, publicationLagMs } from "../sources/index.ts";

/** A city with its lake and everything that works on it open. */
export interface CityRuntime {
  readonly city: City;
  readonly parts: CityParts;
  readonly lake: Lake;
  readonly server: ForecastServer;
  readonly online: OnlineStore;
  close(): Promise<void>;
}

export interface RuntimeOptions {
  readonly city: City;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  readonly registry: Registry;
  readonly partitions: Partitions;
  readonly codeVersion: string;
  /** Base addresses by source name, over the configuration's. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Client of the sources; one with the usual patience when left out. */
  readonly http?: HttpClient | undefined;
}

/** Megabytes for DuckDB where no limit is set: enough for a city, small enough for a small machine. */
const defaultMemoryMb = 224;

export function memoryMb(limit: string | undefined): number {
  const match = limit === undefined ? null : /^(\d+(?:\.\d+)?)\s?(MB|GB|MiB|GiB)$/.exec(limit);
  if (!match) return defaultMemoryMb;
  const unit = { MB: 1, MiB: 1.048576, GB: 1000, GiB: 1073.741824 }[match[2] as "MB"];
  return Math.max(64, Math.round(Number(match[1]) * unit));
}

/** Builds a city's sources from its declaration. Throws CITY_INVALID. */
export function createSources(
  city: City,
  options: {
    clock: Clock;
    log: Log;
    addresses: Readonly<Record<string, string>>;
    http?: HttpClient | undefined;
  },
): { sources: Map<string, Source>; lagMs: Map<string, number> } {
  const http = options.http ?? createHttpClient({ log: options.log });
  const sources = new Map<string, Source>();
  const lagMs = new Map<string, number>();
  for (const [name, declaration] of Object.entries(city.sources)) {
    const measureOf = Object.entries(city.measures).flatMap(([measure, { from }]) =>
      from === name ? [measure] : [],
    );
    lagMs.set(name, publicationLagMs(declaration));
    sources.set(
      name,
      createSource(name, declaration, {
        timeZone: city.timeZone,
        grid: city.grid,
        location: city.location,
        entity: city.entity,
        measureOf,
        http,
        baseAddress: options.addresses[name],
        clock: options.clock,
        log: options.log,
      }),
    );
  }
  return { sources, lagMs };
}

export async function openCity(options: RuntimeOptions): Promise<CityRuntime> {
  const { city, config, clock, metrics, registry } = options;
  const log = options.log.child({ city: city.id });
  const { sources, lagMs } = createSources(city, {
    clock,
    log,
    addresses: { ...options.addresses, ...config.sources },
    http: options.http,
  });
  const memory = memoryMb(config.memoryLimit);
  const lake = await Lake.open({
    city,
    path: join(config.home, "lakes", `${city.id}.duckdb`),
    clock,
    log,
    memoryMb: memory,
    threads: config.threads,
    lagMs,
  });
  try {
    mkdirSync(join(config.home, "online"), { recursive: true });
    const online = openOnlineStore(join(config.home, "online", `${city.id}.sqlite`));
    const server = new ForecastServer({
      city,
      lake,
      online,
      champions: createChampions({ registry, city: city.id, log }),
      clock,
      log,
      lagMs: (target: Target) => lagOf({ city, lagMs }, target),
    });
    await server.open();
    const temporary = join(config.home, "lakes", "tmp");
    const profiles = join(config.home, "profiles", city.id);
    const risk =
      binaryTargets(city).length === 0
        ? null
        : new RiskServer({ city, lake, registry, clock, log, profiles, temporary });
    await risk?.open();
    if (risk) await lake.define(riskScoreTables);
    await lake.define(outcomeTables + anomalyTables);
    const parts: CityParts = {
      city,
      lake,
      sources,
      lagMs,
      server,
      risk,
      registry,
      partitions: options.partitions,
      clock,
      log,
      metrics,
      audit: options.audit,
      datasets: join(config.home, "datasets", city.id),
      temporary,
      threads: config.threads,
      memoryMb: memory,
      codeVersion: options.codeVersion,
    };
    return {
      city,
      parts,
      lake,
      server,
      online,
      close: async () => {
        online.close();
        await risk?.idle();
        await lake.close();
      },
    };
  } catch (error) {
    await lake.close();
    throw error;
  }
}
