import type { Entity, RejectedRow } from "../../domain/index.ts";
import { rejectedRow } from "../rows.ts";
import { countOf, fieldOf, flagOf, isRow, type Row, rowsIn, stationIdOf, textOf } from "./values.ts";

/** Stations of a station_information file; places at (0, 0) and out of range are not given. */
export function stationsOf(
  data: Row,
  language: string,
): { rows: Entity[]; rejected: RejectedRow[]; fields: string[] } {
  const rows: Entity[] = [];
  const rejected: RejectedRow[] = [];
  const fields = new Set<string>();
  for (const row of rowsIn(data, "stations") ?? []) {
    const entity = isRow(row) ? stationIdOf(row["station_id"]) : undefined;
    if (!isRow(row) || entity === undefined) {
      const detail = `station_id: expected an id, received ${JSON.stringify(isRow(row) ? row["station_id"] : row)}`;
      rejected.push(rejectedRow("entities", "missing-field", detail, row));
      continue;
    }
    for (const field of Object.keys(row)) fields.add(field);
    const [lat, lon] = [countOf(row["lat"]) ?? Number.NaN, countOf(row["lon"]) ?? Number.NaN];
    const isPlace =
      Math.abs(lat) <= 90 && Math.abs(lon) <= 180 && (Math.abs(lat) > 0.01 || Math.abs(lon) > 0.01);
    const capacity = countOf(row["capacity"]);
    const attributes: Record<string, string | number | boolean> = {};
    if (capacity !== undefined && capacity >= 0) attributes["capacity"] = capacity;
    const virtual = flagOf(row["is_virtual_station"]);
    if (virtual !== undefined) attributes["isVirtual"] = virtual;
    const code = textOf(fieldOf(row, ["short_name", "stationCode"]), language);
    if (code !== null) attributes["shortName"] = code;
    const region = stationIdOf(row["region_id"]);
    if (region !== undefined) attributes["region"] = region;
    rows.push({
      entity,
      name: textOf(row["name"], language),
      lat: isPlace ? lat : null,
      lon: isPlace ? lon : null,
      openedAt: null,
      retiredAt: null,
      attributes,
    });
  }
  return { rows, rejected, fields: [...fields] };
}
