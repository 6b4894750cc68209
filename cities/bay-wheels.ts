import { defineCity, gbfs, publicHolidays, stockOutTargets } from "cityscale";

/**
 * Bike share of the San Francisco Bay Area: where bikes or docks will run out. The publisher tells the present only;
 * earlier snapshots come from an archive. There is no public one in this form: keep your own and give its address.
 */
export default defineCity({
  id: "bay-wheels",
  name: "Bay Wheels bike share",
  timeZone: "America/Los_Angeles",
  location: { lat: 37.77, lon: -122.42 },
  step: "10m",
  entity: "station",
  history: "2022-12-01",
  sources: {
    stations: gbfs({
      url: "https://gbfs.baywheels.com/gbfs/2.3/gbfs.json",
      archive: { url: "http://127.0.0.1:9000/archive/status_{month}.parquet", from: "2022-12" },
    }),
    holidays: publicHolidays("US", "CA"),
  },
  measures: {
    bikes: { kind: "level", from: "stations", contract: { freshness: "30m" } },
    docks: { kind: "level", from: "stations", contract: { freshness: "30m" } },
  },
  targets: stockOutTargets(),
  attribution: [
    {
      publisher: "Bay Wheels",
      licence: "Bay Wheels Data License Agreement",
      url: "https://www.lyft.com/bikes/bay-wheels/system-data",
    },
  ],
});
