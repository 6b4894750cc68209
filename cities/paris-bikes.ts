import { defineCity, opendatasoft, openMeteo, publicHolidays, schoolHolidays } from "cityscale";

/** Hours from the evening curfew, as announced, to six in the morning. */
const curfew = `
  SELECT s.t, c.from_hour IS NOT NULL AND (s.slot >= c.from_hour OR s.slot < 6) AS curfew
  FROM steps s JOIN days d USING (day) LEFT JOIN (VALUES
    (DATE '2020-10-17', DATE '2020-10-29', 21),
    (DATE '2020-12-15', DATE '2021-01-15', 20),
    (DATE '2021-01-16', DATE '2021-03-19', 18),
    (DATE '2021-03-20', DATE '2021-05-18', 19),
    (DATE '2021-05-19', DATE '2021-06-08', 21),
    (DATE '2021-06-09', DATE '2021-06-19', 23)
  ) c(first_date, last_date, from_hour) ON d.date BETWEEN c.first_date AND c.last_date`;

/** Days from one date to another, as announced. */
const days = (name: string, from: string, to: string) => ({
  name,
  block: "calendar" as const,
  sql: `SELECT s.t, d.date BETWEEN DATE '${from}' AND DATE '${to}' AS ${name} FROM steps s JOIN days d USING (day)`,
});

/** Bicycles at the permanent counters of Paris; yesterday's hours are published at night. */
export default defineCity({
  id: "paris-bikes",
  name: "Paris bicycle counters",
  timeZone: "Europe/Paris",
  location: { lat: 48.8566, lon: 2.3522 },
  step: "1h",
  entity: "counter",
  sources: {
    counts: opendatasoft({
      domain: "parisdata.opendatasoft.com",
      dataset: "comptage-velo-donnees-compteurs",
      fields: {
        entity: "id_compteur",
        time: "date",
        value: "sum_counts",
        name: "nom_compteur",
        position: "coordinates",
      },
      places: {
        dataset: "comptage-velo-compteurs",
        entity: "id_compteur",
        name: "nom_compteur",
        position: "coordinates",
      },
      publicationLag: "26h",
    }),
    weather: openMeteo(),
    holidays: publicHolidays("FR"),
    school: schoolHolidays({ zone: "Zone C" }),
  },
  measures: {
    bicycles: {
      kind: "flow",
      from: "counts",
      absence: "missing",
      contract: { max: 20_000, stuckZeros: "24h", freshness: "12h" },
    },
  },
  targets: {
    bicycles: {
      kind: "quantity",
      horizon: "72h",
      offset: 1,
      errors: "relative",
      schedule: { ingest: "30 2 * * *", forecast: "0 4 * * *", review: "0 3 * * 0" },
      gates: { gain: { min: 0.02 }, r2: { min: 0.5 } },
      // One year of counts: a network makes of it a line into the season it never saw.
      training: { kind: "trees" },
      // Who may be out, and when: for a month ahead the past of a counter's own hour does not tell.
      features: [
        { name: "curfew", block: "calendar", sql: curfew },
        days("autumn_lockdown", "2020-10-30", "2020-11-27"),
        days("shops_reopened", "2020-11-28", "2020-12-14"),
        days("spring_lockdown", "2021-04-03", "2021-05-02"),
      ],
    },
  },
  attribution: [
    { publisher: "Ville de Paris", licence: "ODbL", url: "https://opendata.paris.fr" },
    {
      publisher: "Ministère de l'Éducation nationale",
      licence: "Licence Ouverte 2.0",
      url: "https://data.education.gouv.fr",
    },
    { publisher: "Open-Meteo", licence: "CC BY 4.0", url: "https://open-meteo.com" },
  ],
});
