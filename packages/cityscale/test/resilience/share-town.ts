import type { GenerativeBikeShare } from "@cityscale/simulator";
import type { CityDeclaration } from "../../src/domain/index.ts";
import { gbfs, publicHolidays } from "../../src/sources/index.ts";

/** A bike share of which everything older than a day may go, as soon as it is settled. */
export const declaration: CityDeclaration = {
  id: "sharetown",
  name: "Share town",
  timeZone: "America/New_York",
  location: { lat: 40.73, lon: -73.99 },
  step: "10m",
  entity: "station",
  history: "60d",
  sources: {
    stations: gbfs({
      url: "http://127.0.0.1:9/gbfs/2.3/gbfs.json",
      archive: { url: "http://127.0.0.1:9/archive/status_{month}.parquet", from: "2026-01" },
    }),
    holidays: publicHolidays("US", "NY"),
  },
  measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
  targets: {
    "bikes-out-30": { kind: "binary", measure: "bikes", horizon: "30m" },
    "docks-out-60": { kind: "binary", measure: "docks", horizon: "60m" },
  },
  retention: { risks: "1d", raw: "1d", quarantine: "1d" },
};

/** What the simulator generates: three weeks of an awkward archive. */
export const generated: GenerativeBikeShare = {
  ...{ kind: "bike-share", id: "sharetown", stations: 25, days: 20 },
  ...{
    outagesPerYear: 40,
    absencesPerYear: 40,
    capacityChanges: 0.3,
    idChanges: 0.1,
    standstillsPerYear: 100,
  },
};
