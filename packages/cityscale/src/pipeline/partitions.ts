import type { Clock, MetadataDatabase } from "../core/index.ts";

export const assets = ["observations", "model", "forecasts", "outcomes"] as const;
export type Asset = (typeof assets)[number];
/** Assets of a target carry its name: `forecasts[bicycles]`. */
export type AssetName = Asset | `${Asset}[${string}]`;

/** A range of `validAt` of one asset, [start, end) in ms UTC, and how it stands. */
export interface Partition {
  readonly city: string;
  readonly asset: string;
  readonly start: number;
  readonly end: number;
  readonly state: "fresh" | "stale" | "failed";
  readonly materialisedAt: number | null;
  readonly details: unknown;
}

/** What has been made of each asset, by partition. */
export function createPartitions(parts: { database: MetadataDatabase; clock: Clock }) {
  const { db } = parts.database;
  return {
    async mark(
      city: string,
      asset: AssetName,
      start: number,
      end: number,
      state: Partition["state"],
      details: unknown = {},
    ): Promise<void> {
      const now = Math.floor(parts.clock.now());
      const row = {
        city,
        asset,
        partition_start: Math.floor(start),
        partition_end: Math.floor(end),
        state,
        materialised_at: now,
        details: JSON.stringify(details),
      };
      await db
        .insertInto("asset_partitions")
        .values(row)
        .onConflict((conflict) =>
          conflict.columns(["city", "asset", "partition_start"]).doUpdateSet({
            partition_end: row.partition_end,
            state,
            details: row.details,
            ...(state === "stale" ? {} : { materialised_at: now }),
          }),
        )
        .execute();
    },
    /** What an upstream change has touched must be made again, for every target. */
    async touch(city: string, asset: Asset, from: number, to: number): Promise<void> {
      await db
        .updateTable("asset_partitions")
        .set({ state: "stale" })
        .where("city", "=", city)
        .where((where) => where.or([where("asset", "=", asset), where("asset", "like", `${asset}[%`)]))
        .where("partition_start", "<", Math.ceil(to))
        .where("partition_end", ">", Math.floor(from))
        .execute();
    },
    /** Forgets partitions of an asset, of every target, that ended before an instant. */
    async prune(city: string, asset: Asset, before: number): Promise<void> {
      await db
        .deleteFrom("asset_partitions")
        .where("city", "=", city)
        .where("asset", "like", `${asset}[%`)
        .where("partition_end", "<", Math.floor(before))
        .execute();
    },
    async list(
      filter: { city?: string; asset?: string; state?: Partition["state"]; limit?: number } = {},
    ): Promise<Partition[]> {
      let query = db
        .selectFrom("asset_partitions")
        .selectAll()
        .orderBy("partition_start", "desc")
        .limit(filter.limit ?? 1000);
      if (filter.city !== undefined) query = query.where("city", "=", filter.city);
      if (filter.asset !== undefined) query = query.where("asset", "=", filter.asset);
      if (filter.state !== undefined) query = query.where("state", "=", filter.state);
      return (await query.execute()).map((row) => ({
        city: row.city,
        asset: row.asset,
        start: row.partition_start,
        end: row.partition_end,
        state: row.state,
        materialisedAt: row.materialised_at,
        details: JSON.parse(row.details) as unknown,
      }));
    },
  };
}
export type Partitions = ReturnType<typeof createPartitions>;
