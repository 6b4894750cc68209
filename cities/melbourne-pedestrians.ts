import { defineCity, files, publicHolidays, schoolHolidays } from "cityscale";

/**
 * Pedestrians in Melbourne from files: a folder `melbourne-pedestrians` with counts, sensors and weather, below
 * the folder given with --recordings, --data or --source counts=FOLDER. More files of the same form may be added.
 */
export default defineCity({
  id: "melbourne-pedestrians",
  name: "Melbourne pedestrian sensors",
  timeZone: "Australia/Melbourne",
  location: { lat: -37.8136, lon: 144.9631 },
  step: "1h",
  entity: "sensor",
  history: "2009-01-01",
  sources: {
    counts: files({
      glob: "melbourne-pedestrians/counts*",
      columns: { entity: "sensor_id", time: "ts_utc", value: "count" },
      entities: {
        glob: "melbourne-pedestrians/sensors*.csv",
        columns: { entity: "sensor_id", name: "sensor_name", lat: "lat", lon: "lon" },
      },
    }),
    // Reanalysis: what was later known to have been the weather, without rain.
    weather: files({
      weather: {
        glob: "melbourne-pedestrians/weather_hourly*",
        columns: {
          time: "ts_utc",
          temperature: "temperature",
          dewPoint: "dewpoint_temperature",
          wind: "wind_speed",
          pressure: { column: "mean_sea_level_pressure", scale: 0.01 },
          humidity: { column: "relative_humidity", scale: 100 },
          cloud: { column: "total_cloud_cover", scale: 100 },
          radiation: "surface_solar_radiation",
        },
      },
    }),
    holidays: publicHolidays("AU", "VIC"),
    // Victorian terms of the years recorded; the rules of public calendars do not reach so far back.
    school: schoolHolidays({
      table: [
        { name: "Summer holidays", from: "2012-12-22", to: "2013-01-28" },
        { name: "Autumn holidays", from: "2013-03-29", to: "2013-04-14" },
        { name: "Winter holidays", from: "2013-06-29", to: "2013-07-14" },
        { name: "Spring holidays", from: "2013-09-21", to: "2013-10-06" },
        { name: "Summer holidays", from: "2013-12-21", to: "2014-01-28" },
        { name: "Autumn holidays", from: "2014-04-05", to: "2014-04-21" },
        { name: "Winter holidays", from: "2014-06-28", to: "2014-07-13" },
        { name: "Spring holidays", from: "2014-09-20", to: "2014-10-05" },
        { name: "Summer holidays", from: "2014-12-20", to: "2015-01-28" },
        { name: "Autumn holidays", from: "2015-03-28", to: "2015-04-12" },
        { name: "Winter holidays", from: "2015-06-27", to: "2015-07-12" },
        { name: "Spring holidays", from: "2015-09-19", to: "2015-10-04" },
        { name: "Summer holidays", from: "2015-12-19", to: "2016-01-26" },
        { name: "Autumn holidays", from: "2016-03-25", to: "2016-04-10" },
        { name: "Winter holidays", from: "2016-06-25", to: "2016-07-10" },
        { name: "Spring holidays", from: "2016-09-17", to: "2016-10-02" },
        { name: "Summer holidays", from: "2016-12-21", to: "2017-01-29" },
      ],
    }),
  },
  measures: {
    pedestrians: {
      kind: "flow",
      from: "counts",
      absence: "missing",
      contract: { max: 50_000, stuckZeros: "72h" },
    },
  },
  targets: {
    pedestrians: {
      horizon: "24h",
      schedule: { ingest: "5 * * * *", forecast: "10 * * * *", review: "30 3 * * 0" },
      gates: { gain: { min: 0.05 }, r2: { min: 0.6 } },
    },
  },
  attribution: [
    { publisher: "City of Melbourne", licence: "CC BY 4.0", url: "https://data.melbourne.vic.gov.au" },
  ],
});
