import { defineCity, gbfs, openMeteo, publicHolidays, stockOutTargets } from "cityscale";

/**
 * New York's bike share: where bikes or docks will run out. Without an address it is a generated one of 600 stations,
 * with an archive; `--source stations=https://gbfs.citibikenyc.com` reads the real one, which has none.
 */
export default defineCity({
  id: "nyc-bikeshare",
  name: "New York bike share",
  timeZone: "America/New_York",
  location: { lat: 40.735, lon: -73.985 },
  step: "10m",
  entity: "station",
  history: "75d",
  sources: {
    stations: gbfs({
      url: "https://gbfs.citibikenyc.com/gbfs/2.3/gbfs.json",
      archive: { url: "http://127.0.0.1:9000/archive/status_{month}.parquet", from: "2013-06" },
    }),
    weather: openMeteo(),
    holidays: publicHolidays("US", "NY"),
  },
  measures: {
    bikes: { kind: "level", from: "stations", contract: { freshness: "30m" } },
    docks: { kind: "level", from: "stations", contract: { freshness: "30m" } },
  },
  targets: stockOutTargets(),
  attribution: [
    {
      publisher: "Citi Bike",
      licence: "NYCBS Data Use Policy",
      url: "https://citibikenyc.com/system-data",
    },
    { publisher: "Open-Meteo", licence: "CC BY 4.0", url: "https://open-meteo.com" },
  ],
});
