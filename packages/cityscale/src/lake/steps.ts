import type { Grid } from "../domain/index.ts";
import type { Connection } from "./duckdb.ts";

/** Makes sure that the `steps` table holds every step whose start lies in [from, to]. Call within a transaction. */
export async function extendSteps(
  connection: Connection,
  grid: Grid,
  from: number,
  to: number,
): Promise<void> {
  const first = grid.stepAt(from);
  const last = grid.stepAt(to);
  const have = await connection.first<{ low: number | null; high: number | null }>(
    "SELECT min(t) AS low, max(t) AS high FROM steps",
  );
  if (have?.low == null || have.high == null) return insertSteps(connection, grid, first, last);
  if (first < have.low) await insertSteps(connection, grid, first, have.low - 1);
  if (last > have.high) await insertSteps(connection, grid, have.high + 1, last);
}

async function insertSteps(connection: Connection, grid: Grid, first: number, last: number): Promise<void> {
  const count = last - first + 1;
  if (count <= 0) return;
  const columns = Array.from({ length: 5 }, () => new Float64Array(count));
  const [t, start, end, key, fold] = columns as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < count; i++) {
    t[i] = first + i;
    start[i] = grid.startOf(first + i);
    end[i] = grid.endOf(first + i);
    key[i] = grid.keyOf(first + i);
    // The second of two steps that show the same wall time; clock changes lie within three hours.
    const back = Math.min(Math.ceil((3 * 3_600_000) / grid.stepMs), 18);
    for (let k = 1; k <= back && grid.slotsPerDay > 1; k++) {
      if (grid.keyOf(first + i - k) === key[i]) fold[i] = 1;
    }
  }
  await connection.run(
    "CREATE OR REPLACE TEMP TABLE new_steps (t DOUBLE, s DOUBLE, e DOUBLE, k DOUBLE, f DOUBLE)",
  );
  await connection.append("new_steps", columns);
  await connection.run(
    `INSERT INTO steps SELECT t, s, e, k, floor(k / ${grid.slotsPerDay}), k - ${grid.slotsPerDay} * floor(k / ${grid.slotsPerDay}), f
     FROM new_steps ORDER BY t`,
  );
  await connection.run("DROP TABLE new_steps");
}
