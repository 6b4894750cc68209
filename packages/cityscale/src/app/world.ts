import {
  CityScaleError,
  type Clock,
  type Config,
  createClock,
  type MetadataDatabase,
} from "../core/index.ts";
import type { City } from "../domain/index.ts";
import { recordingsEnd } from "./simulate.ts";

/** What a data folder takes for real: recordings in place of publishers, the seed of a simulated city, its clock. */
export interface World {
  readonly recordings?: string;
  readonly seed?: number;
  /** Where a virtual clock stood last, ms UTC; absent where the folder lives in real time. */
  readonly clockAt?: number;
}

const setting = "world";

/** The world that the folder was last used in. */
export async function readWorld(database: MetadataDatabase): Promise<World> {
  const row = await database.db
    .selectFrom("settings")
    .select("value")
    .where("name", "=", setting)
    .executeTakeFirst();
  return row ? (JSON.parse(row.value) as World) : {};
}

/** Keeps the world for the next process, with where its clock stands now. */
export async function keepWorld(database: MetadataDatabase, world: World, clock: Clock): Promise<void> {
  const { clockAt: _before, ...rest } = world;
  const value = JSON.stringify(
    clock.spec.kind === "real" ? rest : { ...rest, clockAt: Math.floor(clock.now()) },
  );
  const row = { name: setting, value, updated_at: Date.now() };
  await database.db
    .insertInto("settings")
    .values(row)
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ value, updated_at: row.updated_at }))
    .execute();
}

/**
 * The clock of a world: the one configured; or, going on, where the folder's own stood last; or, for recordings, their
 * end, once everything in them has been published; or the machine's.
 */
export async function clockOf(config: Config, world: World, cities: readonly City[]): Promise<Clock> {
  const from = (startMs: number) => createClock({ startMs, speed: config.clockSpeed });
  if (config.clockStart !== undefined) return from(config.clockStart);
  if (world.clockAt !== undefined) return from(world.clockAt);
  const { recordings } = world;
  if (recordings === undefined) return createClock();
  const ends = await Promise.all(
    cities.map((city) =>
      recordingsEnd(recordings, city).catch((error: unknown) => {
        throw new CityScaleError(
          "DATA_MISSING",
          `there are no recordings of ${city.id} under ${recordings}`,
          { cause: error },
        );
      }),
    ),
  );
  return from(Math.max(...ends.map((end, i) => publishedBy(cities[i]!, end))));
}

const dayMs = 86_400_000;

/** Counts lag by a day; a snapshot tells the present, and the archive of a day is there after midnight (UTC). */
function publishedBy({ measures }: City, end: number): number {
  const isLevels = Object.values(measures).every(({ kind }) => kind === "level");
  return isLevels ? Math.ceil(end / dayMs) * dayMs + 300_000 : end + 27 * 3_600_000;
}
