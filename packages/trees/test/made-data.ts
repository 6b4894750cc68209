import { uniform } from "../src/random.ts";
import type { Column } from "../src/types.ts";

export interface MadeData {
  readonly columns: Column[];
  /** A smooth function of the columns with a little noise. */
  readonly label: Float64Array;
  readonly weight: Float64Array;
}

/** Six columns: two plain numbers, a category, one with missing values, a small whole number, noise. */
export function madeData(rows: number, seed: number): MadeData {
  const u = (i: number, k: number): number => uniform(seed * 1000 + k, i);
  const columns: Column[] = [
    Float32Array.from({ length: rows }, (_, i) => u(i, 1) * 10),
    Float64Array.from({ length: rows }, (_, i) => u(i, 2) - 0.5),
    Int32Array.from({ length: rows }, (_, i) => Math.floor(u(i, 3) * 12)),
    Float32Array.from({ length: rows }, (_, i) => (u(i, 4) < 0.2 ? Number.NaN : u(i, 5))),
    Uint8Array.from({ length: rows }, (_, i) => Math.floor(u(i, 6) * 7)),
    Float32Array.from({ length: rows }, (_, i) => u(i, 7)),
  ];
  const effect = [3, -1, 4, 1, -5, 9, -2, 6, -5, 3, 5, -8];
  const label = Float64Array.from({ length: rows }, (_, i) => {
    const missing = Number.isNaN(columns[3]![i]!);
    return (
      Math.sin(columns[0]![i]!) * 5 +
      columns[1]![i]! * 4 +
      effect[columns[2]![i]!]! +
      (missing ? 3 : columns[3]![i]!) +
      columns[4]![i]! * 0.5 +
      (u(i, 8) - 0.5)
    );
  });
  return { columns, label, weight: Float64Array.from({ length: rows }, (_, i) => 0.5 + u(i, 9)) };
}
