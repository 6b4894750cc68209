import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Fault, type Simulator, startSimulatorWorker } from "@cityscale/simulator";
import { App, type CityRuntime, type LoopReport } from "../../src/app/index.ts";
import { createManualClock, type ManualClock, readConfig, silentLog } from "../../src/core/index.ts";
import type { CityDeclaration } from "../../src/domain/index.ts";
import { type QualityReport, qualityReport } from "../../src/monitoring/index.ts";
import type { Batch, Prediction } from "../../src/serving/index.ts";
import { createHttpClient } from "../../src/sources/index.ts";
import { addressesAt, declaration, generated, hourMs, testStart, tiny } from "./small-city.ts";
import { difference, publishedCounts } from "./truth.ts";

/** The generated town and the App in this process, on a clock that moves when told to; real sockets between them. */
export interface Town {
  readonly clock: ManualClock;
  readonly simulator: Simulator;
  readonly app: App;
  readonly runtime: CityRuntime;
  faults(list: Fault[]): Promise<void>;
  /** Some hours on, one loop. */
  pass(hours: number, options?: { train?: boolean }): Promise<LoopReport>;
  quality(): Promise<QualityReport>;
  batch(): Promise<Batch>;
  predict(): Promise<Prediction>;
  /** How the observations differ from what is published now; null when they do not. */
  difference(): Promise<string | null>;
  close(): Promise<void>;
}

/** The App on a folder, against a simulator; a client that does not wait between its two attempts. */
export async function openApp(
  folder: string,
  simulator: string,
  clock: ManualClock,
  declared: CityDeclaration = declaration,
): Promise<App> {
  const city = join(folder, "smalltown.json");
  writeFileSync(city, JSON.stringify(declared));
  const config = readConfig({
    env: {},
    overrides: {
      home: join(folder, "home"),
      cities: [city],
      sources: addressesAt(simulator),
      threads: 2,
      logLevel: "silent",
    },
  });
  const http = createHttpClient({ attempts: 2, timeoutMs: 700, sleep: async () => undefined });
  return await App.open({ config, clock, log: silentLog, http });
}

/** @param size `tiny` for what needs no model: three counters and forty days that are published once, in time */
export async function openTown(
  folder: string,
  seed: number,
  size: "small" | "tiny" = "small",
): Promise<Town> {
  const clock = createManualClock(testStart);
  const { city, declared } = size === "small" ? { city: generated, declared: declaration } : tiny;
  const simulator = await startSimulatorWorker({ clock: clock.spec, city, seed });
  const app = await openApp(folder, simulator.sources["counts"]!, clock, declared);
  const { runtime, target } = app.target("smalltown");
  await app.start();
  return {
    clock,
    simulator,
    app,
    runtime,
    faults: (list) => simulator.faults(list),
    pass: async (hours, { train = false } = {}) => {
      clock.advance(hours * hourMs);
      return await app.runFirstLoop({ train, patient: false });
    },
    quality: () => qualityReport(runtime.lake, runtime.city, runtime.parts.lagMs, clock.now()),
    batch: async () => (await runtime.server.batches(target.name, 1))[0]!,
    predict: () => runtime.server.predict({ target: target.name, entity: "A001" }),
    difference: async () => {
      const rows = await runtime.lake.read((connection) =>
        connection.rows<{ entity: string; at: number; value: number }>(
          "SELECT n.entity, s.start_at AS at, o.value FROM observations o JOIN entities n USING (e) JOIN steps s USING (t)",
        ),
      );
      const found = new Map(rows.map((row) => [`${row.entity} ${row.at}`, row.value]));
      if (found.size !== rows.length) return "a row is there twice";
      return difference(await publishedCounts(simulator.sources["counts"]!), found);
    },
    close: async () => {
      await app.stop();
      await simulator.close();
    },
  };
}
