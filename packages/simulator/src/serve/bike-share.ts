/** What is told of a bike share's stations, whatever the form in which it is served. Instants in POSIX seconds. */
export interface Station {
  id: string;
  legacyId: string;
  shortName: string;
  name: string;
  lat: number;
  lon: number;
  capacity: number;
  region: string | null;
}

export interface StationState {
  id: string;
  legacyId: string;
  bikes: number;
  /** Of `bikes`. */
  ebikes: number;
  docks: number;
  bikesDisabled: number;
  docksDisabled: number;
  installed: boolean;
  renting: boolean;
  returning: boolean;
  reported: number;
}

export interface Alert {
  id: string;
  type: "SYSTEM_CLOSURE" | "STATION_CLOSURE" | "STATION_MOVE" | "OTHER";
  start: number;
  /** Null while nobody knows. */
  end: number | null;
  stations: string[];
  summary: string;
}

/** A bike share as it is at an instant of the virtual clock, ms. */
export interface BikeShare {
  name: string;
  timeZone: string;
  stations(nowMs: number): Promise<{ updated: number; rows: Station[] }>;
  status(nowMs: number): Promise<{ updated: number; rows: StationState[] }>;
  alerts(nowMs: number): Promise<{ updated: number; rows: Alert[] }>;
  /** A month's snapshots as a Parquet file, up to the last midnight; null while there are none. */
  archive(
    month: string,
    nowMs: number,
  ): Promise<{ version: string; bytes: () => Promise<Uint8Array> } | null>;
}
