import { z } from "zod";
import { CityScaleError } from "../core/index.ts";
import type { Lake } from "../lake/index.ts";
import { iso, time } from "./schemas.ts";

export const entitySchema = z.object({
  entity: z.string(),
  name: z.string().nullable(),
  lat: z.number().nullable(),
  lon: z.number().nullable(),
  openedAt: time.nullable(),
  retiredAt: time.nullable(),
  firstSeenAt: time.nullable(),
  attributes: z.record(z.string(), z.unknown()),
});

/** Entities after an id, in the order of ids. */
export async function listEntities(
  lake: Lake,
  limit: number,
  after = "",
): Promise<z.infer<typeof entitySchema>[]> {
  const rows = await lake.read((connection) =>
    connection.rows<{
      entity: string;
      name: string | null;
      lat: number | null;
      lon: number | null;
      opened_at: number | null;
      retired_at: number | null;
      first_seen_at: number | null;
      attributes: string | null;
    }>(`SELECT * FROM entities WHERE entity > ? ORDER BY entity LIMIT ${limit}`, [after]),
  );
  const isoOrNull = (ms: number | null) => (ms === null ? null : iso(ms));
  return rows.map((row) => ({
    entity: row.entity,
    name: row.name,
    lat: row.lat,
    lon: row.lon,
    openedAt: isoOrNull(row.opened_at),
    retiredAt: isoOrNull(row.retired_at),
    firstSeenAt: isoOrNull(row.first_seen_at),
    attributes: row.attributes === null ? {} : (JSON.parse(row.attributes) as Record<string, unknown>),
  }));
}

/** Number of an entity in the lake. Throws ENTITY_UNKNOWN. */
export async function entityNumber(lake: Lake, entity: string): Promise<number> {
  const row = await lake.read((connection) =>
    connection.first<{ e: number }>("SELECT e FROM entities WHERE entity = ?", [entity]),
  );
  if (!row)
    throw new CityScaleError(
      "ENTITY_UNKNOWN",
      `${lake.city.id} has no ${lake.city.entity} "${entity.slice(0, 80)}"`,
    );
  return row.e;
}
