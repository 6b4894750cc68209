import type { GenerativeCity } from "@cityscale/simulator";
import { type CityDeclaration, defineCity } from "../../src/domain/index.ts";
import { arcgis, eventsCsv, openMeteo, publicHolidays, schoolHolidays } from "../../src/sources/index.ts";

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** First hour of the generated history, and the virtual instant at which a test begins: 120 days later. */
export const historyStart = Date.UTC(2026, 0, 5);
export const testStart = historyStart + 120 * dayMs + 25 * 60_000;

/** What the simulator generates: eight counters, with more late and corrected rows than is usual. */
export const generated: GenerativeCity = {
  id: "smalltown",
  entities: 8,
  startMs: historyStart,
  opens: 0,
  moves: 1,
  retires: 0,
  lateShare: 0.01,
  correctionShare: 0.01,
  duplicateShare: 0.003,
};

/** How a user would declare it, with a training that takes a second. */
export const declaration: CityDeclaration = defineCity({
  id: "smalltown",
  name: "Small town",
  timeZone: "Australia/Sydney",
  location: { lat: -33.87, lon: 151.21 },
  step: "1h",
  entity: "counter",
  history: "2026-01-05",
  sources: {
    counts: arcgis({
      service: "Automatic_Hourly_Pedestrian_Count",
      fields: { entity: "Location_code", name: "Location_Name", time: "Date", value: "TotalCount" },
      places: { service: "Pedestrian_Count_Sites", entity: "Location_code", name: "Location_Name" },
      publicationLag: "13m",
      // The simulator corrects rows up to ten days after it published them.
      overlap: "16d",
    }),
    weather: openMeteo(),
    holidays: publicHolidays("AU", "NSW"),
    school: schoolHolidays({ url: "http://127.0.0.1:9/school-holidays.csv" }),
    events: eventsCsv({ url: "http://127.0.0.1:9/events.csv" }),
  },
  measures: { pedestrians: { kind: "flow", from: "counts" } },
  targets: {
    pedestrians: {
      horizon: "24h",
      gates: { gain: { min: -10 } },
      training: { maxRows: 8000, trees: 10, testWindow: "7d", calibrationWindow: "14d" },
    },
  },
}).declaration;

/** Names of the sources that need a server. */
export const served = ["counts", "weather", "school", "events"] as const;

/** Every source at one address. */
export const addressesAt = (base: string): Record<string, string> =>
  Object.fromEntries(served.map((name) => [name, base]));

/** Three counters and forty days, each row published once and in time: reads are short. */
export const tiny: { readonly city: GenerativeCity; readonly declared: CityDeclaration } = {
  city: {
    ...generated,
    entities: 3,
    startMs: testStart - 40 * dayMs - 25 * 60_000,
    lateShare: 0,
    lateSpellsPerYear: 0,
    correctionShare: 0,
    duplicateShare: 0,
  },
  declared: {
    ...declaration,
    history: "60d",
    sources: { ...declaration.sources, counts: { ...declaration.sources["counts"]!, overlap: "2d" } },
  },
};
