import type { CityDeclaration } from "../../src/domain/index.ts";
import { gbfs, publicHolidays } from "../../src/sources/index.ts";

/** A bike share whose snapshots `recordBikeShare` writes, with a target of each level. `more` is of both. */
export const recordedShare = (more: object = {}): CityDeclaration => ({
  id: "bay-wheels",
  name: "A bike share",
  timeZone: "America/Los_Angeles",
  location: { lat: 37.77, lon: -122.42 },
  step: "10m",
  entity: "station",
  history: "2023-01-01",
  sources: {
    stations: gbfs({
      url: "https://gbfs.baywheels.com/gbfs/2.3/gbfs.json",
      archive: { url: "http://127.0.0.1:9000/archive/status_{month}.parquet", from: "2023-01" },
    }),
    holidays: publicHolidays("US", "CA"),
  },
  measures: { bikes: { kind: "level", from: "stations" }, docks: { kind: "level", from: "stations" } },
  targets: {
    "bikes-out-30": { kind: "binary", measure: "bikes", horizon: "30m", ...more },
    "docks-out-60": { kind: "binary", measure: "docks", horizon: "60m", ...more },
  },
});
