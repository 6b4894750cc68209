import type { RecordedCity } from "../options.ts";
import type { Cell } from "../query/expression.ts";
import type { Service } from "../serve/reply.ts";
import { Socrata, type SodaDataset, type SodaField, type SodaView } from "../serve/socrata.ts";
import { isPlacedLate, type RecordedRequests, type RequestUnit, readRequests } from "./requests.ts";

const DAY_MS = 86_400_000;

const TIMES = ["created_date", "closed_date", "resolution_action_updated_date"];
const NUMBERS = ["x_coordinate_state_plane", "y_coordinate_state_plane", "latitude", "longitude"];
/** Columns of the publisher's dataset that are served; its locations and its newest districts are not. */
const COLUMNS =
  "unique_key created_date closed_date agency agency_name complaint_type descriptor location_type incident_zip incident_address street_name cross_street_1 cross_street_2 intersection_street_1 intersection_street_2 address_type city landmark facility_type status due_date resolution_description resolution_action_updated_date community_board bbl borough x_coordinate_state_plane y_coordinate_state_plane open_data_channel_type park_facility_name park_borough vehicle_type taxi_company_borough taxi_pick_up_location bridge_highway_name bridge_highway_direction road_ramp bridge_highway_segment latitude longitude".split(
    " ",
  );
const FIELDS: readonly SodaField[] = [
  { name: ":id", type: "row_identifier" },
  { name: ":created_at", type: "fixed_timestamp" },
  { name: ":updated_at", type: "fixed_timestamp" },
  ...COLUMNS.map((name): SodaField => {
    if (TIMES.includes(name)) return { name, type: "floating_timestamp" };
    return { name, type: NUMBERS.includes(name) ? "number" : "text" };
  }),
];
/** Written when a record is closed. */
const CLOSING = ["closed_date", "resolution_description", "resolution_action_updated_date"];

/** New York's 311 requests as the city publishes them: from 2020 on in one dataset, before in another. */
export async function requestServices(city: RecordedCity, seed: number): Promise<Service> {
  const recorded = await readRequests(city.recordings, seed, city.halfLoaded ?? [], city.publicationDelayMs);
  const split = Date.parse("2020-01-01") / DAY_MS;
  const newer = recorded.units.filter(({ day }) => day >= split);
  const older = recorded.units.filter(({ day }) => day < split);
  return new Socrata([
    dataset("erm2-nwe9", "311 Service Requests from 2020 to Present", recorded, newer),
    dataset("76ig-c548", "311 Service Requests from 2010 to 2019", recorded, older),
  ]);
}

function dataset(
  id: string,
  title: string,
  { loadsMs }: RecordedRequests,
  units: readonly RequestUnit[],
): SodaDataset {
  const loads = (nowMs: number) => {
    let [low, high] = [0, loadsMs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (loadsMs[middle]! <= nowMs) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  let last: SodaView | null = null;
  return {
    id,
    title,
    source: "counts",
    view: (nowMs) => {
      const version = String(loads(nowMs));
      if (last?.version !== version) last = viewOf(units, version, nowMs);
      return last;
    },
    loadedMs: (nowMs) => loadsMs[loads(nowMs) - 1] ?? Number.NaN,
  };
}

function viewOf(all: readonly RequestUnit[], version: string, nowMs: number): SodaView {
  const units = all.filter(({ publishedMs }) => publishedMs <= nowMs);
  const isTouched = units.map(({ touchedMs }) => touchedMs <= nowMs);
  /** Recorded records whose end is not known yet. */
  const isOpen = units.map(({ touchedMs }, u) => !Number.isNaN(touchedMs) && !isTouched[u]);
  const cells: Record<string, (u: number, i: number) => Cell> = {
    ":id": (u, i) => {
      const text = (units[u]!.key + i).toString(36).padStart(8, "0");
      return `row-${text.slice(0, 4)}~${text.slice(4)}`;
    },
    ":created_at": (u) => units[u]!.publishedMs,
    ":updated_at": (u) => (isTouched[u] ? units[u]!.touchedMs : units[u]!.publishedMs),
    unique_key: (u, i) => String(units[u]!.key + i),
    complaint_type: (u) => units[u]!.type,
    created_date: (u, i) => {
      const { raw, day, count } = units[u]!;
      // Evenly over the day, none at midnight itself.
      if (raw === null) return day * DAY_MS + 1000 * (1 + Math.floor(((i + 0.5) / Math.abs(count)) * 86_397));
      return wallMs(raw["created_date"]);
    },
    borough: (u) =>
      isOpen[u] && isPlacedLate(units[u]!) ? "Unspecified" : (units[u]!.raw?.["borough"] ?? null),
    status: (u) => (isOpen[u] ? "Open" : (units[u]!.raw?.["status"] ?? null)),
  };
  const recordedCell = (field: string) => (u: number) => {
    const text = units[u]!.raw?.[field];
    if (text === undefined || text === null || text === "") return null;
    if (CLOSING.includes(field) && isOpen[u]) return null;
    if (TIMES.includes(field)) return wallMs(text);
    return NUMBERS.includes(field) ? Number(text) : text;
  };
  return {
    fields: FIELDS,
    version,
    units: units.length,
    weight: (u) => units[u]!.count,
    single: new Set([":id", "unique_key"]),
    get: (field) => cells[field] ?? recordedCell(field),
  };
}

/** A wall time as if it were UTC. */
function wallMs(text: string | null | undefined): number | null {
  const ms = Date.parse(`${text?.replace(" ", "T")}Z`);
  return Number.isNaN(ms) ? null : ms;
}
