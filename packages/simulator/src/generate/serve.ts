import { viewOfRows } from "../query/rows.ts";
import type { View } from "../query/view.ts";
import { ArcGis, type Layer } from "../serve/arcgis.ts";
import { sydneyByDate, sydneyById } from "../serve/count-view.ts";
import { CsvFiles } from "../serve/files.ts";
import { OpenMeteo } from "../serve/open-meteo.ts";
import type { Service } from "../serve/reply.ts";
import { offsetText } from "../zone.ts";
import type { GeneratedCity } from "./city.ts";

/** The City of Sydney's organisation in ArcGIS Online. */
const ORGANISATION = "cNVyNtjGVZybOQWZ";
const DAY_MS = 86_400_000;

/** A generated city behind the APIs Sydney's data comes from, and two plain files. */
export function generatedServices(generated: GeneratedCity): Service[] {
  const { counts, zone, weather, city } = generated;
  const countsLayer: Layer = {
    name: "Automatic_Hourly_Pedestrian_Count",
    source: "counts",
    byId: (nowMs) => sydneyById(counts, zone, nowMs),
    byDate: (nowMs) => sydneyByDate(counts, zone, nowMs),
    lastEditMs: (nowMs) => {
      counts.ensure(nowMs);
      return counts.table.lastPublishedMs(nowMs);
    },
    point: null,
  };
  const placesLayer: Layer = {
    name: "Pedestrian_Count_Sites",
    source: "places",
    byId: (nowMs) => placesView(generated, nowMs),
    byDate: null,
    lastEditMs: (nowMs) => Math.max(city.startMs, ...lives(generated).filter((ms) => ms <= nowMs)),
    point: (view) => {
      const [lon, lat] = [view.get("lon"), view.get("lat")];
      return (position) => ({ lon: lon(position) as number, lat: lat(position) as number });
    },
  };
  return [
    new ArcGis(ORGANISATION, [countsLayer, placesLayer]),
    new OpenMeteo(weather, city.timeZone),
    new CsvFiles([
      { path: "/events.csv", source: "events", rows: (nowMs) => eventRows(generated, nowMs) },
      { path: "/school-holidays.csv", source: "holidays", rows: (nowMs) => schoolRows(generated, nowMs) },
    ]),
  ];
}

function lives({ places }: GeneratedCity): number[] {
  return places.flatMap((place) => [
    place.openedMs,
    place.retiredMs,
    place.move?.atMs ?? Number.POSITIVE_INFINITY,
  ]);
}

/** Counters that have opened, each where it stands now. */
function placesView(generated: GeneratedCity, nowMs: number): View {
  const rows = generated.places
    .map((place, e) => ({ place, id: e + 1 }))
    .filter(({ place }) => place.openedMs <= nowMs)
    .map(({ place, id }) => {
      const moved = place.move !== null && place.move.atMs <= nowMs ? place.move : null;
      return {
        ObjectId: id,
        Location_code: place.id,
        Location_Name: place.name,
        Kind: place.kind,
        Status: place.retiredMs <= nowMs ? "Retired" : "Active",
        Installed: Math.max(place.openedMs, generated.city.startMs),
        Moved: moved === null ? null : moved.atMs,
        Retired: place.retiredMs <= nowMs ? place.retiredMs : null,
        lon: (moved ?? place).lon,
        lat: (moved ?? place).lat,
      };
    });
  const view = viewOfRows(
    [
      { name: "ObjectId", type: "oid" },
      { name: "Location_code", type: "text" },
      { name: "Location_Name", type: "text" },
      { name: "Kind", type: "text" },
      { name: "Status", type: "text" },
      { name: "Installed", type: "date" },
      { name: "Moved", type: "date" },
      { name: "Retired", type: "date" },
    ],
    rows,
    String(lives(generated).filter((ms) => ms <= nowMs).length),
  );
  return { ...view, sorted: { by: ["ObjectId"], first: (id) => firstAtLeast(rows, id) } };
}

function firstAtLeast(rows: readonly { ObjectId: number }[], id: number): number {
  const index = rows.findIndex((row) => row.ObjectId >= id);
  return index === -1 ? rows.length : index;
}

function eventRows(generated: GeneratedCity, nowMs: number): (string | number)[][] {
  const { zone, city, events } = generated;
  const local = (ms: number) => {
    const offset = zone.offsetMs(ms);
    return new Date(ms + offset).toISOString().slice(0, 19) + offsetText(offset);
  };
  const rows = events
    .published(nowMs, city.startMs)
    .map(({ event, notice }) => [
      event.id,
      notice.name,
      local(notice.startMs),
      local(notice.endMs),
      city.timeZone,
      event.venue.lat,
      event.venue.lon,
      event.venue.name,
      event.venue.category,
      notice.expectedAttendance,
      new Date(notice.publishedMs).toISOString().replace(".000Z", "Z"),
    ]);
  const header = [
    "id",
    "name",
    "start",
    "end",
    "tz",
    "lat",
    "lon",
    "venue",
    "category",
    "expected_attendance",
    "published_at",
  ];
  return [header, ...rows];
}

/** School breaks of the history and the next year. `end` is the day classes resume. */
function schoolRows({ calendar, city }: GeneratedCity, nowMs: number): string[][] {
  const first = new Date(city.startMs - 60 * DAY_MS).getUTCFullYear();
  const last = new Date(nowMs).getUTCFullYear() + 1;
  const rows = [["name", "start", "end"]];
  for (let year = first; year <= last; year++) {
    for (const span of calendar.schoolBreaks(year)) rows.push([span.name, span.start, span.end]);
  }
  return rows;
}
