import { HOUR_MS } from "../count-table.ts";
import type { RecordedCity } from "../options.ts";
import { viewOfRows } from "../query/rows.ts";
import type { Field, View } from "../query/view.ts";
import { Gbfs } from "../serve/gbfs.ts";
import { lyft } from "../serve/gbfs-forms.ts";
import { OpenMeteo } from "../serve/open-meteo.ts";
import { type Dataset, Opendatasoft } from "../serve/opendatasoft.ts";
import type { Service } from "../serve/reply.ts";
import { Zone } from "../zone.ts";
import { capturedVelib } from "./captured-gbfs.ts";
import { type RecordedCounts, readCounts } from "./counts.ts";
import { filesLike, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";
import { readIssuedWeather } from "./issued-weather.ts";
import { requestServices } from "./serve-requests.ts";
import { recordedStations } from "./stations.ts";
import { readWeather } from "./weather.ts";

const DAY_MS = 86_400_000;

const COUNT_FIELDS: readonly Field[] = [
  { name: "id_compteur", type: "text", label: "Identifiant du compteur" },
  { name: "nom_compteur", type: "text", label: "Nom du compteur" },
  { name: "id", type: "text", label: "Identifiant du site de comptage" },
  { name: "name", type: "text", label: "Nom du site de comptage" },
  { name: "sum_counts", type: "integer", label: "Comptage horaire" },
  { name: "date", type: "datetime", label: "Date et heure de comptage" },
  { name: "installation_date", type: "date", label: "Date d'installation du site de comptage" },
  { name: "coordinates", type: "point", label: "Coordonnées géographiques" },
  { name: "mois_annee_comptage", type: "text", label: "mois_annee_comptage" },
];

/**
 * The services of a recorded city. Paris: counts, counters, school holidays and weather. New York: requests, and
 * weather with its forecasts as issued. Bay Wheels: stations. Melbourne's counts are files that a platform reads itself, so it has its
 * weather only.
 * @throws RangeError for a city without recordings
 */
export async function recordedServices(
  city: RecordedCity,
  seed: number,
): Promise<{ services: Service[]; sources: string[] }> {
  if (city.city === "nyc-311") {
    const weather = await readIssuedWeather(city.recordings, city.city);
    return {
      services: [await requestServices(city, seed), new OpenMeteo(weather, "America/New_York")],
      sources: ["counts", "weather"],
    };
  }
  if (city.city === "bay-wheels") {
    const share = await recordedStations(city.recordings, city.city);
    return { services: [new Gbfs(share, lyft)], sources: ["stations"] };
  }
  if (city.city === "paris-velib")
    return { services: [await capturedVelib(city.recordings)], sources: ["stations"] };
  const weather = await readWeather(city.recordings, city.city, seed);
  if (city.city !== "paris-bikes") {
    return { services: [new OpenMeteo(weather, "Australia/Melbourne")], sources: ["weather"] };
  }
  const paris = new Zone("Europe/Paris");
  const delayMs = city.publicationDelayMs;
  const counts = await readCounts(city.recordings, city.city, (hourMs) =>
    delayMs === undefined ? nextMorning(hourMs, paris) : hourMs + HOUR_MS + Math.ceil(delayMs / 1000) * 1000,
  );
  const datasets: Dataset[] = [
    {
      id: "comptage-velo-donnees-compteurs",
      title: "Comptage vélo - Données compteurs",
      source: "counts",
      view: (nowMs) => countsView(counts, paris, nowMs),
      processedMs: (nowMs) => counts.table.lastPublishedMs(nowMs),
    },
    await countersDataset(counts),
    await holidaysDataset(city, paris),
  ];
  return {
    services: [new Opendatasoft(datasets), new OpenMeteo(weather, "Europe/Paris")],
    sources: ["counts", "places", "holidays", "weather"],
  };
}

/** 02:00 of the next local day: the publisher refreshes each night with the day before. */
function nextMorning(hourMs: number, zone: Zone): number {
  const day = Math.floor((hourMs + zone.offsetMs(hourMs)) / DAY_MS);
  return zone.toUtcMs((day + 1) * DAY_MS + 2 * HOUR_MS);
}

function countsView(counts: RecordedCounts, zone: Zone, nowMs: number): View {
  const { table, entityIds, places } = counts;
  const visible = table.visibleRows(nowMs);
  const infos = entityIds.map((id) => {
    const place = places.get(id);
    return {
      id_compteur: id,
      nom_compteur: place?.name ?? null,
      id: place?.siteId ?? null,
      name: place?.siteName ?? null,
      installation_date: place === undefined ? null : dayMs(place.installed),
      coordinates: place === undefined ? null : { lon: place.lon, lat: place.lat },
    };
  });
  const months = new Map<number, string>();
  const month = (hour: number): string => {
    let text = months.get(hour);
    if (text === undefined) {
      const ms = hour * HOUR_MS;
      text = new Date(ms + zone.offsetMs(ms)).toISOString().slice(0, 7);
      months.set(hour, text);
    }
    return text;
  };
  return {
    fields: COUNT_FIELDS,
    version: String(visible),
    length: table.length,
    isVisible: (position) => table.rowId[position]! <= visible,
    get: (field) => {
      if (field === "sum_counts") return (position) => table.count[position]!;
      if (field === "date") return (position) => table.hour[position]! * HOUR_MS;
      if (field === "mois_annee_comptage") return (position) => month(table.hour[position]!);
      const column = infos.map((info) => info[field as keyof (typeof infos)[number]]);
      return (position) => column[table.entity[position]!]!;
    },
    sorted: { by: ["date", "id_compteur"], first: (ms) => table.firstOf(ms / HOUR_MS) },
  };
}

async function countersDataset({ places }: RecordedCounts): Promise<Dataset> {
  const all = [...places].map(([id, place]) => ({
    id_compteur: id,
    nom_compteur: place.name,
    channel_name: place.name.startsWith(place.siteName)
      ? place.name.slice(place.siteName.length).trim()
      : null,
    installation_date: dayMs(place.installed),
    coordinates: { lon: place.lon, lat: place.lat },
  }));
  const fields: Field[] = [
    { name: "id_compteur", type: "text" },
    { name: "nom_compteur", type: "text" },
    { name: "channel_name", type: "text" },
    { name: "installation_date", type: "date" },
    { name: "coordinates", type: "point" },
  ];
  const installed = (nowMs: number) =>
    all.filter((row) => row.installation_date === null || row.installation_date <= nowMs);
  return {
    id: "comptage-velo-compteurs",
    title: "Comptage vélo - Compteurs",
    source: "places",
    view: (nowMs) => {
      const rows = installed(nowMs);
      return viewOfRows(fields, rows, String(rows.length));
    },
    processedMs: (nowMs) =>
      Math.max(...installed(nowMs).map((row) => row.installation_date ?? Number.NEGATIVE_INFINITY)),
  };
}

/** School breaks of the three zones as rows of periods; `end_date` is the day classes resume. */
async function holidaysDataset(city: RecordedCity, zone: Zone): Promise<Dataset> {
  const folder = await recordingFolder(city.recordings, city.city);
  const days = await withDuck(async (connection) =>
    textRows(connection, `SELECT * FROM ${await filesLike(folder, "school_holidays")} ORDER BY date`),
  );
  const rows = [];
  for (const [letter, location] of [
    ["A", "Lyon"],
    ["B", "Lille"],
    ["C", "Paris"],
  ] as const) {
    const column = `vacances_zone_${letter.toLowerCase()}`;
    let start: number | null = null;
    for (const [i, day] of days.entries()) {
      const isFree = day[column] === "True";
      const before = i > 0 ? days[i - 1] : undefined;
      if (isFree && start === null) start = dayMs(day["date"]!);
      if (start !== null && (!isFree || i === days.length - 1)) {
        const end = dayMs(day["date"]!)! + (isFree ? DAY_MS : 0);
        const year = new Date(start + 122 * DAY_MS).getUTCFullYear();
        rows.push({
          description: (isFree ? day : before)?.["nom_vacances"] ?? "",
          population: "-",
          start_date: zone.toUtcMs(start),
          end_date: zone.toUtcMs(end),
          location,
          zones: `Zone ${letter}`,
          annee_scolaire: `${year - 1}-${year}`,
        });
        start = null;
      }
    }
  }
  const fields: Field[] = [
    { name: "description", type: "text" },
    { name: "population", type: "text" },
    { name: "start_date", type: "datetime" },
    { name: "end_date", type: "datetime" },
    { name: "location", type: "text" },
    { name: "zones", type: "text" },
    { name: "annee_scolaire", type: "text" },
  ];
  const view = viewOfRows(fields, rows, "1");
  return {
    id: "fr-en-calendrier-scolaire",
    title: "Le calendrier scolaire",
    source: "holidays",
    view: () => view,
    processedMs: () => Number.NaN,
  };
}

/** ms of a day written YYYY-MM-DD; null where it is not. */
function dayMs(text: string): number | null {
  const ms = Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  return Number.isNaN(ms) ? null : ms;
}
