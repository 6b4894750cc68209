import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BikeShare, Station, StationState } from "../serve/bike-share.ts";
import { filesLike, integerChunks, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";

const DAY_S = 86_400;

/** Columns of the recordings that are whole numbers, in the order in which they are read. */
const COLUMNS = [
  "bikes",
  "ebikes",
  "docks",
  "bikes_disabled",
  "docks_disabled",
  "is_installed",
  "is_renting",
  "is_returning",
  "last_reported",
] as const;

/**
 * The period of recorded snapshots of stations: the first one, and the second after the last one.
 * @throws RangeError for a city without recordings
 */
export async function stationsPeriod(root: string, city: string): Promise<{ fromMs: number; toMs: number }> {
  const folder = await recordingFolder(root, city);
  return withDuck(async (connection) => {
    const [row] = await textRows(
      connection,
      `SELECT epoch_ms(min(ts))::VARCHAR AS first, epoch_ms(max(ts))::VARCHAR AS last FROM ${await filesLike(folder, "status_")}`,
    );
    if (row?.["first"] == null || row["last"] == null)
      throw new RangeError(`the snapshots in ${folder} are empty`);
    return { fromMs: Number(row["first"]), toMs: Number(row["last"]) + 1000 };
  });
}

/**
 * Bay Wheels as it was recorded: at any instant the newest snapshot at or before it, with the stations that it has;
 * where stations are comes from one list, as far as they have appeared. The archive's running month is there up to the
 * last midnight (UTC).
 * @throws RangeError for missing files
 */
export async function recordedStations(root: string, city: string): Promise<BikeShare> {
  const folder = await recordingFolder(root, city);
  const { times, ids, firsts, places } = await withDuck(async (connection) => {
    const files = await filesLike(folder, "status_");
    const times: number[] = [];
    for await (const [ts] of integerChunks(
      connection,
      `SELECT DISTINCT CAST(epoch(ts) AS INTEGER) AS second FROM ${files} ORDER BY second`,
    ))
      times.push(...ts!);
    const seen = await textRows(
      connection,
      `SELECT station_id, CAST(epoch(min(ts)) AS BIGINT)::VARCHAR AS first FROM ${files} GROUP BY station_id ORDER BY station_id`,
    );
    const listed = await textRows(connection, `SELECT * FROM ${await filesLike(folder, "stations")}`);
    const places = new Map<string, Station>();
    for (const row of listed) {
      const id = row["station_id"]!;
      places.set(id, {
        id,
        legacyId: row["legacy_id"] ?? id,
        shortName: row["short_name"] ?? id,
        name: row["name"] ?? id,
        lat: Number(row["lat"]),
        lon: Number(row["lon"]),
        capacity: Math.round(Number(row["capacity"])),
        region: row["region_id"] ?? null,
      });
    }
    return {
      times: Int32Array.from(times),
      ids: seen.map((row) => row["station_id"]!),
      firsts: seen.map((row) => Number(row["first"])),
      places,
    };
  });
  if (times.length === 0) throw new RangeError(`the snapshots in ${folder} are empty`);

  let day: { day: number; snapshots: Promise<Map<number, StationState[]>> } | null = null;
  const snapshotOf = async (at: number): Promise<StationState[]> => {
    const wanted = Math.floor(at / DAY_S);
    if (day?.day !== wanted)
      day = { day: wanted, snapshots: readDay(folder, wanted, (id) => places.get(id)?.legacyId ?? id) };
    return (await day.snapshots).get(at) ?? [];
  };
  const newest = (nowMs: number): number => {
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle]! * 1000 <= nowMs) low = middle + 1;
      else high = middle;
    }
    return times[Math.max(0, low - 1)]!;
  };
  return {
    name: "Bay Wheels",
    timeZone: "America/Los_Angeles",
    stations: async (nowMs) => {
      const updated = newest(nowMs);
      const rows = ids.flatMap((id, i) => {
        const place = places.get(id);
        return place !== undefined && firsts[i]! <= updated ? [place] : [];
      });
      return { updated, rows };
    },
    status: async (nowMs) => {
      const updated = newest(nowMs);
      return { updated, rows: await snapshotOf(updated) };
    },
    alerts: async (nowMs) => ({ updated: newest(nowMs), rows: [] }),
    archive: async (month, nowMs) => {
      const start = Date.parse(`${month}-01T00:00:00Z`) / 1000;
      const end = endOf(month);
      const midnight = Math.floor(nowMs / 1000 / DAY_S) * DAY_S;
      const until = Math.min(midnight, end);
      if (!times.some((at) => at >= start && at < until)) return null;
      const path = join(folder, `status_${month}.parquet`);
      return {
        version: `${month}-${until}`,
        bytes: () => (until === end ? readFile(path) : partOf(path, until)),
      };
    },
  };
}

/** The second after a month. */
function endOf(month: string): number {
  const [year, number] = month.split("-").map(Number) as [number, number];
  return Date.UTC(year, number, 1) / 1000;
}

/** Rows of a Parquet file before an instant, as a file of their own. */
async function partOf(path: string, until: number): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "simulator-"));
  try {
    const part = join(folder, "part.parquet");
    await withDuck((connection) =>
      connection.run(
        `COPY (FROM read_parquet('${path.replaceAll("'", "''")}') WHERE epoch(ts) < ${until}) TO '${part}' (FORMAT parquet)`,
      ),
    );
    return await readFile(part);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The snapshots of a day (UTC) by their second. */
async function readDay(
  folder: string,
  day: number,
  legacyOf: (id: string) => string,
): Promise<Map<number, StationState[]>> {
  const snapshots = new Map<number, StationState[]>();
  await withDuck(async (connection) => {
    const files = await filesLike(folder, "status_");
    await connection.run(
      `CREATE TABLE day AS SELECT * FROM ${files} WHERE ts >= make_timestamp(${day * DAY_S}::BIGINT * 1000000) AND ts < make_timestamp(${(day + 1) * DAY_S}::BIGINT * 1000000)`,
    );
    await connection.run(
      "CREATE TABLE ids AS SELECT id, CAST(row_number() OVER (ORDER BY id) - 1 AS INTEGER) AS number FROM (SELECT DISTINCT station_id AS id FROM day)",
    );
    const ids = (await textRows(connection, "SELECT id FROM ids ORDER BY number")).map((row) => row["id"]!);
    const select = COLUMNS.map((name) => `CAST("${name}" AS INTEGER)`).join(", ");
    const sql = `SELECT CAST(epoch(ts) AS INTEGER) AS second, number, ${select} FROM day JOIN ids ON id = station_id ORDER BY second, number`;
    for await (const [second, number, ...values] of integerChunks(connection, sql)) {
      const [bikes, ebikes, docks, bikesDisabled, docksDisabled, installed, renting, returning, reported] =
        values;
      for (let i = 0; i < second!.length; i++) {
        const at = second![i]!;
        const id = ids[number![i]!]!;
        let rows = snapshots.get(at);
        if (rows === undefined) {
          rows = [];
          snapshots.set(at, rows);
        }
        rows.push({
          id,
          legacyId: legacyOf(id),
          bikes: bikes![i]!,
          ebikes: ebikes![i]!,
          docks: docks![i]!,
          bikesDisabled: bikesDisabled![i]!,
          docksDisabled: docksDisabled![i]!,
          installed: installed![i] === 1,
          renting: renting![i] === 1,
          returning: returning![i] === 1,
          reported: reported![i]!,
        });
      }
    }
  });
  return snapshots;
}
