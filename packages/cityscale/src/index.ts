/** What a city file imports: the declaration of a city and of its sources. */
export { type City, type CityDeclaration, defineCity, stockOutTargets } from "./domain/index.ts";
export {
  arcgis,
  eventsCsv,
  files,
  gbfs,
  opendatasoft,
  openMeteo,
  publicHolidays,
  schoolHolidays,
  socrata,
} from "./sources/index.ts";
