import type { LevelPage } from "../../domain/index.ts";

/** Columns of numbers of a page of levels, in this order. */
export const levelColumns = ["bikes", "ebikes", "docks", "bikesDisabled", "docksDisabled"] as const;
export type LevelColumn = (typeof levelColumns)[number];

/** One station at one instant; NaN = not given. */
export interface Snapshot extends Readonly<Record<LevelColumn, number>> {
  readonly entity: string;
  readonly at: number;
  readonly renting: boolean;
  readonly returning: boolean;
  readonly reportedAt: number;
}

/** Snapshots as a page. */
export function levelPage(rows: readonly Snapshot[], archived: boolean): LevelPage {
  const numbers = (of: (row: Snapshot) => number) => Float64Array.from(rows, of);
  return {
    stream: "levels",
    entity: rows.map((row) => row.entity),
    at: numbers((row) => row.at),
    bikes: numbers((row) => row.bikes),
    ebikes: numbers((row) => row.ebikes),
    docks: numbers((row) => row.docks),
    bikesDisabled: numbers((row) => row.bikesDisabled),
    docksDisabled: numbers((row) => row.docksDisabled),
    renting: Uint8Array.from(rows, (row) => Number(row.renting)),
    returning: Uint8Array.from(rows, (row) => Number(row.returning)),
    reportedAt: numbers((row) => row.reportedAt),
    archived,
  };
}
