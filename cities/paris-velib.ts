import { defineCity, gbfs, openMeteo, publicHolidays, stockOutTargets } from "cityscale";

/** Vélib' Métropole, the bike share of Paris, live: where bikes or docks will run out. */
export default defineCity({
  id: "paris-velib",
  name: "Vélib' Métropole",
  timeZone: "Europe/Paris",
  location: { lat: 48.8566, lon: 2.3522 },
  step: "10m",
  entity: "station",
  history: "1d",
  sources: {
    // Its ttl of an hour is not what it keeps: stations are written every minute.
    stations: gbfs({
      url: "https://velib-metropole-opendata.smovengo.cloud/opendata/Velib_Metropole/gbfs.json",
      language: "fr",
      maxTtl: "1m",
    }),
    weather: openMeteo(),
    holidays: publicHolidays("FR"),
  },
  measures: {
    bikes: { kind: "level", from: "stations", contract: { freshness: "30m" } },
    docks: { kind: "level", from: "stations", contract: { freshness: "30m" } },
  },
  targets: stockOutTargets(),
  attribution: [
    {
      publisher: "Vélib' Métropole",
      licence: "Licence Ouverte",
      url: "https://www.velib-metropole.fr/donnees-open-data-gbfs-du-service-velib-metropole",
    },
    { publisher: "Open-Meteo", licence: "CC BY 4.0", url: "https://open-meteo.com" },
  ],
});
