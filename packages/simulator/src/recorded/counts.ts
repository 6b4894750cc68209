import { type CountFeed, CountTable, HOUR_MS } from "../count-table.ts";
import { velibPeriod } from "./captured-gbfs.ts";
import { epochMs, filesLike, integerChunks, textRows, withDuck } from "./duck.ts";
import { recordingFolder } from "./folders.ts";
import { requestsPeriod } from "./requests.ts";
import { stationsPeriod } from "./stations.ts";

/** How a city's recordings name what they hold. */
const ENTITY_COLUMN: Record<string, string> = {
  "paris-bikes": "counter_id",
  "melbourne-pedestrians": "sensor_id",
};

/**
 * The period of the recorded counts: the beginning of the first step and the end of the last one.
 * @param root folder of the recordings
 * @throws RangeError for a city without recordings
 */
export async function recordedPeriod(root: string, city: string): Promise<{ fromMs: number; toMs: number }> {
  if (city === "nyc-311") return requestsPeriod(root);
  if (city === "paris-velib") return velibPeriod(root);
  if (city === "bay-wheels") return stationsPeriod(root, city);
  entityColumn(city);
  const folder = await recordingFolder(root, city);
  return withDuck(async (connection) => {
    const files = await filesLike(folder, "counts");
    const [row] = await textRows(
      connection,
      `SELECT min(ts)::VARCHAR AS first, max(ts)::VARCHAR AS last FROM (SELECT ${epochMs("ts_utc")} AS ts FROM ${files})`,
    );
    if (row?.["first"] == null || row["last"] == null)
      throw new RangeError(`the counts in ${folder} are empty`);
    return { fromMs: Number(row["first"]), toMs: Number(row["last"]) + HOUR_MS };
  });
}

function entityColumn(city: string): string {
  const column = ENTITY_COLUMN[city];
  if (column === undefined) {
    throw new RangeError(
      `no recordings of '${city}' can be read; known: ${[...Object.keys(ENTITY_COLUMN), "nyc-311", "bay-wheels", "paris-velib"].join(", ")}`,
    );
  }
  return column;
}

export interface RecordedPlace {
  name: string;
  siteId: string;
  siteName: string;
  lat: number;
  lon: number;
  /** YYYY-MM-DD */
  installed: string;
}

export interface RecordedCounts extends CountFeed {
  places: ReadonlyMap<string, RecordedPlace>;
}

/**
 * Reads Paris' recorded counts, all files of them, with their time of publication.
 * @param publishedMs when the count of the hour beginning at an instant appears, ms; never before the hour's end
 * @throws RangeError for missing files, or rows without a readable time, counter or count
 */
export async function readCounts(
  root: string,
  city: string,
  publishedMs: (hourMs: number) => number,
): Promise<RecordedCounts> {
  const folder = await recordingFolder(root, city);
  const column = entityColumn(city);
  return withDuck(async (connection) => {
    const files = await filesLike(folder, "counts");
    await connection.run(
      `CREATE TABLE counts AS SELECT CAST(${column} AS VARCHAR) AS entity,
         CAST(${epochMs("ts_utc")} // ${HOUR_MS} AS INTEGER) AS hour, TRY_CAST("count" AS INTEGER) AS value FROM ${files}`,
    );
    const [check] = await textRows(
      connection,
      "SELECT count(*)::VARCHAR AS wrong FROM counts WHERE entity IS NULL OR hour IS NULL OR value IS NULL",
    );
    if (check?.["wrong"] !== "0") {
      throw new RangeError(
        `${check?.["wrong"]} rows of the counts in ${folder} have no readable time, counter or count`,
      );
    }
    await connection.run(
      "CREATE TABLE ids AS SELECT entity, CAST(row_number() OVER (ORDER BY entity) - 1 AS INTEGER) AS number FROM (SELECT DISTINCT entity FROM counts)",
    );
    const entityIds = (await textRows(connection, "SELECT entity FROM ids ORDER BY number")).map(
      (row) => row["entity"]!,
    );
    const [first] = await textRows(connection, "SELECT min(hour)::VARCHAR AS hour FROM counts");
    const table = new CountTable(entityIds.length, Number(first!["hour"]));
    let done = 0;
    for await (const [hours, numbers, values] of integerChunks(
      connection,
      "SELECT hour, number, value FROM counts JOIN ids USING (entity) ORDER BY hour, number",
    )) {
      for (let i = 0; i < hours!.length; i++) {
        const hour = hours![i]!;
        while (table.toHour <= hour) {
          // Month by month, as a table takes about a million rows at once.
          if (table.toHour % 720 === 0) {
            table.finish(done, table.toHour * HOUR_MS);
            done = table.length;
          }
          table.beginHour();
        }
        table.add(numbers![i]!, values![i]!, publishedMs(hour * HOUR_MS), null);
      }
    }
    table.finish(done, Number.POSITIVE_INFINITY);
    const places = new Map<string, RecordedPlace>();
    const sites = await filesLike(folder, "counters");
    for (const row of await textRows(connection, `SELECT * FROM ${sites}`)) {
      places.set(row["counter_id"]!, {
        name: row["counter_name"] ?? "",
        siteId: row["site_id"] ?? "",
        siteName: row["site_name"] ?? "",
        lat: Number(row["lat"]),
        lon: Number(row["lon"]),
        installed: row["installed"] ?? "",
      });
    }
    return {
      table,
      entityIds,
      entityNames: entityIds.map((id) => places.get(id)?.name ?? id),
      places,
      ensure: () => undefined,
    };
  });
}
