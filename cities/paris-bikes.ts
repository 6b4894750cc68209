import { defineCity, opendatasoft, openMeteo, publicHolidays, schoolHolidays } from "cityscale";

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
      schedule: { ingest: "30 2 * * *", forecast: "0 4 * * *", review: "0 3 * * 0" },
      gates: { gain: { min: 0.02 }, r2: { min: 0.5 } },
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
