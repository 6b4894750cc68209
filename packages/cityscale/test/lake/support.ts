import { createManualClock, type ManualClock, silentLog } from "../../src/core/index.ts";
import {
  type City,
  type CityDeclaration,
  defineCity,
  type ObservationPage,
  type Page,
  type StreamPage,
} from "../../src/domain/index.ts";
import { Lake } from "../../src/lake/index.ts";

export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

/** A small city of counters; anything can be replaced. */
export function smallCity(overrides: Partial<CityDeclaration> = {}): City {
  return defineCity({
    id: "small",
    name: "Small",
    timeZone: "Europe/Paris",
    location: { lat: 48.86, lon: 2.35 },
    step: "1h",
    entity: "counter",
    sources: { counts: { kind: "csv" }, weather: { kind: "csv" } },
    measures: { walkers: { kind: "flow", from: "counts" } },
    targets: { walkers: {} },
    ...overrides,
  });
}

export async function openLake(
  city: City,
  options: { path?: string; at?: number; lagMs?: ReadonlyMap<string, number>; threads?: number } = {},
): Promise<{ lake: Lake; clock: ManualClock }> {
  const clock = createManualClock(options.at ?? Date.UTC(2024, 0, 1));
  const lake = await Lake.open({
    city,
    path: options.path ?? ":memory:",
    clock,
    log: silentLog,
    memoryMb: 300,
    threads: options.threads ?? 2,
    lagMs: options.lagMs ?? new Map(),
  });
  return { lake, clock };
}

export function pageOf(parts: readonly StreamPage[], more: Partial<Page> = {}): Page {
  return { parts, rejected: [], cursor: null, schemaChanges: [], progress: null, ...more };
}

/** A row of counts: entity, start of the step, value, the publisher's stamp where there is one. */
export type Row = readonly [entity: string, validAt: number, value: number, publishedAt?: number];

export function counts(rows: readonly Row[], measure = "walkers"): ObservationPage {
  return {
    stream: "observations",
    measure,
    entity: rows.map(([entity]) => entity),
    validAt: Float64Array.from(rows, ([, validAt]) => validAt),
    value: Float64Array.from(rows, ([, , value]) => value),
    ...(rows.some((row) => row[3] !== undefined)
      ? { publishedAt: Float64Array.from(rows, (row) => row[3] ?? Number.NaN) }
      : {}),
  };
}

/** One whole read of a source: its pages, then the merge. */
export async function poll(lake: Lake, source: string, parts: readonly StreamPage[]) {
  const number = await lake.beginPoll(source);
  await lake.append(source, number, pageOf(parts));
  await lake.endPoll(source, null);
  return lake.merge();
}

/** Repeatable random numbers in [0, 1) (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
