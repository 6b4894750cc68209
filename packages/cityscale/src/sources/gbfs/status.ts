import type { RejectedRow } from "../../domain/index.ts";
import { rejectedRow } from "../rows.ts";
import { type LevelColumn, levelColumns, type Snapshot } from "./level-columns.ts";
import { countOf, fieldOf, flagOf, isRow, type Row, rowsIn, stationIdOf, timestampOf } from "./values.ts";

/** Spellings of the counts: 2.x, 3.x, and the camel-case twins that some publishers add. */
const spellings: Readonly<Record<LevelColumn, readonly string[]>> = {
  bikes: ["num_bikes_available", "num_vehicles_available", "numBikesAvailable"],
  ebikes: ["num_ebikes_available", "numEbikesAvailable"],
  docks: ["num_docks_available", "numDocksAvailable"],
  bikesDisabled: ["num_bikes_disabled", "num_vehicles_disabled", "numBikesDisabled"],
  docksDisabled: ["num_docks_disabled", "numDocksDisabled"],
};
const flags = ["is_installed", "is_renting", "is_returning"] as const;
const camelFlags = ["isInstalled", "isRenting", "isReturning"] as const;

/** Ids of the vehicle types that are electric, out of a vehicle_types file. */
export function electricTypes(data: Row): string[] {
  return (rowsIn(data, "vehicle_types") ?? []).flatMap((type) => {
    if (!isRow(type) || !/^electric/.test(String(type["propulsion_type"]))) return [];
    if (type["form_factor"] !== undefined && !/bicycle/.test(String(type["form_factor"]))) return [];
    const id = stationIdOf(type["vehicle_type_id"]);
    return id === undefined ? [] : [id];
  });
}

/**
 * Snapshots of a station_status file, all taken at `at`. A station that has nothing to count is no error: what is not
 * given is NaN. A value that is there and cannot be read puts its row aside.
 */
export function snapshotsOf(
  data: Row,
  at: number,
  electric: ReadonlySet<string>,
): { rows: Snapshot[]; rejected: RejectedRow[]; fields: string[] } {
  const rows: Snapshot[] = [];
  const rejected: RejectedRow[] = [];
  const fields = new Set<string>();
  for (const row of rowsIn(data, "stations") ?? []) {
    if (!isRow(row)) {
      rejected.push(
        rejectedRow("levels", "bad-row", `expected a station, received ${JSON.stringify(row)}`, row),
      );
      continue;
    }
    for (const field of Object.keys(row)) fields.add(field);
    const problem = addTo(rows, row, at, electric);
    if (problem) rejected.push(problem);
  }
  return { rows, rejected, fields: [...fields] };
}

function addTo(rows: Snapshot[], row: Row, at: number, electric: ReadonlySet<string>): RejectedRow | null {
  const reject = (
    reason: "missing-field" | "bad-number" | "bad-date" | "bad-row",
    field: string,
    expected: string,
  ) =>
    rejectedRow(
      "levels",
      reason,
      `${field}: expected ${expected}, received ${JSON.stringify(row[field])}`,
      row,
    );
  const entity = stationIdOf(row["station_id"]);
  if (entity === undefined) return reject("missing-field", "station_id", "an id");
  const counts: Partial<Record<LevelColumn, number>> = {};
  for (const column of levelColumns) {
    const value = countOf(fieldOf(row, spellings[column]));
    if (value === undefined) {
      const name = spellings[column].find((spelling) => row[spelling] !== undefined)!;
      return reject("bad-number", name, "a number");
    }
    counts[column] = value;
  }
  if (Number.isNaN(counts.bikes) && Number.isNaN(counts.docks))
    return reject("missing-field", "num_bikes_available", "a number, here or in num_docks_available");
  const set: boolean[] = [];
  for (const [i, name] of flags.entries()) {
    const value = fieldOf(row, [name, camelFlags[i]!]);
    // Required since 1.0: a publisher that leaves it out has stations that work.
    const flag = value === undefined ? true : flagOf(value);
    if (flag === undefined) return reject("bad-row", name, "true or false");
    set.push(flag);
  }
  const reportedAt = timestampOf(fieldOf(row, ["last_reported", "lastReported"]));
  if (reportedAt === undefined) return reject("bad-date", "last_reported", "POSIX seconds or RFC 3339");
  rows.push({
    entity,
    at,
    ...(counts as Record<LevelColumn, number>),
    ebikes: Number.isNaN(counts.ebikes) ? electricOf(row, electric) : counts.ebikes!,
    renting: set[0]! && set[1]!,
    returning: set[0]! && set[2]!,
    reportedAt,
  });
  return null;
}

/** Electric bikes where they are counted by type: `vehicle_types_available`, or Vélib's own list. NaN without either. */
function electricOf(row: Row, electric: ReadonlySet<string>): number {
  const types = rowsIn(row, "vehicle_types_available");
  if (types && electric.size > 0) {
    return types.reduce<number>((sum, type) => {
      if (!isRow(type) || !electric.has(stationIdOf(type["vehicle_type_id"]) ?? "")) return sum;
      return sum + (countOf(type["count"]) ?? Number.NaN);
    }, 0);
  }
  const list = rowsIn(row, "num_bikes_available_types") ?? [];
  const found = list.find((type) => isRow(type) && type["ebike"] !== undefined) as Row | undefined;
  return countOf(found?.["ebike"]) ?? Number.NaN;
}
