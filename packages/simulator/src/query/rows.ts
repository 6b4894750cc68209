import type { Cell } from "./expression.ts";
import type { Field, View } from "./view.ts";

/** A view of a small table given as objects. */
export function viewOfRows(
  fields: readonly Field[],
  rows: readonly Record<string, Cell>[],
  version: string,
): View {
  return {
    fields,
    version,
    length: rows.length,
    isVisible: null,
    get: (field) => (position) => rows[position]![field] ?? null,
    sorted: null,
  };
}
