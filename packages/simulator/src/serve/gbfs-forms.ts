import { offsetText, type Zone } from "../zone.ts";
import type { Alert, Station, StationState } from "./bike-share.ts";

/** How a publisher writes GBFS: addresses, envelope and rows. */
export interface GbfsForm {
  /** Path of the auto-discovery file. */
  discovery: string;
  /** Paths of the feeds by name. */
  feeds: Readonly<Record<string, string>>;
  ttl: number;
  languages: readonly string[] | null;
  envelope(data: unknown, updated: number, ttl: number): unknown;
  station(station: Station): unknown;
  state(state: StationState, index: number): unknown;
  alert(alert: Alert): unknown;
  system(name: string, timeZone: string): unknown;
}

const feedNames = ["system_information", "station_information", "station_status", "system_alerts"];
const paths = (folder: string, names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, `${folder}/${name}.json`]));

/** GBFS 2.3 as Lyft writes it: keys in the order of the alphabet, 0 and 1 for flags, no version. */
export const lyft: GbfsForm = {
  discovery: "/gbfs/2.3/gbfs.json",
  feeds: paths("/gbfs/2.3/bay/en", feedNames),
  ttl: 60,
  languages: ["en"],
  envelope: (data, updated, ttl) => ({ data, last_updated: updated, ttl }),
  station: (station) => ({
    capacity: station.capacity,
    eightd_has_key_dispenser: false,
    eightd_station_services: [],
    electric_bike_surcharge_waiver: false,
    external_id: station.id,
    has_kiosk: true,
    lat: station.lat,
    legacy_id: station.legacyId,
    lon: station.lon,
    name: station.name,
    ...(station.region === null ? {} : { region_id: station.region }),
    rental_methods: ["KEY", "CREDITCARD"],
    rental_uris: {
      android: "https://sfo.lft.to/lastmile_qr_scan",
      ios: "https://sfo.lft.to/lastmile_qr_scan",
    },
    short_name: station.shortName,
    station_id: station.id,
    station_type: "classic",
  }),
  state: (state) => ({
    eightd_has_available_keys: false,
    is_installed: Number(state.installed),
    is_renting: Number(state.renting),
    is_returning: Number(state.returning),
    last_reported: state.reported,
    legacy_id: state.legacyId,
    num_bikes_available: state.bikes,
    num_bikes_disabled: state.bikesDisabled,
    num_docks_available: state.docks,
    num_docks_disabled: state.docksDisabled,
    num_ebikes_available: state.ebikes,
    num_scooters_available: 0,
    num_scooters_unavailable: 0,
    station_id: state.id,
    station_status: state.installed && state.renting ? "active" : "out_of_service",
  }),
  alert: (alert) => ({
    alert_id: alert.id,
    last_updated: alert.start,
    station_ids: alert.stations,
    summary: alert.summary,
    times: [{ start: alert.start, ...(alert.end === null ? {} : { end: alert.end }) }],
    type: alert.type,
  }),
  system: (name, timeZone) => ({ language: "en", name, operator: "Lyft, Inc", timezone: timeZone }),
};

/** GBFS 3.0 to the letter; timestamps with the offset of the place. Discovery is where the real publisher has it. */
export function standard(zone: Zone): GbfsForm {
  const stamp = (seconds: number) => {
    const offset = zone.offsetMs(seconds * 1000);
    return new Date(seconds * 1000 + offset).toISOString().slice(0, 19) + offsetText(offset);
  };
  const inEnglish = (text: string) => [{ text, language: "en" }];
  return {
    discovery: "/gbfs/2.3/gbfs.json",
    feeds: paths("/gbfs/3.0/nyc", [...feedNames, "vehicle_types"]),
    ttl: 60,
    languages: null,
    envelope: (data, updated, ttl) => ({ last_updated: stamp(updated), ttl, version: "3.0", data }),
    station: (station) => ({
      station_id: station.id,
      name: inEnglish(station.name),
      short_name: inEnglish(station.shortName),
      lat: station.lat,
      lon: station.lon,
      ...(station.region === null ? {} : { region_id: station.region }),
      capacity: station.capacity,
      is_virtual_station: false,
    }),
    state: (state) => ({
      station_id: state.id,
      num_vehicles_available: state.bikes,
      vehicle_types_available: [
        { vehicle_type_id: "classic", count: state.bikes - state.ebikes },
        { vehicle_type_id: "electric", count: state.ebikes },
      ],
      num_vehicles_disabled: state.bikesDisabled,
      num_docks_available: state.docks,
      num_docks_disabled: state.docksDisabled,
      is_installed: state.installed,
      is_renting: state.renting,
      is_returning: state.returning,
      last_reported: stamp(state.reported),
    }),
    alert: (alert) => ({
      alert_id: alert.id,
      type: alert.type,
      times: [{ start: stamp(alert.start), ...(alert.end === null ? {} : { end: stamp(alert.end) }) }],
      station_ids: alert.stations,
      summary: inEnglish(alert.summary),
      last_updated: stamp(alert.start),
    }),
    system: (name, timeZone) => ({
      system_id: "nyc",
      languages: ["en"],
      name: inEnglish(name),
      timezone: timeZone,
      opening_hours: "24/7",
      feed_contact_email: "gbfs@example.org",
    }),
  };
}

/** Vehicle types of the 3.0 form. */
export const vehicleTypes = [
  { vehicle_type_id: "classic", form_factor: "bicycle", propulsion_type: "human" },
  {
    vehicle_type_id: "electric",
    form_factor: "bicycle",
    propulsion_type: "electric_assist",
    max_range_meters: 60_000,
  },
];
