import type { Connection } from "./duckdb.ts";
import type { Lake } from "./lake.ts";

/** Rows of a table that may go when they are old. */
export interface AgedRows {
  readonly table: string;
  /** Column of whole numbers by which rows age: instants in ms UTC, or steps. */
  readonly column: string;
  /** Which rows may go at all, as an SQL condition. */
  readonly where: string;
  /** Span of the column that goes in one transaction. */
  readonly slice: number;
}

/** What is removed, as `retained` tells it. */
export interface Removal {
  readonly kind: string;
  /** Empty where no target is meant. */
  readonly target: string;
  /** Instant of a value of the column, ms UTC. */
  readonly instantOf: (value: number) => number;
  readonly signal?: AbortSignal;
  readonly onSlice?: (value: number) => void;
}

const aged = ({ table, column, where }: AgedRows, before: number) =>
  `FROM ${table} WHERE ${column} < ${Math.floor(before)} AND (${where})`;

/** How many rows lie before a value of their column. */
export async function countAged(connection: Connection, rows: AgedRows, before: number): Promise<number> {
  return (await connection.first<{ n: number }>(`SELECT count(*) AS n ${aged(rows, before)}`))!.n;
}

/**
 * Removes the rows before a value of their column, oldest first, a slice in each transaction together with the note in
 * `retained` that it is gone: killed at any moment, whole slices are there or gone, and the next call goes on. Other
 * writers have their turn between slices. Returns how many rows went.
 */
export async function removeAged(
  lake: Lake,
  rows: AgedRows,
  before: number,
  { kind, target, instantOf, signal, onSlice }: Removal,
): Promise<number> {
  let removed = 0;
  for (;;) {
    signal?.throwIfAborted();
    const went = await lake.write(async (connection) => {
      const oldest = await connection.first<{ value: number | null }>(
        `SELECT min(${rows.column}) AS value ${aged(rows, before)}`,
      );
      if (oldest?.value == null) return 0;
      const end = Math.min(Math.floor(before), oldest.value + rows.slice);
      const n = await connection.run(`DELETE ${aged(rows, end)}`);
      await connection.run(
        `INSERT INTO retained VALUES ($1, $2, $3, $4)
         ON CONFLICT DO UPDATE SET from_at = greatest(retained.from_at, excluded.from_at), "rows" = retained."rows" + excluded."rows"`,
        [kind, target, BigInt(instantOf(end)), BigInt(n)],
      );
      onSlice?.(end);
      return n;
    });
    if (went === 0) return removed;
    removed += went;
  }
}

/** The instant (ms UTC) before which retention has removed rows of a kind; null where it has removed none. */
export async function retainedFrom(
  connection: Connection,
  kind: string,
  target = "",
): Promise<number | null> {
  const row = await connection.first<{ from_at: number }>(
    "SELECT from_at FROM retained WHERE kind = ? AND target = ?",
    [kind, target],
  );
  return row?.from_at ?? null;
}
