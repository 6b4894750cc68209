import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Simulator, startSimulator } from "@cityscale/simulator";
import type { FastifyInstance } from "fastify";
import { App } from "../../src/app/index.ts";
import {
  createManualClock,
  type Log,
  type ManualClock,
  readConfig,
  silentLog,
} from "../../src/core/index.ts";
import type { CityDeclaration } from "../../src/domain/index.ts";
import { createHttp, listen } from "../../src/http/index.ts";
import { arcgis, eventsCsv, openMeteo, publicHolidays } from "../../src/sources/index.ts";

/** The instant at which the little city is looked at. */
export const now = Date.parse("2026-03-10T04:30:00Z");

const declaration: CityDeclaration = {
  id: "littleton",
  name: "Littleton <b>& Sons</b>",
  timeZone: "Australia/Sydney",
  location: { lat: -33.87, lon: 151.21 },
  step: "1h",
  entity: "counter",
  history: "110d",
  sources: {
    counts: arcgis({
      service: "Automatic_Hourly_Pedestrian_Count",
      fields: { entity: "Location_code", name: "Location_Name", time: "Date", value: "TotalCount" },
      places: {
        service: "Pedestrian_Count_Sites",
        entity: "Location_code",
        name: "Location_Name",
        opened: "Installed",
        retired: "Retired",
      },
      publicationLag: "13m",
    }),
    weather: openMeteo(),
    holidays: publicHolidays("AU", "NSW"),
    events: eventsCsv({ url: "http://127.0.0.1:9/events.csv" }),
  },
  measures: { pedestrians: { kind: "flow", from: "counts" } },
  targets: {
    pedestrians: {
      horizon: "24h",
      gates: { wape: { max: 10 } },
      training: { maxRows: 20_000, trees: 40, testWindow: "7d", calibrationWindow: "14d" },
    },
  },
  attribution: [
    { publisher: "Ville de Littleton – Données", licence: "CC BY 4.0", url: "https://data.example.org" },
  ],
};

export interface TestApp extends AsyncDisposable {
  readonly app: App;
  readonly http: FastifyInstance;
  readonly clock: ManualClock;
  readonly address: string;
  readonly home: string;
}

/** A real app on a little generated city in a folder of its own, with its server on a free port; nothing has run yet. */
export async function openTestApp(options: { basePath?: string; log?: Log } = {}): Promise<TestApp> {
  const home = mkdtempSync(join(tmpdir(), "cityscale-http-"));
  const clock = createManualClock(now);
  const simulator: Simulator = await startSimulator({
    clock: clock.spec,
    seed: 5,
    city: { id: "littleton", entities: 4, years: 0.32, opens: 0, moves: 0, retires: 0, weatherStrength: 2 },
  });
  const file = join(home, "littleton.json");
  writeFileSync(file, JSON.stringify(declaration));
  const config = readConfig({
    env: {},
    overrides: {
      home,
      cities: [file],
      port: 0,
      threads: 2,
      logLevel: "silent",
      ...(options.basePath === undefined ? {} : { basePath: options.basePath }),
      sources: Object.fromEntries(
        ["counts", "weather", "events"].map((name) => [
          name,
          simulator.sources[name] ?? Object.values(simulator.sources)[0]!,
        ]),
      ),
    },
  });
  const app = await App.open({ config, clock, log: options.log ?? silentLog });
  const http = await createHttp(app);
  const address = await listen(http, app);
  return {
    app,
    http,
    clock,
    address,
    home,
    [Symbol.asyncDispose]: async () => {
      await http.close();
      await app.stop(1_000);
      await simulator.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
