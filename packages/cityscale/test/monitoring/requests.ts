import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HalfLoadedDay, Simulator } from "@cityscale/simulator";
import { startSimulator } from "@cityscale/simulator";
import { App, type CityRuntime } from "../../src/app/index.ts";
import { enqueueAsset } from "../../src/app/job-kinds.ts";
import { createManualClock, type ManualClock, readConfig, silentLog } from "../../src/core/index.ts";
import { dateOfDay, dayOfDate, type Target } from "../../src/domain/index.ts";
import { createHttpClient, socrata } from "../../src/sources/index.ts";
import { randomOf } from "../lake/support.ts";

const TOTAL = "TOTAL of the 14 listed types";

/** First recorded day, and how many there are. */
const firstDay = dayOfDate("2025-04-01");
const recordedDays = 150;

export const dateAt = (day: number) => dateOfDay(firstDay + day);

/** What is multiplied in the recordings: counts of a type on some days. */
export type Change = (type: string, day: number) => number;

/** Days of two types and all, with a weekly rhythm and noise of 5 %, in the form of New York's recordings. */
function record(root: string, change: Change): void {
  const random = randomOf(11);
  const noise = () => Math.exp(0.1 * (random() + random() + random() - 1.5));
  const totals = ["date,count"];
  const types = ["date,complaint_type,count"];
  for (let day = 0; day < recordedDays; day++) {
    const rhythm = (firstDay + day + 3) % 7 >= 5 ? 0.7 : 1;
    const of = (type: string, level: number) => Math.round(level * rhythm * noise() * change(type, day));
    const heat = of("HEAT/HOT WATER", 900);
    const parking = of("Illegal Parking", 1500);
    types.push(`${dateAt(day)},HEAT/HOT WATER,${heat}`, `${dateAt(day)},Illegal Parking,${parking}`);
    types.push(`${dateAt(day)},${TOTAL},${heat + parking}`);
    totals.push(`${dateAt(day)},${heat + parking + of("rest", 2000)}`);
  }
  for (const folder of ["nyc311", "nyc-weather"]) mkdirSync(join(root, folder), { recursive: true });
  const write = (name: string, lines: readonly string[]) =>
    writeFileSync(join(root, "nyc311", name), `${lines.join("\n")}\n`);
  write("daily_total.csv", totals);
  write("daily_by_type.csv", types);
  write("raw_rows.csv", ["unique_key,created_date,closed_date,complaint_type,status,borough"]);
  const columns =
    "temperature_2m,relativehumidity_2m,dewpoint_2m,apparent_temperature,precipitation_probability,rain,showers,snowfall,cloudcover,windspeed_10m,winddirection_10m,windgusts_10m";
  const values = "50,60,40,48,0,0,0,0,25,10,180,20";
  writeFileSync(
    join(root, "nyc-weather", "weather_hourly.csv"),
    `time_utc,${columns}\n2025-04-01 00:00:00,${values}\n`,
  );
  writeFileSync(
    join(root, "nyc-weather", "forecasts_daily.csv"),
    `issued_at_utc,committed_at_utc,valid_at_utc,lead_h,${columns}\n2025-04-01 10:00:00,2025-04-01 11:00:00,2025-04-01 12:00:00,2,${values}\n`,
  );
}

/** The App on New York's protocol, day by day. */
export interface Town {
  readonly app: App;
  readonly runtime: CityRuntime;
  readonly target: Target;
  readonly clock: ManualClock;
  readonly home: string;
  /** The loop of a morning: read, judge what came true, forecast. Sets the clock to 08:30 of the day after `day`. */
  morningAfter(day: number): Promise<void>;
  close(): Promise<void>;
}

export async function openTown(
  root: string,
  options: { change: Change; halfLoaded: readonly { day: number; share: number; wholeAfter: number }[] },
): Promise<Town> {
  record(root, options.change);
  const morning = (day: number) => Date.parse(`${dateAt(day)}T12:30:00Z`);
  const clock = createManualClock(morning(70));
  const halfLoaded: HalfLoadedDay[] = options.halfLoaded.map(({ day, share, wholeAfter }) => ({
    date: dateAt(day),
    share,
    wholeAtMs: morning(wholeAfter) + 12 * 3_600_000,
  }));
  const simulator: Simulator = await startSimulator({
    clock: clock.spec,
    city: { recordings: root, city: "nyc-311", halfLoaded },
  });
  const home = join(root, "home");
  mkdirSync(join(home, "cities"), { recursive: true });
  const declaration = {
    id: "requests",
    name: "Requests",
    timeZone: "America/New_York",
    location: { lat: 40.7, lon: -74 },
    step: "1d",
    entity: "series",
    history: "2025-04-01",
    sources: {
      counts: socrata({
        domain: "data.example.org",
        dataset: "erm2-nwe9",
        series: [
          { by: ["complaint_type"], where: "complaint_type in ('HEAT/HOT WATER', 'Illegal Parking')" },
          { entity: "All" },
        ],
        publicationLag: "6h",
      }),
    },
    measures: { requests: { kind: "log", from: "counts" } },
    targets: { requests: { horizon: "3d" } },
  };
  writeFileSync(join(home, "cities", "requests.json"), JSON.stringify(declaration));
  const config = readConfig({
    env: {},
    overrides: {
      home,
      cities: ["requests"],
      sources: { counts: simulator.sources["counts"]! },
      threads: 2,
      logLevel: "silent",
    },
  });
  const http = createHttpClient({ attempts: 2, timeoutMs: 2_000, sleep: async () => undefined });
  const app = await App.open({ config, clock, log: silentLog, http });
  const { runtime, target } = app.target("requests");
  await app.start();
  // Too little history to train on: the naive forecast is the champion.
  await app.runFirstLoop({ train: false, patient: false });
  const make = async (asset: string) => {
    const job = await enqueueAsset(app, asset, { city: "requests", actor: "test" });
    const { state, error } = await app.jobs.finished(job.id);
    if (state !== "succeeded") throw new Error(`${asset}: ${JSON.stringify(error)}`);
  };
  return {
    app,
    runtime,
    target,
    clock,
    home,
    morningAfter: async (day) => {
      clock.set(morning(day + 1));
      for (const asset of ["observations", "outcomes", "forecasts"]) await make(asset);
    },
    close: async () => {
      await app.stop();
      await simulator.close();
    },
  };
}
