import type { Fault, HalfLoadedDay, Simulator } from "@cityscale/simulator";
import { startSimulator } from "@cityscale/simulator";
import { createManualClock, type ManualClock, silentLog } from "../../../src/core/index.ts";
import { type City, defineCity, type Page, type Source } from "../../../src/domain/index.ts";
import { Lake, type MergeReport } from "../../../src/lake/index.ts";
import { createHttpClient, createSource, socrata } from "../../../src/sources/index.ts";

export const dayMs = 86_400_000;

/** New York as the small recordings have it: two types, all, a sum, and elevators by borough, row by row. */
export const requestsCity: City = defineCity({
  id: "requests",
  name: "Requests",
  timeZone: "America/New_York",
  location: { lat: 40.7, lon: -74 },
  step: "1d",
  entity: "series",
  history: "2025-10-01",
  sources: {
    counts: socrata({
      domain: "data.example.org",
      dataset: "erm2-nwe9",
      pageSize: 25,
      overlap: "1d",
      series: [
        { by: ["complaint_type"], where: "complaint_type in ('HEAT/HOT WATER', 'Air Quality')" },
        { entity: "All" },
        { entity: "Elevator", by: ["borough"], where: "complaint_type = 'elevator'", read: "rows" },
      ],
    }),
  },
  measures: { requests: { kind: "log", from: "counts" } },
  targets: { requests: {} },
});

/** Reads the requests of a simulator into a lake, on a clock that moves when told to. */
export interface Requests {
  readonly clock: ManualClock;
  readonly lake: Lake;
  readonly source: Source;
  readonly simulator: Simulator;
  faults(list: Fault[]): Promise<void>;
  /** One read from the cursor, and the merge; what the read throws is thrown once what came is merged. */
  ingest(): Promise<MergeReport>;
  /** Counts as `entity date` -> value; masked ones are left out. */
  values(): Promise<Map<string, number>>;
  close(): Promise<void>;
}

/** @param series declared in place of the city's own */
export function openSource(address: string, clock: ManualClock, token?: string, series?: object[]): Source {
  const declared = requestsCity.sources["counts"]!;
  return createSource("counts", series ? { ...declared, series } : declared, {
    timeZone: requestsCity.timeZone,
    grid: requestsCity.grid,
    location: requestsCity.location,
    entity: "series",
    measureOf: ["requests"],
    http: createHttpClient({ attempts: 2, timeoutMs: 300, sleep: async () => undefined }),
    baseAddress: address,
    clock,
    log: silentLog,
    environment: token === undefined ? {} : { SOCRATA_APP_TOKEN: token },
  });
}

export const openLakeAt = (path: string, clock: ManualClock): Promise<Lake> =>
  Lake.open({
    city: requestsCity,
    path,
    clock,
    log: silentLog,
    memoryMb: 200,
    threads: 2,
    lagMs: new Map([["counts", 6 * 3_600_000]]),
  });

/** The pages of one read, each stored with its cursor. */
export async function* readInto(
  lake: Lake,
  source: Source,
  clock: ManualClock,
  range?: { from: number; to: number },
): AsyncGenerator<Page> {
  const poll = await lake.beginPoll("counts");
  const { cursor } = await lake.sourceState("counts");
  const request = {
    cursor,
    from: range?.from ?? Date.parse("2025-10-01T04:00:00Z"),
    to: range?.to ?? clock.now(),
    mode: range ? ("range" as const) : ("incremental" as const),
    signal: new AbortController().signal,
  };
  for await (const page of source.read(request)) {
    await lake.append("counts", poll, page, range !== undefined);
    yield page;
  }
  await lake.endPoll("counts", null);
}

export async function openRequests(
  root: string,
  at: string,
  options: { path?: string; halfLoaded?: readonly HalfLoadedDay[]; token?: string } = {},
): Promise<Requests> {
  const clock = createManualClock(Date.parse(at));
  const simulator = await startSimulator({
    clock: clock.spec,
    city: { recordings: root, city: "nyc-311", halfLoaded: options.halfLoaded ?? [] },
  });
  const lake = await openLakeAt(options.path ?? ":memory:", clock);
  const source = openSource(simulator.sources["counts"]!, clock, options.token);
  return {
    clock,
    lake,
    source,
    simulator,
    faults: (list) => simulator.faults(list),
    ingest: async () => {
      let failure: unknown;
      try {
        for await (const _ of readInto(lake, source, clock));
      } catch (error) {
        failure = error;
      }
      const report = await lake.merge();
      if (failure !== undefined) throw failure;
      return report;
    },
    values: () => valuesOf(lake),
    close: async () => {
      await lake.close();
      await simulator.close();
    },
  };
}

export async function valuesOf(lake: Lake): Promise<Map<string, number>> {
  const rows = await lake.read((connection) =>
    connection.rows<{ key: string; value: number }>(`
      SELECT n.entity || ' ' || strftime(make_timestamp(s.start_at * 1000), '%Y-%m-%d') AS key, o.value
      FROM observations o JOIN entities n USING (e) JOIN steps s USING (t) WHERE o.value IS NOT NULL ORDER BY key`),
  );
  return new Map(rows.map(({ key, value }) => [key, value]));
}

/**
 * What the lake should hold of the recordings up to a date, not included: recorded counts, and zeros from the first
 * day of each series on.
 */
export function expected(recorded: ReadonlyMap<string, number>, before: string): Map<string, number> {
  const all = new Map<string, number>();
  for (const entity of ["Air Quality", "All", "HEAT/HOT WATER", "BRONX", "BROOKLYN", "STATEN ISLAND"]) {
    const borough = /^[A-Z ]+$/.test(entity);
    const name = borough ? `elevator/${entity}` : entity;
    let begun = false;
    for (let at = Date.parse("2025-10-10"); at < Date.parse(before); at += dayMs) {
      const date = new Date(at).toISOString().slice(0, 10);
      const value = recorded.get(`${name} ${date}`);
      begun ||= value !== undefined;
      if (begun) all.set(`${borough ? `Elevator / ${entity}` : entity} ${date}`, value ?? 0);
    }
  }
  return all;
}
