import { binaryTargets, localDay } from "../domain/index.ts";
import { literal, retainedFrom } from "../lake/index.ts";
import type { AssetName } from "./partitions.ts";
import type { CityParts } from "./parts.ts";

export const outcomesOf = (target: string): AssetName => `outcomes[${target}]`;

/** Local days whose outcomes are settled. */
export async function settledDays(
  { city, partitions }: Pick<CityParts, "city" | "partitions">,
  target: string,
): Promise<ReadonlySet<number>> {
  const asset = outcomesOf(target);
  const fresh = await partitions.list({ city: city.id, asset, state: "fresh", limit: 100_000 });
  return new Set(fresh.map(({ start }) => localDay(city.timeZone, start)));
}

/**
 * Local days of the origins of binary targets up to `until` (ms UTC), ascending; those whose forecasts retention has
 * removed are not among them. Targets of a city are forecast together: the first stands for all.
 */
export async function riskForecastDays(
  { city, lake }: Pick<CityParts, "city" | "lake">,
  until = Number.MAX_SAFE_INTEGER,
): Promise<readonly number[]> {
  const leader = binaryTargets(city)[0];
  if (!leader) return [];
  const { at } = await lake.read(async (connection) => {
    const from = (await retainedFrom(connection, "risks")) ?? 0;
    return connection.numbers(
      `SELECT DISTINCT origin_at AS "at" FROM batches
       WHERE target = ${literal(leader.name)} AND origin_at BETWEEN ${from} AND ${Math.floor(until)} ORDER BY "at"`,
    );
  });
  return [...new Set(Array.from(at!, (instant) => localDay(city.timeZone, instant)))];
}
