import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openEngine } from "../../src/lake/index.ts";
import { randomOf } from "../lake/support.ts";

const everyone = { stations: 20, days: 35 };
/** How many there are unless a test asks for fewer. */
export const { stations } = everyone;

/** Weeks of snapshots from 2023-01-10 on, five unless asked otherwise: stations that empty each weekday morning, others that fill, others where little happens. */
export async function recordBikeShare(root: string, { stations, days } = everyone): Promise<void> {
  const random = randomOf(4);
  const start = Date.UTC(2023, 0, 10, 8);
  const columns: number[][] = [[], [], [], []];
  const bikes = Array.from({ length: stations }, () => 8);
  for (let at = start; at < start + days * 86_400_000; at += 600_000 + Math.floor(random() * 120_000)) {
    const local = new Date(at - 8 * 3_600_000);
    const [hour, weekday] = [local.getUTCHours(), local.getUTCDay() % 6 !== 0];
    for (let s = 0; s < stations; s++) {
      const drift =
        hour >= 7 && hour < 9 && weekday ? [-0.6, 0.5, 0][s % 3]! : hour === 20 ? (8 - bikes[s]!) / 8 : 0;
      const step = Math.round(drift * 3 * random() + (random() - 0.5) * 1.6);
      bikes[s] = Math.max(0, Math.min(16, bikes[s]! + step));
      columns[0]!.push(at);
      columns[1]!.push(s);
      columns[2]!.push(bikes[s]!);
      columns[3]!.push(random() < 0.002 ? 0 : 1);
    }
  }
  mkdirSync(join(root, "baywheels"));
  const engine = await openEngine({ path: ":memory:", memoryMb: 200, threads: 1 });
  {
    using connection = await engine.connect();
    await connection.run('CREATE TABLE told ("at" DOUBLE, s DOUBLE, bikes DOUBLE, open DOUBLE)');
    await connection.append(
      "told",
      columns.map((column) => Float64Array.from(column)),
    );
    for (const month of ["2023-01", "2023-02"]) {
      await connection.run(
        `COPY (SELECT CAST(make_timestamp(CAST("at" AS BIGINT) * 1000) AS TIMESTAMP) AS ts, 's' || CAST(s AS INTEGER) AS station_id,
           bikes::SMALLINT AS bikes, 0::SMALLINT AS ebikes, (16 - bikes)::SMALLINT AS docks, 0::SMALLINT AS bikes_disabled,
           0::SMALLINT AS docks_disabled, 1::UTINYINT AS is_installed, open::UTINYINT AS is_renting, 1::UTINYINT AS is_returning,
           CAST("at" / 1000 AS BIGINT) - 60 AS last_reported
         FROM told WHERE strftime(make_timestamp(CAST("at" AS BIGINT) * 1000), '%Y-%m') = '${month}' ORDER BY 1, 2)
         TO '${join(root, "baywheels", `status_${month}.parquet`)}' (FORMAT parquet)`,
      );
    }
  }
  engine.close();
  const rows = Array.from(
    { length: stations },
    (_, s) => `s${s},${s},SF-${s},Station ${s},${37.77 + 0.002 * s},-122.42,3,San Francisco,16`,
  );
  writeFileSync(
    join(root, "baywheels", "stations.csv"),
    `station_id,legacy_id,short_name,name,lat,lon,region_id,region_guess,capacity\n${rows.join("\n")}\n`,
  );
}
