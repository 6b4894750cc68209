import type { Connection } from "./duckdb.ts";

/** What monitoring states about data; masks are declared in the city's file. */
export const foundKinds = ["anomaly", "half-loaded", "level-shift"] as const;
export type FoundKind = (typeof foundKinds)[number];

/**
 * A stored statement of monitoring about one entity's values in [fromAt, untilAt), ms UTC. It holds for origins in
 * [knownAt, knownTo).
 */
export interface Annotation {
  readonly kind: FoundKind;
  readonly target: string;
  readonly measure: string;
  readonly entity: string;
  readonly fromAt: number;
  /** Exclusive; null while a level shift lasts. */
  readonly untilAt: number | null;
  readonly knownAt: number;
  /** Since when it holds no more; null while it does. */
  readonly knownTo: number | null;
  readonly value: number | null;
  readonly expected: number | null;
  readonly score: number | null;
  readonly reason: string;
  /** The detector that found it. */
  readonly author: string;
}

const big = (ms: number | null) => (ms === null ? null : BigInt(Math.round(ms)));

/** What features read in place of the value of an entity's step that a half-loaded day hides. */
export interface StandIn {
  readonly e: number;
  readonly t: number;
  readonly value: number;
}

/**
 * Stores an annotation. A half-loaded day hides the values that are there now, from `knownAt` on: they are no targets
 * and no outcomes, and features read `standIns` in their place, or find them missing. Call it once for each value: a
 * second half-loaded day over the same values would be another statement about them.
 */
export async function annotate(
  connection: Connection,
  row: Annotation,
  standIns: readonly StandIn[] = [],
): Promise<void> {
  await connection.run(
    `INSERT INTO annotations (kind, target, measure, entity, from_at, until_at, known_at, known_to, value, expected, score, reason, author)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.kind,
      row.target,
      row.measure,
      row.entity,
      big(row.fromAt),
      big(row.untilAt),
      big(row.knownAt),
      big(row.knownTo),
      row.value,
      row.expected,
      row.score,
      row.reason,
      row.author,
    ],
  );
  if (standIns.length === 0) return;
  const rows = standIns.map(({ e, t, value }) => `($1, $2, ${e}, ${t}, $3, ${value})`);
  await connection.run(
    `INSERT INTO stand_ins (target, measure, e, t, known_at, value) VALUES ${rows.join(", ")}`,
    [row.target, row.measure, big(row.knownAt)],
  );
}

/**
 * Ends those of some kinds of an entity that still hold and begin in [fromAt, untilAt): what a half-loaded day hid is
 * seen again by origins from `at` on. Returns how many there were.
 */
export async function endAnnotations(
  connection: Connection,
  which: {
    readonly kinds: readonly FoundKind[];
    readonly target: string;
    readonly entity: string;
    readonly fromAt: number;
    readonly untilAt: number;
  },
  at: number,
): Promise<number> {
  const kinds = which.kinds.map((kind) => `'${kind}'`).join(", ");
  return await connection.run(
    `UPDATE annotations SET known_to = greatest(known_at, $1)
     WHERE kind IN (${kinds}) AND target = $2 AND entity = $3 AND from_at >= $4 AND from_at < $5 AND known_to IS NULL`,
    [big(at), which.target, which.entity, big(which.fromAt), big(which.untilAt)],
  );
}

export interface AnnotationFilter {
  readonly target: string;
  readonly entity?: string;
  readonly kind?: FoundKind;
  /** Those that begin in [from, to), ms UTC. */
  readonly from?: number;
  readonly to?: number;
  readonly open?: boolean;
  readonly limit: number;
}

/** What monitoring has stated of a target, newest days first; of several statements about a day the newest. */
export async function listAnnotations(
  connection: Connection,
  filter: AnnotationFilter,
): Promise<Annotation[]> {
  const conditions = [
    "target = $1",
    ...(filter.kind === undefined ? [] : [`kind = '${filter.kind}'`]),
    ...(filter.from === undefined ? [] : [`from_at >= ${Math.round(filter.from)}`]),
    ...(filter.to === undefined ? [] : [`from_at < ${Math.round(filter.to)}`]),
    ...(filter.open ? ["known_to IS NULL"] : []),
    ...(filter.entity === undefined ? [] : ["entity = $2"]),
  ];
  return await connection.rows<Annotation & Record<string, never>>(
    `SELECT kind, target, measure, entity, from_at AS "fromAt", until_at AS "untilAt", known_at AS "knownAt",
       known_to AS "knownTo", value, expected, score, reason, author
     FROM (
       FROM annotations WHERE target = $1
       QUALIFY row_number() OVER (PARTITION BY kind, entity, from_at ORDER BY known_at DESC, known_to DESC NULLS FIRST) = 1
     ) WHERE ${conditions.join(" AND ")}
     ORDER BY from_at DESC, entity, kind LIMIT ${Math.floor(filter.limit)}`,
    [filter.target, ...(filter.entity === undefined ? [] : [filter.entity])],
  );
}
