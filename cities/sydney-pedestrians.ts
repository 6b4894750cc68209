import { arcgis, defineCity, eventsCsv, openMeteo, publicHolidays, schoolHolidays } from "cityscale";

/**
 * Pedestrians in Sydney through the city's ArcGIS layer. `npm start` runs it against the simulator: the real
 * layer had four sensors and ended in 2025. To read another server, give its address with --source counts=URL.
 */
export default defineCity({
  id: "sydney-pedestrians",
  name: "Sydney pedestrian counters",
  timeZone: "Australia/Sydney",
  location: { lat: -33.87, lon: 151.21 },
  step: "1h",
  entity: "counter",
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
    // Neither list is published in a form that machines read: keep your own and give its address.
    school: schoolHolidays({ url: "http://127.0.0.1:9000/school-holidays.csv" }),
    events: eventsCsv({ url: "http://127.0.0.1:9000/events.csv" }),
  },
  measures: { pedestrians: { kind: "flow", from: "counts" } },
  targets: {
    pedestrians: {
      horizon: "24h",
      schedule: { ingest: "15 * * * *", forecast: "20 * * * *", review: "30 3 * * 0" },
      gates: { gain: { min: 0.05 }, r2: { min: 0.6 } },
      // A first model within a minute of the first start: half as many rows again gain less than 1 % of its error.
      training: { maxRows: 90_000 },
    },
  },
  attribution: [
    { publisher: "City of Sydney", licence: "CC BY 4.0", url: "https://data.cityofsydney.nsw.gov.au" },
    { publisher: "Open-Meteo", licence: "CC BY 4.0", url: "https://open-meteo.com" },
  ],
});
