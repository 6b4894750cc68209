import type { Malformation } from "../fault.ts";
import type { Api } from "./reply.ts";

type Row = Record<string, unknown>;

/** Fields that play a part, in the order in which they are looked for. */
const VALUES = [
  "num_bikes_available",
  "num_vehicles_available",
  "capacity",
  "n",
  "TotalCount",
  "sum_counts",
  "expected_attendance",
  "Kind",
  "nom_compteur",
  "end_date",
  "end",
];
const DATES = [
  "last_reported",
  "day",
  "created_date",
  "Date",
  "date",
  "start",
  "start_date",
  "installation_date",
  "Installed",
];
const ENTITIES = [
  "station_id",
  "complaint_type",
  "borough",
  "Location_code",
  "id_compteur",
  "id",
  "location",
  "name",
];
const BIG = 9_007_199_254_740_000;
/** One ms past the last instant a JavaScript date can hold. */
const NO_INSTANT = 8_640_000_000_000_001;

/**
 * A response with every n-th row made wrong, in the given API's format. A body without rows comes back unchanged.
 * @param contentType tells ODS exports in JSON, JSON lines and CSV apart
 */
export function malform(
  api: Api,
  contentType: string,
  body: string,
  kind: Malformation,
  every: number,
): string {
  if (contentType.startsWith("text/csv"))
    return malformCsv(body, api === "opendatasoft" ? ";" : ",", kind, every);
  if (contentType.startsWith("application/jsonl")) {
    const rows = body
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Row);
    return changeRows(rows, kind, every)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join("");
  }
  if (!contentType.includes("json")) return body;
  const parsed: unknown = JSON.parse(body);
  if (Array.isArray(parsed) && (api === "opendatasoft" || api === "socrata"))
    return JSON.stringify(changeRows(parsed as Row[], kind, every));
  if (api === "open-meteo") {
    for (const place of Array.isArray(parsed) ? (parsed as Row[]) : [parsed as Row])
      malformColumns(place, kind, every);
    return JSON.stringify(parsed);
  }
  const answer = parsed as Row;
  if (api === "gbfs") {
    const data = answer["data"] as Row;
    if (Array.isArray(data["stations"]))
      data["stations"] = changeRows(data["stations"] as Row[], kind, every);
    return JSON.stringify(answer);
  }
  if (Array.isArray(answer["results"]))
    answer["results"] = changeRows(answer["results"] as Row[], kind, every);
  if (Array.isArray(answer["features"])) {
    answer["features"] = (answer["features"] as Row[]).flatMap((feature, i) => {
      if (i % every !== 0) return [feature];
      const where = "attributes" in feature ? "attributes" : "properties";
      return changeRow(feature[where] as Row, kind).map((changed) => ({ ...feature, [where]: changed }));
    });
  }
  return JSON.stringify(answer);
}

function changeRows(rows: readonly Row[], kind: Malformation, every: number): Row[] {
  return rows.flatMap((row, i) => (i % every === 0 ? changeRow(row, kind) : [row]));
}

function changeRow(row: Row, kind: Malformation): Row[] {
  const pick = (names: readonly string[]) =>
    names.find((name) => name in row) ?? Object.keys(row)[0] ?? "value";
  const [value, date, entity] = [pick(VALUES), pick(DATES), pick(ENTITIES)];
  switch (kind) {
    case "missingField": {
      const { [value]: _gone, ...rest } = row;
      return [rest];
    }
    case "wrongType":
      return [{ ...row, [value]: "many" }];
    case "nanText":
      return [{ ...row, [value]: "NaN" }];
    case "negative":
      return [{ ...row, [value]: -17 }];
    case "huge":
      return [{ ...row, [value]: BIG }];
    case "wrongDate":
      return [{ ...row, [date]: typeof row[date] === "number" ? NO_INSTANT : "2021-02-31T25:00:00" }];
    case "unknownEntity":
      return [{ ...row, [entity]: "ZZ999-nobody" }];
    case "nullEntity":
      return [{ ...row, [entity]: null }];
    case "duplicatedRow":
      return [row, row];
    case "extraColumn":
      return [{ ...row, unexpected_column: "surprise" }];
    case "renamedColumn": {
      const { [value]: moved, ...rest } = row;
      return [{ ...rest, [`${value}_v2`]: moved }];
    }
  }
}

/** Open-Meteo's columns: the first variable plays the value. */
function malformColumns(place: Row, kind: Malformation, every: number): void {
  const hourly = place["hourly"] as Record<string, unknown[]> | undefined;
  const variable = hourly === undefined ? undefined : Object.keys(hourly).find((name) => name !== "time");
  if (hourly === undefined || variable === undefined) return;
  const put = (column: string, value: unknown) => {
    hourly[column] = hourly[column]!.map((old, i) => (i % every === 0 ? value : old));
  };
  if (kind === "missingField") delete hourly[variable];
  else if (kind === "wrongType") put(variable, "many");
  else if (kind === "nanText") put(variable, "NaN");
  else if (kind === "negative") put(variable, -999);
  else if (kind === "huge") put(variable, BIG);
  else if (kind === "wrongDate") put("time", "2021-02-31T25:00");
  else if (kind === "unknownEntity") place["latitude"] = 0;
  else if (kind === "nullEntity") place["latitude"] = null;
  else if (kind === "extraColumn") hourly["unexpected_column"] = hourly[variable]!;
  else if (kind === "renamedColumn") {
    hourly[`${variable}_v2`] = hourly[variable]!;
    delete hourly[variable];
  } else {
    for (const [name, column] of Object.entries(hourly)) {
      hourly[name] = column.flatMap((value, i) => (i % every === 0 ? [value, value] : [value]));
    }
  }
}

/** A CSV row short of a cell is a missing field; a longer one has an extra column; a renamed column is the header's. */
function malformCsv(body: string, delimiter: string, kind: Malformation, every: number): string {
  const newline = body.includes("\r\n") ? "\r\n" : "\n";
  const lines = body.split(newline).filter((line) => line !== "");
  const header = lines[0];
  if (header === undefined) return body;
  const names = header
    .replace(/^\uFEFF/, "")
    .split(delimiter)
    .map((name) => name.replaceAll('"', ""));
  let head = header;
  const rows = lines.slice(1).flatMap((line, i) => {
    if (i % every !== 0) return [line];
    const cells = splitCsv(line, delimiter);
    const row: Row = Object.fromEntries(names.map((name, k) => [name, cells[k] ?? ""]));
    return changeRow(row, kind).map((changed) => {
      if (kind === "renamedColumn") return line;
      return Object.values(changed)
        .map((value) => {
          const written = value === null ? "" : String(value);
          return written.includes(delimiter) || written.includes('"')
            ? `"${written.replaceAll('"', '""')}"`
            : written;
        })
        .join(delimiter);
    });
  });
  if (kind === "renamedColumn") {
    const value = VALUES.find((name) => names.includes(name)) ?? names[0]!;
    head = header.replace(value, `${value}_v2`);
  }
  return `${[head, ...rows].join(newline)}${newline}`;
}

function splitCsv(line: string, delimiter: string): string[] {
  const cells: string[] = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    if (character === '"') {
      if (quoted && line[i + 1] === '"') {
        cell += '"';
        i++;
      } else quoted = !quoted;
    } else if (character === delimiter && !quoted) {
      cells.push(cell);
      cell = "";
    } else cell += character;
  }
  cells.push(cell);
  return cells;
}
