import { isAbort, messageOf } from "../../core/index.ts";
import type { Entity } from "../../domain/index.ts";
import type { SourceContext } from "../kind.ts";
import { idOf } from "../rows.ts";
import type { OpendatasoftOptions } from "./options.ts";
import { type Dataset, type Row, recordsLimit, recordsReach } from "./portal.ts";

/** Entities from the dataset of places, or from the distinct names and positions of the counts' own rows. */
export async function readPlaces(
  declared: OpendatasoftOptions,
  context: SourceContext,
  counts: Dataset,
  places: Dataset | null,
  /** Condition that the counts' rows are grouped within. */
  where: string,
): Promise<Entity[] | null> {
  const { fields } = declared;
  try {
    if (declared.places && places) {
      const { entity, name, position } = declared.places;
      const select = [entity, ...(name === undefined ? [] : [name]), position].join(",");
      const rows: Row[] = [];
      for (;;) {
        const page = await places.records({ select, order_by: entity }, rows.length);
        rows.push(...page.rows);
        if (page.rows.length < recordsLimit || rows.length + recordsLimit > recordsReach) break;
      }
      return entitiesOf(rows, entity, name, position);
    }
    if (fields.name === undefined && fields.position === undefined) return null;
    const select = [fields.entity, fields.name, fields.position]
      .filter((name) => name !== undefined)
      .join(",");
    const grouped = await counts.records({ select, where, group_by: select }, 0, 20_000);
    return entitiesOf(grouped.rows, fields.entity, fields.name, fields.position);
  } catch (error) {
    // Counts matter more than where they are.
    if (isAbort(error)) throw error;
    context.log.warn({ dataset: declared.dataset, error: messageOf(error) }, "positions could not be read");
    return null;
  }
}

function entitiesOf(
  rows: readonly Row[],
  entity: string,
  name: string | undefined,
  position: string | undefined,
) {
  const found = new Map<string, Entity>();
  for (const row of rows) {
    const id = idOf(row[entity]);
    if (id === undefined) continue;
    const point = position === undefined ? null : pointOf(row[position]);
    const label = name === undefined ? null : (idOf(row[name]) ?? null);
    const placed = { lat: point?.lat ?? null, lon: point?.lon ?? null };
    // A row without a position does not displace one that has it.
    if (found.get(id)?.lat != null && placed.lat === null) continue;
    found.set(id, { entity: id, name: label, ...placed, openedAt: null, retiredAt: null, attributes: {} });
  }
  return [...found.values()];
}

/** `{lon, lat}` as v2.1 sends it, or `"lat,lon"` as CSV exports do. */
function pointOf(value: unknown): { lat: number; lon: number } | null {
  if (typeof value === "string") {
    const [lat, lon] = value.split(",").map(Number);
    return Number.isFinite(lat) && Number.isFinite(lon) ? { lat: lat!, lon: lon! } : null;
  }
  const { lat, lon } = (value ?? {}) as { lat?: unknown; lon?: unknown };
  return typeof lat === "number" && typeof lon === "number" ? { lat, lon } : null;
}
