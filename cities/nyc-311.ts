import { defineCity, openMeteo, publicHolidays, socrata } from "cityscale";

/**
 * The fourteen types whose sum is forecast. The publisher of the recordings does not name the nine that are no
 * series of their own; these are the most frequent ones.
 */
const listed = [
  "Air Quality",
  "HEAT/HOT WATER",
  "Illegal Parking",
  "Noise - Residential",
  "Noise - Street/Sidewalk",
  "Abandoned Vehicle",
  "Blocked Driveway",
  "Noise - Commercial",
  "Noise - Vehicle",
  "PAINT/PLASTER",
  "PLUMBING",
  "Street Condition",
  "UNSANITARY CONDITION",
  "Water System",
];
const anyOf = (types: readonly string[]) =>
  `complaint_type in (${types.map((type) => `'${type}'`).join(", ")})`;

/**
 * Service requests to New York's 311 by the day they were made, loaded each night. Five types, fourteen together, and
 * all are counted by the publisher; elevator complaints are read one by one and counted by borough here.
 */
export default defineCity({
  id: "nyc-311",
  name: "New York 311 service requests",
  timeZone: "America/New_York",
  location: { lat: 40.7128, lon: -74.006 },
  step: "1d",
  entity: "series",
  history: "2020-01-01",
  sources: {
    counts: socrata({
      domain: "data.cityofnewyork.us",
      dataset: "erm2-nwe9",
      series: [
        { by: ["complaint_type"], where: anyOf(listed.slice(0, 5)) },
        { entity: "TOTAL of the 14 listed types", where: anyOf(listed) },
        { entity: "All" },
        {
          entity: "Elevator",
          by: ["borough"],
          where: anyOf(["Elevator", "ELEVATOR", "elevator"]),
          read: "rows",
          // The recordings have single requests of 2024 only; against the publisher itself leave this out.
          until: "2025-01-01",
        },
      ],
      publicationLag: "6h",
    }),
    weather: openMeteo({
      forecastDays: 16,
      runs: { from: "2023-10-01", hour: 6, availableAfter: "6h" },
    }),
    holidays: publicHolidays("US"),
  },
  measures: {
    requests: {
      kind: "log",
      from: "counts",
      absence: "zeroWhenComplete",
      contract: { max: 100_000, freshness: "30h" },
    },
  },
  targets: {
    requests: {
      horizon: "14d",
      offset: 1,
      // Fifty complaints about the air count as much as ten thousand of all sorts.
      errors: "relative",
      training: { kind: "blend", trees: 300, leaves: 15, learningRate: 0.04 },
      schedule: { ingest: "0 8 * * *", forecast: "30 8 * * *", review: "0 9 * * 0" },
      gates: { gain: { min: 0.02 } },
    },
  },
  masks: [
    {
      days: ["2023-09-15", "2023-09-23", "2023-11-26/2023-11-27", "2024-02-12", "2024-07-28", "2025-01-25"],
      entities: ["All"],
      reason: "only a part of the day's requests was ever loaded",
    },
    {
      days: ["2024-04-11/2024-04-14", "2024-07-13"],
      entities: ["HEAT/HOT WATER", "TOTAL of the 14 listed types"],
      reason: "heat and hot water complaints are missing",
    },
  ],
  attribution: [
    {
      publisher: "City of New York",
      licence: "NYC Open Data terms",
      url: "https://opendata.cityofnewyork.us",
    },
    { publisher: "Open-Meteo", licence: "CC BY 4.0", url: "https://open-meteo.com" },
  ],
});
