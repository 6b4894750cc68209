export { arcgis } from "./arcgis/index.ts";
export { createSource, publicationLagMs, sourceKinds } from "./create-source.ts";
export { eventsCsv } from "./events-csv.ts";
export { createHttpClient, type HttpClient, type HttpClientOptions } from "./http.ts";
export type { SourceContext } from "./kind.ts";
export { openMeteo } from "./open-meteo.ts";
export { opendatasoft } from "./opendatasoft/index.ts";
export { publicHolidays } from "./public-holidays.ts";
export { schoolHolidays } from "./school-holidays.ts";
